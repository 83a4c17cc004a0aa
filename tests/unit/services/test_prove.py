# SPDX-License-Identifier: GPL-3.0-or-later
"""A proof: what the engine is told, what its shell sees, and that nothing is left; no engine runs.

The shell's script really runs, on the directories that the engine would mount.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from recording import BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.services import prove
from ansible_collections.tre.ces.plugins.module_utils.ces.services.prove import see_container
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.seen import Seen

See = Callable[[], Seen]


@pytest.fixture
def see(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> See:
    """What is seen of a container under podman, whose script runs without one."""
    library = backend.place / "libc.so.6"
    library.write_text("library")
    backend.process.answer("ldd", stdout=f"\tlibc.so.6 => {library} (0x00007f1)\n")
    backend.process.answer("podman container exists", 1)
    monkeypatch.setattr(prove, "_GOING", 0.0)

    def as_a_container(command: Command, _streams: Streams) -> Finished:
        shell, option, script, name, token = command.argv[-5:]
        for word in command.argv:
            if word.startswith("--mount="):
                parts = dict(part.partition("=")[::2] for part in word[8:].split(","))
                target = parts.get("dst") or parts["destination"]
                source = parts.get("src") or parts["source"]
                script = script.replace(f"{target} ", f"{source} ").replace(
                    f"{target};", f"{source};"
                )
                names[source] = target
        done = subprocess.run(
            [shell, option, script, name, token], capture_output=True, text=True, check=False
        )
        out = done.stdout
        for source, target in names.items():
            out = out.replace(source, target)
        return Finished(command.argv, done.returncode, out, done.stderr)

    names: dict[str, str] = {}
    backend.process.then("podman run", as_a_container)
    return lambda: see_container("podman", backend.system)


def test_a_container_is_seen_from_both_sides(backend: BackEnd, see: See) -> None:
    seen = see()
    assert seen.refused == ""
    assert (seen.heard, seen.arrived, seen.owner == seen.uid) == (True, True, True)
    assert set(seen.written) == {"/safe_data", "/safe_outputs", "/scratch"}
    assert set(seen.readable) == set(seen.written)
    assert (seen.rc, seen.state, seen.closed) == (37, "FAILED", True)
    assert seen.left == ()
    assert sum(count for _inside, _outside, count in seen.id_map) > 0
    (podman,) = backend.process.told("podman run")
    image = next(word for word in podman if word.endswith("/image:O"))
    assert podman[podman.index(image) - 2 : podman.index(image)] == ("--rootfs", "--")
    assert "--network=none" in podman


def test_nothing_is_left_of_it(backend: BackEnd, see: See) -> None:
    see()
    assert list((backend.place / "safe_data/p1").iterdir()) == []
    assert [path.name for path in backend.home.iterdir()] == [".local"]
    assert list((backend.home / ".local/state/ces/runs").iterdir()) == []
    assert list((backend.home / ".local/state/ces/active").iterdir()) == []
    assert list((backend.home / ".local/share/ces").iterdir()) == []
    assert list((backend.place / "run/ces").iterdir()) == []


def test_what_is_left_is_told(backend: BackEnd, see: See) -> None:
    backend.process.answer("podman container exists", 0)
    assert see().left == ("podman still has the container ces-1",)


def test_who_has_several_projects_gets_one(backend: BackEnd, see: See) -> None:
    (backend.place / "safe_data/p2").mkdir()
    account = replace(backend.system.account, groups=("ada", "tre-p1", "tre-p2"))
    backend.system.account = account
    seen = see()
    assert (seen.refused, seen.no_project) == ("", "")


def test_who_has_no_project_gets_a_stand_in(backend: BackEnd, see: See) -> None:
    backend.system.account = replace(backend.system.account, groups=("ada",))
    seen = see()
    assert "belongs to a group of ada" in seen.no_project
    assert "/safe_data" in seen.written
    assert list((backend.home / ".local/share/ces").iterdir()) == []


def test_what_the_engine_says_is_told_with_a_cure(backend: BackEnd, see: See) -> None:
    backend.process.starts_containers = False
    backend.process.answer(
        "podman run", 125, stderr="Error: cannot find UID/GID for user ada in /etc/subuid\n"
    )
    seen = see()
    assert "cannot find UID/GID" in seen.refused
    assert "role subid" in seen.refused + seen.cure
    assert list((backend.home / ".local/state/ces/runs").iterdir()) == []


def test_an_engine_that_is_not_there_is_told(backend: BackEnd) -> None:
    (backend.place / "bin/podman").unlink()
    seen = see_container("podman", backend.system)
    assert "podman" in seen.refused
    assert "role podman" in seen.cure


def test_project_data_that_are_read_only_are_not_written(backend: BackEnd, see: See) -> None:
    policy = backend.system.policy
    backend.system.policy = replace(policy, safe_data=replace(policy.safe_data, access="ro"))
    assert see().data_access == "ro"
    (podman,) = backend.process.told("podman run")
    assert any("safe_data" in word and "ro" in word for word in podman if "--mount" in word)


def test_what_a_container_makes_up_without_the_word_is_not_heard(
    backend: BackEnd, see: See, tmp_path: Path
) -> None:
    backend.process.then(
        "podman run", lambda command, _s: Finished(command.argv, 37, "written /safe_data\n")
    )
    seen = see()
    assert (seen.heard, seen.written) == (False, ())


@pytest.mark.parametrize("there", [True, False])
def test_podmans_own_list_is_read_without_podman(
    backend: BackEnd,
    see: See,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    there: bool,
) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    with sqlite3.connect(storage / "db.sql") as database:
        database.execute("CREATE TABLE ContainerConfig (ID TEXT, Name TEXT)")
        database.execute(
            "INSERT INTO ContainerConfig VALUES ('1', ?)", ("ces-1" if there else "x",)
        )
    database.close()
    monkeypatch.setattr(prove, "podman_storage", lambda _account: str(storage))
    left = see().left
    assert left == (("podman still has the container ces-1",) if there else ())
    assert backend.process.told("podman container exists") == []
