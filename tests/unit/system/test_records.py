# SPDX-License-Identifier: GPL-3.0-or-later
"""Run records: numbers that are never reused, and runs whose process died."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import ActiveRun, Records
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord

OPENING = """
import sys
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import Records
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
records = Records(sys.argv[1])
for _count in range(int(sys.argv[2])):
    run = records.open()
    run.save(RunRecord(run.run_id, state="RUNNING", host="here"))
    print(run.run_id, flush=True)
sys.stdin.read()
"""


def another_process(state: Path, count: int) -> subprocess.Popen[str]:
    """A process that opens that many runs and answers for them until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", OPENING, str(state), str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ces"


@pytest.fixture
def records(state: Path) -> Records:
    return Records(str(state))


def _saved(records: Records, **more: Any) -> ActiveRun:
    run = records.open()
    run.save(RunRecord(run.run_id, **more))
    return run


@pytest.mark.parametrize("name", ["counter", "runs/1/run.json", "runs/1/reserve", "active/1"])
def test_a_fifo_among_the_records_keeps_nobody_waiting(
    records: Records, state: Path, name: str
) -> None:
    """Opened as usual it would wait for ever, and no signal would end that."""
    run = _saved(records, state="RUNNING", host="here")
    run.release()
    (state / name).unlink()
    os.mkfifo(state / name)
    for look in (
        lambda: records.load(1),
        lambda: list(records.newest()),
        lambda: list(records.take_over_dead(lambda _record: True)),
        lambda: records.claim(1),
        records.open,
    ):
        with suppress(CesError):
            look()


def test_numbers_count_up_from_one_and_their_places_are_private(
    records: Records, state: Path
) -> None:
    assert records.expected_number() == 1
    assert [records.open().run_id for _count in range(3)] == [1, 2, 3]
    assert records.expected_number() == 4
    for place in (state, state / "runs", state / "active", state / "runs" / "1"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_asking_for_the_next_number_changes_nothing(records: Records, state: Path) -> None:
    assert records.expected_number() == 1
    assert (list(records.newest()), records.active()) == ([], [])
    assert not state.exists()


def test_a_number_that_is_not_usable_is_passed_over(records: Records) -> None:
    assert records.open(lambda number: number > 4).run_id == 5
    assert records.open().run_id == 6


@pytest.mark.parametrize("counter", [None, "", "x", "-", "\u0663", "2\0"])
def test_a_lost_or_damaged_counter_reuses_no_number(
    records: Records, state: Path, counter: str | None
) -> None:
    for _count in range(3):
        records.open()
    (state / "counter").unlink()
    if counter is not None:
        (state / "counter").write_text(counter)
    assert records.open().run_id == 4


def test_a_counter_that_went_back_reuses_no_number(records: Records, state: Path) -> None:
    for _count in range(3):
        records.open()
    (state / "counter").write_text("1\n")
    assert records.open().run_id == 4


def test_a_removed_record_does_not_free_its_number(records: Records, state: Path) -> None:
    records.open()
    last = records.open()
    last.finish()
    (state / "runs" / "2").rmdir()
    assert records.open().run_id == 3


def test_processes_that_start_at_once_get_different_numbers(state: Path, records: Records) -> None:
    children = [another_process(state, 5) for _count in range(6)]
    numbers = [int(word) for child in children for word in child.communicate("")[0].split()]
    assert sorted(numbers) == list(range(1, 31))
    assert sorted(record.run_id for record in records.newest()) == list(range(1, 31))


# --- records ---


def test_a_record_is_saved_in_one_step_and_read_back(records: Records, state: Path) -> None:
    run = records.open()
    record = RunRecord(run.run_id, state="RUNNING", command=["a", "b"], warnings=["w"], mounts=[])
    run.save(record)
    record.state = "COMPLETED"
    run.save_last(record)
    assert records.load(1) == record
    assert sorted(path.name for path in (state / "runs" / "1").iterdir()) == ["run.json"]
    assert stat.S_IMODE((state / "runs" / "1" / "run.json").stat().st_mode) == 0o600


def test_a_run_that_is_not_there_is_not_found(records: Records) -> None:
    with pytest.raises(NotFound, match=r"could not find run 7: there is no record of it"):
        records.load(7)


def test_the_newest_come_first_and_those_without_a_record_not_at_all(records: Records) -> None:
    for _count in range(3):
        _saved(records)
    records.open()
    assert [record.run_id for record in records.newest()] == [3, 2, 1]
    assert [record.run_id for record in records.newest(2)] == [3, 2]
    assert list(records.newest(0)) == []


DAMAGED = ["", "{", "[]", "null", "{}", '{"run_id": "x"}', '{"state": "RUNNING"}', "\0" * 100]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_an_error_for_that_run_alone(
    records: Records, state: Path, text: str
) -> None:
    for _count in range(3):
        _saved(records, state="COMPLETED")
    (state / "runs" / "2" / "run.json").write_text(text)
    with pytest.raises(CesError, match="could not read the record of run"):
        records.load(2)
    listed = {record.run_id: record for record in records.newest()}
    assert [listed[number].state for number in (3, 1)] == ["COMPLETED", "COMPLETED"]
    assert listed[2].state == "NODE_FAIL"
    assert "could not read the record" in listed[2].reason


# --- alive and dead ---


def test_a_run_is_alive_until_it_is_finished(records: Records) -> None:
    run = _saved(records)
    assert records.active() == [1]
    assert list(records.take_over_dead(lambda record: True)) == []
    run.finish()
    assert records.active() == []
    assert not records.is_alive(1)
    run.finish()


def test_the_runs_of_a_killed_process_are_taken_over_by_one_and_only_once(
    state: Path, records: Records
) -> None:
    with another_process(state, 2) as child:
        assert [there(child.stdout).readline() for _count in range(2)] == ["1\n", "2\n"]
        assert records.is_alive(1)
        assert list(records.take_over_dead(lambda record: True)) == []
        child.send_signal(signal.SIGKILL)
    assert records.active() == [1, 2]
    assert not records.is_alive(1)
    taken = records.take_over_dead(lambda record: record.host == "here")
    run, record = next(taken)
    assert (run.run_id, record.state) == (1, "RUNNING")
    # while one sweeps the first, another finds only the second
    other = Records(str(state))
    assert [found.run_id for found, _record in other.take_over_dead(lambda record: True)] == [2]
    run.finish()
    assert [found.run_id for found, _record in taken] == [2]
    assert records.active() == [2]


def test_a_dead_run_of_another_host_is_left_alone(records: Records) -> None:
    _saved(records, state="RUNNING", host="there").release()
    assert list(records.take_over_dead(lambda record: record.host == "here")) == []
    assert records.active() == [1]


def test_a_run_that_died_before_its_first_record_is_forgotten(records: Records) -> None:
    records.open().release()
    assert list(records.take_over_dead(lambda record: True)) == []
    assert records.active() == []


def test_what_writers_that_were_killed_left_is_removed(records: Records, state: Path) -> None:
    saved, unsaved = _saved(records), records.open()
    for run in (saved, unsaved):
        (state / f"runs/{run.run_id}/run.json.77.1.tmp").write_text("{")
        run.release()
    (state / "counter.77.2.tmp").write_text("")
    for run, record in records.take_over_dead(lambda _record: True):
        run.save_last(record)
        run.finish()
    left = {path.name for path in state.rglob("*")}
    assert left == {"active", "runs", "1", "2", "counter", "counter.lock", "run.json"}


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_of_a_dead_run_does_not_stop_others_from_being_swept(
    records: Records, state: Path, text: str
) -> None:
    _saved(records).release()
    _saved(records).release()
    (state / "runs" / "1" / "run.json").write_text(text)
    found = [run.run_id for run, _record in records.take_over_dead(lambda record: True)]
    assert found == [2]


def test_what_is_no_number_in_the_state_is_passed_over(records: Records, state: Path) -> None:
    _saved(records)
    for name in ("x", "1.tmp", "\u0663", "-1"):
        (state / "runs" / name).mkdir()
        (state / "active" / name).touch()
    assert [record.run_id for record in records.newest()] == [1]
    assert records.active() == [1]


# --- runs that are handed over ---


def test_a_run_that_is_handed_over_is_claimed_once(records: Records, state: Path) -> None:
    run = records.open()
    assert records.claim(1) is None
    run.hand_over(RunRecord(1, scheduler="slurm"))
    assert records.active() == []
    assert list(records.take_over_dead(lambda record: True)) == []
    claimed = records.claim(1)
    assert records.is_alive(1)
    assert records.claim(1) is None
    there(claimed).finish()
    assert sorted(path.name for path in (state / "runs" / "1").iterdir()) == ["run.json"]


def test_a_run_that_is_not_here_is_not_claimed(records: Records, state: Path) -> None:
    records.open()
    with pytest.raises(NotFound, match=r"there is no .*/runs/7 on this host"):
        records.claim(7)
