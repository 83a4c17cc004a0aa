#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_verify
short_description: Prove that users of a back-end can run containers, by running them
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Runs a container as each user under each engine that the site's policy allows, and looks from
    inside and outside whether it keeps the contract - the user's rights, C(/safe_data),
    C(/safe_outputs), C(/scratch), limits, network, exit status, record, and nothing left behind.
  - The container's image is the host's own shell, so no registry is needed.
  - Pulls an image, runs a container in a job of each Slurm partition, a bundle on each node, and a
    container with a GPU on each node that has one, where there are such.
  - What failed is no failure of the task. RV(counts) says it, for an assertion. What could not be
    seen to hold is not proved, and is never counted as proved.
  - Each user's part is done by a process with that user's rights, bounded in time.
  - Nothing of it is left on the host. For a moment there is a file in the project's data, where
    containers may write there; its name begins with C(ces-verify-). With an audit to the system
    log each container leaves its line there, with the exit status 37 that it is told to end with.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.credentials
attributes:
  check_mode:
    support: full
    details:
      - Runs nothing and says in RV(would) what it would do.
  diff_mode:
    support: none
options:
  users:
    description:
      - Names of all users of the back-end. Root may prove every user's containers, other users
        their own.
    type: list
    elements: str
    required: true
  sample:
    description:
      - Of how many of O(users) containers are run, evenly spaced in the sorted list of names, so
        that it is the same users each time. V(0) is all.
    type: int
    default: 0
  image:
    description:
      - An image of an allowed registry, which the first user pulls under each engine. It is removed
        again if that user did not have it. Without it no pull is proved.
    type: str
  slurm:
    description:
      - Whether to submit jobs from this host, if it has Slurm's commands.
    type: bool
    default: true
  containers:
    description:
      - Whether this host runs containers. V(false) is for a portal, which only submits jobs.
    type: bool
    default: true
  clusters:
    description:
      - The clusters that this host offers as a portal, as the role C(tre.ces.ood_apps) has them in
        C(ood_apps_clusters). For each of them the first user who may use it submits a small job, as
        the portal does, and sees what the job wrote.
      - For a cluster with homes of its own the user's way there is checked, and no job is run.
    type: list
    elements: dict
    default: []
seealso:
  - module: tre.ces.ces_doctor
"""

EXAMPLES = r"""
- name: Prove the containers of all users
  tre.ces.ces_verify:
    users: "{{ ces_users }}"
    image: registry.example.org/project/hello:1.0
  become: true
  register: verified

- name: Refuse to go on where something failed
  ansible.builtin.assert:
    that: verified.counts.failed == 0
    fail_msg: >-
      {{ verified.proofs | selectattr('outcome', 'eq', 'failed') | map(attribute='said') | unique
         | join('; ') }}
"""

RETURN = r"""
host:
  description: The host's own name.
  returned: always
  type: str
  sample: backend1
began:
  description: When it began, UTC, ISO 8601.
  returned: when something was run
  type: str
  sample: "2026-01-31T12:00:00.123Z"
ended:
  description: When it ended.
  returned: when something was run
  type: str
  sample: "2026-01-31T12:00:10.456Z"
people:
  description: How many users were named.
  returned: when something was run
  type: int
  sample: 20
chosen:
  description: The users whose containers were run.
  returned: always
  type: list
  elements: str
  sample: [alice, bob]
engines:
  description: The engines that the policy allows.
  returned: when something was run
  type: list
  elements: str
  sample: [podman]
versions:
  description: What programs say of their version, by their names.
  returned: when something was run
  type: dict
  sample: {podman: podman version 5.4.2}
policy:
  description: The policy's file, and the SHA-256 of its content.
  returned: when something was run
  type: dict
  sample:
    file: /etc/ces/policy.json
    sha256: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
proofs:
  description: What came of each thing that was to be proved.
  returned: when something was run
  type: list
  elements: dict
  contains:
    what:
      description: The thing.
      type: str
      sample: safe_data
    outcome:
      description: V(proved), V(not proved) or V(failed).
      type: str
      sample: proved
    user:
      description: Whose container it was, if it was one user's.
      type: str
      sample: alice
    engine:
      description: Under which engine, if it was under one.
      type: str
      sample: podman
    place:
      description: The image of a pull, the partition of a job, a node, or a portal's cluster.
      type: str
      sample: partition batch
    said:
      description: What was seen.
      type: str
      sample: the container can read and write /safe_data
    cure:
      description: Who mends it, and how.
      type: str
      sample: ""
    role:
      description: The role that mends it, if one does.
      type: str
      sample: ""
counts:
  description: How many proofs have each outcome.
  returned: when something was run
  type: dict
  sample: {proved: 98, not proved: 2, failed: 0}
findings:
  description:
    - What M(tre.ces.ces_doctor) finds of the host, and what is not well with users for whom
      something failed. C(user) is empty for the host.
  returned: when something was run
  type: list
  elements: dict
  sample:
    - user: ""
      check: fuse
      level: ok
      said: users may mount by /dev/fuse
      cure: ""
      role: ""
would:
  description: What would be done, one sentence each.
  returned: in check mode
  type: list
  elements: str
  sample: [run a container as alice under podman]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.errors import InvalidValue
from ..module_utils.ces.services.verify import Wanted, planned, verify
from ..module_utils.ces.services.verify_portal import Cluster
from ..module_utils.ces.values.image import ImageRef
from ..module_utils.door import CREDENTIALS, CREDENTIALS_RULES, answer, credentials


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if params["sample"] < 0:
        raise InvalidValue("sample", params["sample"], "it is less than 0")
    wanted = Wanted(
        users=params["users"],
        sample=params["sample"],
        image=ImageRef.parse(params["image"]) if params["image"] else None,
        credentials=credentials(params),
        slurm=params["slurm"],
        containers=params["containers"],
        clusters=[Cluster.of(said) for said in params["clusters"]],
    )
    if module.check_mode:
        host = os.uname().nodename
        return {"changed": False, "host": host, "chosen": wanted.chosen, "would": planned(wanted)}
    return {"changed": False, **verify(wanted).as_dict()}


def main() -> None:
    options = {
        "users": {"type": "list", "elements": "str", "required": True},
        "sample": {"type": "int", "default": 0},
        "image": {"type": "str"},
        "slurm": {"type": "bool", "default": True},
        "containers": {"type": "bool", "default": True},
        "clusters": {"type": "list", "elements": "dict", "default": []},
        **CREDENTIALS,
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, **CREDENTIALS_RULES)
    answer(module, work)


if __name__ == "__main__":
    main()
