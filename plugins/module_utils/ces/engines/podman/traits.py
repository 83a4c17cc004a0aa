# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks must know of podman. No I/O."""

from __future__ import annotations

from ...values.inside import BLOCKED, DANGLING, FILE, OTHER
from ..traits import Kept, Traits
from ..ways import FOREIGN, OF_DOCKER, RANGE, Ways

TRAITS = Traits(
    ways=Ways(
        user=RANGE,
        docker_layers=(*OF_DOCKER, *FOREIGN),
        makes_start=True,
        one_form=True,
        layers_max=500,
        layers_once=128,
        volumes_max=100,
        strict_layers=True,
        strict_ports=True,
        strict_signals=True,
        strict_names=True,
        strict_places=True,
        no_mount_on=(FILE, OTHER, BLOCKED, DANGLING),
        no_start_in=(FILE, OTHER, BLOCKED, DANGLING),
    ),
    kept=(
        Kept(
            "storage",
            "podman's storage",
            "podman can neither pull nor run",
            remote="fault",
            role="container_storage",
            made=True,
            layered=True,
            own=True,
            room=True,
        ),
        Kept(
            "temporary",
            "podman's directory for pulls",
            "podman cannot pull",
            room=True,
            passing=True,
        ),
    ),
    oldest={"podman": (3, 4)},
    later={
        "podman": (
            (4, 5),
            "where a containers.conf would change what ces-run promises, nothing of the user's own"
            " one holds, as podman reads CONTAINERS_CONF_OVERRIDE from 4.5 on",
        ),
    },
    profiles=("podman", "tre-ces-podman"),
    accepted=True,
    registries=True,
    subordinate_ids=True,
    user_bus=True,
    form="you are root inside, which is yourself outside",
)
