# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and end the processes that a job left on a node. The epilog loads it.

A process can leave its parents, its session and its environment behind. It cannot leave the user,
nor the cgroup that Slurm put it into. So these processes of the user are the job's:

* whose cgroup is one of the job's, where Slurm makes cgroups for jobs;
* whose environment names the job;
* which are in the cgroup of Slurm's daemon, if the user has no other job on this node: only jobs
  put processes of users there, never a login session and never the user's systemd;
* whose parent or session's leader is one of these, or is the epilog itself.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

JOBS = Path("/run/tre-ces-slurm")
"""The prolog writes a file for each job of this node, and the epilog removes it."""
STEP = re.compile(rb"slurmstepd: \[(\d+)[.+]")
"""How Slurm calls what looks after a step of a job: ``slurmstepd: [4711.batch]``."""
PAUSE_PROGRAMS = ("/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/bin/podman")
NS_GET_PARENT, NS_GET_OWNER_UID = 0xB702, 0xB704
"""Questions about a name space (ioctl_nsfs(2))."""
PR_SET_CHILD_SUBREAPER = 36
BETWEEN_LOOKS = 0.02
WORDS_MAX, ENVIRON_MAX = 1 << 12, 1 << 20
"""Bytes of a process's arguments and environment that are read."""


@dataclass(frozen=True)
class Process:
    """A process that lives."""

    number: int
    user: int
    parent: int
    session: int
    started: str
    cgroups: frozenset[str]
    words: tuple[bytes, ...]

    @classmethod
    def of(cls, number: int) -> Process:
        """What proc(5) says of it.

        :raises OSError: it is gone.
        """
        entry = Path("/proc", str(number))
        state, parent, _group, session, *more = (
            (entry / "stat").read_bytes().rpartition(b")")[2].split()
        )
        if state in b"ZX":
            raise ProcessLookupError(number)
        return cls(
            number,
            user_of(entry),
            int(parent),
            int(session),
            more[15].decode(),
            frozenset((entry / "cgroup").read_bytes().decode(errors="replace").split("\n")[:-1]),
            tuple(beginning_of(entry / "cmdline", WORDS_MAX).split(b"\0")),
        )

    def names(self, job: int) -> bool:
        """Whether its environment names the job."""
        try:
            environ = beginning_of(Path(f"/proc/{self.number}/environ"), ENVIRON_MAX)
        except OSError:
            return False
        return f"SLURM_JOB_ID={job}".encode() in environ.split(b"\0")

    def serves_others(self) -> bool:
        """Whether it is podman's pause process: name spaces for all containers of the user.

        Any process can give itself these words. It cannot be that program.
        """
        pauses = b"-P" in self.words or self.words[:1] == (b"podman pause",)
        return pauses and any(is_file(f"/proc/{self.number}/exe", name) for name in PAUSE_PROGRAMS)

    def kill(self) -> None:
        """Kill it, and never another one that got its number."""
        with suppress(OSError):
            handle = os.pidfd_open(self.number)
            try:
                if Process.of(self.number).started == self.started:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def beginning_of(file: Path, most: int) -> bytes:
    """So many bytes of a file: a process can have arguments without end (PR_SET_MM of prctl(2))."""
    with file.open("rb", buffering=0) as stream:
        found = b""
        # the kernel gives a page at a time
        while len(found) < most and (part := stream.read(most - len(found))):
            found += part
        return found


def user_of(entry: Path) -> int:
    """Whose process it is. In a user name space it may run as one of the user's subordinate ids."""
    if not is_file(f"{entry}/ns/user", "/proc/self/ns/user"):
        return maker_of(f"{entry}/ns/user")
    # the real user id: a set-user-ID program that the user runs is theirs, too
    # as bytes: a process may have a carriage return in its name, which text would end a line at
    return int((entry / "status").read_bytes().partition(b"\nUid:")[2].split()[0])


def maker_of(name_space: str) -> int:
    """Who made the outermost user name space around this one, below ours."""
    ours = os.stat("/proc/self/ns/user")
    here = os.open(name_space, os.O_RDONLY | os.O_CLOEXEC)
    while True:
        try:
            owner: bytes = fcntl.ioctl(here, NS_GET_OWNER_UID, bytes(4))
            above = fcntl.ioctl(here, NS_GET_PARENT)
        finally:
            os.close(here)
        if os.path.samestat(os.fstat(above), ours):
            os.close(above)
            return int(struct.unpack("I", owner)[0])
        here = above


def is_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def everything() -> list[Process]:
    """The processes of this node."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                found.append(Process.of(int(name)))
    return found


def owner_of(job: int) -> int | None:
    """The user of a job of this node; None if that is not known."""
    try:
        said = re.search(r"^# user (\d+)$", (JOBS / f"{job}.conf").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(said[1]) if said else None


def has_other_jobs(user: int, job: int, processes: list[Process]) -> bool:
    """Whether another job here is the user's, or may be: one whose user is not known counts."""
    jobs = {int(file.stem) for file in JOBS.glob("[0-9]*.conf")}
    steps = (STEP.match(process.words[0]) for process in processes if process.user == 0)
    jobs |= {int(step[1]) for step in steps if step}
    return any(owner_of(other) in (user, None) for other in jobs - {job})


def left_by(job: int, user: int) -> list[Process]:
    """The processes that are the job's, on this node, now."""
    processes = everything()
    daemon = {line for line in Process.of(os.getpid()).cgroups if "slurm" in line}
    # asked after we have seen the processes: another job's are made after its file
    alone = bool(daemon) and not has_other_jobs(user, job, processes)
    candidates = [one for one in processes if one.user == user and not one.serves_others()]

    def is_the_jobs(process: Process) -> bool:
        in_job = any(f"/job_{job}/" in f"{line}/" for line in process.cgroups)
        return in_job or process.names(job) or (alone and is_within(process.cgroups, daemon))

    found = {process.number for process in candidates if is_the_jobs(process)}
    grown = -1
    while grown != len(found):
        grown = len(found)
        known = found | {os.getpid()}
        found |= {one.number for one in candidates if {one.parent, one.session} & known}
    return [process for process in candidates if process.number in found]


def is_within(cgroups: frozenset[str], above: set[str]) -> bool:
    return any(f"{line}/".startswith(f"{one}/") for line in cgroups for one in above)


def end_all(job: int, user: int, end: float) -> Iterator[Process]:
    """End what the job left, and what that starts meanwhile; a process is told of once.

    :param end: when to give up, by the monotonic clock.
    :raises TimeoutError: some of them may live.
    """
    seen: set[Process] = set()
    while found := set(left_by(job, user)):
        for process in found:
            process.kill()
        yield from found - seen
        if time.monotonic() > end:
            raise TimeoutError(f"killed {len(found)} processes, and looked for no more")
        seen |= found
        time.sleep(BETWEEN_LOOKS)


def adopt_orphans() -> None:
    """Let processes that our children leave become our children, whatever they do to get away."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
