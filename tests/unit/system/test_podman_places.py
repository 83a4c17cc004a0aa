# SPDX-License-Identifier: GPL-3.0-or-later
"""Where podman keeps what, by its files; that podman says the same is seen on a real host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.podman_places import (
    podman_storage,
    podman_temporary,
)


@pytest.fixture
def ada(tmp_path):
    """``ada(VARIABLE=value)``, an ordinary user."""
    (tmp_path / "home").mkdir()

    def make(uid: int = 1234, **environ: str) -> Account:
        account = Account("ada", uid, f"{tmp_path}/home", ("ada",), environ)
        # a session is no matter here
        account.__dict__["_engine_environ"] = environ
        return account

    return make


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_files_images_are_in_the_home(ada, tmp_path):
    place = podman_storage(ada(), str(tmp_path))
    assert place == f"{tmp_path}/home/.local/share/containers/storage"
    assert podman_storage(ada(XDG_DATA_HOME="/data"), str(tmp_path)) == "/data/containers/storage"
    assert podman_storage(ada(0), str(tmp_path)) == "/var/lib/containers/storage"


def test_the_site_says_where_images_are(ada, tmp_path):
    text = '[storage]\ngraphroot = "/root"\nrootless_storage_path = "/var/x/$UID/$USER"\n'
    write(tmp_path / "etc/containers/storage.conf", text)
    assert podman_storage(ada(XDG_DATA_HOME="/data"), str(tmp_path)) == "/var/x/1234/ada"
    assert podman_storage(ada(0), str(tmp_path)) == "/root"


def test_the_distributions_file_counts_where_the_site_has_none(ada, tmp_path):
    text = '[storage]\nrootless_storage_path = "$HOME/x"\n'
    write(tmp_path / "usr/share/containers/storage.conf", text)
    assert podman_storage(ada(), str(tmp_path)) == f"{tmp_path}/home/x"


def test_a_users_own_file_stands_in_place_of_the_sites(ada, tmp_path):
    write(tmp_path / "etc/containers/storage.conf", '[storage]\nrootless_storage_path = "/var/x"\n')
    own = tmp_path / "home/.config/containers/storage.conf"
    write(own, '[storage]\ngraphroot = "/mine"\n')
    assert podman_storage(ada(), str(tmp_path)) == "/mine"
    write(own, '[storage]\ndriver = "overlay"\n')
    assert podman_storage(ada(), str(tmp_path)).endswith("/home/.local/share/containers/storage")


@pytest.mark.parametrize(
    ("site", "own", "environ", "place"),
    [
        ("", "", {}, "/var/tmp"),  # noqa: S108
        ('"/big"', "", {}, "/big"),
        ('"/big"', '"/mine"', {}, "/mine"),
        ('"/big"', "", {"TMPDIR": "/chosen"}, "/chosen"),
        ('"storage"', "", {"XDG_DATA_HOME": "/data"}, "/data/containers/storage/tmp"),
    ],
)
def test_what_is_fetched_lies_where_podman_says(ada, tmp_path, site, own, environ, place):
    files = {"etc": site, "home/.config": own}
    for directory, value in files.items():
        if value:
            text = f"[engine]\nimage_copy_tmp_dir = {value}\n"
            write(tmp_path / directory / "containers/containers.conf", text)
    assert podman_temporary(ada(**environ), str(tmp_path)) == place
