#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Tell what GPUs a host has, and whether containers can have them
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Looks at the bus, the driver, NVIDIA's tools, the CDI specifications where podman looks for
    them, the device files, and Slurm.
  - What the task's user may read and use is looked at as that user. Run it with C(become_user) of
    a researcher to see what containers of theirs would find.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.info
options: {}
seealso:
  - module: tre.ces.ces_run
"""

EXAMPLES = r"""
- name: See whether alice's containers can have the GPUs
  tre.ces.gpu_info:
  become: true
  become_user: alice
  register: gpus

- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ item.said }}. {{ item.hint }}"
  loop: "{{ gpus.findings | rejectattr('ok') }}"
"""

RETURN = r"""
kind:
  description: V(nvidia.com/gpu) or V(amd.com/gpu); nothing where the host has no GPU.
  returned: always
  type: str
  sample: nvidia.com/gpu
hardware:
  description: How many GPUs there are of each kind.
  returned: always
  type: dict
  sample: {nvidia.com/gpu: 2}
modules:
  description: Modules of the kernel for GPUs that are loaded.
  returned: always
  type: list
  elements: str
  sample: [nvidia, nvidia_uvm]
driver:
  description: Version of NVIDIA's driver that is loaded, or nothing.
  returned: always
  type: str
  sample: 550.54.14
toolkit:
  description: Version of NVIDIA's container toolkit, or nothing.
  returned: always
  type: str
  sample: 1.17.8
directories:
  description: Where podman looks for CDI specifications.
  returned: always
  type: list
  elements: str
  sample: [/etc/cdi, /var/run/cdi]
devices:
  description: The GPUs, and instances of GPUs, that the specifications have.
  returned: always
  type: list
  elements: dict
  contains:
    names:
      description: All names of it.
      type: list
      elements: str
      sample: ["0", GPU-8f6e1c1e-2a3b-4c5d-9e7f-0a1b2c3d4e5f]
    files:
      description: Its own device files.
      type: list
      elements: str
      sample: [/dev/nvidia0]
    spec:
      description: The file that it is in.
      type: str
      sample: /etc/cdi/nvidia.json
gres:
  description: What Slurm may give out, as C(slurm_nodes[].gres) of the role P(tre.ces.slurm#role)
    takes it. In the order of the specification, so that Slurm's numbers are those of containers.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: gpu, type: a100-sxm4-40gb, files: [/dev/nvidia0]}
hooks:
  description: Files of the way before CDI that are still there.
  returned: always
  type: list
  elements: str
  sample: []
findings:
  description: What each check found; none where there is no GPU.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Which one.
      type: str
      sample: spec_of_driver
    ok:
      description: Whether nothing is wrong.
      type: bool
      sample: false
    said:
      description: What was seen.
      type: str
      sample: /etc/cdi/nvidia.json is for driver 535.183.01, and 550.54.14 is loaded
    hint:
      description: How to mend it.
      type: str
      sample: "the administrator makes the specification anew"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.checks.gpu import LOOKS
from ..module_utils.ces.checks.look import findings_of
from ..module_utils.ces.system.account import Account
from ..module_utils.ces.system.host.gpu import GpuHost, look_at_gpus, slurm_gres
from ..module_utils.ces.system.process import SystemProcess
from ..module_utils.ces.values.cdi import KINDS, devices_of
from ..module_utils.ces.values.policy import Policy
from ..module_utils.door import answer


def work(module: AnsibleModule) -> dict[str, Any]:
    host = look_at_gpus(Account.current(), SystemProcess())
    return {
        "changed": False,
        "kind": host.kind or "",
        "hardware": dict(host.hardware),
        "modules": sorted(host.modules),
        "driver": host.driver,
        "toolkit": host.toolkit,
        "directories": list(host.cdi.directories),
        "devices": [
            {"names": list(device.names), "files": list(device.nodes), "spec": spec.file}
            for kind in KINDS
            for spec in host.cdi.of(kind)
            for device in devices_of(spec)
        ],
        "gres": slurm_gres(host),
        "hooks": list(host.hooks),
        "findings": findings(host) if host.kind else [],
    }


def findings(host: GpuHost) -> list[dict[str, Any]]:
    return [
        {
            "check": one.check.removeprefix("gpu_"),
            "ok": one.level == "ok",
            "said": one.said,
            "hint": one.cure,
        }
        for one in findings_of(LOOKS, host, Policy())
    ]


def main() -> None:
    answer(AnsibleModule(argument_spec={}, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
