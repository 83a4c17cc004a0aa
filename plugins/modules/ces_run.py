#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_run
short_description: Run a container on sensitive data, as a task
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Runs one container to its end with C(/safe_data), C(/safe_outputs) and C(/scratch) mounted, and
    reports how it went.
  - The task fails when the container's exit status is not 0; C(failed_when) can change that.
  - Every run changes something, so a successful task is always changed.
  - The container's output is streamed to the run's log; the task returns its end.
  - When the task is ended by a signal, the container is stopped and its scratch directory removed.
  - With O(scheduler=slurm) the container runs as a Slurm job, on whatever node Slurm chooses. The
    home directory must be shared between this host and the nodes. The job's script, its environment
    and Slurm's accounting hold nothing of the run but its number and its image's name; everything
    else travels in a private file in the home directory, which the job removes when it has read it.
  - When a task that waits for a job is ended, the job goes on. M(tre.ces.ces_run_info) finds it by
    its run id, and C(ces-stop) ends it.
  - Runs as the user whose data it works on, so use C(become_user).
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
  - tre.ces.credentials
  - tre.ces.container
  - tre.ces.slurm_job
attributes:
  check_mode:
    support: full
    details:
      - Validates everything and returns the command that would run, with the number that the run
        would probably get.
      - With O(scheduler=slurm) Slurm judges the job as well (C(sbatch --test-only)).
  diff_mode:
    support: none
options:
  image:
    description:
      - The image, C(registry.example.org/project/image:tag) or C(...@sha256:...); for
        O(runner=apptainer) also the absolute path of an image file (SIF).
    type: str
    required: true
  runner:
    description:
      - The container engine; by default the one that the policy names.
      - V(apptainer) was called Singularity; where another guide says C(docker), write V(podman).
    type: str
    choices: [podman, apptainer, oci]
  args:
    description:
      - Arguments of the container, one word each; no shell reads them.
    type: list
    elements: str
    default: []
  env:
    description:
      - Environment of the container. Numbers and booleans are spelled V(1.5), V(true), V(false).
      - The values reach the container by a private file and never appear in a process list. Like
        all options they do appear in Ansible's verbose output; set C(no_log) on the task when one
        is secret.
    type: dict
    default: {}
  options:
    description:
      - Options for the engine, one word each, C(--volume=/home/alice/models:/models:ro) for
        example. Only those that the policy allows are accepted.
    type: list
    elements: str
    default: []
  cpus:
    description:
      - Number of CPUs, fractions allowed; by default the policy's.
    type: float
  memory:
    description:
      - Memory, V(8) or V(8GiB) or V(512MiB); a bare number is in GiB. By default the policy's,
        which is V(4GiB) where the site says nothing.
      - A limit that the back-end cannot enforce is a warning or a failure, as the policy's
        C(limits) has it.
    type: str
  gpu:
    description:
      - Give the container GPUs, V(true) for all that it may have, or as many as the number says.
      - In a Slurm job it may have the job's, else those of C(CUDA_VISIBLE_DEVICES), else all of the
        host. Under O(scheduler=slurm) the job asks for as many, for one with V(true).
    type: raw
    default: false
  home:
    description:
      - Give the container the user's home directory, if the policy allows it.
    type: bool
    default: false
  name:
    description:
      - Name of the container; by default C(ces-NUMBER). No two containers that run have the same
        under podman; apptainer's have none, and it stands in the record alone.
    type: str
  network:
    description:
      - Network of the container, one that the policy allows; by default the policy's, which is
        V(none) where the site says nothing.
    type: str
    choices: [none, pasta, slirp4netns, bridge, host]
  safe_data:
    description:
      - Directory to mount at C(/safe_data) instead. It must lie below one of the policy's
        C(mount_roots).
    type: path
  outputs:
    description:
      - Directory to mount at C(/safe_outputs), made if it is missing; by default a new
        C(~/outputs-NUMBER). It is kept.
    type: path
  scratch:
    description:
      - Directory to mount at C(/scratch), made if it is missing and kept; by default a new
        C(~/scratch-NUMBER) that is removed when the run ends.
    type: path
  timeout:
    description:
      - Stop the container after this time, V(90s), V(5m), V(1h30m), V(HH:MM:SS) or a number of
        seconds.
    type: str
seealso:
  - module: tre.ces.ces_pull
  - module: tre.ces.ces_run_info
"""

EXAMPLES = r"""
- name: Run the analysis on the project's data
  tre.ces.ces_run:
    image: registry.example.org/project/analysis:2.1
    args: [--model, full, --input, /safe_data/cohort.csv]
    env:
      SEED: 42
    cpus: 4
    memory: 16GiB
    timeout: 6h
  become: true
  become_user: alice
  register: analysis

- name: Say where the results are
  ansible.builtin.debug:
    msg: "{{ analysis.outputs }} after {{ analysis.duration }} s"

- name: Run a container whose exit status 3 means that there was nothing to do
  tre.ces.ces_run:
    image: registry.example.org/project/sync:1
    project: cohort1
    options: ["--volume={{ '/home/alice/models' }}:/models:ro"]
  become: true
  become_user: alice
  register: sync
  failed_when: sync.rc not in [0, 3]

- name: Run the analysis as a Slurm job and wait for it
  tre.ces.ces_run:
    image: registry.example.org/project/analysis:2.1
    scheduler: slurm
    partition: long
    cpus: 16
    memory: 64GiB
    time_limit: 1d
  become: true
  become_user: alice
  register: job

- name: Submit one job for each of a hundred samples, twenty at once, and go on
  tre.ces.ces_run:
    image: registry.example.org/project/sample:1
    scheduler: slurm
    array: 1-100%20
    time_limit: 2h
    wait: false
  become: true
  become_user: alice
  register: samples
"""

RETURN = r"""
run_id:
  description: The run's number, unique for its user; in check mode the one it would probably get.
  returned: when the container was, or would be, started
  type: int
  sample: 12
rc:
  description:
    - The container's exit status. V(124) after the timeout, V(125) when the engine failed, 128+N
      after signal N.
    - In check mode V(0), as if all went well.
  returned: when the container was, or would be, started
  type: int
  sample: 0
state:
  description:
    - How the run ended, in Slurm's words; V(PENDING) in check mode, and for a job that was not
      waited for.
  returned: when the container was, or would be, started
  type: str
  sample: COMPLETED
reason:
  description: Why the state is not COMPLETED.
  returned: when the container was, or would be, started
  type: str
  sample: the container exited with 3
image:
  description: The image, with its digest.
  returned: when the container was, or would be, started
  type: dict
  sample:
    reference: registry.example.org/project/analysis:2.1
    registry: registry.example.org
    path: project/analysis
    tag: "2.1"
    digest: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    id: 8b1b3f0c5a6d4e0f9a7c2d1e3f5b7a9c0d2e4f6a8b0c1d3e5f7a9b1c3d5e7f90
runner:
  description: The container engine.
  returned: when the container was, or would be, started
  type: str
  sample: podman
name:
  description: Name of the container.
  returned: when the container was, or would be, started
  type: str
  sample: ces-12
outputs:
  description: The directory that was C(/safe_outputs).
  returned: when the container was, or would be, started
  type: str
  sample: /home/alice/outputs-12
scratch:
  description: The directory that was C(/scratch); gone unless the caller chose it.
  returned: when the container was, or would be, started
  type: str
  sample: /home/alice/scratch-12
log:
  description: The file with all that the container wrote; empty in check mode.
  returned: when the container was, or would be, started
  type: str
  sample: /home/alice/.local/state/ces/runs/12/output.log
stdout:
  description:
    - The last 64 KiB of the container's standard output; empty in check mode. Of a Slurm job, of
      both outputs.
  returned: when the container was, or would be, started
  type: str
  sample: "Goodbye user!"
stderr:
  description:
    - The last 64 KiB of the container's standard error; empty in check mode and of a Slurm job.
  returned: when the container was, or would be, started
  type: str
  sample: ""
start:
  description: When the container was started, UTC, ISO 8601.
  returned: when the container was started
  type: str
  sample: "2026-01-31T12:00:00.123Z"
end:
  description: When the container had ended.
  returned: when the container was started
  type: str
  sample: "2026-01-31T12:00:01.456Z"
duration:
  description: Seconds between the two.
  returned: when the container was started
  type: float
  sample: 1.333
cmd:
  description: The command that ran, or would run. It never holds a secret.
  returned: always
  type: list
  elements: str
  sample: [podman, run, --rm]
mounts:
  description: What the container saw of the back-end.
  returned: when the container was, or would be, started
  type: list
  elements: dict
  sample:
    - {source: /safe_data/cohort1, target: /safe_data, access: rw}
resources:
  description:
    - What the container was to have, memory in bytes; its C(enforced) is false where the back-end
      cannot hold it to that. In a Slurm job C(enforced_by) is C(slurm). With O(gpu) its C(gpus) are
      the names of those that it got, as the host's CDI specification has them.
  returned: when the container was, or would be, started
  type: dict
  sample: {cpus: 4, memory: 17179869184, gpu: false, enforced: true}
network:
  description: Network of the container.
  returned: when the container was, or would be, started
  type: str
  sample: none
slurm:
  description:
    - What Slurm says of the job. Of the task of an array, see RV(runs).
  returned: with O(scheduler=slurm)
  type: dict
  contains:
    job_id:
      description: The job's number, of an array's task with the task's; empty in check mode.
      type: str
      sample: "4711"
    state:
      description: The job's state; V(PENDING) when it was not waited for.
      type: str
      sample: COMPLETED
    reason:
      description: Why it waits, or ended as it did.
      type: str
      sample: ""
    exit_code:
      description: Exit status and signal.
      type: str
      sample: "0:0"
    node:
      description: The node it ran on.
      type: str
      sample: node1
    elapsed:
      description: How long the job took.
      type: str
      sample: "00:01:07"
    max_memory:
      description: The most memory that it used, if the cluster accounts for it.
      type: str
      sample: 105200K
    log:
      description: The file with what the job itself said, the reason for which it could not begin
        for example.
      type: str
      sample: /home/alice/.local/state/ces/runs/12/slurm.log
    start_estimate:
      description: When Slurm expects that the job could start.
      returned: in check mode
      type: str
      sample: "2026-01-31T12:00:00"
runs:
  description:
    - With O(array), the run of each task with the values above and its C(task). The values outside
      are then those of the first that failed, or of the first.
  returned: with O(array)
  type: list
  elements: dict
  sample: []
warnings:
  description: What the caller should know, limits that are not enforced for example.
  returned: when there are any
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.errors import InvalidValue
from ..module_utils.ces.services.run import planned, run_container
from ..module_utils.ces.services.session import session
from ..module_utils.ces.system.system import System
from ..module_utils.ces.values.image import Image, parse_image
from ..module_utils.ces.values.record import RunRecord
from ..module_utils.ces.values.runoptions import arguments
from ..module_utils.ces.values.spec import RunSpec
from ..module_utils.door import (
    CREDENTIALS,
    CREDENTIALS_RULES,
    RUNNER,
    answer,
    image_result,
    run_spec,
    system_for,
)

ARGUMENTS: dict[str, dict[str, Any]] = {
    **arguments(),
    "scheduler": {"type": "str", "choices": ["none", "slurm"], "default": "none"},
    "partition": {"type": "str"},
    "account": {"type": "str"},
    "qos": {"type": "str"},
    "time_limit": {"type": "str"},
    "nodes": {"type": "int"},
    "gpus": {"type": "str"},
    "array": {"type": "str"},
    "dependency": {"type": "str"},
    "extra": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "bool", "default": True},
    "poll_interval": {"type": "float", "default": 5},
    **RUNNER,
    **CREDENTIALS,
}
OF_A_JOB = (
    *("partition", "account", "qos", "time_limit", "nodes", "gpus", "array", "dependency", "extra"),
)
FROM_RECORD = (
    "run_id",
    "state",
    "reason",
    "runner",
    "name",
    "outputs",
    "scratch",
    "log",
    "mounts",
    "resources",
    "network",
)
AFTER_START = {"rc": "rc", "start": "started", "end": "ended", "duration": "duration"}
"""Of the record, as results name it; ``started`` would be async_status's own, which never ends."""


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    image = parse_image(params["image"], "/")
    system = system_for(module)
    spec = run_spec(image, params["runner"] or system.policy.default_runner, params)
    if params["scheduler"] == "slurm":
        return work_as_job(module, spec, system)
    for name in OF_A_JOB:
        if params[name]:
            raise InvalidValue(name, params[name], "there is no job", "say scheduler: slurm")
    if module.check_mode:
        record = planned(spec, system)
        for warning in record.warnings:
            module.warn(warning)
        # so that conditions on the outcome can be evaluated; a prediction of success
        return {"changed": True, **result(image, record), "rc": 0, "stdout": "", "stderr": ""}
    with session(system):
        run = run_container(spec, system)
    return finished(image, run.record, run.stdout, run.stderr)


def work_as_job(module: AnsibleModule, spec: RunSpec, system: System) -> dict[str, Any]:
    from ..module_utils.ces.services.job_follow import follow, refuse_what_never_starts
    from ..module_utils.ces.services.jobs import planned_job, submit_run
    from ..module_utils.ces.values.job import JobSpec

    params, image = module.params, spec.image
    if params["poll_interval"] <= 0:
        raise InvalidValue("poll_interval", params["poll_interval"], "it is not above 0")
    job = JobSpec(**{name: params[name] for name in OF_A_JOB})
    if module.check_mode:
        record, argv, start = planned_job(spec, job, system)
        facts = {"job_id": "", "state": "PENDING", "start_estimate": start}
        ended = {"changed": True, **result(image, record), "rc": 0, "stdout": "", "stderr": ""}
        return {**ended, "cmd": list(argv), "slurm": facts}
    with session(system):
        submitted = submit_run(spec, job, system)
    refuse_what_never_starts(submitted, system)
    tasks = job.tasks()
    if not params["wait"]:
        queued = [
            {
                "changed": True,
                **result(image, record),
                "slurm": {"job_id": record.slurm_job_id, "state": record.state},
            }
            for record in submitted.records
        ]
        return of_array(queued, tasks) if tasks else queued[0]
    ends = []
    for end in follow(submitted, system, params["poll_interval"]):
        run = end.ran
        ends.append({**finished(image, run.record, run.stdout, run.stderr), "slurm": end.facts})
        for warning in run.record.warnings:
            module.warn(warning)
    return of_array(ends, tasks) if tasks else ends[0]


def of_array(runs: list[dict[str, Any]], tasks: list[int]) -> dict[str, Any]:
    """The array's result: that of the first task that failed, else of the first, and all."""
    failed = [run for run in runs if run.get("failed")]
    whole = {**(failed or runs)[0], "runs": [{**run, "task": t} for run, t in zip(runs, tasks)]}
    if failed:
        whole["msg"] = f"{len(failed)} of {len(runs)} tasks failed; the first: {failed[0]['msg']}"
    return whole


def result(image: Image, record: RunRecord) -> dict[str, Any]:
    facts = record.as_dict()
    return {
        **{key: facts[key] for key in FROM_RECORD},
        "image": image_result(image, record.digest, record.image_id),
        "cmd": list(record.command),
    }


def finished(image: Image, record: RunRecord, stdout: str, stderr: str) -> dict[str, Any]:
    facts = record.as_dict()
    outcome = {
        "changed": True,
        **result(image, record),
        **{key: facts[name] for key, name in AFTER_START.items()},
        "stdout": stdout,
        "stderr": stderr,
    }
    if record.state != "COMPLETED":
        outcome.update(
            failed=True, msg=f"run {record.run_id} of {image}: {record.state}: {record.reason}"
        )
    return outcome


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, **CREDENTIALS_RULES)
    answer(module, work)


if __name__ == "__main__":
    main()
