# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with a user's rights, for root. The user may steer it, so nothing of it is endless.

It has bounds in time, in the size of a file, and in what it may say. The epilog loads this.
"""

from __future__ import annotations

import os
import pwd
import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FILE_MAX = 64 * 1024 * 1024
"""Bytes that it may have in a file, and in what it says: that goes to a file in memory."""
SAID_MAX = 4 * 1024 * 1024
"""Bytes of what it says that we read."""


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said."""

    status: int
    stdout: str
    stderr: str


def run_as(
    user: pwd.struct_passwd, argv: Sequence[str], environ: Mapping[str, str], seconds: float
) -> Done:
    """Run a program in a session of its own. It may leave others, which hold up nobody.

    :raises subprocess.TimeoutExpired: it did not end in time, and was killed.
    :raises OSError: it could not be started.
    """
    outputs = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdout", "stderr")]
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=outputs[0],
            stderr=outputs[1],
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=os.getgrouplist(user.pw_name, user.pw_gid),
            env=environ,
            preexec_fn=bound_files,
            start_new_session=True,
        )
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()  # and do not wait: it may hang in the kernel
            raise
        said = [os.pread(output, SAID_MAX, 0).decode(errors="replace") for output in outputs]
        return Done(status, *said)
    finally:
        for output in outputs:
            os.close(output)


def bound_files() -> None:
    """In the child: it fills no disk, and no memory of ours."""
    for kind, most in ((resource.RLIMIT_FSIZE, FILE_MAX), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))
