# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a program end in time, also if a user controls what the program reads."""

from __future__ import annotations

DOCUMENTATION = r"""
name: bounded
short_description: A program with bounds in time and in the size of its files
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Returns a list of words that runs a program under C(timeout) and C(prlimit). Roles run with it
    what acts with a user's rights, or reads what users wrote.
  - With O(user) the program runs as that user, with an environment of its own, and the bounds are
    root's. C(become_user) would run a whole module as the user, who can have it say what Ansible
    believes of the host.
  - The user can take the outputs of such a program, keep them open and write there for ever, and
    Ansible would read for ever. So they are one pipe to a process of root's, which passes on 64 KiB
    of them as standard output. The program has no terminal, and one that says more is ended.
  - The exit status is 124 where the program did not end in time. It leaves no core file.
positional: seconds
options:
  _input:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
  seconds:
    description: After so long it is told to end, and killed five seconds later.
    type: int
    default: 300
  file_size:
    description: The bytes that it may have in a file.
    type: int
    default: 1073741824
  user:
    description:
      - As whom it runs, as RV(tre.ces.host_check#module:users) has it. By default it runs as whom
        the task runs.
    type: dict
"""

EXAMPLES = r"""
- name: Let podman forget what it knew of a user's ids
  ansible.builtin.command:
    argv: "{{ ['podman', 'system', 'migrate'] | tre.ces.bounded(60) }}"
"""

RETURN = r"""
_value:
  description: The words of the bounded program.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SAID_MAX = 64 * 1024
"""Bytes of what a user's program says that are passed on."""
_HEARD = f"""\
exec 3> >(exec head --bytes={SAID_MAX})
reader=$!
"$@" </dev/null >&3 2>&1 3>&-
status=$?
exec 3>&-
{{ sleep 1; kill "$reader"; }} >/dev/null 2>&1 &
wait "$reader"
kill $!
exit "$status"
"""
"""Bash: run a program and read its output until the program ends, whoever keeps the output open."""


def bounded(
    argv: Sequence[str],
    seconds: int = 300,
    file_size: int = 1 << 30,
    user: Mapping[str, Any] | None = None,
) -> list[str]:
    """The words that run a program within bounds."""
    limits = ["prlimit", "--core=0", f"--fsize={file_size}"]
    words = [*limits, "timeout", "--kill-after=5", str(seconds)]
    if user is None:
        return [*words, *argv]
    return ["setsid", "--wait", "bash", "-c", _HEARD, "bounded", *words, *as_user(user), *argv]


def as_user(user: Mapping[str, Any]) -> list[str]:
    """The words before those of a program that runs as a user, in the user's session."""
    runtime = f"/run/user/{user['uid']}"
    environment = {
        "HOME": user["home"],
        "USER": user["name"],
        "LOGNAME": user["name"],
        "PATH": PATH,
        "XDG_RUNTIME_DIR": runtime,
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
    }
    ids = [f"--reuid={user['uid']}", f"--regid={user['gid']}", "--init-groups"]
    values = [f"{name}={value}" for name, value in environment.items()]
    return ["setpriv", *ids, "--", "env", "--ignore-environment", *values]


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"bounded": bounded}
