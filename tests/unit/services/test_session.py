# SPDX-License-Identifier: GPL-3.0-or-later
"""What services run inside: signals are noted, dead runs are swept, each once."""

from __future__ import annotations

import ast
import os
import signal
from ast import Module, Name, With
from pathlib import Path

import pytest
from recording import REGISTRY, BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import clean
from ansible_collections.tre.ces.plugins.module_utils.ces.services import session as module
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import RunSpec

NAME = f"{REGISTRY}/app:1"
SPEC = RunSpec(ImageRef.parse(NAME), "podman")


@pytest.fixture
def ready(backend: BackEnd) -> BackEnd:
    """The image is in storage."""
    backend.has_image(NAME)
    return backend


def tell_us(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def dies(backend: BackEnd) -> int:
    """A run whose process was killed."""
    run = backend.system.records.open()
    run.save(RunRecord(run.run_id, state="RUNNING", runner="podman", host="host", image=NAME))
    run.release()
    return run.run_id


def test_many_containers_run_in_one_session_and_dead_runs_are_swept_once(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = []
    sweep = clean.sweep
    monkeypatch.setattr(module, "sweep", lambda system: swept.append(sweep(system)))
    first = dies(ready)
    with session(ready.system):
        second = dies(ready)
        states = [run_container(SPEC, ready.system).record.state for _again in range(3)]
    assert states == ["COMPLETED"] * 3
    assert [[record.run_id for record in records] for records in swept] == [[first]]
    assert ready.system.records.active() == [second]
    with session(ready.system):
        assert ready.system.records.active() == []


def test_a_caller_that_changes_nothing_sweeps_nothing(ready: BackEnd) -> None:
    number = dies(ready)
    before = ready.files()
    with session(ready.system, change=False):
        pass
    assert ready.files() == before
    assert ready.system.records.active() == [number]


def test_a_signal_to_stop_is_for_all_that_is_left_of_a_session_and_for_no_other(
    ready: BackEnd,
) -> None:
    def told(command: Command, _streams: Streams) -> Finished:
        tell_us()
        stopped = ready.process.told_to_stop()
        return Finished(command.argv, 143, stopped_by=stopped)

    ready.process.then("podman run", told)
    done = []
    with session(ready.system):
        while not ready.process.told_to_stop():
            done.append(run_container(SPEC, ready.system).record.state)
    assert done == ["CANCELLED"]
    ready.process.answer("podman run")
    with session(ready.system):
        assert ready.process.told_to_stop() == ""
        assert run_container(SPEC, ready.system).record.state == "COMPLETED"


def test_a_signal_that_comes_while_dead_runs_are_swept_is_noted(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "sweep", lambda _system: tell_us(signal.SIGHUP))
    with session(ready.system):
        assert ready.process.told_to_stop() == "SIGHUP"


def test_a_sweep_that_fails_is_a_warning(ready: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_system: System) -> None:
        raise CesError("remove a run", said="the disk is broken")

    monkeypatch.setattr(module, "sweep", fail)
    with session(ready.system):
        assert run_container(SPEC, ready.system).record.state == "COMPLETED"
    warning = "warning: an earlier run is not cleared away: could not remove a run"
    assert any(line.startswith(warning) for line in ready.said)


@pytest.mark.parametrize("error", [None, CesError("run it"), KeyboardInterrupt()])
def test_after_a_session_signals_do_what_they_did_before(
    ready: BackEnd, error: Exception | None
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        with session(ready.system):
            assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
            if error is not None:
                raise error
    except (CesError, KeyboardInterrupt) as raised:
        assert raised is error
    assert {number: signal.getsignal(number) for number in before} == before
    assert ready.process.signals is None


def test_no_other_service_sets_signals_up_and_only_those_that_are_for_it_sweep() -> None:
    others = {file.name: file.read_text() for file in Path(module.__file__).parent.glob("*.py")}
    assert [name for name, text in others.items() if "StopSignals()" in text] == ["session.py"]
    sweeping = {name for name, text in others.items() if " sweep(" in text}
    # ces-clean, each session, ces-stop
    assert sweeping == {"clean.py", "session.py", "runs.py"}


ROOT = Path(__file__).parents[3]
DOORS = [
    *ROOT.glob("plugins/modules/*.py"),
    *ROOT.glob("roles/ces_tools/files/ces_commands/doors/*.py"),
]
INSIDE = {"run_container", "run_job", "submit_run", "pull_image", "make_bundle"}


def calls(tree: Module | With) -> list[Name]:
    """The calls of services that belong into a session."""
    names = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [name for name in names if isinstance(name, ast.Name) and name.id in INSIDE]


def test_doors_call_what_belongs_into_a_session_in_one() -> None:
    found = set()
    for door in DOORS:
        tree = ast.parse(door.read_text())
        blocks = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.With)
            and ast.unparse(node.items[0].context_expr).startswith("session(")
        ]
        inside = {id(name) for block in blocks for name in calls(block)}
        assert [name.id for name in calls(tree) if id(name) not in inside] == [], door
        found |= {name.id for name in calls(tree)}
    assert found == INSIDE
