# SPDX-License-Identifier: GPL-3.0-or-later
"""What carol's runs under apptainer left behind (by_apptainer.yml), seen from outside."""

from __future__ import annotations

import json
from typing import Any

from conftest import BackEnd
from hello_tre import HelloTre, Mount

OWN = r"carol \(2003\) carol\(2003\)"
IDENTITY = r"uid=2003\(carol\) gid=2003\(carol\)( groups=\S+)?"
DIRECTORY = Mount(owner=OWN, mode="drwx------", file_system="ext4", entries=0)
RUNS: list[dict[str, Any]] = [
    {"name": 'Ada "L" $HOME'},
    {"greeting": 'Good "day" $HOME'},
]


def test_each_run_has_a_record_and_said_what_it_must(backend: BackEnd) -> None:
    wanted = RUNS if backend.name == "debian13" else []
    state = "/home/carol/apptainer/ces/runs"
    there = backend.says("sh", "-c", f"ls {state} 2>/dev/null || true").split()
    assert len(there) == len(wanted)
    for number, words in zip(sorted(map(int, there)), wanted, strict=True):
        record = json.loads(backend.read(f"{state}/{number}/run.json"))
        assert (record["runner"], record["state"], record["rc"]) == ("apptainer", "COMPLETED", 0)
        hello = HelloTre(
            identity=IDENTITY,
            safe_data=DIRECTORY,
            safe_outputs=DIRECTORY,
            scratch=DIRECTORY,
            **words,
        )
        hello.check(backend.read(f"{state}/{number}/output.log"))


def test_the_image_file_is_the_registrys_content(backend: BackEnd, site: dict[str, Any]) -> None:
    if backend.name != "debian13":
        assert backend.says("sh", "-c", "command -v apptainer || echo none").strip() == "none"
        return
    link = backend.says("readlink", "/home/carol/hello-tre:1.0.sif").strip()
    podman = backend.json("podman", "images", "--format", "json", user="carol")
    digest = podman[0]["Digest"].replace(":", "-")
    assert link == f"/home/carol/.local/share/ces/sif/digests/{digest}.sif"
