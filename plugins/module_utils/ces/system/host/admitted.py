# SPDX-License-Identifier: GPL-3.0-or-later
"""Which accounts can have a session on this host, by the host's own rules. Wants root.

systemd asks PAM before it starts a user's session (user@.service(5)). We ask the same question, and
start nothing. So an account that has expired, or that a rule keeps out, is known before a role has
changed anything, whatever the rule and wherever the account comes from.
"""

from __future__ import annotations

import os
import pwd
import time

from ...typed import Any, Mapping, Sequence
from ..account import SIGNED
from ..files import LIST_MAX, read_if_there
from .as_user import MEMORY, Looking, end_all

_SERVICE = "systemd-user"
_CONFIGURED = (f"/etc/pam.d/{_SERVICE}", f"/usr/lib/pam.d/{_SERVICE}")
_LIBRARY = "libpam.so.0"
_SILENT, _CANNOT_TALK = 0x8000, 19
"""PAM_SILENT and PAM_CONV_ERR (pam(3)): there is nobody whom a module could ask or tell."""
_DENIED, _NO_ENTRY, _CHANGE_FIRST, _EXPIRED = 7, 9, 12, 13
_REASONS = {
    6: "a rule of this host keeps the account out (pam_access, or its directory's own rules)",
    _NO_ENTRY: "it has no password entry (its line in /etc/shadow, which pwconv makes)",
    10: "PAM does not know it (its directory does not answer, or its entry is not whole)",
    _CHANGE_FIRST: "its password must be changed first (by the user, at a login)",
    _EXPIRED: "the account has expired (chage --expiredate -1 lets it go on)",
    27: "its password has expired (the user, or passwd, sets a new one)",
}
"""What answers of pam_acct_mgmt(3) mean, and the cure."""
_TOO_GREAT = (
    "its uid is 2^31 or more, which podman takes for a negative number, and the user for root: it"
    " wants root's locks (give the account a smaller uid)"
)
_SHADOW = "/etc/shadow"
_SECONDS = 20.0
"""Until when PAM must have answered for all users."""


def kept_out(users: Sequence[pwd.struct_passwd]) -> Mapping[str, str]:
    """Why users cannot have a session here, by name. Who is not in it can.

    PAM is not asked where we are not root, and where systemd starts no sessions.
    """
    great = {user.pw_name: _TOO_GREAT for user in users if user.pw_uid >= SIGNED}
    names = [user.pw_name for user in users if user.pw_uid < SIGNED]
    if not names or os.geteuid() != 0 or not any(map(os.path.exists, _CONFIGURED)):
        return great
    # a module of PAM may ask a server, or die: not with us
    looking = Looking(pwd.getpwuid(0), lambda: {"refused": _ask(names)}, _SECONDS, MEMORY)
    try:
        refused = looking.answer().get("refused", {})
    finally:
        end_all([looking])
    denied = {
        name: _REASONS.get(code, f"PAM answers: {said}") for name, (code, said) in refused.items()
    }
    return {**great, **denied}


# --- in the child ---


def _ask(names: Sequence[str]) -> dict[str, Any]:
    """By name, the code and the words with which PAM refuses it."""
    # costs 8 ms
    import ctypes

    talk = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, *[ctypes.c_void_p] * 3)

    class Conversation(ctypes.Structure):
        """pam_conv(3)"""

        _fields_ = (("talk", talk), ("data", ctypes.c_void_p))

    def cannot_talk(_count: int, _told: object, _answers: object, _data: object) -> int:
        return _CANNOT_TALK

    library = ctypes.CDLL(_LIBRARY)
    library.pam_strerror.restype = ctypes.c_char_p
    conversation = Conversation(talk(cannot_talk), None)
    found = {}
    for name in names:
        handle = ctypes.c_void_p()
        start = (_SERVICE.encode(), os.fsencode(name), ctypes.byref(conversation))
        code = library.pam_start(*start, ctypes.byref(handle))
        code = code or library.pam_acct_mgmt(handle, _SILENT)
        if code:
            said = library.pam_strerror(handle, code) or b""
            # Debian's last module, pam_deny, says so in place of the one that refused
            code_there = _by_shadow(pwd.getpwnam(name)) if code == _DENIED else code
            found[name] = (code_there, said.decode("utf-8", "replace"))
        library.pam_end(handle, code)
    return found


def _by_shadow(user: pwd.struct_passwd, file: str = _SHADOW) -> int:
    """Why a local account may be denied: the code that pam_unix(8) has for it. shadow(5)

    :param file: for tests.
    """
    if user.pw_passwd != "x":  # noqa: S105  where a password is kept, and none itself
        return _DENIED
    lines = (line.split(":") for line in read_if_there(file, LIST_MAX).split("\n"))
    entry = next((fields for fields in lines if fields[0] == user.pw_name), None)
    if entry is None:
        return _NO_ENTRY
    _name, _password, changed, *_ages, expires, _reserved = entry
    if expires.isdigit() and int(expires) <= time.time() // 86400:
        return _EXPIRED
    return _CHANGE_FIRST if changed == "0" else _DENIED
