# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks must know of an engine: of images, and of the host that it runs on.

No other part of the core loads this: runs do without.
"""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..typed import Mapping
from .ways import Ways


@dataclass(frozen=True)
class Kept:
    """A directory of each user's that an engine needs.

    :param name: what it is for, as ``Runner.places`` has it.
    :param words: what messages call it.
    :param breaks: what does not work without it.
    :param remote: how grave it is that it lies on a network file system: a level of findings;
        empty where it may.
    :param role: the role that puts it on a local disk; empty if there is none.
    :param made: that role makes it for each user.
    :param layered: layers are put over each other there.
    :param noexec: what cannot be done where no program may be started there; empty where that is no
        matter.
    :param own: it has to belong to the user.
    :param room: an image must fit.
    :param passing: a variable may name it, and nobody makes it.
    """

    name: str
    words: str
    breaks: str
    remote: str = ""
    role: str = ""
    made: bool = False
    layered: bool = False
    noexec: str = ""
    own: bool = False
    room: bool = False
    passing: bool = False


@dataclass(frozen=True)
class Traits:
    """One engine's.

    :param ways: how it takes what images say.
    :param kept: the directories that it needs.
    :param oldest: by program, the first version that has all options that runs use.
    :param later: by program, from which version on something works, and what does not before.
    :param profiles: parts of the names of AppArmor profiles that let it make user namespaces.
    :param accepted: its pulls obey policy.json, which says which images are accepted.
    :param registries: its pulls read registries.conf.
    :param subordinate_ids: it gives containers the user's subordinate ids.
    :param own_number: users have their own number in its containers; in those of others they are
        root.
    :param user_bus: it asks the user's systemd for cgroups, by the session's message bus.
    :param fuse: what it cannot do where users may not use /dev/fuse; empty if it does without.
    :param form: who one is in its containers, for the portal's forms; empty where these do not
        offer it.
    """

    ways: Ways
    kept: tuple[Kept, ...] = ()
    oldest: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    later: Mapping[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    accepted: bool = False
    registries: bool = False
    subordinate_ids: bool = False
    own_number: bool = False
    user_bus: bool = False
    fuse: str = ""
    form: str = ""
