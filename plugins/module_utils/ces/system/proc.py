# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that outlive whoever started them: named on file, found again, ended (proc(5))."""

from __future__ import annotations

import os
import time

from ..blocks import suppress
from .files import explained, kernel_lines, regular, write_new
from .signals import signal

_ARGUMENTS_MAX = 1 << 17
"""Bytes; engines' programs have some thousand, and a neighbour's can be without end (prctl(2))."""
_LOOKS, _BETWEEN_LOOKS = 50, 0.02
"""How often, and how many seconds apart, a busy program with the signal blocked is looked at."""


def kill_recorded(pid_file: str) -> None:
    """End the session of the process that a ``pid_file`` names, if it still is that process."""
    pid = _recorded(pid_file)
    if pid is not None:
        kill_session(pid)


def recorded_lives(pid_file: str) -> bool:
    """Whether the process that a ``pid_file`` names is still there."""
    return _recorded(pid_file) is not None


def kill_named(word: str) -> None:
    """Kill our processes that have this word among their arguments: a container's id, say.

    conmon and crun have it; where podman died between the two it knows of neither.
    """
    for name in os.listdir("/proc"):
        if name.isdigit() and word.encode() in arguments_of(int(name)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(name), signal.SIGKILL)


def listens(pid: int, number: int) -> bool:
    """Whether a process catches a signal or waits for it, so that the signal does not end it.

    A program that starts another blocks every signal for an instant (posix_spawn(3)), and the
    signal would end it right after. Only a program that sleeps while it blocks waits.
    """
    for _look in range(_LOOKS):
        status = _status(pid)
        blocked, caught = (_in_mask(status.get(name), number) for name in ("SigBlk", "SigCgt"))
        if caught or not blocked or status["State"].startswith("S"):
            return caught or blocked
        time.sleep(_BETWEEN_LOOKS)
    return True


def variables_of(pid: int) -> dict[str, str]:
    """The environment that a process of ours was started with; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="replace") as stream:
            pairs = [entry.partition("=") for entry in stream.read().split("\0")]
    except OSError:
        return {}
    return {name: value for name, _equals, value in pairs}


def _status(pid: int) -> dict[str, str]:
    """What proc_pid_status(5) says of a process; empty if it is gone."""
    try:
        pairs = [line.partition(":") for line in kernel_lines(f"/proc/{pid}/status")]
    except OSError:
        return {}
    return {name: value.strip() for name, _colon, value in pairs}


def _in_mask(mask: str | None, number: int) -> bool:
    return bool(int(mask or "0", 16) >> (number - 1) & 1)


def _recorded(pid_file: str) -> int | None:
    try:
        with open(pid_file, encoding="ascii", opener=regular) as stream:
            number, started = stream.read().split()
        pid = int(number)
    except (OSError, ValueError):
        return None
    return pid if _start_time(pid) == started else None


def arguments_of(pid: int) -> list[bytes]:
    """The words that a process was started with; one that is empty if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read(_ARGUMENTS_MAX).split(b"\0")
    except OSError:
        return [b""]


def record_process(path: str, pid: int) -> None:
    with explained(f"write {path}"):
        write_new(path, f"{pid} {_start_time(pid)}\n")


def kill_session(pid: int) -> None:
    """Kill every process of the session that we made for a command, whatever group it is in.

    apptainer's helpers (squashfuse, fuse-overlayfs) make groups of their own and outlive it.
    """
    for name in os.listdir("/proc"):
        if name.isdigit() and _stat_field(int(name), _SESSION) == str(pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(name), signal.SIGKILL)


def parents() -> dict[int, int]:
    """Of every process, except those that have ended, its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and _stat_field(int(name), _STATE) not in ("", "Z"):
            parent = _stat_field(int(name), _PARENT)
            if parent:
                found[int(name)] = int(parent)
    return found


def owner_of(pid: int) -> int:
    """Who started a process (the real uid), also if it has more rights; 0 if it is gone."""
    return int(_status(pid).get("Uid", "0").split()[0])


_STATE, _PARENT, _SESSION, _START_TIME = 3, 4, 6, 22
"""Numbers of fields in ``/proc/PID/stat``, as proc_pid_stat(5) counts them."""


def _start_time(pid: int) -> str:
    """When a process was started, in clock ticks since boot: with its number, unmistakable."""
    return _stat_field(pid, _START_TIME)


def _stat_field(pid: int, number: int) -> str:
    """A field behind the name, which is the second and may hold anything; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[number - 3]
    except OSError:
        return ""
