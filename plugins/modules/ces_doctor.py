#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_doctor
short_description: Say whether a back-end and its users can run containers
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Looks at the kernel, cgroups, engines, registries, Slurm and GPUs of a back-end, and at the
    subordinate ids, session, storage, files of configuration and project data of users, under every
    container engine that the site's policy allows.
  - Each finding says what was found, what it breaks, who mends it and how, and which role does.
  - What is wrong is no failure of the task. RV(level) says it, for an assertion.
  - Each user's things are looked at with that user's rights.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.info
options:
  users:
    description:
      - Names of the users to look at. Root may look at every user, and other users at themselves.
      - Without a name the task's own user is looked at.
    type: list
    elements: str
    default: []
  canary:
    description:
      - Whether to run a container under each engine, too, as a run of the user would. Its image is
        the host's own shell; no registry is asked, and nothing is left.
    type: bool
    default: false
seealso:
  - module: tre.ces.ces_check
  - module: tre.ces.host_check
"""

EXAMPLES = r"""
- name: Look at the host and at two users
  tre.ces.ces_doctor:
    users: [alice, bob]
  become: true
  register: doctor

- name: Refuse to go on with a host that cannot run containers
  ansible.builtin.assert:
    that: doctor.level != 'fault'
    fail_msg: >-
      {{ doctor.users | map(attribute='findings') | flatten | selectattr('level', 'eq', 'fault')
         | map(attribute='said') | unique | join('; ') }}
"""

RETURN = r"""
level:
  description: The gravest level of all findings, which is V(ok), V(note), V(warning) or V(fault).
  returned: success
  type: str
  sample: warning
users:
  description: What was found, for each user in the order of O(users).
  returned: success
  type: list
  elements: dict
  contains:
    user:
      description: Name of the user.
      type: str
      sample: alice
    level:
      description: The gravest level of this user's findings.
      type: str
      sample: warning
    findings:
      description: What each check found; those that found nothing wrong have V(ok).
      type: list
      elements: dict
      contains:
        check:
          description: What was looked at.
          type: str
          sample: lingering
        level:
          description: V(ok), V(note), V(warning) or V(fault), which keeps containers from running.
          type: str
          sample: warning
        said:
          description: What was found, and what it breaks.
          type: str
          sample: "systemd keeps no session for alice when nobody is logged in: containers end with
            the last login, and jobs, cron and the portal cannot run any"
        cure:
          description: Who mends it, and how.
          type: str
          sample: "the administrator runs: loginctl enable-linger alice"
        role:
          description: The role that mends it, if one does.
          type: str
          sample: podman
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.services.doctor import diagnose
from ..module_utils.ces.system.signals import StopSignals
from ..module_utils.ces.values.finding import LEVELS
from ..module_utils.door import answer


def work(module: AnsibleModule) -> dict[str, Any]:
    users, canary = module.params["users"], module.params["canary"]
    with StopSignals() as signals:
        found = [diagnose(name, canary, signals) for name in users or [None]]
    return {
        "changed": False,
        "level": max((one.level for one in found), key=LEVELS.index),
        "users": [one.as_dict() for one in found],
    }


def main() -> None:
    options = {
        "users": {"type": "list", "elements": "str", "default": []},
        "canary": {"type": "bool", "default": False},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
