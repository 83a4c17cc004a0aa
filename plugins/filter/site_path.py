# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a file of a site's own is on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site_path
short_description: Where a file of a site's own is on the controller
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - A path that is not absolute starts at the directory of the site's playbook. With a playbook of
    this collection (C(ansible-playbook tre.ces.backend)) it starts where Ansible was started, and
    not in the directory in which the collection is installed.
  - C(~) at the beginning is the home directory of whoever runs Ansible.
positional: playbook_dir
options:
  _input:
    description: The path. An empty one stays empty.
    type: str
    required: true
  playbook_dir:
    description: Ansible's variable of the same name.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Tell where the registry's authority is
  ansible.builtin.debug:
    msg: "{{ 'files/registry-ca.pem' | tre.ces.site_path(playbook_dir) }}"
"""

RETURN = r"""
_value:
  description: The path, absolute.
  type: path
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

OURS = Path(__file__).resolve().parents[2] / "playbooks"


def site_path(path: str, playbook_dir: str) -> str:
    """The path, absolute."""
    if not path:
        return ""
    ours = Path(os.path.realpath(playbook_dir)) == OURS
    return os.path.join(os.getcwd() if ours else playbook_dir, os.path.expanduser(path))


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"site_path": site_path}
