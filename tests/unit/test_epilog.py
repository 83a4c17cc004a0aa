# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's epilog: how long what a user left may keep a node, and which processes are a job's."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import eventually, is_gone, loaded, there

FILES = Path(__file__).resolve().parents[2] / "roles/slurm_oci/files"
JOB, USER = 12, 1001
DAEMON = "0::/system.slice/slurmd.service"
SESSION = "0::/user.slice/user-1001.slice/session-3.scope"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


def of_slurm(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return loaded(FILES / name)


@pytest.fixture
def epilog(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = of_slurm("epilog", monkeypatch)
    monkeypatch.setenv("SLURM_JOB_ID", str(JOB))
    monkeypatch.setenv("SLURM_JOB_UID", str(os.getuid()))
    return module


@pytest.fixture
def said(epilog: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines = []
    monkeypatch.setattr(epilog.syslog, "syslog", lambda _level, text: lines.append(text))
    return lines


@pytest.fixture
def job_processes(
    epilog: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> ModuleType:
    module = sys.modules["job_processes"]
    monkeypatch.setattr(module, "JOBS", tmp_path)
    return module


# --- bounds ---


def test_all_programs_together_have_one_bound(
    epilog: ModuleType, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waited = [100.0], []
    monkeypatch.setattr(epilog.time, "monotonic", lambda: now[0])

    class Hangs:
        def __init__(self, argv: tuple[str, ...], **_more: Any) -> None:
            self.argv = argv

        def wait(self, seconds: float) -> None:
            waited.append(seconds)
            now[0] += min(seconds, 3)
            raise subprocess.TimeoutExpired(self.argv, seconds)

        def kill(self) -> None:
            pass

    monkeypatch.setattr(sys.modules["as_user"].subprocess, "Popen", Hangs)
    job = epilog.Job()
    job.there = {f"d {job.bundles}/.{job.user.pw_name}.{JOB}.{step}.0" for step in range(50)}
    epilog.of_bundles(job)
    assert epilog.SECONDS == 10
    assert waited == [8, 5, 2]
    assert now[0] <= 100 + epilog.SECONDS - epilog.FOR_PROCESSES
    # a line for each of any number of them would fill the log
    assert len(said) == 4


@as_root
def test_what_runs_with_the_users_rights_says_and_writes_so_much(
    epilog: ModuleType, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["as_user"], "FILE_MAX", 5000)
    answer = epilog.Job().call("sh", "-c", "head -c 9000 /dev/zero")
    assert answer == "\0" * 5000
    assert "status" in said[-1]


def test_no_program_is_run_that_the_users_containers_conf_names(
    epilog: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = epilog.Job()
    assert job.environ["XDG_CONFIG_HOME"] == "/nonexistent"
    # but podman has to know where the containers are
    monkeypatch.setattr(job, "call", lambda *_words, **_more: f"f {job.storage}\nd {job.bundles}\n")
    epilog.look(job)
    assert job.environ["CONTAINERS_STORAGE_CONF"] == job.storage
    monkeypatch.setattr(job, "call", lambda *_words, **_more: f"p {job.storage}\n")
    job = epilog.Job()
    assert "CONTAINERS_STORAGE_CONF" not in job.environ


def test_a_job_that_cannot_be_cleared_away_leaves_no_file(
    epilog: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would say for ever that the user has another job on the node."""
    monkeypatch.setattr(epilog, "JOBS", tmp_path)
    monkeypatch.setattr(epilog, "adopt_orphans", lambda: None)
    monkeypatch.setattr(epilog.signal, "signal", lambda *_words: None)
    monkeypatch.setenv("SLURM_JOB_UID", str(2**31 - 5))
    (tmp_path / f"{JOB}.conf").touch()
    with pytest.raises(KeyError):
        epilog.main()
    assert list(tmp_path.iterdir()) == []


def test_processes_are_killed_once_however_late_it_is(
    job_processes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []
    lives = job_processes.Process(10, USER, 1, 1, "0", frozenset(), (b"sleep",))
    monkeypatch.setattr(job_processes.Process, "kill", lambda one: killed.append(one.number))
    monkeypatch.setattr(job_processes, "left_by", lambda _job, _user: [lives])
    told = job_processes.end_all(JOB, USER, 0.0)
    assert next(told) is lives
    with pytest.raises(TimeoutError, match="killed 1 processes"):
        next(told)
    assert killed == [10]


# --- whose processes ---


@pytest.fixture
def node(job_processes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Processes of a node: by number, what is other than usual."""
    named: set[int] = set()
    table: list[Any] = []
    monkeypatch.setattr(job_processes, "everything", lambda: list(table))
    monkeypatch.setattr(job_processes.Process, "names", lambda one, _job: one.number in named)
    monkeypatch.setattr(job_processes.Process, "serves_others", lambda _one: False)

    def add(
        number: int,
        cgroup: str = SESSION,
        names: bool = False,
        user: int = USER,
        parent: int = 1,
        session: int = 1,
        title: bytes = b"sleep",
    ) -> None:
        table.append(
            job_processes.Process(
                number, user, parent, session, "0", frozenset(cgroup.split()), (title,)
            )
        )
        if names:
            named.add(number)

    epilogs = job_processes.Process(os.getpid(), 0, 1, 1, "0", frozenset([DAEMON]), (b"epilog",))
    monkeypatch.setattr(job_processes.Process, "of", lambda _number: epilogs)
    return add


def left(job_processes: ModuleType) -> set[int]:
    return {process.number for process in job_processes.left_by(JOB, USER)}


def test_a_process_is_the_jobs_by_its_environment_and_with_all_below_it(
    node: Callable[..., None], job_processes: ModuleType
) -> None:
    node(10, names=True)
    node(11, parent=10)
    node(12, parent=11)
    node(13, session=10)
    node(14, parent=99, session=99)
    node(15, names=True, user=USER + 1)
    assert left(job_processes) == {10, 11, 12, 13}


@pytest.mark.parametrize("name", ["a\rUid:\t0\r", "a\rUid:x\r"])
def test_a_process_says_by_no_name_whose_it_is(job_processes: ModuleType, name: str) -> None:
    """One that was root's would stay after its job, and one that is no number end the epilog."""
    child = os.fork()
    if child == 0:
        Path("/proc/self/comm").write_text(name)
        os.setuid(os.getuid() or USER)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    try:
        os.waitpid(child, os.WUNTRACED)
        here = f"/proc/{child}"
        Path(here, "status").read_bytes().index(name.encode())
        owner = os.getuid() or USER
        assert job_processes.user_of(Path(here)) == owner
        assert job_processes.Process.of(child).user == owner
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_of_a_processs_arguments_the_beginning_is_read(job_processes: ModuleType) -> None:
    """A neighbour's may be without end, and cost the epilog its time and root the memory."""
    words = [sys.executable, "-c", "input()", *["x" * 100_000] * 10]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        eventually(lambda: b"input()" in job_processes.Process.of(child.pid).words)
        assert len(b"".join(job_processes.Process.of(child.pid).words)) <= 4096
        environ = Path(f"/proc/{child.pid}/environ")
        assert job_processes.beginning_of(environ, 1 << 20) == environ.read_bytes()
        assert child.stdin is not None
        child.stdin.close()


def test_a_cgroup_is_one_whatever_its_name(
    job_processes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{SESSION}/x\r0::/job_12/y\u2028z"
    read = Path.read_bytes

    def told(path: Path) -> bytes:
        return f"{line}\n".encode() if path.name == "cgroup" else read(path)

    monkeypatch.setattr(Path, "read_bytes", told)
    assert job_processes.Process.of(os.getpid()).cgroups == {line}


@pytest.mark.parametrize(
    ("cgroup", "is_the_jobs"),
    [
        ("0::/system.slice/slurmstepd.scope/job_12/step_0/user/task_0", True),
        ("4:memory:/slurm/uid_1001/job_12/step_batch\n1:name=systemd:/", True),
        ("0::/system.slice/slurmstepd.scope/job_12", True),
        ("0::/system.slice/slurmstepd.scope/job_123/step_0", False),
        ("0::/user.slice/user-1001.slice/user@1001.service/app.slice", False),
    ],
)
def test_a_process_is_the_jobs_by_its_cgroup(
    node: Callable[..., None], job_processes: ModuleType, cgroup: str, is_the_jobs: bool
) -> None:
    node(10, cgroup.replace("\n", " "))
    assert left(job_processes) == ({10} if is_the_jobs else set())


@pytest.mark.parametrize(
    ("records", "steps", "ends"),
    [
        ({JOB: "# user 1001\n"}, [], True),
        ({JOB: "# user 1001\n", 13: "# user 1002\n"}, [13], True),
        ({JOB: "# user 1001\n", 13: "# user 1001\n"}, [], False),
        # it began before there was a prolog that says whose it is
        ({JOB: "# user 1001\n", 13: "[containers]\n"}, [], False),
        ({JOB: "# user 1001\n"}, [13], False),
        ({JOB: "# user 1001\n"}, [JOB], True),
    ],
)
def test_what_slurms_daemon_holds_is_the_jobs_if_the_user_has_no_other(
    node: Callable[..., None],
    job_processes: ModuleType,
    records: dict[int, str],
    steps: list[int],
    ends: bool,
) -> None:
    for number, text in records.items():
        (job_processes.JOBS / f"{number}.conf").write_text(text)
    for number in steps:
        node(100 + number, DAEMON, user=0, title=b"slurmstepd: [%d.batch]" % number)
    node(10, DAEMON)
    node(11, SESSION)
    assert left(job_processes) == ({10} if ends else set())


def test_no_user_can_pretend_to_be_a_step_of_another_job(
    node: Callable[..., None], job_processes: ModuleType
) -> None:
    node(10, DAEMON, title=b"slurmstepd: [13.batch]")
    assert left(job_processes) == {10}


def test_a_daemon_without_a_cgroup_of_its_own_says_nothing(
    node: Callable[..., None], job_processes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = job_processes.Process(os.getpid(), 0, 1, 1, "0", frozenset(["0::/"]), (b"epilog",))
    monkeypatch.setattr(job_processes.Process, "of", lambda _number: root)
    node(10, SESSION)
    assert left(job_processes) == set()


def test_the_prolog_says_whose_the_job_is(
    job_processes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    prolog = of_slurm("prolog", monkeypatch)
    monkeypatch.setattr(prolog, "JOBS", job_processes.JOBS)
    prolog.write_settings(JOB, USER)
    assert job_processes.owner_of(JOB) == USER
    assert job_processes.owner_of(JOB + 1) is None


def test_what_a_user_mounts_in_the_way_keeps_no_job_unknown(
    job_processes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may not look at a file system of theirs (FUSE)."""
    prolog = of_slurm("prolog", monkeypatch)
    monkeypatch.setattr(prolog, "JOBS", job_processes.JOBS)
    for name, value in (("ID", JOB), ("UID", USER), ("GID", USER)):
        monkeypatch.setenv(f"SLURM_JOB_{name}", str(value))

    def refused(_uid: int, _gid: int) -> None:
        raise PermissionError

    monkeypatch.setattr(prolog, "make_run_directory", refused)
    with pytest.raises(PermissionError):
        prolog.main()
    assert job_processes.owner_of(JOB) == USER


# --- for real ---

NUMBER = 2**31 - 12
NOBODY = pwd.getpwnam("nobody")
MARKED = {"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": str(NUMBER)}
SLEEP = "exec sleep 600"
KINDS = (
    f"echo; {SLEEP}",
    f"exec unshare --user sh -c 'echo; {SLEEP}'",
    f"exec unshare --user --map-root-user unshare --user sh -c 'echo; {SLEEP}'",
    f"env --ignore-environment sh -c 'echo; {SLEEP}'; :",
    # it calls itself what podman's pause process is called
    "exec bash -c 'echo; exec -a \"podman pause\" sleep 600'",
)
LEAVES = f"""
pid=$(setsid --fork env --ignore-environment sh -c 'echo $$; {SLEEP} >/dev/null')
echo $pid
"""


def started(script: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """The number of a process of nobody's, which has said a line, so that it is what it will be."""
    child = subprocess.Popen(
        ["sh", "-c", script],
        stdout=subprocess.PIPE,
        env=env,
        user=NOBODY.pw_uid,
        group=NOBODY.pw_gid,
        extra_groups=[],
        start_new_session=True,
        cwd="/",
    )
    there(child.stdout).readline()
    return child


@as_root
def test_processes_of_a_job_end_and_others_stay() -> None:
    other = started(f"echo; {SLEEP}", {"PATH": "/usr/bin:/bin"})
    mine = [started(script, MARKED) for script in KINDS]
    below = [int(pid) for child in mine for pid in children(child.pid)]
    environ = {"SLURM_JOB_ID": str(NUMBER), "SLURM_JOB_UID": str(NOBODY.pw_uid)}
    try:
        subprocess.run([sys.executable, "-IS", FILES / "epilog"], env=environ, check=True)
        for pid in (*below, *(child.pid for child in mine)):
            eventually(partial(is_gone, pid))
        assert len(below) == 1
        assert other.poll() is None
    finally:
        for child in (other, *mine):
            child.kill()
            child.wait()


@as_root
def test_what_a_program_with_the_users_rights_leaves_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it did to get away: it took its session, its parent and its environment off."""
    script = f"""
import os, sys
sys.path.insert(0, {str(FILES)!r})
from importlib.machinery import SourceFileLoader
epilog = SourceFileLoader("epilog", {str(FILES / 'epilog')!r}).load_module()
epilog.adopt_orphans()
job = epilog.Job()
said = job.call("sh", "-c", {LEAVES!r})
epilog.of_processes(job)
print(said)
"""
    environ = {"SLURM_JOB_ID": str(NUMBER), "SLURM_JOB_UID": str(NOBODY.pw_uid)}
    argv = [sys.executable, "-B", "-W", "ignore", "-c", script]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    eventually(lambda: is_gone(int(done.stdout)))


def children(number: int) -> list[str]:
    return Path(f"/proc/{number}/task/{number}/children").read_text().split()
