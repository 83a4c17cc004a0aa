# SPDX-License-Identifier: GPL-3.0-or-later
"""A session's directory: what is in it, who can read it, and where the token is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ood_support import APPS, JUPYTER, Portal

APP = "batch_container_app"
TOKEN = 'it\'s a "t0ken" $HOME `id`'  # noqa: S105
RIGHT: dict[str, Any] = {
    "cluster": "large",
    "image": "registry.example.org/project/image:2.1",
    "registry_user": "ada",
    "registry_token": TOKEN,
    "runner": "podman",
    "cores": "1",
    "memory": "1",
    "gpus": "0",
}


def files_with(text: str, place: Path) -> list[str]:
    spellings = [text, json.dumps(text)[1:-1]]
    return sorted(
        str(file.relative_to(place))
        for file in place.rglob("*")
        if file.is_file() and any(word in file.read_text(errors="replace") for word in spellings)
    )


def test_the_token_is_in_one_file_that_only_its_owner_can_read(portal: Portal) -> None:
    staged = Path(portal.launch(APP, **RIGHT)["directory"])
    assert files_with(TOKEN, portal.data) == [
        str((staged / "registry-token").relative_to(portal.data))
    ]
    assert (staged / "registry-token").read_text() == TOKEN
    modes = {
        name: stat.S_IMODE((staged / name).stat().st_mode)
        for name in (".", "registry-token", "user_defined_context.json")
    }
    assert modes == {".": 0o700, "registry-token": 0o600, "user_defined_context.json": 0o600}


def test_what_the_portal_remembers_has_no_token(portal: Portal) -> None:
    answer = portal.launch(APP, **RIGHT)
    context = json.loads((Path(answer["directory"]) / "user_defined_context.json").read_text())
    assert context["registry_token"] == answer["remembered"]["registry_token"] == ""
    assert context["registry_user"] == answer["remembered"]["registry_user"] == "ada"


def test_without_a_token_there_is_no_file_for_it(portal: Portal) -> None:
    staged = Path(
        portal.launch(APP, **{**RIGHT, "registry_user": "", "registry_token": ""})["directory"]
    )
    assert not (staged / "registry-token").exists()


def scheduler(portal: Portal, tmp_path: Path, script: str) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f"#!/bin/sh\n{script}\n")
    sbatch.chmod(0o755)
    portal.bin_overrides = {"sbatch": str(sbatch)}
    portal.has_cluster("large", {"max_cores": 1, "max_memory": 1})


def test_a_submission_that_fails_leaves_no_token(portal: Portal, tmp_path: Path) -> None:
    scheduler(portal, tmp_path, "echo 'no such partition' >&2; exit 1")
    answer = portal.launch(APP, submit=True, **RIGHT)
    assert "no such partition" in answer["error"]
    assert files_with(TOKEN, portal.data) == []


def test_slurm_is_given_a_job_and_nothing_of_the_token(portal: Portal, tmp_path: Path) -> None:
    scheduler(
        portal,
        tmp_path,
        f'cd {tmp_path}; printf "%s\\n" "$@" >words; cat >script; env >env; echo 7',
    )
    answer = portal.launch(APP, submit=True, **RIGHT)
    assert answer["job"] == "7"
    for name in ("words", "script", "env"):
        assert TOKEN not in (tmp_path / name).read_text()
    assert (Path(answer["directory"]) / "registry-token").exists()


def test_tokens_that_no_job_will_read_are_removed_by_the_next_launch(
    portal: Portal, tmp_path: Path
) -> None:
    scheduler(portal, tmp_path, "echo 7")
    lost, waits, over = (
        portal.launch(APP, submit=submit, **RIGHT) for submit in (False, True, True)
    )
    portal.completed(APP, waits["id"])  # which removes the token itself
    (Path(waits["directory"]) / "registry-token").write_text("x")
    db = portal.data / "batch_connect/db"
    (db / over["id"]).write_text(json.dumps({"id": over["id"], "cache_completed": True}))
    (db / waits["id"]).write_text(json.dumps({"id": waits["id"]}))
    portal.launch(APP, **RIGHT)
    kept = [(Path(one["directory"]) / "registry-token").exists() for one in (lost, waits, over)]
    assert kept == [True, True, False]
    old = time.time() - 3600
    os.utime(Path(lost["directory"]) / "registry-token", (old, old))
    portal.launch(APP, **RIGHT)
    assert not (Path(lost["directory"]) / "registry-token").exists()


def test_the_view_of_a_session_that_is_over_removes_its_token(
    portal: Portal, tmp_path: Path
) -> None:
    scheduler(portal, tmp_path, "echo 7")
    answer = portal.launch(APP, submit=True, **RIGHT)
    portal.completed(APP, answer["id"])
    assert files_with(TOKEN, portal.data) == []


@pytest.mark.parametrize("by", ["its view", "the next launch"])
def test_what_a_killed_job_could_not_remove_goes_when_the_session_is_over(
    portal: Portal, tmp_path: Path, by: str
) -> None:
    scheduler(portal, tmp_path, "echo 7")
    over, runs = (portal.launch(APP, submit=True, **RIGHT) for _turn in range(2))
    db = portal.data / "batch_connect/db"
    for one, completed in ((over, True), (runs, False)):
        staged = Path(one["directory"])
        (staged / "server/config").mkdir(parents=True)
        for name in ("server/config/x.json", "connection.yml", "environment.txt", "output.log"):
            (staged / name).write_text("password: x")
        (db / one["id"]).write_text(json.dumps({"id": one["id"], "cache_completed": completed}))
    if by == "its view":
        portal.completed(APP, over["id"])
    else:
        portal.launch(APP, **RIGHT)
    passing = {"registry-token", "server", "connection.yml", "environment.txt"}
    left = {
        one["id"]: {path.name for path in Path(one["directory"]).iterdir()} for one in (over, runs)
    }
    assert not left[over["id"]] & passing and "output.log" in left[over["id"]]
    assert passing <= left[runs["id"]]


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("r.example.org/a/image", "image:latest.sif"),
        ("r.example.org/a/image:1", "image:1.sif"),
        ("r.example.org/a/image:1@sha256:" + "0" * 64, "image:1.sif"),
        ("r.example.org:5000/image@sha256:" + "0" * 64, "image:sha256:000000000000.sif"),
    ],
)
def test_the_image_file_is_called_as_the_commands_call_it(
    portal: Portal, image: str, file: str
) -> None:
    from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef

    assert f"{ImageRef.parse(image).short_name}.sif" == file
    staged = Path(portal.launch(APP, **{**RIGHT, "image": image})["directory"])
    assert f"ces_image_file={file}\n" in (staged / "settings.sh").read_text()


def test_the_container_is_called_after_image_and_session(portal: Portal) -> None:
    answer = portal.launch(APP, **RIGHT)
    assert (
        f"ces_container_name=image-{answer['id']}\n"
        in (Path(answer["directory"]) / "settings.sh").read_text()
    )
    answer = portal.launch(APP, **{**RIGHT, "container_name": "mine"})
    assert "ces_container_name=mine\n" in (Path(answer["directory"]) / "settings.sh").read_text()


@pytest.mark.parametrize("app", APPS)
def test_rendered_scripts_are_as_shellcheck_wants_them(
    portal: Portal, forms: dict[str, Any], app: str
) -> None:
    usual = {"cluster": "large", "image": RIGHT["image"], "cores": "1", "memory": "1", "gpus": "0"}
    answer = portal.launch(
        app, **{name: value for name, value in usual.items() if name in forms[app]["form"]}
    )
    assert "error" not in answer, answer
    scripts = sorted(
        name.name
        for name in Path(answer["directory"]).glob("*.sh")
        if name.name != "job_script_content.sh"
    )
    assert {"before.sh", "script.sh", "after.sh"} <= set(scripts)
    # variables come from the portal's job script, and are for it
    options = [
        "--shell=bash",
        "--severity=warning",
        "--external-sources",
        "--exclude=SC2034,SC2154",
    ]
    done = subprocess.run(
        ["shellcheck", *options, *scripts],
        cwd=answer["directory"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_what_the_container_gets_travels_in_files_of_the_users_alone(portal: Portal) -> None:
    more: dict[str, Any] = {
        "container_env": "A=1\r\nB='x y'",
        "container_args": "--name 'Ada'",
        "engine_args": "--read-only",
    }
    staged = Path(portal.launch(APP, **RIGHT, **more)["directory"])
    found = {
        name: (staged / name).read_text()
        for name in ("environment.txt", "arguments.txt", "options.txt")
    }
    assert found == {
        "environment.txt": "A=1\nB='x y'\n",
        "arguments.txt": "--name 'Ada'\n",
        "options.txt": "--read-only\n",
    }
    assert {stat.S_IMODE((staged / name).stat().st_mode) for name in found} == {0o600}


@pytest.mark.parametrize("app", APPS)
def test_what_the_portal_remembers_is_the_users_alone(portal: Portal, app: str) -> None:
    """Its files are everybody's to read; the directory is not, also where it was there before."""
    cache = portal.data / "batch_connect/cache"
    cache.mkdir(parents=True, mode=0o755)
    answer = portal.launch(app, cluster="large", image=RIGHT["image"])
    assert "error" not in answer
    assert [file.name for file in cache.iterdir()] == [f"sys_{app}.json"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


COMPLAINT = """
ces-{name}: warning: this is no matter
ces-{name}: could not {tried}
  answer: {said}
  to do:  {hint}.
  ran:    podman --secret
"""


class Scripts:
    """A session's scripts, as the portal's job script runs them, with stand-ins for commands."""

    def __init__(self, place: Path, directory: str) -> None:
        self.place, self.directory = place, Path(directory)
        (place / "bin").mkdir()
        (place / "home").mkdir()
        for name in ("ces-pull", "ces-run"):
            self.have(name, "")

    def have(self, name: str, script: str) -> None:
        file = self.place / "bin" / name
        file.write_text(f'#!/bin/sh\necho "$@" >>{self.place}/told.{name}\n{script}\n')
        file.chmod(0o755)

    def complain(self, name: str, **words: str) -> None:
        said = COMPLAINT.format(name=name.removeprefix("ces-"), **words)
        self.have(name, f"cat >&2 <<'END'\n{said.strip()}\nEND\nexit 125")

    def run(self) -> dict[str, str]:
        """What they noted for the card."""
        # find_port and create_passwd are the portal's; the host's name is the job script's
        script = (
            'cd "$1"; host=localhost; find_port() { echo 1; }; create_passwd() { printf %048d 0; };'
            " . ./before.sh; ./script.sh"
        )
        env = {"PATH": f"{self.place}/bin:{os.environ['PATH']}", "HOME": f"{self.place}/home"}
        with (self.directory / "output.log").open("wb") as log:
            subprocess.run(
                ["bash", "-c", script, "_", self.directory],
                env=env,
                stdout=log,
                stderr=log,
                check=False,
                timeout=60,
            )
        lines = (self.directory / "progress").read_text().splitlines()
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}

    def told(self, name: str) -> str:
        file = self.place / f"told.{name}"
        return file.read_text() if file.exists() else ""


ANSWER = {"tried": "ask r for image", "said": "it is secret", "hint": "give a name"}
SENTENCE = "Could not ask r for image: it is secret. Give a name."


def test_the_reason_is_what_the_command_complained_of_and_no_line_of_the_log(
    portal: Portal, tmp_path: Path
) -> None:
    scripts = Scripts(tmp_path, portal.launch(APP, **RIGHT)["directory"])
    scripts.complain("ces-pull", **ANSWER)
    noted = scripts.run()
    assert noted["reason"] == f"The image could not be fetched. {SENTENCE}"
    assert (noted["step"], noted["state"]) == ("pull", "FAILED")
    scripts.have("ces-pull", "echo pulled")
    scripts.complain("ces-run", **ANSWER)
    noted = scripts.run()
    assert noted["reason"] == f"The container was not started. {SENTENCE}"


def test_an_image_file_that_is_reused_needs_no_registry(portal: Portal, tmp_path: Path) -> None:
    values = {**RIGHT, "runner": "apptainer", "reuse_sif": "1"}
    scripts = Scripts(tmp_path, portal.launch(APP, **values)["directory"])
    file = tmp_path / "home/image:2.1.sif"
    assert scripts.run()["state"] == "COMPLETED"
    assert scripts.told("ces-pull").startswith("apptainer --username ada ")
    file.write_text("")
    (tmp_path / "told.ces-pull").unlink()
    assert scripts.run()["state"] == "COMPLETED"
    assert scripts.told("ces-pull") == ""
    assert scripts.told("ces-run").endswith(f" {file}\n")


def jupyter(portal: Portal, tmp_path: Path, **values: Any) -> Scripts:
    answer = portal.launch("jupyter_app", cluster="large", **values)
    scripts = Scripts(tmp_path, answer["directory"])
    # what holds a port is looked at elsewhere
    (scripts.directory / "forward.py").write_text("print('bound', flush=True)\n")
    return scripts


def test_jupyterlab_tells_what_the_registry_answered(portal: Portal, tmp_path: Path) -> None:
    scripts = jupyter(portal, tmp_path)
    scripts.complain("ces-pull", **ANSWER)
    missing = {"tried": "run x", "said": "the image is not in your storage"}
    scripts.complain("ces-run", **missing, hint="pull it first: ces-pull x")
    noted = scripts.run()
    assert noted["reason"] == f"The image could not be fetched. {SENTENCE}"
    assert (noted["step"], noted["state"], noted["note"]) == ("pull", "FAILED", "")


def test_jupyterlab_runs_the_image_that_is_there_and_says_so(
    portal: Portal, tmp_path: Path
) -> None:
    scripts = jupyter(portal, tmp_path)
    scripts.complain("ces-pull", **ANSWER)
    noted = scripts.run()
    assert noted["state"] == "COMPLETED"
    assert " --pull never " in scripts.told("ces-run")
    assert noted["note"].endswith(f"so the one that is there is used. {SENTENCE}")
    card = portal.ask({"card": scripts.directory.name, "app": "jupyter_app"})[0]
    assert "so the one that is there is used" in card["info"]


def test_jupyterlab_gives_the_registry_the_token(portal: Portal, tmp_path: Path) -> None:
    scripts = jupyter(portal, tmp_path, registry_user="ada", registry_token=TOKEN)
    scripts.have("ces-pull", f"cat >{tmp_path}/token")
    assert scripts.run()["state"] == "COMPLETED"
    words = f"podman --username ada --password-stdin {JUPYTER['jupyter_image']}\n"
    assert scripts.told("ces-pull") == words
    assert (tmp_path / "token").read_text() == TOKEN
    assert files_with(TOKEN, portal.data) == []
