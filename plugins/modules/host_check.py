#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Tell what a role needs to know of a host, and judge whether the role can go on
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Looks at the kernel, packages and users of a host, and at what C(ces-doctor) looks at, in one
    task. The roles of this collection decide by what it returns.
  - Rows of the doctor's tables are judged by their names. What the role itself will mend is left
    out, and so is what its users do not have yet.
  - What is wrong is no failure of the task. RV(refused) says it, for one assertion.
  - Each user's things are looked at with that user's rights, within bounds.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.info
options:
  role:
    description: Name of the role that asks; O(users) and O(root) are named after it in RV(refused).
    type: str
    default: this_role
  users:
    description: Names of users to look at, and as whom containers are run.
    type: list
    elements: str
    default: []
  what_runs:
    description: Whether to look at what runs as the users.
    type: bool
    default: false
  user_directories:
    description:
      - Directories that each of the users should own, with mode C(0700). C({uid}) stands for the
        number of the user.
    type: list
    elements: path
    default: []
  packages:
    description: Names of packages that should be installed.
    type: list
    elements: str
    default: []
  apptainer:
    description: Whether to look at apptainer too, and at what apt offers of it.
    type: bool
    default: false
  subjects:
    description:
      - What is judged. V(ground) is what roles find before they change anything, and needs root.
        V(canary) runs a container as each of O(users) under each of O(runners), and V(jobs) runs
        two jobs of Slurm as each of them. The others are those of C(ces-doctor).
    type: list
    elements: str
    choices: [ground, policy, isolation, programs, session, subids, places, configuration, site,
      registries, slurm, gpu, canary, jobs]
    default: []
  refuse:
    description:
      - Names of checks of O(subjects) of which a fault is in RV(refused). A warning is in
        RV(told).
    type: list
    elements: str
    default: []
  strict:
    description: Names of checks of O(subjects) of which a warning is in RV(refused), too.
    type: list
    elements: str
    default: []
  tell:
    description: Names of checks of O(subjects) of which all is in RV(told).
    type: list
    elements: str
    default: []
  runners:
    description: Container engines that count, in place of those that the site's policy allows.
    type: list
    elements: str
    choices: [podman, apptainer, oci]
    default: []
  limits:
    description: Whether limits of containers must hold, in place of what the site's policy says.
    type: str
    choices: [if_possible, required]
  root:
    description: Directory below which the role keeps what users have. It need not exist.
    type: path
  shared:
    description:
      - Directories of images for all users. They need not exist.
      - What is judged with V(ground) is whether those of an earlier run are still mounted.
    type: list
    elements: path
    default: []
  refused_file_systems:
    description:
      - Types of file systems, as in C(/proc/self/mountinfo), on which O(root) must not lie. The
        default are the common network file systems.
    type: list
    elements: str
  job_options:
    description: More options for srun, with V(jobs).
    type: list
    elements: str
    default: []
seealso:
  - module: tre.ces.ces_doctor
  - module: tre.ces.gpu_info
"""

EXAMPLES = r"""
- name: Look at the host
  tre.ces.host_check:
    users: [alice]
    subjects: [ground, isolation]
    refuse: [users_known, net_namespaces]
  register: host

- name: Refuse what cannot work
  ansible.builtin.assert:
    that: host.refused | length == 0
    fail_msg: "{{ host.refused | map(attribute='reason') | join(' And ') }}"

- name: Run a container as alice, and refuse one that is not as it should be
  tre.ces.host_check:
    users: [alice]
    subjects: [canary]
    runners: [podman]
    strict: [canary_podman]
  register: ran
  failed_when: ran.refused | length > 0
"""

RETURN = r"""
refused:
  description: What O(refuse) and O(strict) say that keeps the role from going on.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check.
      type: str
      sample: net_namespaces
    reason:
      description: What was found, what it breaks, who mends it and how.
      type: str
      sample: "newuidmap is missing: podman cannot map a user's ids, and starts no container. the
        administrator installs the package uidmap (shadow-utils) anew"
told:
  description: What else is not well, a sentence or two each.
  returned: always
  type: list
  elements: str
  sample: []
sysctl:
  description: The kernel's settings for namespaces; null where this kernel has no such setting.
  returned: always
  type: dict
  sample: {max_user_namespaces: 28633, max_net_namespaces: 28633, unprivileged_userns_clone: null}
cgroups:
  description: Which version of cgroups is mounted, and the controllers of version 2.
  returned: always
  type: dict
  sample: {version: v2, controllers: [cpuset, cpu, io, memory, pids]}
apparmor:
  description: Whether AppArmor restricts user namespaces, and the names of the profiles.
  returned: always
  type: dict
  sample: {restricts_userns: false, profiles: [podman]}
users:
  description: The users, in the order in which they were named.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the user.
      type: str
      sample: alice
    known:
      description: Whether there is such an account. The other values are there only if it is.
      type: bool
      sample: true
    ready:
      description:
        - Whether a container can run as the user. The account exists, the host's own rules (PAM)
          let it have a session, and its home directory is there.
      type: bool
      sample: true
    kept_out:
      description: Why the host's own rules let the user have no session, or nothing.
      type: str
      sample: ""
    former:
      description:
        - Name of another user for whom the directories of this uid below O(root) were made, or
          nothing.
      type: str
      sample: ""
    uid:
      description: Number of the user.
      type: int
      sample: 2001
    gid:
      description: Number of the user's group.
      type: int
      sample: 2001
    home:
      description: Home directory.
      type: str
      sample: /home/alice
    session:
      description: Whether the user has a session now, with a runtime directory.
      type: bool
      sample: true
    lingers:
      description: Whether systemd keeps a session for the user, with a message bus.
      type: bool
      sample: true
    lingering_noted:
      description: Whether that is so because the role C(podman) asked for it.
      type: bool
      sample: true
    runs:
      description:
        - With O(what_runs), the names of the user's processes. Those that a session brings by
          itself (systemd, the message bus, podman's C(catatonit)) do not count.
      type: list
      elements: str
      sample: [conmon]
    directories_wrong:
      description: Those of O(user_directories) that are missing or not the user's alone.
      type: list
      elements: str
      sample: []
packages_missing:
  description: Those of O(packages) that are not installed.
  returned: always
  type: list
  elements: str
  sample: []
package_lists_age:
  description: Seconds since apt's lists of packages were fetched; null where apt has none.
  returned: always
  type: int
  sample: 3600
short_name_lists:
  description: Files that turn short names of images into names at public registries.
  returned: always
  type: list
  elements: str
  sample: [/etc/containers/registries.conf.d/shortnames.conf]
storage_conf:
  description: What C(/etc/containers/storage.conf) says, by section and key, as texts of TOML.
  returned: always
  type: dict
  sample: {storage.graphroot: '"/srv/containers"'}
shared_mounts:
  description: The mount points of those of O(shared) that do not lie on the root file system.
  returned: always
  type: dict
  sample: {/srv/images/sif: /srv/images}
apptainer:
  description: The apptainer that is installed; where none is, only an empty version.
  returned: with O(apptainer)
  type: dict
  sample:
    version: 1.4.5
    starter: /usr/libexec/apptainer/bin/starter
    setuid: false
    missing: []
    apparmor_profile: false
apt:
  description: What apt knows of the package apptainer, and the mirrors that it uses.
  returned: with O(apptainer)
  type: dict
  sample: {installed: 1.4.5-3, offers: [], mirrors: []}
"""

import glob
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.dataclass import asdict
from ..module_utils.ces.system import owners
from ..module_utils.ces.system.host import (
    admitted,
    apptainer,
    kernel,
    mounts,
    packages,
    people,
    running,
    site_files,
)
from ..module_utils.ces.system.process import SystemProcess
from ..module_utils.door import answer

SHORT_NAMES = "/etc/containers/registries.conf.d/*shortnames.conf"


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted, process = module.params, SystemProcess()
    accounts = filter(None, map(people.account, wanted["users"]))
    kept_out = admitted.kept_out(list(accounts))
    runs = running.running() if wanted["what_runs"] else {}
    refused, told = judged(wanted, kept_out) if wanted["subjects"] else ([], [])
    result = {
        "changed": False,
        "refused": refused,
        "told": told,
        "sysctl": {name.split(".")[1]: kernel.sysctl(name) for name in kernel.NAMESPACES},
        "cgroups": asdict(kernel.cgroups()),
        "apparmor": {
            "restricts_userns": kernel.apparmor_restricts(),
            "profiles": kernel.apparmor_profiles(),
        },
        "users": [user(name, wanted, kept_out, runs) for name in wanted["users"]],
        "packages_missing": packages.missing(process, wanted["packages"]),
        "package_lists_age": packages.lists_age(),
        "short_name_lists": sorted(glob.glob(SHORT_NAMES)),
        "storage_conf": site_files.storage_settings(),
        "shared_mounts": dict(shared_mounts(wanted["shared"])),
    }
    if wanted["apptainer"]:
        result["apptainer"] = apptainer.installed(process)
        result["apt"] = packages.apt(process, "apptainer")
    return result


def shared_mounts(directories: list[str]) -> Iterator[tuple[str, str]]:
    """The mount points below which directories lie, or will lie."""
    for path in directories:
        point = mounts.mount_of(mounts.nearest_directory(path)).point
        if point != "/":
            yield path, point


def judged(
    wanted: dict[str, Any], kept_out: Mapping[str, str]
) -> tuple[list[dict[str, str]], list[str]]:
    """What refuses the host, and what is told besides."""
    # most tasks of most roles have nothing to judge: they need not wait for what this loads
    from ..module_utils.ces.services.doctor import Given
    from ..module_utils.ces.services.host_check import Asked, judge

    same = ("role", "users", "subjects", "refuse", "strict", "tell", "refused_file_systems")
    instead = {"limits": wanted["limits"]} if wanted["limits"] else {}
    instead |= {"runners": tuple(wanted["runners"])} if wanted["runners"] else {}
    given = Given(instead, wanted["root"] or "", wanted["job_options"])
    asked = Asked(**{name: wanted[name] for name in same}, given=given, kept_out=kept_out)
    found = judge(asked)
    refused = [{"check": one.check, "reason": str(one)} for one in found if asked.refuses(one)]
    return refused, [str(one) for one in found if not asked.refuses(one)]


def user(
    name: str,
    wanted: dict[str, Any],
    kept_out: Mapping[str, str],
    runs: Mapping[int, tuple[str, ...]],
) -> dict[str, Any]:
    account = people.account(name)
    if account is None:
        return {"name": name, "known": False, "ready": False}
    reason = kept_out.get(name, "")
    ready = not reason and not people.homeless(name)
    facts = people.person(account, wanted["user_directories"])
    root = wanted["root"]
    former = owners.former_owner(root, account.pw_uid, name, wanted["role"]) if root else ""
    asked = {"kept_out": reason, "ready": ready, "former": former}
    return {"known": True, "runs": runs.get(account.pw_uid, ()), **asked, **facts}


def main() -> None:
    texts = {"type": "list", "elements": "str", "default": []}
    subjects = [
        *("ground", "policy", "isolation", "programs", "session", "subids", "places"),
        *("configuration", "site", "registries", "slurm", "gpu", "canary", "jobs"),
    ]
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "default": "this_role"},
            "users": texts,
            "what_runs": {"type": "bool", "default": False},
            "user_directories": {"type": "list", "elements": "path", "default": []},
            "packages": texts,
            "apptainer": {"type": "bool", "default": False},
            "subjects": {**texts, "choices": subjects},
            "refuse": texts,
            "strict": texts,
            "tell": texts,
            "runners": {**texts, "choices": ["podman", "apptainer", "oci"]},
            "limits": {"type": "str", "choices": ["if_possible", "required"]},
            "root": {"type": "path"},
            "job_options": texts,
            "shared": {"type": "list", "elements": "path", "default": []},
            "refused_file_systems": {"type": "list", "elements": "str"},
        },
        supports_check_mode=True,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
