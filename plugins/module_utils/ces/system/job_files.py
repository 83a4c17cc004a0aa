# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies beside the records of runs that a scheduler starts. The home directory carries it.

STATE/jobs/N             the job's id, from submission until it is known how the run ended
STATE/runs/N/job.json    the run itself, with its environment and credentials, 0600; gone as soon
                         as the job has read it, or will never read it
STATE/runs/N/array.json  of an array, beside its first run: the run of each task
STATE/runs/N/slurm.log   what the job itself said; of an array, slurm-TASK.log beside the first
"""

from __future__ import annotations

import json
import os

from ..errors import CesError, NotFound
from ..typed import TYPE_CHECKING, Any, Mapping
from .files import (
    explained,
    private_directory,
    read_json,
    read_text,
    regular,
    remove_quietly,
    write_atomic,
)

if TYPE_CHECKING:
    from ..values.record import RunRecord
    from .records import ActiveRun


class JobFiles:
    """These files of one user, below ``state``."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._jobs = f"{state}/jobs"

    def directory(self, number: int) -> str:
        return f"{self._state}/runs/{number}"

    def leave(self, number: int, run: Mapping[str, Any]) -> None:
        """Write down the run for the job that will read it."""
        write_atomic(f"{self.directory(number)}/job.json", json.dumps(run))

    def take(self, number: int) -> Any:
        """Read the run, and remove it with its secrets.

        :raises NotFound: it was never written, or another job has taken it.
        """
        path = f"{self.directory(number)}/job.json"
        with explained(f"read {path}"), open(path, encoding="utf-8", opener=regular) as stream:
            text = stream.read()
        self.destroy(number)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CesError(f"read {path}", said=str(error)) from None

    def destroy(self, number: int) -> None:
        """Remove the run as it was written down: nobody will take it."""
        remove_quietly(f"{self.directory(number)}/job.json")

    def let_go(self, run: ActiveRun, record: RunRecord) -> bool:
        """See to a run whose submission was killed: Slurm has it, and it is left to the job.

        Otherwise nobody will ever read what was written down for the job, secrets and all.

        :param run: that run, for which this process answers now; ``record``: its record.
        :returns: whether Slurm has it.
        """
        job_id = self.job_of(run.run_id)
        if job_id is None:
            self.destroy(run.run_id)
            return False
        record.slurm_job_id, record.host = job_id, ""
        run.hand_over(record)
        return True

    def number_tasks(self, first: int, numbers: Mapping[int, int]) -> None:
        """Say which run each task of an array is."""
        text = json.dumps({str(task): number for task, number in numbers.items()})
        write_atomic(f"{self.directory(first)}/array.json", text)

    def number_of_task(self, first: int, task: str) -> int:
        """The run that a task of the array is.

        :raises CesError: there is no such task.
        """
        path = f"{self.directory(first)}/array.json"
        number = read_json(path, "the array's runs").get(task)
        if not isinstance(number, int):
            raise CesError(f"find the run of task {task}", said=f"{path} has none")
        return number

    def expect(self, number: int, job_id: str) -> None:
        """From now on Slurm is asked about this run until it is known how it ended."""
        private_directory(self._jobs)
        write_atomic(f"{self._jobs}/{number}", f"{job_id}\n", durable=False)

    def settled(self, number: int) -> None:
        """It is known how the run ended."""
        self.destroy(number)
        remove_quietly(f"{self._jobs}/{number}")

    def expected(self) -> dict[int, str]:
        """The job of each run whose end is not known yet."""
        try:
            names = os.listdir(self._jobs)
        except OSError:
            return {}
        found = {}
        for name in names:
            if name.isascii() and name.isdigit():
                try:
                    found[int(name)] = self._job_in(name)
                except NotFound:  # somebody else has just settled it
                    continue
        return dict(sorted(found.items()))

    def job_of(self, number: int) -> str | None:
        """The job of a run whose end is not known yet."""
        try:
            return self._job_in(str(number))
        except NotFound:
            return None

    def _job_in(self, name: str) -> str:
        return read_text(f"{self._jobs}/{name}", "the job of run", regular).strip()
