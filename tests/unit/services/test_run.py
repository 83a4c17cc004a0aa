# SPDX-License-Identifier: GPL-3.0-or-later
"""A run from its plan to its record. No engine runs here: see RecordingProcess."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from recording import DIGEST, REGISTRY, BackEnd
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    Interrupted,
    InvalidValue,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import (
    planned,
    run_container,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.runs import (
    list_runs,
    stop_left_by_task,
    stop_run,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import Limiting
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import ActiveRun
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import (
    OptionChanges,
    Policy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Limits
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Directories,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
SPEC = RunSpec(ImageRef.parse(NAME), "podman")
GIB = 1024**3


@pytest.fixture
def ready(backend: BackEnd) -> BackEnd:
    """The image is in storage."""
    backend.has_image(NAME)
    return backend


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_run_is_one_engine_command_and_leaves_outputs_a_log_and_a_record(ready: BackEnd) -> None:
    seen: dict[str, Any] = {}

    def look(command: Command, streams: Streams) -> Finished:
        private = Path(ready.place, "run/ces/run-1")
        seen["env"] = (private / "env").read_text()
        ours = (ready.home / "outputs-1", ready.home / "scratch-1", private, private / "env")
        seen["modes"] = [mode_of(path) for path in ours]
        seen["state"] = ready.system.records.load(1).state
        seen["log"] = streams.log
        seen["kill"] = there(streams.kill)(10).argv
        (ready.home / "scratch-1" / "left").touch()
        (ready.home / "outputs-1" / "result").touch()
        return Finished(command.argv, 0, "out", "err")

    ready.process.then("podman run", look)
    spec = replace(SPEC, args=("-x", "a b"), env={"A": "1 '\"$", "B": ""}, cpus=2, memory="1GiB")
    ran = run_container(spec, ready.system)

    home, private = f"{ready.place}/home", f"{ready.place}/run/ces/run-1"
    (argv,) = ready.process.told("podman run")
    assert argv == (
        *("podman", "run", "--rm", "--pull=never", "--sig-proxy=false", "--log-driver=passthrough"),
        "--group-add=keep-groups",
        "--http-proxy=false",
        "--default-mounts-file=/dev/null",
        "--no-healthcheck",
        "--systemd=false",
        *("--name=ces-1", "--label=ces.run=1"),
        *(f"--cidfile={private}/cid", f"--conmon-pidfile={private}/monitor"),
        *(f"--env-file={private}/env", "--network=none"),
        "--cgroups=no-conmon",
        *("--cpus=2", "--memory=1073741824b", "--memory-swap=1073741824b"),
        f"--mount=type=bind,src={ready.place}/safe_data/p1,dst=/safe_data",
        f"--mount=type=bind,src={home}/outputs-1,dst=/safe_outputs",
        f"--mount=type=bind,src={home}/scratch-1,dst=/scratch",
        *("--", NAME, "-x", "a b"),
    )
    assert seen == {
        "env": "A=1 '\"$\nB=\n",
        "modes": [0o700, 0o700, 0o700, 0o600],
        "state": "RUNNING",
        "log": f"{home}/.local/state/ces/runs/1/output.log",
        "kill": ("podman", "kill", "--signal=10", f"--cidfile={private}/cid"),
    }
    assert (ran.stdout, ran.stderr) == ("out", "err")
    record = ready.system.records.load(1)
    assert record == replace(ran.record, command=list(argv), warnings=[])
    assert (record.state, record.rc, record.reason) == ("COMPLETED", 0, "")
    assert (record.image, record.digest, record.user) == (NAME, DIGEST, "ada")
    assert record.resources == {"cpus": 2, "memory": GIB, "gpu": False, "enforced": True}
    assert there(record.started) <= there(record.ended)
    assert (ready.home / "outputs-1" / "result").exists()
    assert not (ready.home / "scratch-1").exists()
    assert not os.path.exists(private)
    assert ready.system.records.active() == []


def configured(ready: BackEnd, where: str, text: str) -> str:
    """The back-end where a user has such a file."""
    file = ready.home / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    "where",
    [".config/containers/containers.conf", ".config/containers/containers.conf.d/1-mine.conf"],
)
def test_a_users_containers_conf_that_breaks_the_promise_does_not_hold(
    ready: BackEnd, where: str
) -> None:
    file = configured(ready, where, '[containers]\npidns = "host"\nenv = ["A=1"]\ntz = "UTC"\n')
    seen: dict[str, Any] = {}

    def look(command: Command, _streams: Streams) -> Finished:
        seen["override"] = Path(command.env["CONTAINERS_CONF_OVERRIDE"]).read_text()
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    record = run_container(SPEC, ready.system).record
    assert seen["override"].startswith('[containers]\nenv = ["PATH=')
    assert 'pidns = "private"' in seen["override"]
    assert "tz" not in seen["override"]
    for key, value in (("pidns", '"host"'), ("env", '["A=1"]')):
        warning = f"{file} sets containers.{key} = {value}, which does not hold for this run"
        assert warning in record.warnings
        assert f"warning: {warning}" in ready.said


def test_an_override_of_the_users_own_is_looked_at_and_otherwise_kept(ready: BackEnd) -> None:
    text = '[containers]\nuserns = "keep-id"\n[engine]\nnum_locks = 7\n'
    file = configured(ready, "last.conf", text)
    environ = {**ready.system.account.environ, "CONTAINERS_CONF_OVERRIDE": file}
    system = replace(ready.system, account=replace(ready.system.account, environ=environ))
    seen = []

    def look(command: Command, _streams: Streams) -> Finished:
        seen.append(Path(command.env["CONTAINERS_CONF_OVERRIDE"]).read_text())
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    run_container(SPEC, system)
    assert seen == ['[containers]\nuserns = "host"\n[engine]\nnum_locks = 7\n']


def test_without_such_a_file_podman_is_told_of_none(ready: BackEnd) -> None:
    configured(ready, ".config/containers/containers.conf", '[containers]\ntz = "UTC"\n')
    record = run_container(SPEC, ready.system).record
    (command,) = [c for c in ready.process.commands if c.argv[:2] == ("podman", "run")]
    assert "CONTAINERS_CONF_OVERRIDE" not in command.env
    assert record.warnings == ()


def test_values_of_variables_are_in_no_argument_record_or_message(ready: BackEnd) -> None:
    spec = replace(SPEC, env={"TOKEN": "s3cret"}, options=("--env", "OTHER=s3cret"))
    run_container(spec, ready.system)
    assert all("s3cret" not in " ".join(c.argv) for c in ready.process.commands)
    assert "s3cret" not in ready.everything_written()
    assert "s3cret" not in " ".join(ready.said)


_STAMP = 'time="2026-11-28T20:48:26Z" level='
_RESET = "invalid internal status, try resetting the pause process with "
_RESET += r"\"podman system migrate\": "
NO_NAMESPACE = (
    f'{_STAMP}error msg="running `/usr/bin/newuidmap 412 0`: newuidmap: write to uid_map failed: '
    f'Operation not permitted\\n"\n{_STAMP}error msg="{_RESET}cannot set up namespace using '
    '\\"/usr/bin/newuidmap\\": exit status 1"\n'
)
OWN_UID = (
    f'{_STAMP}error msg="{_RESET}invalid configuration: the specified mapping 2000:65536 in '
    '\\"/etc/subuid\\" includes the user UID"\n'
)
CONFIGURATION = (
    f'{_STAMP}warning msg="Failed to read /home/ada/storage.conf toml: line 2: no name\\n"\n'
    "Failed to obtain podman configuration: toml: line 2: expected a name, but got '\\n' instead\n"
)

ENDS = [
    # how the engine ended; state, exit status and a part of the reason
    ({"rc": 0}, "COMPLETED", 0, ""),
    ({"rc": 3}, "FAILED", 3, "the container exited with 3"),
    ({"rc": 137}, "FAILED", 137, "SIGKILL"),
    ({"rc": 125}, "FAILED", 125, "the container exited with 125"),
    ({"rc": 125, "stderr": "Error: short\n"}, "FAILED", 125, "podman: short"),
    (
        {"rc": 125, "stderr": 'x\nError: the container name "n" is already in use\n'},
        "FAILED",
        125,
        "choose another name",
    ),
    ({"rc": 127, "stderr": "Error: crun: executable file `/x` not found"}, "FAILED", 127, "--ent"),
    ({"rc": 1, "stderr": "Error: the program's own"}, "FAILED", 1, "the container exited with 1"),
    ({"rc": 143, "stopped_by": "timeout"}, "TIMEOUT", 124, "timeout of 90 s"),
    ({"rc": 137, "stopped_by": "SIGTERM"}, "CANCELLED", 143, "stopped by SIGTERM"),
    ({"rc": 0, "stopped_by": "SIGINT"}, "CANCELLED", 130, "stopped by SIGINT"),
]


@pytest.mark.parametrize(("end", "state", "rc", "reason"), ENDS)
def test_how_the_engine_ends_is_told_in_state_status_and_reason(
    ready: BackEnd, end: dict[str, Any], state: str, rc: int, reason: str
) -> None:
    ready.process.then("podman run", lambda command, _streams: Finished(command.argv, **end))
    record = run_container(replace(SPEC, timeout="90s"), ready.system).record
    assert (record.state, record.rc) == (state, rc)
    assert reason in record.reason
    assert bool(record.reason) == bool(reason)
    assert not (ready.home / "scratch-1").exists()
    assert ready.system.records.load(1).state == state


EARLY = [
    # exit status and messages of a podman that started no container; a part of the reason
    (1, NO_NAMESPACE, "podman: running `/usr/bin/newuidmap 412 0`: newuidmap: write to uid_map"),
    (1, NO_NAMESPACE, "the administrator installs uidmap with its setuid bits"),
    (1, NO_NAMESPACE.replace("Operation not permitted", "Invalid argument"), "have an id twice"),
    (1, OWN_UID, "podman: invalid configuration: the specified mapping 2000:65536 in"),
    (1, OWN_UID, "your subordinate ids hold your own id: the administrator removes that line"),
    (1, CONFIGURATION, "got '\\n' instead. correct the file that it names, or move it away"),
    (125, 'Error: default OCI runtime "x" not found: invalid argument\n', "correct the file"),
    (2, "", "podman: it exited with 2"),
]
"""What podman 5.4 says (tried)."""


@pytest.mark.parametrize(("rc", "stderr", "reason"), EARLY)
def test_a_podman_that_cannot_start_is_no_container_that_failed(
    ready: BackEnd, rc: int, stderr: str, reason: str
) -> None:
    ready.process.starts_containers = False
    ready.process.answer("podman run", rc, stderr=stderr)
    record = run_container(SPEC, ready.system).record
    assert (record.state, record.rc) == ("FAILED", 125)
    assert reason in record.reason


@pytest.mark.parametrize("rc", [1, 125])
def test_what_looks_like_podmans_own_words_may_be_a_containers(ready: BackEnd, rc: int) -> None:
    ready.process.answer("podman run", rc, stderr=NO_NAMESPACE)
    record = run_container(SPEC, ready.system).record
    assert (record.rc, record.reason) == (rc, f"the container exited with {rc}")


@pytest.mark.parametrize(("rc", "state"), [(143, "FAILED"), (137, "FAILED")])
def test_a_podman_that_was_killed_as_it_started_says_nothing_of_itself(
    ready: BackEnd, rc: int, state: str
) -> None:
    ready.process.starts_containers = False
    ready.process.answer("podman run", rc)
    record = run_container(SPEC, ready.system).record
    assert (record.state, record.rc) == (state, rc)


@pytest.mark.parametrize(
    ("rc", "said", "asked"),
    [(125, "Error: app: image not known\n", 2), (125, "Error: x\n", 1), (3, "image not known", 1)],
)
def test_what_was_known_of_images_is_forgotten_when_podman_knows_better(
    ready: BackEnd, rc: int, said: str, asked: int
) -> None:
    """Somebody removed the image behind our back: the next run asks podman anew."""
    listing = ready.place / "images.json"
    listing.write_text("[]")
    ready.process.answer("podman info", stdout=f"{listing}\n")
    ready.process.answer("podman run", rc, stderr=said)
    for _again in range(2):
        run_container(SPEC, ready.system)
    assert len(ready.process.told("podman image inspect")) == asked


@pytest.mark.parametrize("kind", ["auth", "ca"])
def test_a_sweep_removes_the_secrets_of_who_was_killed(ready: BackEnd, kind: str) -> None:
    left = Path(ready.system.account.make_runtime(), f"{kind}-0123456789abcdef")
    left.write_text("s3cret")
    other = Path(ready.system.account.make_runtime(), "images.json")
    other.write_text("{}")
    sweep(ready.system)
    assert (left.exists(), other.exists()) == (False, True)


def test_a_log_that_was_cut_short_is_a_warning_in_the_record(ready: BackEnd) -> None:
    cut = "the log is cut short: No space left on device"
    ready.process.then("podman run", lambda c, _s: Finished(c.argv, 0, log_error=cut))
    assert cut in run_container(SPEC, ready.system).record.warnings


@pytest.mark.parametrize(
    ("error", "state"),
    [(Interrupted("x", "SIGTERM"), "CANCELLED"), (KeyboardInterrupt(), "FAILED")],
)
def test_whatever_breaks_a_run_off_it_is_cleared_away_and_recorded(
    ready: BackEnd, error: Interrupted | KeyboardInterrupt, state: str
) -> None:
    def break_off(_command: Command, _streams: Streams) -> NoReturn:
        Path(ready.place, "run/ces/run-1/cid").write_text("abc")
        raise error

    ready.process.then("podman run", break_off)
    with pytest.raises(type(error)):
        run_container(SPEC, ready.system)
    cid = f"--cidfile={ready.place}/run/ces/run-1/cid"
    assert ready.process.told("podman rm") == [
        ("podman", "rm", "--force", "--ignore", "--time=0", cid)
    ]
    assert not (ready.home / "scratch-1").exists()
    assert not os.path.exists(f"{ready.place}/run/ces/run-1")
    assert ready.system.records.load(1).state == state
    assert ready.system.records.active() == []


def test_a_run_whose_end_could_not_be_recorded_is_left_to_the_next_sweep(ready: BackEnd) -> None:
    def nobody_listens(message: str) -> None:
        if message.startswith("warning"):
            raise BrokenPipeError

    def leave_a_container(command: Command, _streams: Streams) -> Finished:
        Path(ready.place, "run/ces/run-1/cid").write_text("abc")
        return Finished(command.argv, 143, stopped_by="SIGTERM")

    ready.process.then("podman run", leave_a_container)
    ready.process.answer("podman rm", 125, stderr="Error: device busy\n")
    ready.system.tell = nobody_listens
    with pytest.raises(BrokenPipeError):
        run_container(SPEC, ready.system)
    assert ready.system.records.load(1).state == "RUNNING"
    ready.system.tell = lambda _message: None
    assert [record.state for record in sweep(ready.system)] == ["CANCELLED"]
    assert ready.system.records.active() == []


def test_what_is_left_of_a_forgotten_run_of_the_same_number_is_no_obstacle(ready: BackEnd) -> None:
    """Its records were removed; what it had in memory was not."""
    private = ready.place / "run/ces/run-1"
    private.mkdir(parents=True)
    for name in ("env", "cid"):
        (private / name).write_text("of the other run")

    def look(command: Command, _streams: Streams) -> Finished:
        assert (private / "env").read_text() == "A=1\n"
        assert not (private / "cid").exists()
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    assert run_container(replace(SPEC, env={"A": "1"}), ready.system).record.state == "COMPLETED"


def test_directories_that_the_caller_chose_are_kept(ready: BackEnd) -> None:
    chosen = Directories(outputs=f"{ready.home}/o", scratch=f"{ready.home}/s")
    (ready.home / "s").mkdir(mode=0o750)
    (ready.home / "s" / "mine").touch()
    record = run_container(replace(SPEC, directories=chosen), ready.system).record
    assert (record.outputs, record.scratch) == (f"{ready.home}/o", f"{ready.home}/s")
    assert (ready.home / "s" / "mine").exists()
    assert (mode_of(ready.home / "o"), mode_of(ready.home / "s")) == (0o700, 0o750)


def test_a_number_whose_directories_are_there_is_passed_over(ready: BackEnd) -> None:
    (ready.home / "outputs-1").mkdir()
    (ready.home / "scratch-2").symlink_to("/nonexistent")
    assert run_container(SPEC, ready.system).record.run_id == 3


# --- what is refused, before anything is changed ---

REFUSALS = [
    ({"runner": "docker"}, {}, InvalidValue, "no runner of that name"),
    ({"runner": "apptainer"}, {}, RefusedByPolicy, "this site allows: podman"),
    ({"image": ImageRef.parse("evil.example/a")}, {}, RefusedByPolicy, "registry is not allowed"),
    ({}, {"require_digest": True}, RefusedByPolicy, "named by digest"),
    ({"network": "host"}, {}, RefusedByPolicy, "this site allows: none"),
    (
        {"network": "bridge", "runner": "oci"},
        {"networks": ("none", "bridge"), "runners": ("oci",)},
        InvalidValue,
        "it is none of none, host",
    ),
    ({"memory": "8GiB"}, {"memory": Limits(maximum=4 * GIB)}, RefusedByPolicy, "at most 4GiB"),
    ({"cpus": 8}, {"cpus": Limits(maximum=4)}, RefusedByPolicy, "at most 4"),
    ({"options": ["--privileged"]}, {}, RefusedByPolicy, "pass --privileged to podman"),
    (
        {"options": ["--user=1"]},
        {"options": {"podman": OptionChanges(deny=("--user",))}},
        RefusedByPolicy,
        "pass --user to podman",
    ),
    ({"options": ["-v", "/:/host"]}, {}, RefusedByPolicy, "outside what may be mounted"),
    ({"options": ["-v", "/etc:/mnt:ro"]}, {}, RefusedByPolicy, "outside what may be mounted"),
    ({"options": ["--mount", "src=/,dst=/mnt"]}, {}, RefusedByPolicy, "outside what may be"),
    ({"options": ["-v", "{home}/none:/mnt"]}, {}, NotFound, "does not exist"),
    ({"options": ["-v{home}:/m", "-v{home}:/m/"]}, {}, InvalidValue, "two mounts have that place"),
    ({"options": ["-v", "{home}:/safe_data"]}, {}, InvalidValue, "is taken"),
    ({"directories": Directories(outputs="/etc/x")}, {}, RefusedByPolicy, "outside what may be"),
    ({"directories": Directories(scratch="/")}, {}, RefusedByPolicy, "outside what may be"),
    ({"directories": Directories(project="p2")}, {}, CesError, "could not use project 'p2'"),
    ({"pull": "never"}, {}, NotFound, "pull it first: ces-pull podman r"),
    ({"home": True}, {"home": "never"}, RefusedByPolicy, "could not mount the home"),
]


@pytest.mark.parametrize(("asked", "site", "error", "said"), REFUSALS)
@pytest.mark.parametrize("do", [run_container, planned])
def test_what_may_not_be_is_refused_before_any_engine_and_any_number(
    backend: BackEnd,
    do: Callable[..., Any],
    asked: dict[str, Any],
    site: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    asked = dict(asked)
    if "options" in asked:
        asked["options"] = [word.format(home=backend.home) for word in asked["options"]]
    backend.system.policy = replace(backend.system.policy, **site)
    with pytest.raises(error) as caught:
        do(replace(SPEC, **asked), backend.system)
    assert said in str(caught.value)
    assert backend.process.told("podman run") == []
    assert backend.process.told("podman pull") == []
    assert not (backend.home / ".local").exists()


def test_options_that_are_words_of_the_run_are_taken_as_such(ready: BackEnd) -> None:
    options = ("--network=none", "--name=mine", "--memory=512m", "--cpus=2", "--http-proxy=false")
    record = run_container(replace(SPEC, options=options), ready.system).record
    assert (record.network, record.name) == ("none", "mine")
    assert (record.resources["memory"], record.resources["cpus"]) == (512 * 1024**2, 2)
    (argv,) = ready.process.told("podman run")
    assert [word for word in argv if "=mine" in word] == ["--name=mine"]
    assert [word for word in argv if word.startswith("--network")] == ["--network=none"]
    assert "--http-proxy=false" in argv


@pytest.mark.parametrize(
    ("spec", "options", "error", "said"),
    [
        ({}, ["--network=host"], RefusedByPolicy, "network"),
        ({}, ["--name=-x"], InvalidValue, "a container name"),
        ({"name": "a"}, ["--name=b"], InvalidValue, "the run has another name already"),
        ({}, ["--name=a", "--name=b"], InvalidValue, "the run has another name already"),
        ({}, ["--memory=512"], InvalidValue, "less than 4 MiB"),
    ],
)
def test_the_policy_decides_about_words_of_the_run_in_options(
    ready: BackEnd, spec: dict[str, Any], options: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        run_container(replace(SPEC, **spec, options=options), ready.system)
    assert ready.process.told("podman run") == []


def test_an_engine_that_is_not_installed_is_said_with_the_role_that_installs_it(
    backend: BackEnd,
) -> None:
    (backend.place / "bin" / "podman").unlink()
    with pytest.raises(CesError, match=r"podman is not installed on this host.*role podman"):
        run_container(SPEC, backend.system)


def test_without_a_policy_nothing_runs(backend: BackEnd) -> None:
    backend.system.policy = Policy(audit_syslog=False)
    with pytest.raises(RefusedByPolicy, match="allowed: none"):
        run_container(SPEC, backend.system)


@pytest.mark.parametrize(
    ("controllers", "words", "warned"),
    [
        ({"cpu", "memory"}, ["--cpus=2", "--memory=4294967296b"], None),
        ({"cpu"}, ["--cpus=2"], "limits on memory are not enforced: because"),
        ({"memory"}, ["--memory=4294967296b"], "limits on cpus are not enforced: because"),
        (set(), [], "limits on cpus and memory are not enforced: because"),
    ],
)
def test_limits_that_the_kernel_cannot_hold_are_left_out_with_a_warning_or_refused(
    ready: BackEnd, controllers: set[str], words: list[str], warned: str | None
) -> None:
    ready.system.limiting = Limiting(frozenset(controllers), "because")
    record = run_container(replace(SPEC, cpus=2), ready.system).record
    (argv,) = ready.process.told("podman run")
    limits = [w for w in argv if w.startswith(("--cpus", "--memory=", "--memory-s"))]
    assert [word for word in limits if "swap" not in word] == words
    assert list(record.warnings) == ([warned] if warned else [])
    assert any(warned in line for line in ready.said) if warned else True
    assert record.resources["enforced"] is (warned is None)
    assert f"--cgroups={'no-conmon' if controllers else 'disabled'}" in argv
    ready.system.policy = replace(ready.system.policy, limits="required")
    if warned:
        with pytest.raises(RefusedByPolicy, match="this site requires limits"):
            run_container(replace(SPEC, cpus=2), ready.system)


@pytest.mark.parametrize("outside", [True, False])
def test_variables_of_slurm_take_no_limit_from_a_run_outside_of_jobs(
    ready: BackEnd, outside: bool
) -> None:
    """In a job it is Slurm that holds the job; a user may set the variables anywhere."""
    allocation = Allocation("12", "12", outside=outside)
    ready.system = replace(ready.system, allocation=allocation)
    ready.system.limiting = Limiting(frozenset({"cpu", "memory"}))
    run_container(replace(SPEC, cpus=2, memory="4GiB"), ready.system)
    (argv,) = ready.process.told("podman run")
    assert ("--memory=4294967296b" in argv) is outside
    assert ("--cgroups=disabled" in argv) is not outside


# --- planning changes nothing, and predicts ---


def test_planning_changes_nothing_and_says_what_a_run_would_do(ready: BackEnd) -> None:
    spec = replace(SPEC, args=("x",), options=("--user=1",), env={"A": "s3cret"})
    # podman's answers about images may be kept; only that
    before = {name: text for name, text in ready.files().items() if not name.startswith("run/ces")}
    plan = planned(spec, ready.system)
    after = {name: text for name, text in ready.files().items() if not name.startswith("run/ces")}
    assert after == before
    assert ready.process.told("podman run") == []
    record = run_container(spec, ready.system).record
    assert plan.command == record.command
    for name in ("run_id", "image", "digest", "mounts", "resources", "outputs", "scratch"):
        assert getattr(plan, name) == getattr(record, name)
    assert "s3cret" not in json.dumps(plan.as_dict())


# --- runs whose process died ---


@pytest.fixture
def dead(ready: BackEnd) -> BackEnd:
    """A run whose process was killed: its container, scratch and own directory are still there."""
    active = ready.system.records.open()
    scratch = ready.home / f"scratch-{active.run_id}"
    private = ready.place / "run" / "ces" / f"run-{active.run_id}"
    for directory in (scratch, private):
        directory.mkdir(parents=True)
    (private / "cid").write_text("abc")
    (private / "env").write_text("TOKEN=s3cret\n")
    record = RunRecord(active.run_id, state="RUNNING", runner="podman", host="host", image=NAME)
    record.scratch, record.scratch_created = str(scratch), True
    there(active).save(record)
    there(active).release()
    return ready


def test_a_container_whose_monitor_was_killed_is_removed_at_the_second_try(dead: BackEnd) -> None:
    """podman notices at the first one only that the monitor is gone."""
    answers = [(0, ""), (125, "Error: no such process\n")]

    def remove(command: Command, _streams: Streams) -> Finished:
        rc, stderr = answers.pop()
        return Finished(command.argv, rc, "", stderr)

    dead.process.then("podman rm", remove)
    (record,) = sweep(dead.system)
    assert (answers, record.warnings) == ([], ())


def test_a_dead_run_that_has_written_down_its_end_keeps_it(dead: BackEnd) -> None:
    record = dead.system.records.load(1)
    active = dead.system.records.claim(1)
    record.state, record.rc, record.ended = "COMPLETED", 0, "2026-01-01T00:00:00Z"
    there(active).save(record)
    there(active).release()
    (swept,) = sweep(dead.system)
    assert (swept.state, swept.rc, swept.ended) == ("COMPLETED", 0, "2026-01-01T00:00:00Z")
    assert not (dead.home / "scratch-1").exists()


def test_the_next_run_clears_away_after_a_dead_one(dead: BackEnd) -> None:
    with session(dead.system):
        assert run_container(SPEC, dead.system).record.run_id == 2
    (removed,) = dead.process.told("podman rm")
    assert removed[-1] == f"--cidfile={dead.place}/run/ces/run-1/cid"
    assert not (dead.home / "scratch-1").exists()
    assert "s3cret" not in dead.everything_written()
    record = dead.system.records.load(1)
    assert (record.state, record.rc) == ("CANCELLED", None)
    assert "was killed" in record.reason
    assert sweep(dead.system) == []


@pytest.mark.parametrize(
    ("job", "seconds", "state"),
    [
        ("40", -1, "TIMEOUT"),
        ("40", 4, "TIMEOUT"),
        ("40", 600, "CANCELLED"),
        (None, -1, "CANCELLED"),
    ],
)
def test_a_dead_run_says_whether_the_time_of_its_job_was_over(
    dead: BackEnd, job: str | None, seconds: int, state: str
) -> None:
    record, run = dead.system.records.load(1), dead.system.records.claim(1)
    record.slurm_job_id, record.deadline = "40", time.time() + seconds
    there(run).save(record)
    there(run).release()
    (swept,) = sweep(dead.system, job)
    assert (swept.state, swept.rc) == (state, None)
    assert dead.system.records.load(1).state == state


def test_a_dead_run_of_another_host_is_left_to_it(dead: BackEnd) -> None:
    dead.system.host = "another"
    assert sweep(dead.system) == []
    assert (dead.home / "scratch-1").exists()
    with pytest.raises(CesError, match=r"it runs on host\. run ces-stop 1 there"):
        stop_run(1, dead.system)


def test_what_cannot_be_removed_is_a_warning_and_no_obstacle(dead: BackEnd) -> None:
    dead.process.answer("podman rm", 125, stderr="Error: device busy\n")
    with session(dead.system):
        assert run_container(SPEC, dead.system).record.state == "COMPLETED"
    assert any("device busy" in text for text in dead.system.records.load(1).warnings)


def test_stopping_a_dead_run_sweeps_it(dead: BackEnd) -> None:
    assert stop_run(1, dead.system).state == "CANCELLED"
    with pytest.raises(CesError, match="it has ended: CANCELLED"):
        stop_run(1, dead.system)
    with pytest.raises(NotFound):
        stop_run(7, dead.system)


@dataclass
class Task:
    """What a Slurm task started: a run whose process does as it is told, and says so."""

    backend: BackEnd
    process: subprocess.Popen[bytes]
    run: ActiveRun

    @classmethod
    def started(cls, backend: BackEnd, **variables: str) -> Task:
        process = subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], **variables})
        run = backend.system.records.open()
        record = RunRecord(run.run_id, state="RUNNING", runner="podman", host="host", image=NAME)
        record.pid = process.pid
        there(run).save(record)
        task = cls(backend, process, run)
        threading.Thread(target=task._follow, args=(record,)).start()
        return task

    def _follow(self, record: RunRecord) -> None:
        record.rc = 128 - self.process.wait()
        record.state = "CANCELLED"
        self.run.save_last(record)
        self.run.finish()


def test_a_slurm_task_that_has_ended_has_its_own_runs_stopped(ready: BackEnd) -> None:
    mine = {"SLURM_JOB_ID": "40", "SLURM_PROCID": "0"}
    task = Task.started(ready, **mine)
    others = [
        Task.started(ready, **{**mine, **another})
        for another in ({"SLURM_JOB_ID": "41"}, {"SLURM_PROCID": "1"}, {"SLURM_STEP_ID": "0"})
    ]
    others.append(Task.started(ready))
    try:
        account = replace(ready.system.account, environ={**ready.system.account.environ, **mine})
        (record,) = stop_left_by_task(replace(ready.system, account=account))
        assert (record.run_id, record.state, record.rc) == (task.run.run_id, "CANCELLED", 143)
        assert [other.process.poll() for other in others] == [None] * 4
    finally:
        for other in (task, *others):
            other.process.kill()


def test_runs_are_listed_the_newest_first_and_by_state(dead: BackEnd) -> None:
    with session(dead.system):
        for name in (None, "other"):
            run_container(replace(SPEC, name=name), dead.system)
    assert [record.run_id for record in list_runs(dead.system)] == [3, 2, 1]
    assert [record.run_id for record in list_runs(dead.system, limit=1)] == [3]
    assert [record.run_id for record in list_runs(dead.system, state="CANCELLED")] == [1]
    assert list_runs(dead.system, limit=0) == []


def test_a_link_leads_to_the_record_while_it_runs_and_afterwards(
    ready: BackEnd, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to("/of/an/older/run")
    seen = []

    def look(command: Command, _streams: Streams) -> Finished:
        seen.append(json.loads((link / "run.json").read_text())["state"])
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    ran = run_container(replace(SPEC, record_link=str(link)), ready.system)
    assert seen == ["RUNNING"]
    assert json.loads((link / "run.json").read_text())["state"] == "COMPLETED"
    assert link.resolve() == Path(ran.record.log).parent


def test_no_file_gives_way_to_a_link_and_the_record_says_so(ready: BackEnd, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.write_text("mine")
    with pytest.raises(CesError, match="no symbolic link"):
        run_container(replace(SPEC, record_link=str(link)), ready.system)
    assert link.read_text() == "mine"
    assert [record.state for record in list_runs(ready.system)] == ["FAILED"]
