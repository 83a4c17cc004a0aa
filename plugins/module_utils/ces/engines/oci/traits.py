# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks must know of the runner oci and its programs. No I/O."""

from __future__ import annotations

from ...values.inside import BLOCKED, FILE, OTHER
from ..traits import Kept, Traits
from ..ways import ANY, FOREIGN, KEPT_BACK, OF_DOCKER, OF_OCI, Ways

TRAITS = Traits(
    ways=Ways(
        user=ANY,
        docker_layers=(*OF_DOCKER, *FOREIGN),
        oci_layers=(*OF_OCI, *KEPT_BACK),
        makes_start=True,
        one_form=True,
        strict_layers=True,
        strict_text=True,
        no_start_in=(FILE, OTHER, BLOCKED),
    ),
    kept=(
        Kept(
            "data",
            "the directory of your bundles",
            "no image can be unpacked for the runner oci",
            remote="warning",
            role="container_storage",
            made=True,
            noexec="with --read-only, and by srun --container, programs of images cannot be"
            " started",
            own=True,
            room=True,
        ),
    ),
    oldest={"crun": (1, 0)},
    accepted=True,
)
