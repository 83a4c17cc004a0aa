# SPDX-License-Identifier: GPL-3.0-or-later
"""What users set for themselves, under every podman: an old one reads no file after all others."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from conftest import BackEnd

RUN = """
cd; umask 077; mkdir -p .config/containers hooks
printf %s {text} >.config/containers/containers.conf
printf '#!/bin/sh\\necho >{{home}}/own-hook-ran\\n' >hook && chmod +x hook
printf %s {hook} >hooks/hook.json
export XDG_STATE_HOME=$HOME/own-state
echo --entrypoint=/bin/sh |
    ces-run podman --project proj1 --outputs own-outputs --opt-file /dev/stdin {image} \\
        -c 'ls -d /site; echo runs'
ls own-hook-ran
rm -rf .config/containers/containers.conf hook hooks own-hook-ran own-state own-outputs
"""
HOOK = (
    '{"version":"1.0.0","hook":{"path":"/home/alice/hook"},"when":{"always":true},'
    '"stages":["createRuntime"]}'
)


@pytest.mark.parametrize(
    "text",
    [
        '[containers]\nvolumes = ["/etc:/site"]\n',
        '[engine]\nhooks_dir = ["hooks"]\n',
    ],
    ids=["mounts", "hooks of the working directory"],
)
def test_a_users_containers_conf_brings_nothing_into_a_run(
    backend: BackEnd, site: dict[str, Any], text: str
) -> None:
    words = {"text": text, "hook": HOOK, "image": site["testbed_image"]}
    line = RUN.format(**{name: shlex.quote(word) for name, word in words.items()})
    said = backend.says("sh", "-c", line.replace("{home}", "/home/alice") + "true", user="alice")
    # whatever a pull says before
    assert said.split()[-1] == "runs"
    assert not {"/site", "own-hook-ran"} & set(said.split())
