# SPDX-License-Identifier: GPL-3.0-or-later
"""Where podman keeps what, by its files; that podman says the same is seen on a real host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.podman_places import (
    podman_storage,
    podman_temporary,
    storage_by_drop_ins,
    storage_by_one_file,
)


@pytest.fixture
def ada(tmp_path: Path) -> Callable[..., Account]:
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


def test_without_files_images_are_in_the_home(ada: Callable[..., Account], tmp_path: Path) -> None:
    place = podman_storage(ada(), str(tmp_path))
    assert place == f"{tmp_path}/home/.local/share/containers/storage"
    assert podman_storage(ada(XDG_DATA_HOME="/data"), str(tmp_path)) == "/data/containers/storage"
    assert podman_storage(ada(0), str(tmp_path)) == "/var/lib/containers/storage"


def test_the_site_says_where_images_are(ada: Callable[..., Account], tmp_path: Path) -> None:
    text = '[storage]\ngraphroot = "/root"\nrootless_storage_path = "/var/x/$UID/$USER"\n'
    write(tmp_path / "etc/containers/storage.conf", text)
    assert podman_storage(ada(XDG_DATA_HOME="/data"), str(tmp_path)) == "/var/x/1234/ada"
    assert podman_storage(ada(0), str(tmp_path)) == "/root"


def test_the_distributions_file_counts_where_the_site_has_none(
    ada: Callable[..., Account], tmp_path: Path
) -> None:
    text = '[storage]\nrootless_storage_path = "$HOME/x"\n'
    write(tmp_path / "usr/share/containers/storage.conf", text)
    assert podman_storage(ada(), str(tmp_path)) == f"{tmp_path}/home/x"


def test_a_users_own_file_stands_in_place_of_the_sites(
    ada: Callable[..., Account], tmp_path: Path
) -> None:
    write(tmp_path / "etc/containers/storage.conf", '[storage]\nrootless_storage_path = "/var/x"\n')
    own = tmp_path / "home/.config/containers/storage.conf"
    write(own, '[storage]\ngraphroot = "/mine"\n')
    assert podman_storage(ada(), str(tmp_path)) == "/mine"
    write(own, '[storage]\ndriver = "overlay"\n')
    assert podman_storage(ada(), str(tmp_path)).endswith("/home/.local/share/containers/storage")


def test_without_drop_in_files_versions_of_podman_differ(
    ada: Callable[..., Account], tmp_path: Path
) -> None:
    write(
        tmp_path / "etc/containers/storage.conf",
        '[storage]\ngraphroot = "/root"\nrootless_storage_path = "/var/x"\n',
    )
    assert storage_by_one_file(ada(), str(tmp_path)) == "/var/x"
    assert storage_by_drop_ins(ada(), str(tmp_path)) == "/root"
    assert podman_storage(ada(), str(tmp_path)) == "/var/x"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"etc/containers/storage.rootless.conf.d/1.conf": "/a/$UID"}, "/a/1234"),
        ({"etc/containers/storage.rootful.conf.d/1.conf": "/a"}, "/var/x"),
        ({"etc/containers/storage.rootless.conf.d/1.txt": "/a"}, "/var/x"),
        ({"etc/containers/storage.rootless.conf.d/1234/1.conf": "/mine"}, "/mine"),
        # names decide over directories, and of one name the later directory
        (
            {
                "etc/containers/storage.rootless.conf.d/1.conf": "/a",
                "etc/containers/storage.conf.d/2.conf": "/b",
            },
            "/b",
        ),
        (
            {
                "etc/containers/storage.rootless.conf.d/1.conf": "/a",
                "usr/share/containers/storage.rootless.conf.d/1.conf": "/b",
            },
            "/a",
        ),
        (
            {
                "etc/containers/storage.rootless.conf.d/1.conf": "/a",
                "home/.config/containers/storage.conf.d/2.conf": "/mine",
            },
            "/mine",
        ),
        ({"etc/containers/storage.rootless.conf.d/1.conf": ""}, "/var/x"),
    ],
)
def test_drop_in_files_are_read_in_their_order(
    ada: Callable[..., Account], tmp_path: Path, files: dict[str, str], place: str
) -> None:
    write(tmp_path / "etc/containers/storage.conf", '[storage]\nrootless_storage_path = "/var/x"\n')
    for name, graphroot in files.items():
        write(tmp_path / name, f'[storage]\ngraphroot = "{graphroot}"\n')
    assert podman_storage(ada(), str(tmp_path)) == place


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
def test_what_is_fetched_lies_where_podman_says(
    ada: Callable[..., Account],
    tmp_path: Path,
    site: str,
    own: str,
    environ: dict[str, str],
    place: str,
) -> None:
    files = {"etc": site, "home/.config": own}
    for directory, value in files.items():
        if value:
            text = f"[engine]\nimage_copy_tmp_dir = {value}\n"
            write(tmp_path / directory / "containers/containers.conf", text)
    assert podman_temporary(ada(**environ), str(tmp_path)) == place
