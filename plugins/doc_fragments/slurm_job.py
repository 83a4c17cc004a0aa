# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options of a run that is a Slurm job."""

from __future__ import annotations


class ModuleDocFragment:
    """A run as a Slurm job."""

    DOCUMENTATION = r"""
options:
  scheduler:
    description:
      - Run the container on this host (V(none)), or as a job of this host's Slurm cluster
        (V(slurm)).
      - Under V(slurm) O(cpus) (rounded up) and O(memory), or the policy's defaults, are what the
        job asks for, and O(runner) must be there on the nodes.
    type: str
    choices: [none, slurm]
    default: none
  partition:
    description:
      - The job's partition; by default the cluster's. For O(scheduler=slurm), as are O(account),
        O(qos), O(time_limit), O(nodes), O(gpus), O(array), O(dependency), O(extra), O(wait) and
        O(poll_interval).
    type: str
  account:
    description:
      - The account that the job is charged to.
    type: str
  qos:
    description:
      - The job's quality of service.
    type: str
  time_limit:
    description:
      - How long the job may take, pulling included; V(30m), V(6h), V(HH:MM:SS) or a number of
        seconds, rounded up to minutes. By default the partition's.
      - When it is over the container gets SIGTERM and the state is C(TIMEOUT).
    type: str
  nodes:
    description:
      - Number of nodes. The container runs on the first.
    type: int
  gpus:
    description:
      - GPUs for the job, a number or C(TYPE:NUMBER). The container sees those and no others.
        Implies O(gpu).
    type: str
  array:
    description:
      - Run the container once for each of these task numbers, V(0-9), V(1,3,7), V(0-99:10), and at
        most N at once with C(%N) behind them.
      - Each task is a run of its own. Its container has its number in C(CES_ARRAY_INDEX) and
        C(SLURM_ARRAY_TASK_ID). The task fails if one of them does.
    type: str
  dependency:
    description:
      - What must happen before the job may start, V(afterok:4711) for example, as C(sbatch) has it.
    type: str
  extra:
    description:
      - Further options for C(sbatch), V(--reservation=course) for example, one each. Those that
        would change what is run, as whom or with what environment are refused.
    type: list
    elements: str
    default: []
  wait:
    description:
      - Wait until the job is over. Otherwise the task ends when Slurm has taken the job on.
    type: bool
    default: true
  poll_interval:
    description:
      - Seconds between two questions to Slurm while waiting. The end of a run is seen in the shared
        home directory, mostly sooner.
    type: float
    default: 5
"""
