# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the engines that the site allows here, and new enough? No I/O."""

from __future__ import annotations

from ..engines.table import runner_named
from ..system.host.programs import Program, Programs
from ..typed import Iterator
from ..values.policy import Policy
from .look import Look, Told

_ANEW = "the administrator installs its package anew, with all that it needs"
_PASTA = (4, 4)


def tell_known(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether the site allows engines that there are."""
    for name in found.unknown:
        yield Told(
            "fault",
            f"{policy.origin} allows the runner {name}, which there is not",
            "the administrator corrects runners there",
            "ces_tools",
        )


def tell_installed(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether each engine's programs are there."""
    for engine, programs in found.engines.items():
        for one in programs:
            if not one.path:
                said = f"the site allows the runner {engine}, and {one.missing}"
                yield Told("fault", f"{said}: no run with {engine} starts", one.cure, engine)


def tell_answering(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether each program starts at all."""
    for engine, programs in found.engines.items():
        for one in programs:
            if one.path and one.complaint:
                yield Told(
                    "fault",
                    f"{one.path} does not say its version ({one.complaint:.200}): no run with"
                    f" {engine} starts",
                    runner_named(engine).hint(one.complaint) or _ANEW,
                    engine,
                )


def tell_versions(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether they are new enough."""
    for engine, programs in found.engines.items():
        for one in programs:
            yield from _version(engine, one)


def _version(engine: str, one: Program) -> Iterator[Told]:
    if not one.version:
        return
    traits, spelled = runner_named(engine).traits(), ".".join(map(str, one.version))
    oldest, (since, lacking) = traits.oldest.get(one.name), traits.later.get(one.name, ((), ""))
    if oldest is not None and one.version < oldest:
        yield Told(
            "fault",
            f"{one.name} is {spelled}, and runs need {'.'.join(map(str, oldest))} or newer",
            "the administrator takes a newer version, or a newer system",
            engine,
        )
    elif one.version < since:
        yield Told("note", f"{one.name} is {spelled}: {lacking}")


def tell_parts(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether apptainer has the programs that it starts."""
    for name in found.parts_missing:
        yield Told(
            "fault" if name == "squashfuse" else "warning",
            f"apptainer's {name} is missing: {_PARTS.get(name, 'some runs fail')}",
            f"the administrator installs {name}",
            "apptainer",
        )


_PARTS = {
    "squashfuse": "it cannot mount an image file",
    "fuse-overlayfs": "--writable-tmpfs does not work where the kernel's overlay does not",
    "mksquashfs": "it cannot make an image file, so ces-pull apptainer fails",
}


def tell_networks(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether podman can make the networks that the site allows."""
    podman = found.one("podman")
    for network, program in (found.networks or {}).items():
        yield Told(
            "fault" if network == policy.network_default else "warning",
            f"the site allows the network {network}, and {program} is not installed: podman cannot"
            " make it",
            f"the administrator installs {program}",
            "podman",
        )
    if podman is not None and "pasta" in policy.networks and (0,) < podman.version < _PASTA:
        yield Told(
            "warning",
            "the site allows the network pasta, which podman knows from 4.4 on",
            "the administrator allows slirp4netns in its place",
            "ces_tools",
        )


def tell_storage(found: Programs, policy: Policy) -> Iterator[Told]:
    """Whether podman keeps the user's images where the site means it to."""
    said, meant = found.storage_said, found.storage
    if said in ("", meant):
        return
    where = f"keeps images in {said}" if said.startswith("/") else f"cannot use it ({said:.200})"
    yield Told(
        "warning" if said.startswith("/") else "fault",
        f"the site has your storage in {meant}, and this podman {where}: from 5.8 or 6 on, podman"
        " takes graphroot and runroot of /etc/containers/storage.conf for users, too, and reads"
        " storage.rootless.conf.d beside it; older versions do neither",
        "the administrator applies the role container_storage: it writes both files",
        "container_storage",
    )


LOOKS = (
    Look("runners_known", "the site allows runners that there are", tell_known),
    Look("engines_installed", "the allowed engines are installed", tell_installed),
    Look("engines_answering", "the engines' programs start", tell_answering),
    Look("engine_versions", "the engines are new enough", tell_versions),
    Look("apptainer_parts", "apptainer has the programs that it starts", tell_parts),
    Look("podman_storage", "podman keeps images where the site means it to", tell_storage),
    Look("networks", "podman can make the allowed networks", tell_networks),
)
"""In the order in which causes come before their effects. A new check is a new row."""
