# SPDX-License-Identifier: GPL-3.0-or-later
"""What a researcher, or an image, tries on the audited path: each is refused, or does not act."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import pytest
from conftest import SITE, IntoRegistry, User
from remote import Host

POLICY = "/etc/ces/policy.json"
OWN = ".config/containers/containers.conf"
CGROUPS = (
    "grep cgroup2 /proc/mounts;"
    " for place in $(find /sys/fs/cgroup -maxdepth 8 -type d -name 'user@*.service');"
    " do mkdir $place/of-a-container && echo changed; done; true"
)
"""Change the user's own tree, if any of the host's is to be seen."""
JOB = """\
[containers]
annotations = ["io.tre-ces.slurm-job=7"]
cgroupns = "host"
cgroups = "disabled"
[engine]
cgroup_manager = "cgroupfs"
"""
"""What the prolog of a Slurm job writes for podman."""


@pytest.fixture
def read_only(backend: Host) -> Iterator[None]:
    """A site that has project data read-only."""
    before = backend.root(f"cat {POLICY}")
    changed = {**json.loads(before), "safe_data": {"access": "ro"}}
    backend.root(f"cat >{POLICY}", json.dumps(changed))
    yield
    backend.root(f"cat >{POLICY}", before)


@pytest.fixture(scope="module")
def built(alice: User) -> Callable[..., str]:
    """An image of alice's own making, by podman; its name."""

    def build(name: str, *lines: str) -> str:
        image = f"{alice.image.rpartition('/')[0]}/{name}:1.0"
        text = "\n".join([f"FROM {alice.image}", *lines, ""])
        alice.run(f"podman build --quiet --format=docker --tag={image} -", stdin=text).ok()
        return image

    return build


def test_root_of_apptainer_makes_no_mount_writable(alice: User) -> None:
    words = ["ces-run", "apptainer", "--read-only", "--opt-file=/dev/stdin", alice.image]
    for option in ("--fakeroot", "-f"):
        done = alice.command(*words, stdin=f"{option}\n")
        assert done.rc == 125
        assert "use the runner podman or oci" in done.err


@pytest.mark.usefixtures("read_only")
def test_a_home_that_was_moved_into_project_data_is_no_home_of_a_run(alice: User) -> None:
    place = "/safe_data/proj1/of-alice"
    alice.run(f"mkdir -p {place} ~/out-of-attack ~/scratch-of-attack").ok()
    words = ["ces-run", "podman", "--home", "--project=proj1", alice.image]
    words += [f"--outputs={alice.home}/out-of-attack", f"--scratch={alice.home}/scratch-of-attack"]
    try:
        done = alice.run(f"HOME={place} XDG_STATE_HOME=~/.local/state {shlex.join(words)}")
    finally:
        alice.run(f"rm -r {place} ~/out-of-attack ~/scratch-of-attack").ok()
    assert done.rc == 125
    assert f"use {place} for the home directory" in done.err
    assert "containers may only read there" in done.err


def test_no_home_is_two_paths_to_apptainer(alice: User) -> None:
    """``--home=SOURCE:TARGET``, where SOURCE may be a link to anywhere."""
    place = f"{alice.home}/etc-of-the-host:/mnt"
    alice.run(f"mkdir -p {place} && ln -s /etc ~/etc-of-the-host").ok()
    words = ["ces-run", "apptainer", "--home", "--project=proj1", alice.image]
    try:
        done = alice.run(f"HOME={place} XDG_STATE_HOME=~/.local/state {shlex.join(words)}")
    finally:
        alice.run("rm -r ~/etc-of-the-host ~/etc-of-the-host:").ok()
    assert done.rc == 125
    assert "it contains a colon" in done.err


def test_no_time_zone_is_a_file_of_the_host(alice: User) -> None:
    for zone in ("../../../etc/hostname", "/etc/hostname"):
        words = ["ces-run", "podman", "--opt-file=/dev/stdin", alice.image]
        done = alice.command(*words, stdin=f"--tz={zone}\n")
        assert done.rc == 125
        assert "a time zone's name" in done.err


def test_a_health_check_of_an_image_is_not_run(alice: User, built: Callable[..., str]) -> None:
    """The user's systemd would run it: outside of the run, of its job and of its limits."""
    check = "HEALTHCHECK --interval=1s CMD echo checked >>/scratch/checked"
    image = built("checks-itself", check, 'ENTRYPOINT ["/bin/sh", "-c"]')
    line = "sleep 4; ls /scratch; echo the end"
    done = alice.command("ces-run", "podman", "--project=proj1", image, line).ok()
    assert done.out == "the end\n"


@pytest.mark.parametrize("in_job", [False, True], ids=["alone", "as in a job"])
def test_a_program_that_is_called_as_systemd_is_changes_no_cgroup(
    alice: User, built: Callable[..., str], in_job: bool
) -> None:
    make = r"""RUN printf '#!/bin/sh\nexec sh -c "$1"\n' >/bin/systemd && chmod 755 /bin/systemd"""
    image = built("called-init", make, 'ENTRYPOINT ["/bin/systemd"]')
    alice.run("cat >~/job.conf", stdin=JOB).ok()
    words = ["ces-run", "podman", "--project=proj1", image, CGROUPS]
    setting = f"CONTAINERS_CONF_OVERRIDE={alice.home}/job.conf" if in_job else ""
    try:
        done = alice.run(f"{setting} {shlex.join(words)}").ok()
    finally:
        alice.run("rm ~/job.conf").ok()
    assert "changed" not in done.out
    assert "/sys/fs/cgroup cgroup2 ro," in done.out


HOOK = {
    "version": "1.0.0",
    "hook": {"path": "{home}/hooks/hook", "args": ["hook"]},
    "when": {"always": True},
    "stages": ["createContainer"],
}


@pytest.mark.parametrize(
    ("setting", "option", "look"),
    [
        ('[containers]\nbase_hosts_file = "{home}/word"', "", "cat /etc/hosts"),
        ('[containers]\ninit_path = "{home}/word"', "--init", "cat /run/podman-init"),
        ('[engine]\ninit_path = "{home}/word"', "--init", "cat /run/podman-init"),
        ('[engine]\nhooks_dir = ["{home}/hooks"]', "", "true"),
        ('[engine]\nhooks_dir = ["{home}/hooks", {append}]', "", "true"),
        ('[engine.runtimes]\ncrun = ["{home}/hooks/runtime"]', "", "true"),
        ('[engine]\nruntime = "{home}/hooks/runtime"', "", "true"),
        ('[engine]\nconmon_path = ["{home}/hooks/conmon"]', "", "true"),
        ('[engine]\nenv = ["LD_PRELOAD={home}/word"]', "", "true"),
        ("engine = {hooks}", "", "true"),
    ],
)
def test_no_program_and_no_file_of_a_users_comes_in_by_the_engine(
    alice: User, setting: str, option: str, look: str
) -> None:
    """One that podman would run or mount beside what we tell it."""
    home = alice.home
    hooks = f'{{ hooks_dir = ["{home}/hooks"] }}'
    text = setting.replace("{append}", "{append=true}").replace("{hooks}", hooks)
    text = text.replace("{home}", home)
    alice.run(f"mkdir -p ~/hooks ~/.config/containers; cat >~/{OWN}", stdin=f"{text}\n").ok()
    alice.run("echo 127.9.9.9 marker-of-alice >~/word; chmod 755 ~/word").ok()
    alice.run("cat >~/hooks/hook.json", stdin=json.dumps(HOOK).replace("{home}", home)).ok()
    for name in ("hook", "runtime", "conmon"):
        program = {"runtime": "crun", "conmon": "conmon"}.get(name, "true")
        script = f'#!/bin/sh\necho ran >>{home}/word-of-{name}\nexec /usr/bin/{program} "$@"\n'
        alice.run(f"cat >~/hooks/{name}; chmod 755 ~/hooks/{name}", stdin=script).ok()
    options = f"{option}\n--entrypoint=/bin/sh\n"
    words = ["ces-run", "podman", "--project=proj1", "--opt-file=/dev/stdin", alice.image]
    try:
        done = alice.command(*words, "-c", f"{look}; true", stdin=options)
        ran = alice.run("ls ~ | grep word-of-; true").out
    finally:
        alice.run(f"rm -rf ~/{OWN} ~/hooks ~/word ~/word-of-*").ok()
    assert done.ok().out.count("marker-of-alice") == 0
    assert ran == ""
    assert f"{OWN} sets " in done.err


def test_an_image_from_where_a_user_leads_podman_is_none_of_the_registrys(
    alice: User, into_registry: IntoRegistry
) -> None:
    into_registry("push_layer", path="elsewhere/hello-tre", tag="1.0", size=10)
    name = alice.image.rpartition(":")[0]
    conf = f'[[registry]]\nprefix = "{name}"\nlocation = "{name.replace("/tre/", "/elsewhere/")}"\n'
    own = ".config/containers/registries.conf"
    alice.run(f"mkdir -p ~/.config/containers; cat >~/{own}", stdin=conf).ok()
    words = ["ces-pull", "podman", "--force", "--username", SITE["testbed_registry_user"]]
    words += ["--password-stdin", alice.image]
    try:
        done = alice.command(*words, stdin=SITE["testbed_registry_password"])
        there = alice.command("podman", "image", "exists", alice.image).rc
    finally:
        alice.run(f"rm ~/{own}").ok()
        alice.pull().ok()
    assert (done.rc, there) == (125, 1), done.said
    assert "the registry has sha256:" in done.err
