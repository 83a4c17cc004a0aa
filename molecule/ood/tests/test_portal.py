# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ood_apps makes of a portal, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from remote import Host
from users import APPS, CLUSTERS, SITE, User, playbook

BATCH = f"{APPS}/batch_container_app"
NGINX_STAGE = "/opt/ood/nginx_stage/sbin/nginx_stage"
LISTING = f"find {APPS} /etc/ood -printf '%p %u %g %m %s %T@\\n' | sort"


def read_yaml(portal: Host, path: str) -> dict[str, Any]:
    """As the portal reads it: aliases are refused."""
    script = "require 'yaml'; require 'json'; puts YAML.safe_load(File.read(ARGV[0])).to_json"
    return dict(json.loads(portal.command("root", "ruby", "-e", script, path).ok().out))


def test_apps_are_roots_and_programs_are_executable(portal: Host) -> None:
    lines = portal.root(f"find {APPS} -mindepth 1 -printf '%u:%g %m %y %P\\n'").splitlines()
    assert len(lines) > 40
    for line in lines:
        owner, mode, kind, name = line.split(" ", 3)
        assert owner == "root:root"
        assert mode == ("755" if kind == "d" or name.endswith("script.sh.erb") else "644"), line
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", portal.root(f"cat {BATCH}/VERSION"))


def test_a_cluster_is_a_file_with_our_limits(portal: Host) -> None:
    said = read_yaml(portal, f"{CLUSTERS}/tre.yml")["v2"]
    assert said["metadata"]["title"] == "The cluster of the test bed"
    assert (said["login"], said["job"]) == ({"host": "node1"}, {"adapter": "slurm"})
    assert said["custom"]["ces"] == {
        "max_cores": 2,
        "max_memory": 1,
        "max_gpus": 2,
        "wall_time": 6.0,
        "shared_home": True,
        "order": 0,
        "runners": ["podman", "apptainer"],
        "partition": "batch",
        "jupyter_image": f"{SITE['testbed_registry']}/tre/jupyterlab:1.0",
        "image_check": ["/usr/local/bin/ces-check", "--elsewhere"],
    }


def test_dynamic_forms_are_on_and_apps_are_pinned(portal: Host) -> None:
    said = read_yaml(portal, "/etc/ood/config/ondemand.d/tre-ces.yml")
    assert said["bc_dynamic_js"] is True
    assert "sys/batch_container_app" in said["pinned_apps"]


def test_who_may_use_one_cluster_has_no_choice(alice: User) -> None:
    form = alice.form("batch_container_app")
    assert form["cluster"] == ["tre"]
    assert form["attributes"]["cluster"]["widget"] == "hidden_field"
    assert form["attributes"]["cores"]["max"] == 2
    # the group of the other one
    assert (
        "none that you may use" in alice.try_launch("greetings_app", cluster="tre-small")["error"]
    )


def test_who_may_use_two_has_limits_of_each(bob: User) -> None:
    (title, name, large), (_title, _name, small) = bob.form("batch_container_app")["attributes"][
        "cluster"
    ]["options"]
    assert (title, name) == ("The cluster of the test bed", "tre")
    assert (large["data-label-cores"], large["data-hide-gpus"]) == ("Cores, up to 2", False)
    assert (small["data-label-cores"], small["data-hide-gpus"]) == ("Cores, up to 1", True)


def test_another_name_of_a_cluster_is_hidden(portal: Host) -> None:
    """The portal would list each job twice."""
    hidden = {
        name: read_yaml(portal, f"{CLUSTERS}/{name}.yml")["v2"]["metadata"].get("hidden")
        for name in ("tre", "tre-small", "island")
    }
    assert hidden == {"tre": None, "tre-small": True, "island": None}


WRONG: dict[str, dict[str, Any]] = {
    "tre": {"partition": "no-such"},
    "tre-long": {"slurm_cluster": "tre", "partition": "batch", "wall_time": 100},
    "another": {},
    "Upper Case": {},
    "tre-wrapper": {"slurm_cluster": "tre", "script_wrapper": "echo 100%; %s"},
    "tre-group": {"slurm_cluster": "tre", "groups": ["no-such-group"]},
    "tre-line": {"slurm_cluster": "tre", "title": "two\nlines"},
}
REASONS = (
    "Cluster tre: Slurm has no partition no-such.",
    "Cluster tre-long: wall_time is 100 h, and the partition batch allows 8 h",
    "Cluster another: Slurm calls the cluster tre",
    "Cluster Upper Case: its id may have small letters",
    "Cluster tre-wrapper: script_wrapper must hold %s once",
    "Cluster tre-group: its groups no-such-group are not known",
    "Cluster tre-line: title holds a line break",
    "The portal cannot read /etc/ood/config/clusters.d/foreign.yml: ",
)


@pytest.fixture
def foreign(portal: Host) -> Iterator[None]:
    """A cluster's file of somebody else, which the portal passes over."""
    file = f"{CLUSTERS}/foreign.yml"
    portal.root(f"cat >{file}", stdin="v2:\n  metadata: &a {title: x}\n  login: *a\n")
    yield
    portal.root(f"rm {file}")


def test_what_would_vanish_is_refused_with_the_reason_and_nothing_changes(
    portal: Host, foreign: None
) -> None:
    before = portal.root(LISTING)
    usual = {"title": "x", "login_host": "node1", "max_cores": 1, "max_memory": 1}
    clusters = [{"id": name, **usual, **more} for name, more in WRONG.items()]
    done = playbook("portal.yml", f"--extra-vars={json.dumps({'ces_clusters': clusters})}")
    assert done.rc != 0
    said = re.sub(r"\s+", " ", done.out.replace("\\n", " "))
    for reason in REASONS:
        assert reason in said
    assert portal.root(LISTING) == before


@pytest.fixture
def servers(portal: Host) -> Iterator[Host]:
    """A stand-in for the portal's program that restarts servers: it only shows what it is told."""
    portal.root(
        f"install -D -m 755 /dev/stdin {NGINX_STAGE}",
        stdin='#!/bin/sh\necho "$@" >>/run/nginx_stage.told\n',
    )
    yield portal
    portal.root("rm -rf /opt/ood/nginx_stage /run/nginx_stage.told")


def told(portal: Host) -> list[str]:
    return portal.root(
        "cat /run/nginx_stage.told 2>/dev/null; rm -f /run/nginx_stage.told"
    ).splitlines()


def test_a_sites_changes_and_their_end(servers: Host, alice: User, bob: User) -> None:
    """Overrides, an app for a group alone, servers that are restarted when something changed."""
    site = {
        "ood_apps_installed": [{"name": "batch_container_app", "group": "tre-proj2"}],
        "ood_apps_overrides": {
            "batch_container_app": {
                "tre": {"title": "Containers: here", "attributes": {"image": {"help": "x"}}}
            }
        },
        "ood_apps_ondemand": {"bc_clean_old_dirs": True},
    }
    assert playbook("portal.yml", f"--extra-vars={json.dumps(site)}").ok()
    # for the apps, and for the configuration
    assert set(told(servers)) == {"nginx_clean --force"}
    override = "/etc/ood/config/apps/batch_container_app/tre.yml"
    assert read_yaml(servers, override)["title"] == "Containers: here"
    assert read_yaml(servers, "/etc/ood/config/ondemand.d/tre-ces.yml")["bc_clean_old_dirs"] is True
    assert servers.root(f"stat -c '%A %U %G' {BATCH}").split() == [
        "drwxr-x---",
        "root",
        "tre-proj2",
    ]
    assert bob.run(f"cat {BATCH}/form.yml.erb").rc == 0
    assert alice.run(f"cat {BATCH}/form.yml.erb").rc != 0
    assert servers.root(f"ls {APPS}").split() == ["batch_container_app"]

    assert playbook("portal.yml").ok()
    assert set(told(servers)) == {"nginx_clean --force"}
    assert alice.run(f"cat {BATCH}/form.yml.erb").rc == 0
    assert servers.run("root", f"cat {override}").rc != 0
    assert "greetings_app" in servers.root(f"ls {APPS}").split()
