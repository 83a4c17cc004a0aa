# SPDX-License-Identifier: GPL-3.0-or-later
"""The far side: what is done on the back-end for the portal.

It is sent over ssh with each request and installs nothing there. Standard input is a line of JSON,
the request, and what the verb wants besides; standard output is MARK with a line of JSON, the
answer, and what the verb adds. What a user's shell prints before is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import stat
import subprocess
import sys

from ces_remote.protocol import LIVE, MARK

TYPE_CHECKING = False
if TYPE_CHECKING:  # each poll would pay for it
    from collections.abc import Callable, Mapping
    from typing import IO, Any, Union

    Request = Mapping[str, Any]
    Answer = dict[str, Any]
    Verb = Callable[[Request, IO[bytes]], Union[Answer, None]]

SMALL = 1 << 16
"""Bytes; a longer file is not brought with a poll."""

job_umask = 0o022
"""What the user has there: sbatch hands it on to the job."""


def main() -> None:
    """Answer the one request that is on standard input."""
    global job_umask
    job_umask = os.umask(0o077)
    request = json.loads(sys.stdin.buffer.readline())
    try:
        answer = verb(request["do"])(request, sys.stdin.buffer)
    except OSError as error:
        answer = {"failed": f"{error.filename or ''}: {error.strerror}".lstrip(": ")}
    except ValueError as error:
        answer = {"failed": str(error)}
    if answer is not None:
        reply(answer)
    sys.stdout.buffer.flush()


def verb(name: str) -> Verb:
    """What a request asks for; copying has a file of its own, which is sent when it is wanted."""
    known: dict[str, Verb] = {
        "run": run,
        "poll": poll,
        "clear": clear,
        "forget": forget,
        "look": look,
    }
    if name in known:
        return known[name]
    from ces_remote import far_copy

    return far_copy.VERBS[name]


def reply(answer: Answer) -> None:
    """The answer's head."""
    sys.stdout.buffer.write(MARK + json.dumps(answer).encode("ascii") + b"\n")


# --- where things are ---------------------------------------------------------------------------


def base(request: Request) -> str:
    """The directory there that stands for the portal's home."""
    me = pwd.getpwuid(os.getuid())
    given = str(request["base"]).replace("{user}", me.pw_name)
    path = me.pw_dir + given[1:] if given.startswith("~") else given
    if not os.path.isdir(path):
        raise ValueError(f"there is no directory {path} for {me.pw_name} on {os.uname().nodename}")
    return path


def session(request: Request) -> str:
    """The job's directory there."""
    return f"{base(request)}/{request['place']}"


def below(directory: str, name: str) -> int | None:
    """A regular file in a directory, open for reading, and no link; None if it is not there."""
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=parent)
        finally:
            os.close(parent)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def remove_one_shot(directory: str, names: list[str]) -> None:
    """Remove the files that a job reads once: it may never have come to it."""
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(f"{directory}/{name}")


# --- commands of Slurm --------------------------------------------------------------------------


def call(request: Request, argv: list[str], stdin: bytes = b"", **more: Any) -> Answer:
    """Run a command of Slurm."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    bins = request.get("slurm_bin") or ""
    environment = {**os.environ, "PATH": ":".join(filter(None, (bins, path, "/usr/local/bin")))}
    environment.update(more.get("environment", {}))
    program = program_on(environment["PATH"], argv[0])
    if not program:
        said = f"{argv[0]}: command not found on {os.uname().nodename}\n"
        return {"rc": 127, "out": "", "err": said}
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            input=stdin,
            capture_output=True,
            timeout=request["timeout"],
            check=False,
            env=environment,
            cwd=more.get("directory", "/"),
            umask=job_umask,
        )
    except subprocess.TimeoutExpired:
        said = f"{argv[0]}: no answer from Slurm in {request['timeout']} s\n"
        return {"rc": 1, "out": "", "err": said}
    return {"rc": done.returncode, "out": text(done.stdout), "err": text(done.stderr)}


def program_on(path: str, name: str) -> str:
    """A program on the path."""
    places = (f"{directory}/{name}" for directory in path.split(":"))
    return next((place for place in places if os.access(place, os.X_OK)), "")


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def run(request: Request, stdin: IO[bytes]) -> Answer:
    """One command of Slurm, as the portal called it."""
    return call(request, request["argv"], stdin.read())


def states(request: Request, jobs: list[str]) -> dict[str, str]:
    """The state of each job, GONE for those that Slurm has forgotten; no answer, no states."""
    if not jobs:
        return {}
    words = ["--noheader", "--all", "--states=all", f"--jobs={','.join(jobs)}", "--format=%A %F %T"]
    said = call(request, ["squeue", *words])
    if said["rc"] != 0 and "Invalid job id" not in said["err"]:
        return {}
    found = dict.fromkeys(jobs, "GONE")
    for line in said["out"].splitlines():
        job, array, state = line.split()
        # an array is over with its last task
        for number in {job, array} & set(found):
            if found[number] == "GONE" or state in LIVE:
                found[number] = state
    return found


def poll(request: Request, stdin: IO[bytes]) -> Answer:
    """A command of Slurm, the states of jobs, and what one of them has written since."""
    answer = call(request, request["argv"]) if request["argv"] else {}
    answer["states"] = states(request, request["jobs"])
    if request.get("place"):
        directory = session(request)
        answer["small"] = {name: small(directory, name) for name in request["live"]}
        answer["log"] = log(directory, request["log"], request["offset"], request["most"])
    return answer


def small(directory: str, name: str) -> str | None:
    """A small file that is whole, which its last line's end says."""
    descriptor = below(directory, name)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        raw = stream.read(SMALL + 1)
    return text(raw) if len(raw) <= SMALL and raw.endswith(b"\n") else None


def log(directory: str, name: str, offset: int, most: int) -> Answer | None:
    """The log from an offset on; from its beginning if it is shorter than that."""
    descriptor = below(os.path.dirname(f"{directory}/{name}"), os.path.basename(name))
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        size = os.fstat(descriptor).st_size
        start = offset if offset <= size else 0
        stream.seek(start)
        return {"start": start, "size": size, "text": text(stream.read(most))}


# --- what is left, and whether it works ---------------------------------------------------------


def hold_arrivals(request: Request, alone: bool) -> bool:
    """Hold the lock of submissions that arrive until this process ends: they share it.

    :param alone: none may arrive meanwhile.
    :returns: False if one is arriving. A file server without locks keeps nobody.
    """
    import fcntl

    place = f"{base(request)}/.local/state/ces"
    kind = fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH
    try:
        os.makedirs(place, 0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fcntl.flock(os.open(f"{place}/arrivals.lock", flags, 0o600), kind)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def forget(request: Request, stdin: IO[bytes]) -> Answer:
    """A submission whose answer was lost: nobody knows of its job, so it must not run.

    It may still be arriving. Then there is no answer yet, and who asks asks again.
    """
    if not hold_arrivals(request, alone=True):
        return {"rc": 1, "jobs": []}
    directory = session(request)
    said = call(request, ["squeue", "--noheader", "--me", "--format=%A %Z"])
    lines = [line.partition(" ") for line in said["out"].splitlines()]
    jobs = [job for job, _space, place in lines if place == directory]
    if jobs:
        call(request, ["scancel", *jobs])
    remove_one_shot(directory, request["one_shot"])
    return {"rc": said["rc"], "jobs": jobs}


def clear(request: Request, stdin: IO[bytes]) -> Answer:
    """A job that is over, and whose files nobody wants."""
    remove_one_shot(session(request), request["one_shot"])
    return {}


def look(request: Request, stdin: IO[bytes]) -> Answer:
    """What a check wants to know."""
    home = base(request)
    free = os.statvfs(home)
    return {
        "host": os.uname().nodename,
        "base": home,
        "writable": os.access(home, os.W_OK | os.X_OK),
        "free": free.f_bavail * free.f_frsize,
        "python": sys.version.split()[0],
        "slurm": call(request, ["scontrol", "ping"]),
        "sbatch": call(request, ["sbatch", "--version"]),
    }
