# SPDX-License-Identifier: GPL-3.0-or-later
"""Run records on disk: numbers that are never reused, and a sign of life for every run.

    STATE/counter               the last number given out (its lock serialises giving and sweeping)
    STATE/runs/N/run.json       the record
    STATE/runs/N/output.log     both outputs of the container
    STATE/runs/N/reserve        room on the disk for the final record, while the run is not finished
    STATE/active/N              there while the run is not finished; locked by the process that
                                runs it
    STATE/jobs/N                there while a scheduler answers for the run: see job_files.py

The kernel drops the lock when that process dies, however it dies: an unlocked ``active/N`` is a
dead run.
"""

from __future__ import annotations

import os

from ..dataclass import dataclass
from ..errors import CesError, NotFound
from ..json_text import dumps_lines
from ..typed import Callable, Iterator
from ..values.record import RunRecord
from .files import (
    explained,
    locked,
    private_directory,
    read_json,
    regular,
    remove_quietly,
    remove_unfinished,
    try_lock,
    unfinished,
    write_atomic,
)

RESERVE = 64 * 1024
"""Bytes kept for the final record; one is 2 to 40 KiB, by its arguments."""


@dataclass
class ActiveRun:
    """A run that this process answers for; holds the lock on its sign of life.

    :param held: it does; no other process did when it was asked for.
    """

    run_id: int
    directory: str
    _marker: str
    _descriptor: int
    held: bool = True

    @property
    def log(self) -> str:
        return f"{self.directory}/output.log"

    def save(self, record: RunRecord, durable: bool = True) -> None:
        """Write the record in one step."""
        path = f"{self.directory}/run.json"
        write_atomic(path, dumps_lines(record.as_dict()), durable=durable)

    def save_last(self, record: RunRecord) -> None:
        """Write the record for the last time, in the room that was kept for it."""
        remove_quietly(f"{self.directory}/reserve")
        self.save(record)

    def finish(self) -> None:
        """Nothing of this run is left to do."""
        remove_quietly(f"{self.directory}/reserve")
        remove_unfinished(f"{self.directory}/run.json")
        remove_quietly(self._marker)
        self.release()

    def hand_over(self, record: RunRecord) -> None:
        """Leave the run to a process that will :meth:`Records.claim` it, on whatever host."""
        remove_quietly(f"{self.directory}/reserve")
        self.save(record, durable=False)
        self.finish()

    def release(self) -> None:
        """Give up the lock; if the sign of life is still there, somebody else will sweep."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Records:
    """The run records of one user, below ``state``."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._runs = f"{state}/runs"
        self._active = f"{state}/active"

    def expected_number(self) -> int:
        """The number that the next run will probably get; nothing is changed."""
        return self._last_number() + 1

    def open(self, usable: Callable[[int], bool] = lambda number: True) -> ActiveRun:
        """Give out the next number for which ``usable`` is true, and make its directory.

        :raises CesError: the state directory cannot be written.
        """
        for directory in (self._state, self._runs, self._active):
            private_directory(directory)
        with locked(f"{self._state}/counter.lock"):
            number = self._last_number() + 1
            while not (usable(number) and self._make_directory(number)):
                number += 1
            # not worth waiting for the disk: a lost counter is read off the directories
            write_atomic(f"{self._state}/counter", f"{number}\n", durable=False)
            run = self._mark(number)
        _reserve(f"{run.directory}/reserve")
        return run

    def claim(self, run_id: int) -> ActiveRun | None:
        """Answer for a run that nobody answers for; None while somebody does.

        :raises NotFound: there is no such run here.
        """
        directory = f"{self._runs}/{run_id}"
        if not os.path.isdir(directory):
            raise NotFound(f"find run {run_id}", said=f"there is no {directory} on this host")
        with locked(f"{self._state}/counter.lock"):
            run = self._mark(run_id)
        if not run.held:
            run.release()
            return None
        _reserve(f"{directory}/reserve")
        return run

    def load(self, run_id: int) -> RunRecord:
        """The record of a run.

        :raises NotFound: there is none of that number.
        :raises CesError: it is damaged.
        """
        path = f"{self._runs}/{run_id}/run.json"
        try:
            raw = read_json(path, "the record of run")
        except NotFound:
            raise NotFound(
                f"find run {run_id}",
                said=f"there is no record of it in {self._runs}",
                hint="ces-runs lists all",
            ) from None
        if not isinstance(raw, dict) or raw.get("run_id") != run_id:
            raise CesError(f"read the record of run {path}", said="it is no record of that run")
        try:
            return RunRecord.from_dict(raw)
        except ValueError as error:
            raise CesError(f"read the record of run {path}", said=str(error)) from None

    def newest(self, limit: int | None = None) -> Iterator[RunRecord]:
        """Records, the newest first; runs that are just being set up have none yet.

        A damaged one is listed as the failure of the host that was writing it.
        """
        for number in sorted(self._numbers(self._runs), reverse=True):
            if limit == 0:
                return
            try:
                record = self.load(number)
            except NotFound:
                continue
            except CesError as error:
                record = RunRecord(number, state="NODE_FAIL", reason=str(error))
            yield record
            limit = None if limit is None else limit - 1

    def is_alive(self, run_id: int) -> bool:
        """Whether the process that answers for a run still lives."""
        with explained(f"look after run {run_id}"):
            try:
                descriptor = os.open(
                    f"{self._active}/{run_id}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
                )
            except FileNotFoundError:
                return False
            try:
                return not try_lock(descriptor)
            finally:
                os.close(descriptor)

    def active(self) -> list[int]:
        """Numbers of the runs that have not finished, dead ones included."""
        return sorted(self._numbers(self._active))

    def take_over_dead(
        self, mine: Callable[[RunRecord], bool]
    ) -> Iterator[tuple[ActiveRun, RunRecord]]:
        """Dead runs that nobody else is sweeping; the caller answers for them from now on.

        :param mine: whether a record's run was on this host: a shared home holds others' too.
        """
        if unfinished(f"{self._state}/counter"):
            with locked(f"{self._state}/counter.lock"):
                remove_unfinished(f"{self._state}/counter")
        for number in self.active():
            with locked(f"{self._state}/counter.lock"):
                run = self._lock_marker(number)
            if run is None:
                continue
            try:
                record = self.load(number)
            except NotFound:
                # died between getting its number and writing its record: nothing was started
                run.finish()
                continue
            except CesError:
                # what is to be cleared away, and where, only a person can tell
                run.release()
                continue
            if mine(record):
                yield run, record
            run.release()

    def _lock_marker(self, number: int) -> ActiveRun | None:
        marker = f"{self._active}/{number}"
        try:
            with explained(f"take over run {number}"):
                descriptor = os.open(marker, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except NotFound:
            return None
        if not try_lock(descriptor):
            os.close(descriptor)
            return None
        return ActiveRun(number, f"{self._runs}/{number}", marker, descriptor)

    def _mark(self, number: int) -> ActiveRun:
        marker = f"{self._active}/{number}"
        with explained(f"write {marker}"):
            descriptor = os.open(
                marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        return ActiveRun(number, f"{self._runs}/{number}", marker, descriptor, try_lock(descriptor))

    def _make_directory(self, number: int) -> bool:
        path = f"{self._runs}/{number}"
        with explained(f"make {path}"):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                return False
        return True

    def _last_number(self) -> int:
        path = f"{self._state}/counter"
        try:
            with explained(f"read {path}"), open(path, encoding="ascii", opener=regular) as stream:
                return int(stream.read())
        except (NotFound, ValueError):
            # lost or damaged: the directories know
            return max(self._numbers(self._runs), default=0)

    @staticmethod
    def _numbers(directory: str) -> list[int]:
        try:
            with explained(f"list {directory}"):
                names = os.listdir(directory)
        except NotFound:
            return []
        return [int(name) for name in names if name.isascii() and name.isdigit()]


def _reserve(path: str) -> None:
    """Take some room: a run that fills the disk must not lose the record of how it ended.

    A dead run that is claimed may have it already.
    """
    with explained(f"keep room for the record in {path}"):
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE)
        finally:
            os.close(descriptor)
