# SPDX-License-Identifier: GPL-3.0-or-later
"""Module file_set: every state, four times; what it refuses; what it leaves behind."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import kept_files
from ansible_collections.tre.ces.plugins.modules import file_set

OWNER = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}


@pytest.fixture
def bring(run: Callable[..., dict[str, Any]], kept: Path) -> Callable[..., dict[str, Any]]:
    """Bring entries to their states, as files of whoever runs the tests."""

    def bring_entries(*entries: dict[str, Any], check: bool = False) -> dict[str, Any]:
        files = [{**OWNER, **entry} for entry in entries]
        return run(file_set, check=check, files=files, kept=str(kept))

    return bring_entries


def four_times(bring: Callable[..., dict[str, Any]], *entries: dict[str, Any]) -> dict[str, Any]:
    """Check mode predicts, the real run does it, the last two have nothing to do."""
    answers = [bring(*entries, check=check) for check in (True, False, True, False)]
    assert [answer["changed"] for answer in answers] == [True, True, False, False]
    assert answers[0]["changed_paths"] == answers[1]["changed_paths"]
    assert answers[0]["diff"] == answers[1]["diff"]
    assert answers[2]["diff"] == answers[3]["diff"] == []
    return answers[1]


def test_a_file_is_written_below_directories_that_are_not_there(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "a" / "b" / "file"
    answer = four_times(bring, {"path": str(path), "content": "text\n"})
    assert path.read_text() == "text\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert answer["changed_paths"] == [str(path)]
    assert answer["diff"][0]["after"] == "text\n"


def test_check_mode_writes_nothing(bring: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    bring({"path": str(tmp_path / "a" / "file"), "content": "text"}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_parents_are_for_all_whatever_the_umask(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        bring({"path": str(tmp_path / "a" / "b" / "file"), "content": "text"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_a_file_with_another_mode_only_gets_its_mode(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    path.chmod(0o600)
    answer = four_times(bring, {"path": str(path), "content": "text", "mode": "0640"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "0640" in answer["diff"][0]["after"]


def test_the_diff_shows_what_was_there(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old\n")
    path.chmod(0o644)
    answer = four_times(bring, {"path": str(path), "content": "new\n"})
    assert (answer["diff"][0]["before"], answer["diff"][0]["after"]) == ("old\n", "new\n")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            {"b": 1, "a": [True, None]},
            '{\n    "a": [\n        true,\n        null\n    ],\n    "b": 1\n}\n',
        ),
        ([], "[]\n"),
        ("", ""),
    ],
)
def test_anything_but_a_text_is_written_as_json(
    bring: Callable[..., dict[str, Any]],
    tmp_path: Path,
    content: dict[str, Any] | list[str] | str,
    text: str,
) -> None:
    path = tmp_path / "file"
    four_times(bring, {"path": str(path), "content": content})
    assert path.read_text() == text


def test_bytes_that_are_no_text_are_replaced(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o644)
    assert bring({"path": str(path), "content": "text"})["changed"]
    assert path.read_text() == "text"


def test_nobody_can_read_a_secret_before_it_has_its_mode(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    replace = os.replace

    def watch(source: str, target: str) -> None:
        if target.endswith("/secret"):
            modes.append(stat.S_IMODE(os.stat(source).st_mode))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    bring({"path": str(tmp_path / "secret"), "content": "s", "mode": "0600"})
    assert modes == [0o600]


def test_a_directory(bring: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    four_times(bring, {"path": str(path), "state": "directory", "mode": "0750"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_absent_is_removed_and_nothing_behind_a_link(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    kept, path = tmp_path / "kept", tmp_path / "gone"
    kept.mkdir()
    (kept / "file").write_text("text")
    if kind == "file":
        path.write_text("text")
    elif kind == "directory":
        (path / "below").mkdir(parents=True)
    else:
        path.symlink_to(kept)
    four_times(bring, {"path": str(path), "state": "absent"})
    assert not path.is_symlink()
    assert not path.exists()
    assert (kept / "file").exists()


def test_what_is_unmanaged_stays_as_it_is(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("the site's own")
    assert not bring({"path": str(path), "state": "unmanaged", "content": "ours"})["changed"]
    assert path.read_text() == "the site's own"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"path": "relative", "content": ""}, "not an absolute path"),
        ({"path": "DIRECTORY", "content": ""}, "is a directory"),
        ({"path": "FILE", "state": "directory"}, "there is a file of that name"),
        ({"path": "FILE"}, "content"),
    ],
)
def test_it_refuses_with_the_path(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, entry: dict[str, str], said: str
) -> None:
    (tmp_path / "DIRECTORY").mkdir()
    (tmp_path / "FILE").write_text("text")
    path = entry["path"] if entry["path"] == "relative" else str(tmp_path / entry["path"])
    answer = bring({**entry, "path": path})
    assert answer["failed"]
    assert said in answer["msg"]


def test_a_program_that_refuses_a_file_keeps_the_old_one(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    refusing = ["sh", "-c", 'cat "$0" >&2; exit 1', "%s"]
    answer = bring({"path": str(path), "content": "new words", "validate": refusing})
    assert answer["failed"]
    assert "sh refuses it: new words" in answer["msg"]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_program_that_accepts_a_file_lets_it_through(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    bring({"path": str(path), "content": "new", "validate": ["grep", "new", "%s"]})
    assert path.read_text() == "new"


def copies(kept: Path) -> dict[str, str]:
    """The copies, without the list of what we wrote."""
    return {
        str(path.relative_to(kept)): path.read_text()
        for path in kept.rglob("*")
        if path.is_file() and path.name not in ("written.json", "applied.json")
    }


@pytest.mark.parametrize("entry", [{"content": "ours\n"}, {"state": "absent"}])
def test_what_others_wrote_is_kept_before_it_goes(
    bring: Callable[..., dict[str, Any]],
    tmp_path: Path,
    kept: Path,
    entry: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: said.append(text))
    path = tmp_path / "policy.json"
    path.write_text("the site's\n")
    path.chmod(0o640)
    answer = bring({"path": str(path), **entry}, check=True)
    assert not kept.exists()
    (copy,) = answer["kept"].values()
    assert bring({"path": str(path), **entry})["kept"] == {str(path): copy}
    assert copies(kept) == {copy.removeprefix(f"{kept}/"): "the site's\n"}
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o640
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert len(said) == 2
    assert all(copy in text for text in said)
    assert bring({"path": str(path), **entry})["kept"] == {}


def test_what_we_wrote_is_not_kept_unless_somebody_changed_it(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, kept: Path
) -> None:
    path = tmp_path / "file"
    for content in ("first\n", "second\n"):
        assert bring({"path": str(path), "content": content})["kept"] == {}
    path.write_text("second\nand a line by hand\n")
    assert len(bring({"path": str(path), "content": "third\n"})["kept"]) == 1
    assert list(copies(kept).values()) == ["second\nand a line by hand\n"]


def test_a_file_of_an_earlier_version_is_known_by_its_mark(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, kept: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("# Written by Ansible (role tre.ces.podman); changes here are overwritten.\n")
    assert bring({"path": str(path), "content": "new\n"})["kept"] == {}
    assert copies(kept) == {}


def test_in_our_own_directory_a_file_of_an_earlier_version_is_ours(
    bring: Callable[..., dict[str, Any]],
    tmp_path: Path,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # JSON, and no list of what was written: a removal must not bring it back as somebody else's
    monkeypatch.setattr(kept_files, "OWN", f"{tmp_path}/ces/")
    (tmp_path / "ces").mkdir()
    changes, same = tmp_path / "ces/changes.json", tmp_path / "ces/same.json"
    changes.write_text('{"old": 1}\n')
    bring({"path": str(same), "content": {"a": 1}})
    (kept / "written.json").unlink()
    answer = bring(
        {"path": str(changes), "content": {"new": 1}}, {"path": str(same), "content": {"a": 1}}
    )
    listed = json.loads((kept / "written.json").read_text())
    assert listed[str(changes)]["before"] == ""
    assert not listed[str(same)].get("before")
    # whoever changed it by hand finds it
    assert Path(answer["kept"][str(changes)]).read_text() == '{"old": 1}\n'


def test_a_damaged_list_costs_a_copy_too_many(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, kept: Path
) -> None:
    path = tmp_path / "file"
    bring({"path": str(path), "content": "first\n"})
    (kept / "written.json").write_text("{")
    assert len(bring({"path": str(path), "content": "second\n"})["kept"]) == 1


def test_what_stays_as_it_is_needs_no_copy(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, kept: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("same\n")
    bring({"path": str(path), "content": "same\n", "mode": "0600"})
    bring({"path": str(path), "state": "unmanaged"})
    assert copies(kept) == {}


@pytest.fixture
def program(tmp_path: Path) -> tuple[list[str], Path]:
    """A program that takes up files, as ``apply`` has it, and where it counts its runs."""
    runs = tmp_path / "runs"
    return ["sh", "-c", f"echo run >>{runs}; test ! -e {tmp_path}/ill || exit 3"], runs


def stop(module: AnsibleModule, *_: Any) -> None:
    """In place of what must follow: the run was interrupted."""
    module.fail_json(msg="interrupted")


def counted(runs: Path) -> int:
    return len(runs.read_text().splitlines()) if runs.exists() else 0


def test_a_program_takes_up_a_file_once(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, program: tuple[list[str], Path]
) -> None:
    """And once for all files that name it."""
    argv, runs = program
    paths = [str(tmp_path / name) for name in ("one", "two")]
    entries = [{"path": path, "content": "text", "apply": argv} for path in paths]
    four_times(bring, *entries)
    assert counted(runs) == 1
    answer = bring({**entries[0], "content": "another"}, entries[1])
    assert (answer["applied"], counted(runs)) == (paths[:1], 2)


@pytest.mark.parametrize("state", ["file", "absent"])
def test_a_run_that_was_interrupted_is_made_up_for(
    bring: Callable[..., dict[str, Any]],
    tmp_path: Path,
    program: tuple[list[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
) -> None:
    """Between the file and what must follow it, whether it had a content before or not."""
    argv, runs = program
    path = tmp_path / "file"
    bring({"path": str(path), "content": "before", "apply": argv})
    entry = {"path": str(path), "content": "after", "state": state, "apply": argv}
    with monkeypatch.context() as patched:
        patched.setattr(file_set, "apply_files", stop)
        bring(entry)
    assert path.exists() == (state == "file")
    assert counted(runs) == 1
    for check in (True, False):
        answer = bring(entry, check=check)
        assert (answer["changed"], answer["changed_paths"]) == (True, [])
        assert answer["applied"] == [str(path)]
    assert counted(runs) == 2
    assert not bring(entry)["changed"]


def test_a_program_that_fails_runs_again(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, program: tuple[list[str], Path]
) -> None:
    argv, runs = program
    (tmp_path / "ill").touch()
    entry = {"path": str(tmp_path / "file"), "content": "text", "apply": argv}
    answer = bring(entry)
    assert answer["failed"]
    assert f"apply {tmp_path}/file: sh -c" in answer["msg"]
    (tmp_path / "ill").unlink()
    assert bring(entry)["applied"] == [str(tmp_path / "file")]
    assert counted(runs) == 2


def test_a_file_that_goes_back_to_what_it_was_is_taken_up(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, program: tuple[list[str], Path]
) -> None:
    """Somebody changed it by hand, and had the program read that."""
    argv, _runs = program
    entry = {"path": str(tmp_path / "file"), "content": "ours", "apply": argv}
    bring(entry)
    (tmp_path / "file").write_text("by hand")
    (tmp_path / "ill").touch()
    assert bring(entry)["failed"]
    (tmp_path / "ill").unlink()
    assert bring(entry)["applied"] == [str(tmp_path / "file")]


def test_what_runs_may_be_known_to_differ(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, program: tuple[list[str], Path]
) -> None:
    argv, runs = program
    entry = {"path": str(tmp_path / "file"), "content": "ours", "apply": argv}
    bring(entry)
    assert bring({**entry, "stale": True}, check=True)["changed"]
    assert bring({**entry, "stale": True})["applied"] == [str(tmp_path / "file")]
    assert (bring(entry)["changed"], counted(runs)) == (False, 2)


def test_a_program_that_is_not_there_has_nothing_to_do(
    bring: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    entry = {"path": str(tmp_path / "file"), "content": "ours", "apply": [f"{tmp_path}/none"]}
    assert bring(entry)["applied"] == []
    assert not bring(entry)["changed"]


def test_what_was_never_there_is_not_taken_up(
    bring: Callable[..., dict[str, Any]], tmp_path: Path, program: tuple[list[str], Path]
) -> None:
    argv, runs = program
    path = str(tmp_path / "file")
    assert not bring({"path": path, "state": "absent", "apply": argv})["changed"]
    assert not bring({"path": path, "state": "unmanaged", "apply": argv})["changed"]
    assert counted(runs) == 0
