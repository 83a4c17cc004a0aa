# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that users may have beside the site's, in ~/.config/containers: a broken one is told."""

from __future__ import annotations

_CURE = (
    "correct the file that it names, or move it away: then the site's own holds (one in /etc is the"
    " administrator's: roles podman, container_storage)"
)
ERRORS = tuple(
    (part, _CURE)
    for part in (
        "obtain podman configuration",
        "registries configuration",
        "invalid policy in",
        "configure storage",
        "default oci runtime",
    )
)
"""(part of an engine's message in lower case, what to do next)."""
