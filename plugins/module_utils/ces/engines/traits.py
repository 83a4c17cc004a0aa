# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks must know of an engine: of images, and of the host that it runs on.

No other part of the core loads this: runs do without.
"""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..typed import Mapping
from .ways import Ways


@dataclass(frozen=True)
class Traits:
    """One engine's.

    :param ways: how it takes what images say.
    :param oldest: by program, the first version that has all options that runs use.
    :param later: by program, from which version on something works, and what does not before.
    :param profiles: parts of the names of AppArmor profiles that let it make user namespaces.
    :param accepted: its pulls obey policy.json, which says which images are accepted.
    :param registries: its pulls read registries.conf.
    :param subordinate_ids: it gives containers the user's subordinate ids.
    :param user_bus: it asks the user's systemd for cgroups, by the session's message bus.
    :param fuse: what it cannot do where users may not use /dev/fuse; empty if it does without.
    :param form: who one is in its containers, for the portal's forms; empty where these do not
        offer it.
    """

    ways: Ways
    oldest: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    later: Mapping[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    accepted: bool = False
    registries: bool = False
    subordinate_ids: bool = False
    user_bus: bool = False
    fuse: str = ""
    form: str = ""
