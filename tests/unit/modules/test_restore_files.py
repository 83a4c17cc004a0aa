# SPDX-License-Identifier: GPL-3.0-or-later
"""Module restore_files: after it a host is as it was before file_set and file_tree."""

from __future__ import annotations

import base64
import grp
import io
import json
import os
import pwd
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.kept_files import KeptFiles
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.restored import Restoring
from ansible_collections.tre.ces.plugins.modules import file_set, file_tree, restore_files

OWNER = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
Run = Callable[..., dict[str, Any]]
Seen = dict[str, tuple[int, str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Files that somebody wrote before us."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/policy.json").write_text("the site's\n")
    (tmp_path / "etc/policy.json").chmod(0o640)
    (tmp_path / "etc/hook").write_text("an old hook\n")
    return tmp_path


@pytest.fixture
def bring(run: Run, kept: Path, site: Path) -> Run:
    def bring_entries(*entries: dict[str, Any]) -> dict[str, Any]:
        files = [{**OWNER, **entry, "path": str(site / entry["path"])} for entry in entries]
        return run(file_set, files=files, kept=str(kept))

    return bring_entries


@pytest.fixture
def restore(run: Run, kept: Path) -> Run:
    return lambda check=False: run(restore_files, check=check, kept=str(kept))


def seen(top: Path) -> Seen:
    """Every path below a directory, with its mode and its text."""
    return {
        str(path.relative_to(top)): (
            path.lstat().st_mode,
            path.read_text() if path.is_file() else "",
        )
        for path in top.rglob("*")
    }


OURS: list[dict[str, Any]] = [
    {"path": "etc/ces", "state": "directory"},
    {"path": "etc/ces/policy.json", "content": {"runners": ["podman"]}},
    {"path": "etc/policy.json", "content": "ours\n"},
    {"path": "etc/new/below/file", "content": "ours\n"},
    {"path": "etc/hook", "state": "absent"},
]


def test_all_is_as_it_was(bring: Run, restore: Run, site: Path, kept: Path) -> None:
    before = seen(site)
    for _turn in range(2):
        bring(*OURS)
        # a later version of the role
        bring({"path": "etc/policy.json", "content": "ours, too\n"})
        written = seen(site)
        predicted = restore(check=True)
        assert seen(site) == written
        answer = restore()
        assert answer["diff"] == predicted["diff"]
        assert {**answer, "diff": 0, "invocation": 0} == {**predicted, "diff": 0, "invocation": 0}
        assert answer["restored"] == [str(site / "etc/hook"), str(site / "etc/policy.json")]
        assert seen(site) == before
        assert not kept.exists()
    assert restore()["changed"] is False


def test_what_comes_again_is_applied_again(bring: Run, restore: Run, site: Path) -> None:
    entry = {"path": "etc/rules", "content": "1\n", "apply": ["sh", "-c", f"echo >>{site}/runs"]}
    for runs in (1, 2):
        bring(entry)
        bring(entry)
        assert (site / "runs").read_text() == "\n" * runs
        restore()


def test_what_was_changed_since_is_copied_first(
    bring: Run, restore: Run, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: said.append(text))
    bring(*OURS)
    said.clear()
    (site / "etc/policy.json").write_text("by hand\n")
    (site / "etc/ces/policy.json").write_text("by hand, too\n")
    answer = restore()
    assert (site / "etc/policy.json").read_text() == "the site's\n"
    assert not (site / "etc/ces").exists()
    assert {Path(copy).read_text() for copy in answer["kept"].values()} == {
        "by hand\n",
        "by hand, too\n",
    }
    assert len(said) == 2
    # the copies are for people: nothing is brought back a second time
    assert restore()["changed"] is False
    assert all(Path(copy).exists() for copy in answer["kept"].values())


def test_a_file_of_ours_that_was_edited_is_not_what_was_there_before(
    bring: Run, restore: Run, site: Path
) -> None:
    bring(*OURS)
    (site / "etc/ces/policy.json").write_text("by hand\n")
    bring(*OURS)
    restore()
    assert not (site / "etc/ces").exists()


def test_what_not_everybody_may_read_is_not_shown(bring: Run, restore: Run) -> None:
    bring({"path": "etc/policy.json", "content": "password: ours\n", "mode": "0600"})
    assert "password" not in json.dumps(restore(check=True))
    assert "the site" not in json.dumps(restore()["diff"])


def test_what_is_to_stay_stays_known(run: Run, bring: Run, site: Path, kept: Path) -> None:
    bring(*OURS)
    stays = str(site / "etc/ces/policy.json")
    answer = run(restore_files, leave=[stays], kept=str(kept))
    assert Path(stays).exists()
    assert answer["left"] == {stays: "it is to stay", str(site / "etc/ces"): "policy.json is in it"}
    assert run(restore_files, kept=str(kept))["removed"] == [stays]


def test_directories_with_files_of_others_stay(bring: Run, restore: Run, site: Path) -> None:
    bring(*OURS)
    (site / "etc/new/below/theirs").write_text("")
    left = restore()["left"]
    assert left[str(site / "etc/new/below")] == "theirs is in it"
    assert (site / "etc/new/below/theirs").exists()
    assert not (site / "etc/new/below/file").exists()


def test_a_directory_where_the_file_was_stays(bring: Run, restore: Run, site: Path) -> None:
    bring({"path": "etc/policy.json", "content": "ours\n"})
    (site / "etc/policy.json").unlink()
    (site / "etc/policy.json").mkdir()
    assert restore()["left"] == {str(site / "etc/policy.json"): "there is a directory now"}


@pytest.mark.skipif(os.geteuid() != 0, reason="what it installs belongs to root")
@pytest.mark.parametrize("options", [{}, {"keep_days": 30}])
def test_trees_and_links_go(
    run: Run, restore: Run, site: Path, kept: Path, options: dict[str, int]
) -> None:
    before = seen(site)
    for text in ("1\n", "2\n"):
        run(
            file_tree,
            path=str(site / "lib/program"),
            archive=archive({"main": text, "share/man/page": text}),
            links={str(site / "bin/main"): "main"},
            links_below={"share": str(site / "share")},
            kept=str(kept),
            **options,
        )
    assert (site / "bin/main").read_text() == (site / "share/man/page").read_text() == "2\n"
    restore()
    assert seen(site) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="what it installs belongs to root")
def test_of_a_directory_of_many_only_our_part_goes(
    run: Run, restore: Run, site: Path, kept: Path
) -> None:
    (site / "apps/theirs").mkdir(parents=True)
    packed = archive({"ours/form": "1\n"})
    run(file_tree, path=str(site / "apps"), archive=packed, exact=["ours"], kept=str(kept))
    restore()
    assert [path.name for path in (site / "apps").iterdir()] == ["theirs"]


def archive(files: dict[str, str]) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return base64.b64encode(packed.getvalue()).decode()


def test_a_file_that_a_program_of_ours_edited_comes_back_once(
    bring: Run, restore: Run, site: Path, kept: Path
) -> None:
    """The role apptainer copies apptainer.conf before its first change, and notes nothing."""
    copy = Path(f"{kept}{site}/etc/policy.json")
    copy.parent.mkdir(parents=True)
    (site / "etc/policy.json").rename(copy)
    (site / "etc/policy.json").write_text("edited\n")
    answer = restore()
    assert (answer["restored"], answer["kept"]) == ([str(site / "etc/policy.json")], {})
    assert (site / "etc/policy.json").read_text() == "the site's\n"
    assert restore()["changed"] is False


def test_one_that_was_stopped_goes_on(
    bring: Run, restore: Run, site: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(site)
    bring(*OURS)

    def full(_from: str, _to: str) -> None:
        raise OSError(28, "No space left on device", str(site))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", full)
        assert "No space left on device" in restore()["msg"]
    assert json.loads((kept / "written.json").read_text())
    restore()
    assert seen(site) == before


@pytest.mark.parametrize("steps", range(12))
def test_one_that_was_killed_goes_on(
    bring: Run, restore: Run, site: Path, kept: Path, steps: int
) -> None:
    """Whenever that was: nothing of the site's is taken for ours."""
    before = seen(site)
    bring(*OURS)
    child = os.fork()
    if child == 0:
        left = iter(range(steps))

        def until_then(change: Callable[..., None]) -> Callable[..., None]:
            def step(*words: Any) -> None:
                if next(left, None) is None:
                    os._exit(9)
                change(*words)

            return step

        os.replace, os.unlink = until_then(os.replace), until_then(os.unlink)
        Restoring(KeptFiles(str(kept)), check=False).run()
        os._exit(0)
    os.waitpid(child, 0)
    restore()
    assert {path: what for path, what in seen(site).items() if "tmp" not in path} == before


def test_what_an_earlier_version_noted_is_enough(
    bring: Run, restore: Run, site: Path, kept: Path
) -> None:
    """It noted the digests of files that it wrote, and not what was there before."""
    bring(*OURS)
    noted = json.loads((kept / "written.json").read_text())
    old = {path: entry["wrote"] for path, entry in noted.items() if "wrote" in entry}
    (kept / "written.json").write_text(json.dumps(old))
    assert restore()["restored"] == [str(site / "etc/hook"), str(site / "etc/policy.json")]
    assert (site / "etc/policy.json").read_text() == "the site's\n"
    assert not (site / "etc/ces/policy.json").exists()
