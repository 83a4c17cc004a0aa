#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: user_store
short_description: Settle what becomes of container storage that was made for somebody else
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - The roles C(container_storage) and C(apptainer) give each user a directory below one root, named
    after the user's number. C(ROOT/owners/UID) is a link whose target is the name of the user.
  - With O(state=present) it settles the directories of numbers that O(users) have now, and that
    other users had before. With O(state=absent) it settles those of O(users), who leave, whether
    they still have accounts or not.
  - Homes, project data and files elsewhere are not touched.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  root:
    description: Directory below which the role keeps what users have.
    type: path
    required: true
  users:
    description: Names of the users.
    type: list
    elements: str
    required: true
  state:
    description:
      - Whether the users are to have containers on this host. With V(absent) their sessions and all
        that runs as them is ended, and no session is kept for them.
    type: str
    choices: [present, absent]
    default: present
  becomes:
    description:
      - What becomes of the directories.
      - V(keep_apart) moves them to C(ROOT/kept/NAME-UID), where only root can read them.
      - V(remove) removes them, with all images, containers and volumes.
      - V(give) leaves them to the user who has the number now. That is for users who were given
        another name.
      - Unless they are given, all that runs with that number is ended first.
    type: str
    choices: [keep_apart, remove, give]
    default: keep_apart
  role:
    description: Name of the role that made them. What earlier versions of it noted counts, too.
    type: str
    default: ""
requirements:
  - root
seealso:
  - module: tre.ces.subid
"""

EXAMPLES = r"""
- name: Carol has left; nothing of her containers is needed
  tre.ces.user_store:
    root: /var/lib/tre-ces/containers
    users: [carol]
    state: absent
    becomes: remove
  become: true

- name: Eve has the number that carol had, and must not see what carol left
  tre.ces.user_store:
    root: /var/lib/tre-ces/containers
    users: [eve]
    becomes: keep_apart
  become: true
"""

RETURN = r"""
settled:
  description: The directories, and what became of them, or would become.
  returned: success
  type: list
  elements: dict
  contains:
    owner:
      description: Name of the user for whom the directory was made.
      type: str
      sample: carol
    uid:
      description: Number that the user had.
      type: int
      sample: 2003
    path:
      description: The directory.
      type: str
      sample: /var/lib/tre-ces/containers/2003
    became:
      description: As O(becomes).
      type: str
      sample: keep_apart
    kept:
      description: Where it is now, or nothing.
      type: str
      sample: /var/lib/tre-ces/containers/kept/carol-2003
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.dataclass import asdict
from ..module_utils.ces.services import user_stores
from ..module_utils.ces.system.process import SystemProcess
from ..module_utils.door import answer


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted, process = module.params, SystemProcess()
    users, becomes = wanted["users"], wanted["becomes"]
    there = user_stores.Presence()
    if wanted["state"] == "absent":
        stores = user_stores.of_leavers(wanted["root"], users)
        there = user_stores.presence(users, stores)
    else:
        stores = user_stores.of_others(wanted["root"], users, wanted["role"])
    if module.check_mode:
        settled = [user_stores.planned(store, becomes) for store in stores]
    else:
        there.end(process)
        settled = user_stores.settle(stores, becomes, process)
    return {
        "changed": bool(stores or there.lingering or there.uids),
        "settled": [asdict(one) for one in settled],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "users": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "becomes": {
                "type": "str",
                "choices": ["keep_apart", "remove", "give"],
                "default": "keep_apart",
            },
            "role": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "absent" and module.params["becomes"] == "give":
        module.fail_json(msg="becomes: give needs a user who has the number now (state: present).")
    answer(module, work)


if __name__ == "__main__":
    main()
