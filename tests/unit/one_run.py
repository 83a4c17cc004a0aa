# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of a run share."""

from __future__ import annotations

from recording import REGISTRY

from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
SPEC = RunSpec(ImageRef.parse(NAME), "podman")
GIB = 1024**3
