# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether sessions can start after the host was upgraded and before it is restarted.

systemd itself takes up a new version at once. systemd-logind does not, and refuses what the new PAM
module asks it for: a session that is not there yet does not start.
"""

from __future__ import annotations

import os
import re

from ..files import read_if_there

_PROCESSES = "/sys/fs/cgroup/system.slice/systemd-logind.service/cgroup.procs"
_LIBRARY = re.compile(r" (/\S*/libsystemd-shared-(\S+)\.so)(?: \(deleted\))?$", re.MULTILINE)
"""Its name has the version: the library of another version has another name."""


def outdated_logind(root: str = "") -> str:
    """The version of systemd-logind that runs, if the host has another one by now, or ''.

    :param root: of the host, for tests.
    """
    for pid in read_if_there(f"{root}{_PROCESSES}").split():
        # only root can read it
        mapped = _LIBRARY.search(read_if_there(f"{root}/proc/{pid}/maps"))
        if mapped and not os.path.exists(root + mapped[1]):
            return mapped[2]
    return ""
