# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that write files: have the programs read them, also what an earlier run left undone."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule

from .ces.dataclass import dataclass
from .ces.system.host.applied_files import AppliedFiles


@dataclass(frozen=True)
class Applying:
    """A file, and the program that takes up what is in it.

    :param content: None where the file is absent.
    """

    path: str
    content: str | None
    argv: tuple[str, ...]


def apply_files(module: AnsibleModule, list_of: AppliedFiles, wanted: list[Applying]) -> list[str]:
    """Run each program once if one of its files waits for it; end the module if one fails.

    A program that is not there, and is named by its path, has nothing to read.

    :returns: the files that were taken up, or would be.
    """
    waiting = [one for one in wanted if list_of.waits(one.path, one.content)]
    taken_up: list[str] = []
    for argv in dict.fromkeys(one.argv for one in waiting):
        files = {one.path: one.content for one in waiting if one.argv == argv}
        if os.path.isabs(argv[0]) and not os.path.exists(argv[0]):
            list_of.apply(files)
            continue
        taken_up += files
        if module.check_mode:
            continue
        rc, stdout, stderr = module.run_command(list(argv), expand_user_and_vars=False)
        if rc != 0:
            said = (stderr or stdout).strip() or f"status {rc}"
            module.fail_json(
                msg=f"apply {' and '.join(files)}: {' '.join(argv)} failed: {said}. Mend that, and"
                " run this again: what waits for it is known."
            )
        list_of.apply(files)
    return taken_up
