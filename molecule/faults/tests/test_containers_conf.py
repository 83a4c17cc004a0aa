# SPDX-License-Identifier: GPL-3.0-or-later
"""A containers.conf of the site's or of a user's that would break what runs promise."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import TOP, User, playbook
from remote import Host

SITE = "/etc/containers/containers.conf.d/50-site.conf"
OWN = ".config/containers/containers.conf"
SETTINGS = {
    SITE: """\
[containers]
userns = "keep-id"
pidns = "host"
volumes = [
  "/etc:/site", # all of it
]
default_capabilities = ["CHOWN", "DAC_OVERRIDE", "SYS_ADMIN"]
""",
    OWN: """\
[containers]
env = ["OF_THE_USER=yes"]
utsns = "host"
read_only = true
seccomp_profile = "unconfined"
""",
}
LOOK = (
    "echo uid $(id -u); echo name $(hostname); ls -d /site; env; cat /proc/self/status;"
    " ls -d /proc/[0-9]* | wc -l; touch /new && echo written"
)
SYS_ADMIN = 1 << 21


@pytest.fixture
def configured(alice: User, backend: Host) -> Iterator[User]:
    backend.root(f"cat >{SITE}", stdin=SETTINGS[SITE])
    alice.run(f"mkdir -p ~/.config/containers; cat >~/{OWN}", stdin=SETTINGS[OWN]).ok()
    yield alice
    backend.root(f"rm {SITE}")
    alice.run(f"rm ~/{OWN}").ok()


def test_it_does_not_hold_for_our_runs_and_each_key_is_named(configured: User) -> None:
    done = configured.shell_in_container(LOOK, "--project=proj1").ok()
    said = done.out
    assert "uid 0\n" in said
    assert "name debian13\n" not in said
    assert "OF_THE_USER" not in said
    assert "written\n" in said
    facts = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert facts["Seccomp"] == "2"
    assert int(facts["CapBnd"], 16) & SYS_ADMIN == 0
    assert int(next(line for line in said.splitlines() if line.isdigit())) < 10
    assert "\n/site\n" not in said
    for file, text in SETTINGS.items():
        for line in text.splitlines():
            if " = " in line:
                assert f"{file} sets containers.{line.partition(' =')[0]} =" in done.err
    warnings = configured.record(configured.last_number())["warnings"]
    assert len(warnings) >= 8
    assert configured.left() == {}


@pytest.mark.parametrize(
    "text",
    [
        '[Containers]\n"Volumes" = ["/etc:/site"]\n',
        '[containers]\nvolumes = ["/etc:/site", {append=true}]\n',
        'containers = { volumes = ["/etc:/site"] }\n',
        '[containers]\nannotations = ["io.example=]"]\nvolumes = ["/etc:/site"]\n',
        '\ufeff[containers]\nvolumes = ["/etc:/site"]\n',
    ],
    ids=["capitals", "append", "table", "bracket", "mark"],
)
def test_no_spelling_of_a_users_own_file_mounts_anything(alice: User, text: str) -> None:
    alice.run(f"mkdir -p ~/.config/containers; cat >~/{OWN}", stdin=text).ok()
    try:
        done = alice.shell_in_container("ls -d /site; true", "--project=proj1").ok()
    finally:
        alice.run(f"rm ~/{OWN}").ok()
    assert "/site\n" not in done.out
    assert f"{OWN} sets " in done.err


PROGRAM = "#!/bin/sh\necho >>~/own-program-ran\nexec {}\n"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ('[engine]\nhooks_dir = ["own"]\n', "/bin/true"),
        ('[engine.runtimes]\ncrun = ["own/program"]\n', '/usr/bin/crun "$@"'),
        ('[engine.runtimes]\ncrun = ["program"]\n', '/usr/bin/crun "$@"'),
    ],
    ids=["hooks", "runtime", "runtime beside us"],
)
def test_no_program_of_the_working_directory_is_run(alice: User, text: str, program: str) -> None:
    """A path without a slash in front is one of the user's, as podman reads it."""
    hook = {"version": "1.0.0", "hook": {"path": f"{alice.home}/own/program"}}
    hook |= {"when": {"always": True}, "stages": ["createRuntime"]}
    make = "mkdir -p ~/own ~/.config/containers; cat >~/own/program; chmod +x ~/own/program"
    alice.run(f"{make}; cp ~/own/program ~/program", stdin=PROGRAM.format(program)).ok()
    alice.run("cat >~/own/hook.json", stdin=json.dumps(hook)).ok()
    alice.run(f"cat >~/{OWN}", stdin=text).ok()
    try:
        done = alice.shell_in_container("echo runs", "--project=proj1").ok()
        ran = alice.run("ls ~/own-program-ran").out
    finally:
        alice.run(f"rm -rf ~/{OWN} ~/own ~/program ~/own-program-ran").ok()
    assert (done.out, ran) == ("runs\n", "")
    assert f"{OWN} sets engine." in done.err


def test_a_mounts_conf_puts_nothing_into_a_container(alice: User) -> None:
    own = ".config/containers/mounts.conf"
    alice.run(f"mkdir -p ~/.config/containers ~/of-alice && echo ~/of-alice:/site >~/{own}").ok()
    try:
        done = alice.shell_in_container("ls -d /site; true", "--project=proj1").ok()
    finally:
        alice.run(f"rm ~/{own}; rmdir ~/of-alice").ok()
    assert "/site\n" not in done.out


def test_the_role_names_file_and_key_and_is_not_in_the_way(configured: User) -> None:
    """Its own container, with which it shows that podman works, is like those of ces-run."""
    configured.run(f"rm ~/{OWN}; touch ~/{OWN}").ok()
    words = [
        "--tags=podman",
        "--limit=ces_backends",
        "--extra-vars",
        json.dumps({"podman_users": ["alice"]}),
    ]
    done = playbook(TOP / "playbooks/backend.yml", *words)
    assert done.rc == 0, done.said
    # YAML breaks lines
    said = " ".join(done.said.replace('\\"', '"').split())
    assert f'{SITE} sets containers.userns = "keep-id"' in said, done.said[-3000:]
