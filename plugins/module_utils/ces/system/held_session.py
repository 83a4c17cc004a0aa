# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sessions are made on demand (role podman): have one for as long as this process lives.

systemd listens at a socket and starts a program of root's for each connection. The program opens a
session of the user who connected, by PAM, as a login does. It lasts while the connection does: the
kernel closes that when we have ended and the programs that we started, however they end. So when we
are killed, a container that goes on has its session, and the next command finds it there.
"""

from __future__ import annotations

from .child import LEFT_OPEN
from .files import kernel_lines

_READY = b"ready\n"
_PATIENCE = 90
"""Seconds for a session to start on a busy host."""
_CLOSED = (
    "the host opens no session for this user (an expired account, PAM, or 512 sessions at once)"
)
_outcomes: dict[int, tuple[object, str]] = {}
"""By uid: the connection, which ends with this process, and why there is no session."""


def hold_session(uid: int, path: str, cgroup: str = "/proc/self/cgroup") -> str:
    """Have a session until this process and what it starts end; why there is none, or nothing.

    A process that root has started may have become the user since: the uid counts.
    """
    if uid not in _outcomes:
        _outcomes[uid] = (None, "") if _is_kept_by_us(uid, cgroup) else _ask(path)
    return _outcomes[uid][1]


def _is_kept_by_us(uid: int, cgroup: str) -> bool:
    """Whether we are a process of the user's own login: it is not over before we are.

    A process of the user's systemd (user@UID.service) keeps nothing.
    """
    try:
        return any(f"/user-{uid}.slice/session-" in line for line in kernel_lines(cgroup))
    except OSError:
        return False


def _ask(path: str) -> tuple[object, str]:
    import socket
    from struct import pack

    connection = socket.socket(socket.AF_UNIX)
    # the kernel's own bounds: one of Python's would fail at once where others wait before us
    for bound in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, bound, pack("ll", _PATIENCE, 0))
    try:
        connection.connect(path)
        said = b""
        while not said.endswith(b"\n"):
            part = connection.recv(200)
            if not part:
                break
            said += part
    except OSError as error:
        return None, f"{path} does not answer: {error.strerror or error}"
    if said == _READY:
        connection.set_inheritable(True)
        LEFT_OPEN.add(connection.fileno())
        return connection, ""
    connection.close()
    reason = said.decode(errors="replace").strip()
    return None, reason or _CLOSED
