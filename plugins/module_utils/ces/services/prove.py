# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a container as a user does, and see from inside and outside whether it keeps the contract.

It is a run like any other: by the policy, with the user's project, a number and a record. Only its
image is the host's own shell, so no registry is asked. Its record and outputs are removed at the
end: they would only be in the user's way.
"""

from __future__ import annotations

import os
import re
import time

from ..blocks import suppress
from ..checks.container import LOOKS
from ..checks.look import findings_of
from ..dataclass import replace
from ..engines.table import runner_named
from ..errors import CesError
from ..system.directories import projects_of, safe_data_mount
from ..system.files import (
    kernel_lines,
    private_directory,
    random_name,
    read_if_there,
    remove_quietly,
    remove_tree,
)
from ..system.host.podman_databases import has_container
from ..system.host.small_root import SHELL
from ..system.podman_places import podman_storage
from ..system.system import System, is_in_job
from ..typed import Iterator, Sequence
from ..values.finding import Finding
from ..values.mounts import CONTRACT, SAFE_DATA
from ..values.record import LIVE, RunRecord
from ..values.seen import Range, Seen
from ..values.spec import Directories, RunSpec
from .host_shell import HostShell, host_shell, named, ready_with
from .run import Ran, run_ready
from .session import session

_SECONDS = 30.0
"""After which the container is stopped."""
_GOING = 3.0
"""Seconds that what belongs to an engine may take to be gone after it."""
_STATUS = 37
"""The exit status that the container is told to end with: no engine's own, and no signal's."""
_TUNNELS = ("tunl", "sit", "ip6tnl", "gre", "gretap", "erspan", "ip_vti", "ip6_vti", "ip6gre")
"""Interfaces that the kernel itself puts into every network namespace; they lead nowhere."""
_GPU = re.compile(r"/dev/(nvidia[0-9]+|dri/render.*)")
"""The device file of a GPU, as the script below looks for them; others are the driver's."""
_CGROUP = "/sys/fs/cgroup"
_SCRIPT = f"""\
token=$1
put() {{ printf '%s %s\\n' "$token" "$*"; }}
each() {{
    {{ while read -r line; do put "$1" "$line"; done; }} 2>/dev/null < "$2"
}}
limit() {{
    place=$cgroup
    while :; do
        most=max
        {{ read -r most < "{_CGROUP}$place/$1"; }} 2>/dev/null
        case $most in max*) ;; *) put "$1" "$most"; return;; esac
        [ -n "$place" ] || return
        place=${{place%/*}}
    done
}}
each uid_map /proc/self/uid_map
each interface /proc/net/dev
each route /proc/net/route
while IFS=: read -r number _ path; do [ "$number" = 0 ] && cgroup=$path; done < /proc/self/cgroup
limit memory.max
limit cpu.max
for file in /dev/nvidia[0-9]* /dev/dri/render*; do
    [ -e "$file" ] && ( : <> "$file" ) 2>/dev/null && put gpu "$file"
done
for place in {' '.join(CONTRACT)}; do
    [ -r "$place" ] && [ -x "$place" ] && put readable "$place"
    ( printf '%s\\n' "$token" > "$place/$token" ) 2>/dev/null && put written "$place"
done
exit {_STATUS}
"""
"""Of a POSIX shell's own commands alone: nothing else is in the image."""


def prove_engine(runner: str, system: System) -> Iterator[Finding]:
    """What all rows say of one container of this user under an engine."""
    return findings_of(LOOKS, see_container(runner, system), system.policy)


def prove_gpus(runner: str, system: System) -> Iterator[Finding]:
    """The same of a container with the GPUs that are here, or that its job was given.

    Only what is about these: the rest is proved of a container without them.
    """
    rows = [row for row in LOOKS if row.name in ("container", "gpus")]
    return findings_of(rows, see_container(runner, system, gpu=True), system.policy)


def see_container(runner: str, system: System, gpu: bool = False) -> Seen:
    """Run the container, look at it, and clear away what a run leaves by right."""
    account = system.account
    before = Seen(user=account.name, uid=account.uid, engine=runner)
    try:
        with session(system), host_shell(runner, system) as shell:
            return _seen(before, shell, system, gpu)
    except CesError as error:
        said = f"could not {error.tried}: {error.said}".rstrip(": ")
        return replace(before, refused=said, cure=error.hint)
    except OSError as error:
        said = f"{error.filename or 'a file'}: {error.strerror or error}"
        return replace(before, refused=said)


def _seen(before: Seen, shell: HostShell, system: System, gpu: bool) -> Seen:
    token = f"ces-verify-{random_name()}"
    chosen, no_project = _data(shell, system)
    if no_project:
        private_directory(str(chosen.safe_data))
        roots = (*system.policy.mount_roots, str(chosen.safe_data))
        system = replace(system, policy=replace(system.policy, mount_roots=roots))
    spec = RunSpec(
        image=named(shell),
        runner=before.engine,
        args=(SHELL, "-c", _SCRIPT, SHELL, token),
        directories=chosen,
        timeout=_SECONDS,
        pull="never",
        gpu=gpu,
    )
    if gpu:
        before = replace(before, given=_given(before.engine, system))
    ran = run_ready(ready_with(shell, spec, system), system)
    try:
        seen = _from_inside(before, token, ran)
        return replace(_from_outside(seen, token, ran.record, system), no_project=no_project)
    finally:
        _clear_away(ran.record, token)


def _data(shell: HostShell, system: System) -> tuple[Directories, str]:
    """What the run names as its data, and why that is a stand-in, or ''."""
    account, policy = system.account, system.policy
    try:
        safe_data_mount(Directories(), account, policy)
    except CesError as error:
        projects = projects_of(account.groups, policy.safe_data)
        if projects:  # of several a run has to name one
            return Directories(project=os.path.basename(projects[0])), ""
        return Directories(safe_data=f"{shell.directory}.data"), error.said
    return Directories(), ""


def _given(runner: str, system: System) -> tuple[str, ...] | None:
    """The device files of the GPUs that a container is to have; None where nobody says which."""
    from ..system.gpu import gpus_for

    edits = gpus_for(None, system, runner_named(runner)).edits
    if edits is None:
        return None
    return tuple(node.path for node in edits.nodes if _GPU.fullmatch(node.path))


def _from_inside(before: Seen, token: str, ran: Ran) -> Seen:
    """What the container wrote, each line behind a word that nobody else knows."""
    said: dict[str, list[str]] = {}
    for line in ran.stdout.splitlines():
        word, _space, rest = line.partition(" ")
        if word == token:
            key, _space, value = rest.partition(" ")
            said.setdefault(key, []).append(value.strip())
    record = ran.record
    if not said and record.reason:
        return replace(before, refused=record.reason, state=record.state)
    return replace(
        before,
        heard=bool(said),
        id_map=tuple(_ranges(said.get("uid_map", ()))),
        ranged=runner_named(before.engine).traits().subordinate_ids,
        readable=tuple(said.get("readable", ())),
        written=tuple(said.get("written", ())),
        interfaces=tuple(_interfaces(said.get("interface", ()))),
        routes=len(said.get("route", ())[1:]),
        gpus=tuple(said.get("gpu", ())),
        seen_cpus=_share(said.get("cpu.max", ())),
        seen_memory=next(
            (int(text) for text in said.get("memory.max", ()) if text.isdigit()), None
        ),
    )


def _from_outside(seen: Seen, token: str, record: RunRecord, system: System) -> Seen:
    """What is on the host, now that the run is over."""
    proof = f"{record.outputs}/{token}"
    data = next(mount for mount in record.mounts if mount["target"] == SAFE_DATA)
    resources = record.resources
    return replace(
        seen,
        owner=os.lstat(proof).st_uid if os.path.lexists(proof) else None,
        arrived=read_if_there(proof).strip() == token,
        data_access=data["access"],
        may_write=os.access(data["source"], os.W_OK),
        network=record.network,
        cpus=resources["cpus"],
        memory=resources["memory"],
        enforced=resources["enforced"],
        unenforced=system.limiting.reason,
        in_job=is_in_job(system.allocation),
        status=_STATUS,
        rc=record.rc,
        state=record.state,
        closed=_is_closed(record, system),
        left=tuple(_left(seen.engine, token, record, system)),
    )


def _is_closed(record: RunRecord, system: System) -> bool:
    """Whether nobody answers for the run any more, and its record on the disk says how it ended."""
    if record.run_id in system.records.active():
        return False
    kept = system.records.load(record.run_id).state
    return kept == record.state and kept not in LIVE


def _left(runner: str, token: str, record: RunRecord, system: System) -> Iterator[str]:
    """What the run left behind, of what nobody wants after it."""
    private = system.account.private_for(record.run_id)
    for path in (record.scratch, private):
        if os.path.lexists(path):
            yield f"the directory {path} is left"
    marks = (token, private, f"ces-{record.run_id}\0")
    end = time.monotonic() + _GOING
    while (pids := _processes(marks)) and time.monotonic() < end:
        time.sleep(0.02)
    if pids:
        yield f"processes of the run are left: {', '.join(pids)}"
    with suppress(OSError):
        lines = kernel_lines("/proc/self/mountinfo")
        if any(private in line or record.scratch in line for line in lines):
            yield "a mount of the run is left"
    if _has_container(runner, record.name, system):
        yield f"{runner} still has the container {record.name}"


def _has_container(runner: str, name: str, system: System) -> bool:
    """Whether an engine that keeps a list of containers still has this one."""
    exists = runner_named(runner).exists
    if exists is None:
        return False
    known = has_container(podman_storage(system.account), name)
    return system.process.run(exists(name)).ok if known is None else known


def _processes(marks: Sequence[str]) -> list[str]:
    """The processes, but for ourselves, whose arguments have one of these words."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read(65536)
            if any(mark.encode() in words for mark in marks) and int(pid) != os.getpid():
                found.append(pid)
    return found


def _clear_away(record: RunRecord, token: str) -> None:
    """Remove what a run leaves by right, and the file in the project's data."""
    for mount in record.mounts:
        if mount["target"] == SAFE_DATA:
            remove_quietly(f"{mount['source']}/{token}")
    for path in (record.outputs, os.path.dirname(record.log)):
        remove_tree(path)


def _ranges(lines: Sequence[str]) -> Iterator[Range]:
    for line in lines:
        numbers = line.split()
        if len(numbers) == 3 and all(map(str.isdigit, numbers)):
            yield int(numbers[0]), int(numbers[1]), int(numbers[2])


def _interfaces(lines: Sequence[str]) -> Iterator[str]:
    """The names in /proc/net/dev that lead somewhere."""
    for line in lines:
        name, colon, _counts = line.partition(":")
        if colon and name != "lo" and name.rstrip("0123456789") not in _TUNNELS:
            yield name


def _share(lines: Sequence[str]) -> float | None:
    """CPUs, from the two numbers of ``cpu.max``."""
    for line in lines:
        quota, _space, period = line.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            return int(quota) / int(period)
    return None
