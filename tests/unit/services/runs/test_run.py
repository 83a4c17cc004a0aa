# SPDX-License-Identifier: GPL-3.0-or-later
"""A run from its plan to its record. No engine runs here: see RecordingProcess."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import pytest
from one_run import GIB, NAME, SPEC
from recording import DIGEST, BackEnd
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Interrupted,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import (
    run_container,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import containers_conf
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Directories,
)


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
    ready.process.answer("podman --version", stdout="podman version 5.4.2\n")
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


def test_a_podman_that_reads_no_override_is_given_a_whole_file(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman 4.3 knows no file that is read last, and took what the user had set."""
    site = ready.place / "site.conf"
    site.write_text('[engine]\nnum_locks = 7\n[containers]\nshm_size = "1m"\nvolumes = ["/x:/x"]\n')
    monkeypatch.setattr(containers_conf, "SYSTEM", (str(site),))
    text = '[containers]\nvolumes = ["/etc:/h", {append=true}]\nlog_tag = "x"\n'
    configured(ready, ".config/containers/containers.conf", text)
    ready.process.answer("podman --version", stdout="podman version 4.3.1\n")
    seen = []

    def look(command: Command, _streams: Streams) -> Finished:
        assert "CONTAINERS_CONF_OVERRIDE" not in command.env
        seen.append(Path(command.env["CONTAINERS_CONF"]).read_text())
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    run_container(SPEC, ready.system)
    assert seen == ['[containers]\nshm_size = "1m"\nvolumes = []\n[engine]\nnum_locks = 7\n']


def test_an_override_of_the_users_own_is_looked_at_and_otherwise_kept(ready: BackEnd) -> None:
    ready.process.answer("podman --version", stdout="podman version 5.4.2\n")
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
    assert not {"CONTAINERS_CONF_OVERRIDE", "CONTAINERS_CONF"} & set(command.env)
    assert ready.process.told("podman --version") == []
    assert record.warnings == ()


def test_values_of_variables_are_in_no_argument_record_or_message(ready: BackEnd) -> None:
    spec = replace(SPEC, env={"TOKEN": "s3cret"}, options=("--env", "OTHER=s3cret"))
    run_container(spec, ready.system)
    assert all("s3cret" not in " ".join(c.argv) for c in ready.process.commands)
    assert "s3cret" not in ready.everything_written()
    assert "s3cret" not in " ".join(ready.said)


_STAMP = 'time="2026-11-28T20:48:26Z" level='
_RESET = (
    r"invalid internal status, try resetting the pause process with \"podman system migrate\": "
)
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
