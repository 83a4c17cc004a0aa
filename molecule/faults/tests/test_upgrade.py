# SPDX-License-Identifier: GPL-3.0-or-later
"""Another version of the commands is installed while containers run."""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import SITE, TOP, Play, User, playbook
from remote import Host, wait_until
from test_registry import silent

PULL = "exec ces-pull oci --force --username {user} --password-stdin {{image}}".format(
    user=SITE["testbed_registry_user"]
)
PLACE = "/usr/local/lib/tre-ces"
LAUNCHER = b"#!/bin/sh\necho another version\nexit 9\n"


def other_version() -> str:
    """A version that consists of another launcher, and has none of our other files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("launcher")
        entry.size, entry.mode = len(LAUNCHER), 0o755
        tar.addfile(entry, io.BytesIO(LAUNCHER))
    return base64.b64encode(packed.getvalue()).decode()


@pytest.fixture
def put_back(backend: Host) -> Iterator[None]:
    yield
    done = playbook(TOP / "playbooks/backend.yml", "--limit=ces_backends", "--tags=ces_tools")
    assert done.rc == 0, done.said
    assert "tre.ces" in backend.root("ces --version")


@pytest.mark.usefixtures("put_back")
def test_what_runs_goes_on_with_the_version_that_it_began_with(
    backend: Host, registry: Host, alice: User, site: dict[str, Any], play: Play
) -> None:
    number = alice.start_run(alice.image, "-d", "120")
    began = backend.root(f"readlink -f {PLACE}").strip()
    tree = {"path": PLACE, "archive": other_version(), "keep_days": 30}
    with silent(registry):
        pull = alice.host.start(alice.name, PULL.format(image=shlex.quote(alice.image)))
        assert pull.stdin
        pull.stdin.write(site["testbed_registry_password"])
        pull.stdin.close()
        pull.stdin = None
        wait_until(lambda: alice.run("pgrep -u alice -f [c]es-pull").out, "the pull to begin")
        time.sleep(2)
        done = play("root", [{"tre.ces.file_tree": tree}])
        assert done.rc == 0, done.said
    assert alice.run("ces-run --version").out == "another version\n"
    assert backend.run("root", f"test -e {PLACE}/ces").rc == 1
    assert backend.run("root", f"test -e {began}/ces").rc == 0
    # it loads what unpacks an image when it has one
    out, err = pull.communicate(timeout=90)
    assert pull.returncode == 0, (out, err)
    backend.root(f"kill -TERM {alice.record(number)['pid']}")
    wait_until(lambda: alice.record(number)["state"] == "CANCELLED", "the run to end", 60)
    wait_until(lambda: not any(alice.left().values()), "nothing to be left", 30)
