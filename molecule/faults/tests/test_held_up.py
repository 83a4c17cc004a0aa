# SPDX-License-Identifier: GPL-3.0-or-later
"""What root does with a user's rights, or looks at, while the user works against it: it ends."""

from __future__ import annotations

import time
from pathlib import Path

import yaml
from conftest import Play, User, playbook
from remote import Host, answer_of, wait_until

STORAGE = "/var/lib/tre-ces/containers"
LEAVER, UID = "leaver", 2099


def role_podman(place: Path, user: str) -> Path:
    """A play of that role for one user."""
    role = {
        "role": "tre.ces.podman",
        "podman_users": [user],
        "podman_registries": "{{ ces_registries_allowed }}",
        "podman_verify_users": [],
    }
    file = place / "podman.yml"
    file.write_text(yaml.safe_dump([{"hosts": "ces_backends", "become": True, "roles": [role]}]))
    return file


def test_a_user_who_keeps_the_output_of_a_program_keeps_no_role_reading(
    tmp_path: Path, backend: Host, users: dict[str, User]
) -> None:
    """The role starts the message bus of who has none, as the user, and hears what is said."""
    user = users["user7"]
    bus = f"/run/user/{user.uid}/bus"
    user.run("systemctl --user stop dbus.socket dbus.service; rm $XDG_RUNTIME_DIR/bus; true")
    assert backend.run("root", f"test -e {bus}").rc != 0
    attack = backend.begin(user.name, "take_output", word="dbus.socket")
    begin = time.monotonic()
    done = playbook(role_podman(tmp_path, user.name), timeout=120)
    assert done.rc == 0, done.said
    assert time.monotonic() - begin < 90
    assert answer_of(attack) == {"taken": True, "ended": "Broken pipe"}
    assert backend.run("root", f"test -e {bus}").rc == 0


def test_a_user_who_leaves_and_stops_all_that_has_their_rights(backend: Host, play: Play) -> None:
    """From outside of their sessions, as a job does: what root starts to end them, too."""
    stops = "import os\nwhile True:\n try: os.kill(-1, 19)\n except OSError: pass\n"
    backend.root(f"useradd --uid {UID} --create-home {LEAVER}; loginctl enable-linger {UID}")
    try:
        wait_until(lambda: backend.run("root", f"test -e /run/user/{UID}/bus").rc == 0, "a session")
        backend.root(
            "cat >/run/stops.py; systemd-run --quiet --collect --unit=stops"
            f" --uid={UID} python3 /run/stops.py",
            stops,
        )
        leaves = {"root": STORAGE, "users": [LEAVER], "state": "absent", "becomes": "remove"}
        begin = time.monotonic()
        done = play("root", [{"tre.ces.user_store": leaves}])
        assert done.rc == 0, done.said
        assert time.monotonic() - begin < 60
        assert backend.run("root", f"pgrep -U {UID}").rc == 1
        assert backend.run("root", f"test -d /run/user/{UID}").rc != 0
    finally:
        backend.root(
            f"systemctl stop stops; loginctl disable-linger {UID}; pkill -KILL -U {UID};"
            f" userdel --force --remove {LEAVER}; rm -f /run/stops.py; true"
        )


def test_a_neighbours_sockets_say_nothing_of_a_session(
    backend: Host, users: dict[str, User], play: Play
) -> None:
    """Their names are in the kernel's table as they are."""
    user = users["user7"]
    names = ["a\nb /c", "\n", f"x\n0: 2 0 00010000 1 1 7 /run/user/{user.uid}/bus"]
    backend.root(f"systemctl stop user@{user.uid}")
    held = backend.begin("bob", "odd_sockets", names=names)
    look = {"tre.ces.host_check": {"users": [user.name, "bob"]}, "register": "found"}
    lasting = "found.users | map(attribute='lingers')"
    said = {"ansible.builtin.assert": {"that": f"{lasting} == [false, true]"}}
    done = play("root", [look, said])
    assert answer_of(held) == len(names)
    backend.root(f"systemctl start user@{user.uid}")
    assert done.rc == 0, done.said
