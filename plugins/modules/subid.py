#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: subid
short_description: Give users subordinate uids and gids for rootless containers
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Gives each user of a list, a group, or a range of uids one range in C(/etc/subuid) and the
    same range in C(/etc/subgid), or takes them away. One task does for thousands of users.
  - A user who has a range of at least O(count) ids, written under the name or the uid, keeps it.
    A user with a good range in one file only gets the same range in the other, if nobody has it
    there.
  - A new range is the one that shadow-utils give with C(SUB_UID_DETERMINISTIC), O(start) + (uid -
    C(UID_MIN)) * O(count), so that a user has the same range on every back-end. When a part of it
    is taken, it is the next such slot that is free, going upward and round once, and when there
    is none, the lowest gap. The answer depends on nothing but the accounts and the files.
  - A new range never overlaps any entry of either file (whoever's it is, also a commented one),
    nor the uid of a real account or the gid of a real group. Real ids of a directory that does
    not list its accounts (as C(sssd) by default) are known of the users in the task only, so keep
    its ids outside of C(SUB_UID_MIN) to C(SUB_UID_MAX).
  - A login may consist of digits and be the uid of somebody else. A line of that key is the
    login's, as for C(useradd) and C(userdel), and not the other user's. But C(newuidmap) lets both
    map its ids. So the lines of such a login are written under its own uid, and existing ones are
    changed so.
  - In C(/etc/subgid) podman takes a number for the gid of the group that has the user's name. So a
    line there that has the user's uid gets the name, unless that group has the same number.
  - Lines of one user that have ids in common, by name and by uid for example, become one line. The
    kernel maps no id twice, and podman does not start for a user with such lines.
  - A range that is too small is kept, so that files which belong to its ids stay the user's, and
    a large enough one is added and reported.
  - What else is wrong in the files (ranges of several users that overlap, ranges that contain the
    ids of real accounts, logins whose ids others can map, lines that are no entries) is reported as
    a warning, and neither changed nor made worse.
  - Comments, blank lines and lines that are not understood stay. A last line without an end gets
    one, because newer shadow-utils refuse such a file.
  - Writes while holding the locks that C(useradd) and C(usermod) take, so that neither they nor
    other tasks of this module can come in between. Waits a minute for them at most.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
options:
  users:
    description:
      - Names of the users.
      - With O(state=present) each must exist, in check mode too. With O(state=absent) the lines
        of a name that is no account any more are removed as well, unless it is somebody's uid.
    type: list
    elements: str
  group:
    description:
      - Name of a group. Its members are the users, also those whose primary group it is.
    type: str
  uid_min:
    description:
      - Every account that the host lists with at least this uid. Without it, but with O(uid_max),
        C(UID_MIN) of C(/etc/login.defs).
    type: int
  uid_max:
    description:
      - Every account that the host lists with at most this uid. Without it, but with O(uid_min),
        C(UID_MAX) of C(/etc/login.defs).
    type: int
  start:
    description:
      - The lowest id that may be given away. Without it, C(SUB_UID_MIN) or C(SUB_GID_MIN) of
        C(/etc/login.defs), whichever is greater; without these 100000.
      - The highest is C(SUB_UID_MAX) or C(SUB_GID_MAX), whichever is smaller; without these
        600100000, which is enough for 9155 users with the default O(count).
    type: int
  count:
    description:
      - The least number of ids in a user's range. Rootless podman and apptainer need the default,
        so that C(SUB_UID_COUNT) of C(/etc/login.defs) is not looked at.
    type: int
    default: 65536
  state:
    description:
      - V(present) gives the users ranges, V(absent) removes all ranges of theirs from both files.
    type: str
    choices: [present, absent]
    default: present
  reused:
    description:
      - What becomes of a user's range whose ids were another user's, whom the module gave them or
        saw with them before, and who has no line for them any more. C(userdel) frees a range, and
        C(useradd) gives it to the next user, who can then change what the other's containers left.
      - V(refuse) fails with both names, before anything is written.
      - V(keep_apart) and V(remove) give the user a new range, or the one that the user had before.
        The old line is commented out under the former name, so that nobody gets these ids. If that
        is still an account, the line is removed, and that user can get the ids back.
      - V(give) leaves the ids to who has them now.
      - Whose ids were whose is noted in O(noted). O(state=absent) forgets it of the users in the
        task.
    type: str
    choices: [refuse, give, keep_apart, remove]
    default: refuse
    version_added: 0.2.0
  noted:
    description:
      - The file in which the module notes whose ids were whose. On the disk with what containers
        wrote it outlives the system's own disk. So who has no range on a host that was installed
        anew gets the former one back, and a range that is another user's now is noticed.
    type: path
    default: /var/lib/tre-ces/subordinate-ids.json
    version_added: 0.2.0
requirements:
  - root, but not in check mode
notes:
  - When C(/etc/nsswitch.conf) takes subordinate ids from elsewhere, as with C(subid:) V(sss),
    nobody reads the files. The module then fails, says so, and writes nothing.
  - Each user in RV(changed_users) and in RV(stale_users) needs C(podman system migrate), which the
    role P(tre.ces.subid#role) does.
seealso:
  - name: subuid(5)
    description: The files.
    link: https://man7.org/linux/man-pages/man5/subuid.5.html
  - name: login.defs(5)
    description: Where the limits come from, and the rule for new ranges.
    link: https://man7.org/linux/man-pages/man5/login.defs.5.html
"""

EXAMPLES = r"""
- name: Give alice and bob subordinate ids
  tre.ces.subid:
    users:
      - alice
      - bob
  become: true
  register: subids

- name: Let podman take up what changed
  ansible.builtin.command:
    argv: [podman, system, migrate]
    chdir: /
  become: true
  become_user: "{{ item }}"
  loop: "{{ subids.changed_users | union(subids.stale_users) }}"
  changed_when: true

- name: Give everybody in a group subordinate ids
  tre.ces.subid:
    group: researchers
  become: true

- name: Give all ordinary accounts larger ranges, above a million
  tre.ces.subid:
    uid_min: 1000
    uid_max: 59999
    start: 1000000
    count: 131072
  become: true

- name: Take the ranges of somebody who left away
  tre.ces.subid:
    users: [carol]
    state: absent
  become: true
"""

RETURN = r"""
changed_users:
  description:
    - Names of the users whose ranges changed, or would change, in the order of O(users) or of
      their uids.
    - The files can change without it, when only a missing end of the last line was put there.
  returned: success
  type: list
  elements: str
  sample: [alice]
stale_users:
  description:
    - Names of the users whose podman runs and works with other ranges than the files give. So an
      interrupted run is known to the next one.
  returned: success
  type: list
  elements: str
  sample: []
ranges:
  description:
    - For each user the range of subordinate uids (RV(ignore:uid)) and of gids (RV(ignore:gid)),
      as it is after the task. Of several that are large enough, the first. Empty with
      O(state=absent).
  returned: success
  type: dict
  sample:
    alice:
      uid: {start: 100000, count: 65536}
      gid: {start: 100000, count: 65536}
    bob:
      uid: {start: 165536, count: 65536}
      gid: {start: 165536, count: 65536}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.services.subid_people import Selection
from ..module_utils.ces.services.subids import Outcome, Request, apply, plan
from ..module_utils.ces.system.subids import NOTED, SubidHost
from ..module_utils.door import answer

REUSED = {"refuse": "refuse", "give": "give", "keep_apart": "replace", "remove": "replace"}
"""What becomes of ids that were others'. Nothing that belongs to them is removed."""


def work(module: AnsibleModule) -> dict[str, Any]:
    asked = request(module.params)
    host = SubidHost(noted=module.params["noted"])
    outcome = plan(asked, host) if module.check_mode else apply(asked, host)
    for warning in outcome.warnings:
        module.warn(warning)
    # the whole text of both files, twice: not for nothing
    diff = {"diff": differences(outcome)} if module._diff else {}
    return {**result(outcome), **diff}


def request(params: dict[str, Any]) -> Request:
    users = params["users"]
    return Request(
        Selection(
            None if users is None else tuple(users),
            params["group"],
            params["uid_min"],
            params["uid_max"],
        ),
        params["start"],
        params["count"],
        params["state"] == "present",
        REUSED[params["reused"]],
    )


def result(outcome: Outcome) -> dict[str, Any]:
    return {
        "changed": bool(outcome.changes),
        "changed_users": list(outcome.changed_users),
        "stale_users": list(outcome.stale_users),
        "ranges": {
            name: {kind: {"start": ids.start, "count": ids.count} for kind, ids in kinds.items()}
            for name, kinds in outcome.ranges.items()
        },
    }


def differences(outcome: Outcome) -> list[dict[str, str]]:
    return [
        {
            "before_header": change.path,
            "after_header": change.path,
            "before": _printable(change.before),
            "after": _printable(change.after),
        }
        for change in outcome.changes
    ]


def _printable(text: str) -> str:
    """Bytes that are no UTF-8 stay in the file, but no result can carry them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "users": {"type": "list", "elements": "str"},
            "group": {"type": "str"},
            "uid_min": {"type": "int"},
            "uid_max": {"type": "int"},
            "start": {"type": "int"},
            "count": {"type": "int", "default": 65536},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reused": {"type": "str", "choices": list(REUSED), "default": "refuse"},
            "noted": {"type": "path", "default": NOTED},
        },
        required_one_of=[("users", "group", "uid_min", "uid_max")],
        mutually_exclusive=[
            ("users", "group", "uid_min"),
            ("users", "group", "uid_max"),
        ],
        supports_check_mode=True,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
