# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks must know of apptainer. No I/O."""

from __future__ import annotations

from ...values.inside import FILE, OTHER
from ..traits import Kept, Traits
from ..ways import FOREIGN, KEPT_BACK, OF_DOCKER, OF_OCI, PASSED_OVER, Ways

_ALL_FORMS = (*OF_DOCKER, *FOREIGN, *OF_OCI, *KEPT_BACK)
TRAITS = Traits(
    ways=Ways(
        user=PASSED_OVER,
        docker_layers=_ALL_FORMS,
        oci_layers=_ALL_FORMS,
        closed=("/proc/", "/sys/", "/dev/"),
        nested=True,
        own_path=True,
        # its starter takes a configuration of 1048448 bytes, which has more in it
        words_max=1_000_000,
        word_added=len("APPTAINERENV_"),
        no_mount_on=(FILE, OTHER),
        by_shell=True,
    ),
    kept=(
        Kept(
            "files",
            "the directory of your image files",
            "no image file can be made for apptainer",
            room=True,
        ),
        Kept("cache", "apptainer's cache", "apptainer cannot pull", own=True),
        Kept(
            "building",
            "apptainer's directory for pulls",
            "apptainer cannot pull",
            remote="warning",
            role="apptainer",
            room=True,
            passing=True,
        ),
    ),
    oldest={"apptainer": (1, 3)},
    later={
        "apptainer": ((1, 4), "it knows no --authfile, so that credentials go by variables"),
    },
    profiles=("apptainer",),
    own_number=True,
    fuse="apptainer cannot mount an image file",
    form="you are yourself inside too",
)
