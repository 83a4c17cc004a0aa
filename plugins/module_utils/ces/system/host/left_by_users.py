# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of users that root has started, and that would stay where root's own are.

Root looks at a user's things with programs that run with the user's rights. What they start by a
user's own files leads sessions of its own and forgets its parents. It would stay in root's control
group, where the user's limits do not hold. What has left for the user's own group may stay.
"""

from __future__ import annotations

import os
import time
from itertools import filterfalse

from ...blocks import suppress
from ..proc import owner_of, parents
from ..signals import signal

_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)"""
_FOR_SECONDS = 2.0
"""So long we kill what is there; processes that fork faster than that are not ours to follow."""
_BETWEEN_LOOKS = 0.01


def adopt_what_users_leave() -> None:
    """Let processes that our children leave become our children, whatever they do to get away."""
    _adopt(True)


def _adopt(whether: bool) -> None:
    # costs 8 ms, and only root pays
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0)


def end_what_users_left() -> None:
    """End them: what descends from us, is a user's, and is in our own control group.

    From then on we adopt nobody any more.
    """
    end, killed = time.monotonic() + _FOR_SECONDS, set[int]()
    while _have_children() and (new := _left() - killed) and time.monotonic() < end:
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= new
        # what they start meanwhile is seen next time
        time.sleep(_BETWEEN_LOOKS)
    # on a busy host a killed process takes a while to be gone
    while (killed := set(filterfalse(_is_gone, killed))) and time.monotonic() < end:
        time.sleep(_BETWEEN_LOOKS)
    _adopt(False)


def _is_gone(pid: int) -> bool:
    """Whether a killed process is gone; if it is our child, note is taken of that."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # its parent, who was killed, too, is not gone yet
        return not os.path.exists(f"/proc/{pid}")


def _have_children() -> bool:
    """Whether there are any: mostly there is none, and nothing to look for."""
    with suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    return False


def _left() -> set[int]:
    above, ours = parents(), _groups(os.getpid())
    found = {os.getpid()}
    grown = 0
    while grown != len(found):
        grown = len(found)
        found |= {pid for pid, parent in above.items() if parent in found}
    return {pid for pid in found if owner_of(pid) and _groups(pid) == ours}


def _groups(pid: int) -> str:
    """Its lines of cgroups(7); empty if it is gone."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
