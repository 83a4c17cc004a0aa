#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Tell what a host offers to rootless containers
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Looks at the kernel, cgroups, id mapping, file systems, packages and users of a host, in one
    task. The roles of this collection decide by what it returns.
  - Some of it can only be seen by root; see each return value.
  - Files of a user are read with that user's rights, within 20 seconds.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.info
options:
  users:
    description: Names of users to look at.
    type: list
    elements: str
    default: []
  user_directories:
    description:
      - Directories that each of the users should own, with mode C(0700). C({uid}) stands for the
        number of the user.
    type: list
    elements: path
    default: []
  storage_root:
    description:
      - Directory that holds the users' storage of podman, each below the user's number. With it,
        the module looks for files of the users that contradict it, and tries an overlay there.
      - Needs root.
    type: path
  paths:
    description: Paths whose file systems are wanted. They need not exist.
    type: list
    elements: path
    default: []
  packages:
    description: Names of packages that should be installed.
    type: list
    elements: str
    default: []
  apptainer:
    description:
      - Whether to look at apptainer too, at what apt offers of it, and whether an ordinary user
        can make the namespaces that it needs.
      - Needs root.
    type: bool
    default: false
seealso:
  - module: tre.ces.gpu_info
"""

EXAMPLES = r"""
- name: Look at the host
  tre.ces.host_facts:
    users: [alice]
    paths: [/var/lib/tre-ces/containers]
  register: host

- name: Refuse storage on a network file system
  ansible.builtin.assert:
    that: host.paths['/var/lib/tre-ces/containers'].file_system not in ['nfs', 'nfs4']
"""

RETURN = r"""
sysctl:
  description: The kernel's settings for namespaces; null where this kernel has no such setting.
  returned: always
  type: dict
  sample: {max_user_namespaces: 28633, max_net_namespaces: 28633, unprivileged_userns_clone: null}
sysctl_files:
  description: The files that give each of these settings a value.
  returned: always
  type: dict
  sample: {max_user_namespaces: [], max_net_namespaces: [/etc/sysctl.d/90-hardening.conf]}
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
id_mappers:
  description: What is wrong with newuidmap and newgidmap, a sentence each.
  returned: always
  type: list
  elements: str
  sample: []
fuse_said:
  description: What is wrong with C(/dev/fuse), or nothing.
  returned: always
  type: str
  sample: ""
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
    lingers:
      description: Whether systemd keeps a session for the user, with a message bus.
      type: bool
      sample: true
    directories_wrong:
      description: Those of O(user_directories) that are missing or not the user's alone.
      type: list
      elements: str
      sample: []
    unreadable:
      description: Why the user's files could not be looked at, or nothing; with O(storage_root).
      type: str
      sample: ""
    own_configuration:
      description: The user's own storage.conf, or nothing; with O(storage_root).
      type: str
      sample: ""
    left_behind:
      description: Storage in the home directory, or nothing; with O(storage_root).
      type: str
      sample: ""
    contradictions:
      description: What podman's databases record otherwise, a sentence each; with O(storage_root).
      type: list
      elements: str
      sample: []
paths:
  description: For each of O(paths), the file system that holds it, or would hold it.
  returned: always
  type: dict
  sample: {/var/lib/tre-ces: {mount_point: /, file_system: ext4, noexec: false}}
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
containers_conf:
  description:
    - Settings of the system's C(containers.conf) that would break what the commands promise of a
      container, each with its file; and the file that overrides them.
  returned: always
  type: dict
  sample:
    broken: ['/etc/containers/containers.conf sets containers.pidns = "host"']
    override: "[containers]\npidns = \"private\"\n"
demanded_signatures:
  description: Images for which C(/etc/containers/policy.json) demands a signature, and which sort.
  returned: always
  type: list
  elements: str
  sample: ["registry.example.org/signed (signedBy)"]
short_name_lists:
  description: Files that turn short names of images into names at public registries.
  returned: always
  type: list
  elements: str
  sample: [/etc/containers/registries.conf.d/shortnames.conf]
storage_conf:
  description: What C(/etc/containers/storage.conf) says, by section and key, as texts of TOML.
  returned: with O(storage_root)
  type: dict
  sample: {storage.graphroot: '"/srv/containers"'}
overlay_said:
  description: Why an ordinary user cannot mount an overlay in O(storage_root), or nothing.
  returned: with O(storage_root)
  type: str
  sample: ""
user_namespace_said:
  description: Why an ordinary user cannot make a user and a network namespace, or nothing.
  returned: with O(apptainer)
  type: str
  sample: ""
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
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.system.containers_conf import settings_of, system_files
from ..module_utils.ces.system.host import (
    apptainer,
    kernel,
    mounts,
    namespaces,
    packages,
    people,
    site_files,
)
from ..module_utils.ces.system.host.storage import look_at_storage
from ..module_utils.ces.system.process import Process, SystemProcess
from ..module_utils.ces.values.containers_conf import breaking, overriding
from ..module_utils.door import answer

SHORT_NAMES = "/etc/containers/registries.conf.d/*shortnames.conf"


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted, process = module.params, SystemProcess()
    short = {name: name.split(".")[1] for name in kernel.NAMESPACES}
    return {
        "changed": False,
        "sysctl": {short[name]: kernel.sysctl(name) for name in short},
        "sysctl_files": {short[name]: kernel.configured_in(name) for name in short},
        "cgroups": kernel.cgroups(),
        "apparmor": {
            "restricts_userns": kernel.apparmor_restricts(),
            "profiles": kernel.apparmor_profiles(),
        },
        "id_mappers": namespaces.id_mapper_faults(),
        "fuse_said": namespaces.fuse_said(),
        "users": [user(name, wanted) for name in wanted["users"]],
        "paths": {path: file_system(path) for path in wanted["paths"]},
        "packages_missing": packages.missing(process, wanted["packages"]),
        "package_lists_age": packages.lists_age(),
        "containers_conf": containers_conf(),
        "demanded_signatures": site_files.demanded_signatures(),
        "short_name_lists": sorted(glob.glob(SHORT_NAMES)),
        **(overlay(process, wanted["storage_root"]) if wanted["storage_root"] else {}),
        **(apptainer_facts(process) if wanted["apptainer"] else {}),
    }


def containers_conf() -> dict[str, Any]:
    broken = breaking(settings_of(system_files()))
    return {"broken": [str(setting) for setting in broken], "override": overriding(broken)}


def user(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """A user, and with ``storage_root`` what contradicts it among the user's files."""
    account = people.account(name)
    if account is None:
        return {"name": name, "known": False}
    facts = people.person(account, wanted["user_directories"])
    root = wanted["storage_root"]
    return {"known": True, **facts, **(look_at_storage(account, root) if root else {})}


def file_system(path: str) -> dict[str, Any]:
    mount = mounts.mount_of(path)
    return {
        "mount_point": mount.point,
        "file_system": mount.kind,
        "noexec": "noexec" in mount.options,
    }


def overlay(process: Process, root: str) -> dict[str, Any]:
    return {
        "storage_conf": site_files.storage_settings(),
        "overlay_said": namespaces.overlay_said(process, mounts.nearest_directory(root)),
    }


def apptainer_facts(process: Process) -> dict[str, Any]:
    # AppArmor refuses unshare, whatever apptainer's own profile says
    restricted = kernel.apparmor_restricts()
    return {
        "user_namespace_said": "" if restricted else namespaces.user_namespace_said(process),
        "apptainer": apptainer.installed(process),
        "apt": packages.apt(process, "apptainer"),
    }


def main() -> None:
    texts = {"type": "list", "elements": "str", "default": []}
    paths = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(
        argument_spec={
            "users": texts,
            "user_directories": paths,
            "storage_root": {"type": "path"},
            "paths": paths,
            "packages": texts,
            "apptainer": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
