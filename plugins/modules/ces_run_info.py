#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_run_info
short_description: Tell how container runs went
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Reads the run records of the task's user, those of C(ces-run) and of M(tre.ces.ces_run) alike.
  - Of Slurm jobs that M(tre.ces.ces_run) submitted it asks Slurm as well. A run whose job ended
    before anybody could write down
    how is closed in its record, as Slurm has it.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
  - tre.ces.attributes.info
options:
  run_id:
    description:
      - Tell of this run alone. A run without a record is a failure.
    type: int
  state:
    description:
      - Tell only of runs in this state.
    type: str
    choices: [PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, CANCELLED, OUT_OF_MEMORY, NODE_FAIL]
  runner:
    description:
      - Tell only of runs under this container engine.
    type: str
    choices: [podman, apptainer, oci]
  limit:
    description:
      - Tell at most of that many, the newest; V(0) for all.
    type: int
    default: 20
seealso:
  - module: tre.ces.ces_run
"""

EXAMPLES = r"""
- name: See which of alice's runs failed
  tre.ces.ces_run_info:
    state: FAILED
  become: true
  become_user: alice
  register: failed

- name: Look at one run
  tre.ces.ces_run_info:
    run_id: 12
  become: true
  become_user: alice
"""

RETURN = r"""
runs:
  description: The records, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    run_id:
      description: The run's number.
      type: int
      sample: 12
    state:
      description: Its state, in Slurm's words.
      type: str
      sample: FAILED
    reason:
      description: Why it did not complete, or why its job still waits.
      type: str
      sample: the container exited with 3
    rc:
      description: The container's exit status; V(none) while it runs.
      type: int
      sample: 3
    image:
      description: The image.
      type: str
      sample: registry.example.org/project/analysis:2.1
    digest:
      description: The image's digest.
      type: str
      sample: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    image_id:
      description: The image's id in storage.
      type: str
      sample: 8b1b3f0c5a6d4e0f9a7c2d1e3f5b7a9c0d2e4f6a8b0c1d3e5f7a9b1c3d5e7f90
    runner:
      description: The container engine.
      type: str
      sample: podman
    name:
      description: Name of the container.
      type: str
      sample: ces-12
    command:
      description: What ran, free of secrets.
      type: list
      elements: str
      sample: [podman, run, --rm]
    mounts:
      description: What the container saw of the back-end.
      type: list
      elements: dict
      sample:
        - {source: /safe_data/cohort1, target: /safe_data, access: rw}
    resources:
      description: What it was to have, memory in bytes, and whether that was enforced.
      type: dict
      sample: {cpus: 4, memory: 17179869184, gpu: false, enforced: true}
    network:
      description: Its network.
      type: str
      sample: none
    outputs:
      description: The directory that was C(/safe_outputs).
      type: str
      sample: /home/alice/outputs-12
    scratch:
      description: The directory that was C(/scratch).
      type: str
      sample: /home/alice/scratch-12
    scratch_created:
      description: Whether the scratch directory was made for this run, and so removed at its end.
      type: bool
      sample: true
    log:
      description: The file with all that the container wrote.
      type: str
      sample: /home/alice/.local/state/ces/runs/12/output.log
    started:
      description: When the container was started, UTC, ISO 8601.
      type: str
      sample: "2026-01-31T12:00:00.123Z"
    ended:
      description: When it had ended.
      type: str
      sample: "2026-01-31T12:00:01.456Z"
    duration:
      description: Seconds between the two.
      type: float
      sample: 1.333
    scheduler:
      description: V(slurm) where M(tre.ces.ces_run) submitted it as a job, else V(none).
      type: str
      sample: none
    slurm_job_id:
      description: The Slurm job that it ran in, or is to run in, if any; of an array C(4711_3).
      type: str
      sample: "4711"
    slurm_raw_id:
      description: The number that Slurm has for the task of an array besides.
      type: str
      sample: "4714"
    deadline:
      description: When the time of its Slurm job is over, in seconds since the epoch.
      type: float
      sample: 1769868000.0
    host:
      description: The back-end it ran on; empty while its job waits.
      type: str
      sample: backend1
    user:
      description: Whose run it was.
      type: str
      sample: alice
    pid:
      description: The process that ran it.
      type: int
      sample: 4242
    warnings:
      description: What the caller was told, limits that were not enforced for example.
      type: list
      elements: str
      sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.services.runs import list_runs, look_up
from ..module_utils.ces.values.record import STATES
from ..module_utils.door import RUNNER, answer, system_for


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    system = system_for(module)
    if params["run_id"] is not None:
        records = [look_up(params["run_id"], system)]
    else:
        records = list_runs(system, params["limit"] or None, params["state"], params["runner"])
    return {"changed": False, "runs": [record.as_dict() for record in records]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "int"},
            "state": {"type": "str", "choices": list(STATES)},
            "limit": {"type": "int", "default": 20},
            **RUNNER,
        },
        mutually_exclusive=[("run_id", "state")],
        supports_check_mode=True,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
