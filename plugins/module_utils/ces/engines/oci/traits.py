# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks must know of the runner oci and its programs. No I/O."""

from __future__ import annotations

from ..traits import Traits
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
    ),
    oldest={"crun": (1, 0)},
    accepted=True,
)
