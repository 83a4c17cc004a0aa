# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the files of configuration say what the site means? No I/O."""

from __future__ import annotations

from ..engines.table import known_runners
from ..system.host.configuration import Configuration
from ..typed import Iterator
from ..values.policy import Policy
from .look import Look, Told, engines_with

_AWAY = "move {} away, if it is not meant"
CORRECTED = "correct that file, or move it away; one in /etc is the administrator's"


def tell_own_storage(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether the user has storage of their own."""
    if found.own_storage:
        yield Told(
            "warning",
            f"{found.own_storage} stands in place of the site's /etc/containers/storage.conf: your"
            " images are not where the site keeps them, and may be on a network file system",
            _AWAY.format(found.own_storage),
            "container_storage",
        )


def tell_databases(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether podman's databases say where storage is."""
    for said in found.contradictions:
        yield Told(
            "fault",
            f'{said}: podman ends with "database configuration mismatch", or goes on with the old'
            " place",
            "with none of your containers running remove that file (images stay), or run: podman"
            " system reset",
            "container_storage",
        )


def tell_left(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether old storage takes room."""
    if found.left:
        yield Told(
            "note",
            f"podman does not use {found.left} any more, and what is in it takes room",
            f"podman unshare rm -rf {found.left}",
        )


def tell_own_registries(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether the user has registries of their own."""
    if found.own_registries:
        yield Told(
            "warning",
            f"{found.own_registries} stands in place of the site's registries.conf: mirrors and"
            " blocked registries of the site may not hold for your pulls",
            _AWAY.format(found.own_registries),
        )


def tell_misread(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether the engines can read which registries there are."""
    for engine in engines_with("registries", policy):
        for said in found.misread:
            yield Told("fault", f"{said}: {engine} cannot pull", CORRECTED, "podman")


def tell_short_names(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether short names lead to registries of others."""
    if found.search:
        yield Told(
            "warning",
            f"an image without a registry is looked for in {', '.join(found.search)}: podman by"
            " itself may fetch another image than was meant",
            "name images with their registry; the administrator empties"
            " unqualified-search-registries",
            "podman",
        )


def tell_policy_file(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether engines can read which images to accept."""
    if not engines_with("accepted", policy):
        return
    if not found.policy_file:
        yield Told(
            "fault",
            "there is no /etc/containers/policy.json: podman and skopeo pull no image without it",
            "the administrator applies the role podman",
            "podman",
        )
    elif found.policy_error:
        yield Told(
            "fault",
            f"{found.policy_file} cannot be used ({found.policy_error}): podman and skopeo pull no"
            " image",
            (
                _AWAY.format(found.policy_file)
                if found.own_policy
                else "the administrator corrects it"
            ),
            "podman",
        )
    elif found.own_policy:
        yield Told(
            "warning",
            f"{found.policy_file} stands in place of the site's /etc/containers/policy.json: other"
            " images are accepted than the site means",
            _AWAY.format(found.policy_file),
        )


def tell_rejected(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether images of the allowed registries are accepted."""
    if found.policy_error or not engines_with("accepted", policy):
        return
    mend = (
        _AWAY.format(found.policy_file)
        if found.own_policy
        else "the administrator gives both roles, podman and ces_tools, the same registries"
    )
    for place in found.rejected:
        yield Told(
            "fault",
            f"{policy.origin} allows {place}, and {found.policy_file} rejects it: no image of it"
            " can be pulled by podman or for the runner oci",
            mend,
            "podman",
        )
    for place in found.signed:
        yield Told(
            "note",
            f"{found.policy_file} demands a signature of images of {place}",
            "where a pull says that the signature is missing, ask the maker of the image",
        )


def tell_broken(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether containers.conf breaks what a run promises."""
    if _readers_of_conf(policy):
        for setting in found.broken:
            yield Told(
                "warning",
                f"{setting}: that would change what a container sees. It does not hold for ces-run,"
                " and for podman itself it does",
                "remove the line, if it is not meant",
            )


def tell_runtime(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether podman starts containers by a program that keeps the user's groups."""
    name = found.runtime.rpartition("/")[2]
    if _readers_of_conf(policy) and name and name != "crun":
        yield Told(
            "warning",
            f"podman starts containers by {name}: only crun keeps the user's groups, through which"
            " project data are read",
            'set runtime = "crun" in section [engine] of containers.conf',
            "podman",
        )


def _readers_of_conf(policy: Policy) -> list[str]:
    """The engines of the site that read containers.conf."""
    return [name for name, runner in known_runners(policy.runners).items() if runner.conf]


def tell_open_files(found: Configuration, policy: Policy) -> Iterator[Told]:
    """Whether credentials are the user's alone."""
    for path in found.open_files:
        yield Told(
            "warning",
            f"others may read {path}, in which your passwords for registries are kept",
            f"chmod 600 {path}, and change the password",
        )


LOOKS = (
    Look("own_storage_conf", "the site's storage.conf counts", tell_own_storage),
    Look("databases", "podman's databases say where storage is", tell_databases),
    Look("old_storage", "no old storage takes room", tell_left),
    Look("own_registries_conf", "the site's registries.conf counts", tell_own_registries),
    Look("registries_conf", "podman can read the registries", tell_misread),
    Look("short_names", "short names lead nowhere", tell_short_names),
    Look("policy_json", "the site's policy.json counts", tell_policy_file),
    Look("accepted_registries", "images of all allowed registries are accepted", tell_rejected),
    Look("containers_conf", "containers.conf keeps what runs promise", tell_broken),
    Look("runtime", "podman starts containers by crun", tell_runtime),
    Look("credentials", "only the user can read the user's credentials", tell_open_files),
)
"""In the order in which causes come before their effects. A new check is a new row."""
