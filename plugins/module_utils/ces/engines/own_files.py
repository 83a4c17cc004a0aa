# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that users may have beside the site's, in ~/.config/containers: a broken one is told."""

from __future__ import annotations

_CURE = (
    "correct the file that it names, or move it away: then the site's own holds (one in /etc is the"
    " administrator's: roles podman, container_storage)"
)
_LOCKS = (
    "libpod_rootless_lock",
    "a file of that name is not podman's, or another user's: the administrator removes it from the"
    " host's shared memory (ces-doctor names it)",
)
ERRORS = _LOCKS, *(
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
