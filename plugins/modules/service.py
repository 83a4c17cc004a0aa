#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service
short_description: Have a service of systemd run with what its files say now
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Starts a service at boot and now. Restarts it where a file that it reads when it starts is newer
    than its start.
  - A handler restarts a service only in the run that changed a file. If that run is interrupted
    before, no later run does it. This module compares the service with its files.
  - Has systemd read its units again where it says itself that those of the service have changed.
extends_documentation_fragment:
  - tre.ces.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  name:
    description: Name of the unit.
    type: str
    required: true
  reads:
    description:
      - Files that the service reads when it starts, those of its unit too. One that is not there
        does not count.
      - A file is as new as the last change of its content, owner or mode (C(ctime)), which no copy
        keeps.
    type: list
    elements: path
    default: []
  stale:
    description:
      - Restart the service in any case, as it is known to have something else. For check mode, in
        which no file is changed.
    type: bool
    default: false
  enabled:
    description: Whether it starts at boot. Without it, that stays as it is.
    type: bool
"""

EXAMPLES = r"""
- name: Run the registry, now and at boot, with its settings
  tre.ces.service:
    name: docker-registry
    enabled: true
    reads: [/etc/docker/registry/config.yml]
"""

RETURN = r"""
actions:
  description: What systemctl was asked for, or would be, in this order.
  returned: success
  type: list
  elements: str
  sample: [daemon-reload, restart]
newer:
  description: Files of O(reads) that were newer than the start of the service.
  returned: success
  type: list
  elements: str
  sample: [/etc/docker/registry/config.yml]
"""

import os
from datetime import datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "InactiveExitTimestamp",
)
RUNS = ("active", "activating", "reloading")
STARTS_AT_BOOT = ("enabled", "static", "alias", "indirect", "generated")
UTC = {"TZ": "UTC", "LC_ALL": "C"}


def work(module: AnsibleModule) -> dict[str, Any]:
    asked = module.params
    unit = properties(module, asked["name"])
    there = unit["LoadState"] == "loaded"
    if not there and not module.check_mode:
        module.fail_json(
            msg=f"run the service {asked['name']}: systemd does not know it ({unit['LoadState']})."
        )
    newer = newer_files(asked["reads"], started(unit)) if unit["ActiveState"] in RUNS else []
    actions = [*wanted(asked, unit, newer)]
    if not module.check_mode:
        for action in actions:
            systemctl(module, action, *([] if action == "daemon-reload" else [asked["name"]]))
    return {"changed": bool(actions), "actions": actions, "newer": newer}


def properties(module: AnsibleModule, name: str) -> dict[str, str]:
    """What systemd says of a unit; of one that it does not know, too."""
    words = ("show", "--timestamp=us", f"--property={','.join(PROPERTIES)}", name)
    lines = systemctl(module, *words).splitlines()
    return {**dict.fromkeys(PROPERTIES, ""), **dict(line.split("=", 1) for line in lines)}


def started(unit: dict[str, str]) -> float:
    """When the service began to start, as a time of files; 0 where it never did.

    ``Sun 2026-11-29 10:57:33.652270 UTC``. What it reads, it reads later than that.
    """
    words = unit["InactiveExitTimestamp"].split()
    if len(words) != 4:
        return 0.0
    return datetime.fromisoformat(f"{words[1]}T{words[2]}+00:00").timestamp()


def newer_files(paths: list[str], since: float) -> list[str]:
    """The files that were changed since then."""
    return [path for path in paths if os.path.exists(path) and os.stat(path).st_ctime > since]


def wanted(asked: dict[str, Any], unit: dict[str, str], newer: list[str]) -> list[str]:
    """What is to be done, in this order."""
    actions = ["daemon-reload"] if unit["NeedDaemonReload"] == "yes" else []
    boots = unit["UnitFileState"] in STARTS_AT_BOOT
    if asked["enabled"] is not None and asked["enabled"] != boots:
        actions.append("enable" if asked["enabled"] else "disable")
    if unit["ActiveState"] not in RUNS:
        actions.append("start")
    elif newer or asked["stale"]:
        actions.append("restart")
    return actions


def systemctl(module: AnsibleModule, *words: str) -> str:
    """Ask systemd; end the module if it refuses."""
    argv = ["systemctl", *words]
    rc, stdout, stderr = module.run_command(argv, environ_update=UTC)
    if rc != 0:
        said = (stderr or stdout).strip() or f"status {rc}"
        module.fail_json(msg=f"{' '.join(argv)} failed: {said}", rc=rc, stderr=stderr)
    return str(stdout)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "reads": {"type": "list", "elements": "path", "default": []},
            "stale": {"type": "bool", "default": False},
            "enabled": {"type": "bool"},
        },
        supports_check_mode=True,
    )
    module.exit_json(**work(module))


if __name__ == "__main__":
    main()
