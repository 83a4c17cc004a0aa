# SPDX-License-Identifier: GPL-3.0-or-later
"""Have the sessions of users take up a timer that is new or gone: ``take_up.py NAME.timer``.

A session reads its units when it starts, and some last from one boot to the next. A session that
does not answer is passed over: it reads them when it starts anew.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

UNITS = "/etc/systemd/user"
SESSIONS = "/run/user"
PATIENCE = 10
"""Seconds for an answer of a session."""


def main(name: str) -> None:
    verb = "start" if os.path.exists(f"{UNITS}/{name}") else "stop"
    for entry in sorted(filter(str.isdecimal, os.listdir(SESSIONS)), key=int):
        try:
            account = pwd.getpwuid(int(entry))
        except KeyError:
            continue
        for words in (["daemon-reload"], [verb, name]):
            if not in_session(account, words):
                break


def in_session(account: pwd.struct_passwd, words: list[str]) -> bool:
    """Run systemctl as the user, in the user's session; False if that failed."""
    runtime = f"{SESSIONS}/{account.pw_uid}"
    try:
        done = subprocess.run(
            ["systemctl", "--user", *words],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
            cwd="/",
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "XDG_RUNTIME_DIR": runtime,
                "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
            },
            # the user can take a pipe of ours, and keep us reading
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{account.pw_name}: {error}", file=sys.stderr)
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main(sys.argv[1])
