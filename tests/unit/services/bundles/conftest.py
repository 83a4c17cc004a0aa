# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end that has the programs, and a registry whose image has one digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from oci_site import Site, config_of_image, write
from recording import BackEnd, OneImageRegistry

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.services import pull as pulling
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command


@pytest.fixture
def site(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(pulling, "registry_here", OneImageRegistry)
    backend.system.policy = replace(backend.system.policy, runners=("podman", "oci"))
    image = config_of_image(Entrypoint=["/bin/app"], User="ada", Env=["PATH=/bin"])
    site = Site(**vars(backend), image=image)

    def copy(command: Command, _streams: Streams) -> Finished:
        layout = Path(command.argv[-1].split(":")[1])
        for name, content in (
            ("blobs/sha256/c", site.image),
            ("blobs/sha256/m", {"config": {"digest": "sha256:c"}}),
            ("index.json", {"manifests": [{"digest": "sha256:m"}]}),
        ):
            write(layout / name, json.dumps(content))
        return Finished(command.argv, 0)

    def unpack(command: Command, _streams: Streams) -> Finished:
        rootfs = Path(command.argv[-1])
        write(rootfs / "bin/app", "program", 0o4711)
        write(rootfs / "etc/passwd", "ada:x:1000:100::/home/ada:/bin/sh\n", 0o600)
        write(rootfs / "secret/file", "x", 0o600)
        (rootfs / "secret").chmod(0o700)
        (rootfs / "lib").symlink_to("usr/lib")
        write(rootfs / "run.sh", "small")
        return Finished(command.argv, 0)

    backend.process.then("skopeo", copy)
    backend.process.then("umoci", unpack)
    return site
