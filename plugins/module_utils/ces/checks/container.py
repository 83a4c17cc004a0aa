# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a container keep the contract? From what was seen of one. No I/O."""

from __future__ import annotations

from ..typed import Callable, Iterable, Iterator
from ..values.mounts import SAFE_DATA, SAFE_OUTPUTS, SCRATCH
from ..values.policy import Policy
from ..values.quantities import spell_bytes
from ..values.seen import Seen
from .look import Look, Told

_NO_CONTAINER = "no container ran, so this could not be seen"
_LOOK = "the administrator looks into it: ces-doctor --user {} names causes"
_CPU_SLACK = 0.011
"""CPUs: engines round a share to whole milliseconds of a tenth of a second."""
_IDS = 65536
"""What images may use: useradd(8) gives as many to a user."""
_PAGE = 65536
"""Bytes: the kernel rounds a limit of memory down to whole pages."""
_Tell = Callable[[Seen, Policy], Iterator[Told]]


def _of_a_container(tell: _Tell) -> _Tell:
    """A row that has nothing to look at where no container ran."""

    def told(seen: Seen, policy: Policy) -> Iterator[Told]:
        if seen.refused:
            yield Told("note", _NO_CONTAINER)
        else:
            yield from tell(seen, policy)

    return told


def tell_container(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether a container ran at all, and what it wrote was heard."""
    if seen.refused:
        cure = seen.cure or _LOOK.format(seen.user)
        yield Told("fault", seen.refused, cure)
    elif not seen.heard:
        said = f"the run ended as {seen.state}, and nothing of what it wrote is in its log"
        yield Told("fault", said, _LOOK.format(seen.user))


def tell_user(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether all that the container does is done as the user."""
    outside = [(first, first + count) for _inside, first, count in seen.id_map]
    if seen.owner != seen.uid:
        whose = "there is no such file" if seen.owner is None else f"it belongs to uid {seen.owner}"
        said = f"a file that the container wrote is not the user's ({seen.uid}): {whose}"
        yield Told("fault", said, _LOOK.format(seen.user))
    if any(first <= 0 < end for first, end in outside):
        said = "root of the host exists in the container: its uid map is not the user's own"
        yield Told("fault", said, "the administrator takes this engine out of the policy")
    elif not any(first <= seen.uid < end for first, end in outside):
        said = "the user's own id does not exist in the container"
        yield Told("fault", said, _LOOK.format(seen.user))


def tell_ids(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether images with users of their own can run."""
    count = sum(count for _inside, _outside, count in seen.id_map)
    if not seen.ranged:
        yield Told("ok", "all that the container does is the user's own: this engine needs no more")
    elif count < _IDS:
        said = f"the container has {count} ids: images with users of their own do not run"
        yield Told("fault", said, "the administrator gives the user a range (role subid)", "subid")
    else:
        yield Told("ok", f"the container has {count} ids")


def tell_data(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether project data can be read, and written exactly where the policy lets them be."""
    if seen.no_project:
        cure = "the data manager gives the user a project"
        yield Told("warning", f"the container had a stand-in: {seen.no_project}", cure)
        return
    if SAFE_DATA not in seen.readable:
        yield Told("fault", f"the container cannot read {SAFE_DATA}", _LOOK.format(seen.user))
    written = SAFE_DATA in seen.written
    if written and seen.data_access == "ro":
        said = f"the container wrote to {SAFE_DATA}, which the policy has read-only"
        yield Told("fault", said, "the administrator stops runs under this engine")
    elif seen.data_access == "ro":
        yield Told("ok", f"{SAFE_DATA} is read-only for the container, as the policy has it")
    elif written != seen.may_write:
        can = "can" if seen.may_write else "cannot"
        cannot = "cannot" if seen.may_write else "can"
        said = f"the user {can} write to the project's data, and the container {cannot}"
        yield Told("fault", said, _LOOK.format(seen.user))
    else:
        how = "read and write" if written else "read (the user may not write there, either)"
        yield Told("ok", f"the container can {how} {SAFE_DATA}")


def tell_outputs(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether results arrive on the host."""
    if SAFE_OUTPUTS not in seen.written or not seen.arrived:
        said = f"what the container wrote to {SAFE_OUTPUTS} did not arrive on the host"
        yield Told("fault", said, _LOOK.format(seen.user))


def tell_scratch(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether there is room to work."""
    if SCRATCH not in seen.written:
        said = f"the container cannot write to {SCRATCH}"
        yield Told("fault", said, _LOOK.format(seen.user))


def tell_limits(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether the container is held to what the policy gives it, seen from inside."""
    wanted = _amounts(seen.cpus, seen.memory)
    if seen.in_job:
        found = _amounts(seen.seen_cpus, seen.seen_memory)
        said = f"Slurm limits the job; the container itself saw {found or 'no limit'}"
        yield Told("note", said)
    elif not wanted:
        yield Told("ok", "the policy gives no limits, and so there is none")
    elif not seen.enforced:
        said = f"{wanted}: not enforced here, {seen.unenforced}"
        cure = "the administrator applies the role podman, or boots with cgroup v2 alone"
        yield Told("warning", said, cure, "podman")
    elif seen.seen_cpus is None and seen.seen_memory is None:
        yield Told("warning", f"{wanted}: the container saw no limit of its own in its cgroup")
    elif _differs(seen.cpus, seen.seen_cpus, _CPU_SLACK) or _differs(
        seen.memory, seen.seen_memory, _PAGE
    ):
        found = _amounts(seen.seen_cpus, seen.seen_memory)
        said = f"the policy gives {wanted}, and the container saw {found}"
        yield Told("fault", said, _LOOK.format(seen.user), "podman")
    else:
        yield Told("ok", f"{wanted}, seen from inside")


def tell_network(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether there is no network where the policy says none."""
    if seen.network != "none":
        yield Told("note", f"the policy's network is {seen.network}: nothing is promised of it")
    elif seen.interfaces or seen.routes:
        names = ", ".join(seen.interfaces) or "none but lo"
        said = f"the container has a network: interfaces {names}, {seen.routes} routes"
        yield Told("fault", said, "the administrator stops runs under this engine")


def tell_gpus(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether the container can use the GPUs that are its own, and no others."""
    if seen.given is None:
        said = f"the container can use {_listed(seen.gpus)}"
        yield Told("note", f"{said}: no CDI specification says which are its own")
        return
    others, missing = set(seen.gpus) - set(seen.given), set(seen.given) - set(seen.gpus)
    if others:
        said = f"the container can use a GPU that is not its own: {_listed(others)}"
        yield Told("fault", said, "the administrator stops runs under this engine", "gpu")
    elif missing:
        said = f"the container cannot use {_listed(missing)}, which it was given"
        yield Told("fault", said, "the administrator applies the role gpu", "gpu")
    elif seen.given:
        yield Told("ok", f"the container can use {_listed(seen.gpus)}, and no other GPU")


def tell_status(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether the container's exit status comes through."""
    if seen.rc != seen.status:
        said = f"the container ended with {seen.status}, and {seen.rc} came through"
        yield Told("fault", said, _LOOK.format(seen.user))


def tell_record(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether the run's record is true and closed."""
    if not seen.closed or seen.state != "FAILED":
        how = "closed" if seen.closed else "open"
        said = f"the run is over, and its record says {seen.state} and is {how}"
        yield Told("fault", said, "the user runs ces-clean")


def tell_left(seen: Seen, policy: Policy) -> Iterator[Told]:
    """Whether nothing is left behind."""
    for sentence in seen.left:
        yield Told("fault", sentence, "the user runs ces-clean; the administrator looks into it")


LOOKS = (
    Look("container", "a container ran, and what it wrote was heard", tell_container),
    Look(
        "user",
        "files of the container are the user's, and root of the host is not in it",
        _of_a_container(tell_user),
    ),
    Look("ids", "the container has the ids that images need", _of_a_container(tell_ids)),
    Look("safe_data", "project data are there", _of_a_container(tell_data)),
    Look(
        "safe_outputs",
        "what the container wrote to /safe_outputs arrived on the host",
        _of_a_container(tell_outputs),
    ),
    Look("scratch", "the container could write to /scratch", _of_a_container(tell_scratch)),
    Look("limits", "limits hold", _of_a_container(tell_limits)),
    Look("network", "the container has no network but lo", _of_a_container(tell_network)),
    Look("gpus", "the container asked for no GPU, and can use none", _of_a_container(tell_gpus)),
    Look("exit_status", "the container's exit status came through", _of_a_container(tell_status)),
    Look(
        "record", "the run's record says how it ended, and is closed", _of_a_container(tell_record)
    ),
    Look(
        "left_behind",
        "no container, process, mount, scratch directory or secret is left",
        tell_left,
    ),
)
"""What is proved of a container. A new proof is a new row."""


def _listed(files: Iterable[str]) -> str:
    return ", ".join(sorted(files)) or "no GPU"


def _amounts(cpus: float | None, memory: int | None) -> str:
    parts = [f"{cpus:g} CPU{'' if cpus == 1 else 's'}"] if cpus is not None else []
    parts += [f"{spell_bytes(memory)} of memory"] if memory is not None else []
    return " and ".join(parts)


def _differs(wanted: float | None, seen: float | None, slack: float) -> bool:
    """Whether a limit is another one than it should be, or is missing."""
    if wanted is None:
        return False
    return seen is None or abs(wanted - seen) > slack
