# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian 12 becomes a Debian 13 while containers run, is restarted, and provisioned again.

The tests are steps of one story, in this order, after test_collection_upgraded.py.
"""

from __future__ import annotations

import json
from pathlib import Path

from conftest import INVENTORY, SITE, SITE_FILE, Site, all_is_there, changed, playbook, runs_work
from verifying import login_of, verify

UPGRADE = Path(__file__).parents[1] / "files/system-upgrade"
BEGUN: dict[str, list[int]] = {}
"""Runs that began on Debian 12: two of each engine."""
SAYS_RESTART = "systemd-logind still is version 252"


def faults(site: Site) -> set[str]:
    found = json.loads(site.alice.run("ces-doctor --json").out)["findings"]
    return {one["check"] for one in found if one["level"] == "fault"}


def test_containers_run_through_the_upgrade(site: Site) -> None:
    for engine in ("podman", "oci"):
        BEGUN[engine] = [site.alice.begin(engine) for _time in range(2)]
    site.backend.root("sh", stdin=UPGRADE.read_text(), timeout=600)
    assert site.backend.root("cat /etc/debian_version").startswith("13.")
    # Python 3.11, in which they run, is gone
    assert site.backend.run("root", "test -e /usr/lib/python3.11/os.py").rc == 1
    for first, _second in BEGUN.values():
        assert site.alice.state(first) == ("RUNNING", None)
        assert site.alice.end(first) == ("FAILED", 9)


def test_users_can_work_before_the_host_is_restarted(site: Site) -> None:
    all_is_there(site.alice)
    runs_work(site.alice, "podman", "oci")


def test_the_playbook_says_that_new_sessions_wait_for_the_restart(site: Site) -> None:
    assert SAYS_RESTART in playbook("--check", "--tags=podman").out


def test_a_restart_ends_runs_and_the_records_say_so(site: Site) -> None:
    site.restart()
    for _first, second in BEGUN.values():
        assert site.alice.state(second)[0] == "CANCELLED"
    assert site.alice.left() == ""


def test_users_can_work_before_the_playbook_comes(site: Site) -> None:
    for user in (site.alice, site.bob):
        all_is_there(user)
        runs_work(user, "podman", "oci")
    assert faults(site) == {"engines_installed"}
    # Debian 12 has no apptainer
    done = site.alice.run(f"ces-run apptainer {site.alice.image}")
    assert done.rc == 125
    assert "role apptainer" in done.err


def test_the_playbook_brings_what_debian_13_has(site: Site) -> None:
    foreseen = playbook("--check")
    assert changed(foreseen) > 0
    assert SAYS_RESTART not in foreseen.out
    assert changed(playbook()) > 0
    assert changed(playbook()) == 0


def test_all_engines_have_what_there_was(site: Site) -> None:
    for user in (site.alice, site.bob):
        all_is_there(user)
        runs_work(user, "podman", "oci")
    assert faults(site) == set()
    said = json.loads(site.alice.run("podman info --format json").ok().out)
    assert said["version"]["Version"].startswith("5.")
    # as podman 4.3 made them
    assert said["host"]["databaseBackend"] == "boltdb"
    assert said["store"]["graphDriverName"] == "overlay"


def test_it_is_proved(site: Site, tmp_path: Path) -> None:
    done = verify(INVENTORY, tmp_path, f"--extra-vars=@{SITE_FILE}", **login_of(SITE))
    assert done.play.rc == 0, done.play.said
    assert done.failed("debian12") == set()
