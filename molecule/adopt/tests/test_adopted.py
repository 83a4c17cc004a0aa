# SPDX-License-Identifier: GPL-3.0-or-later
"""An ill host (files/make-ill): what the roles refuse, what they tell, and what they leave.

The tests are steps of one story, in this order; test_removed.py goes on with it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import DECIDED, Snapshot, changed, info, playbook, snapshot, words_of
from remote import Done, Host

ROOT = "/var/lib/tre-ces/containers"
KEPT = "/var/lib/tre-ces/replaced"
OLD_STORAGE = "/home/alice/.local/share/containers/storage"


@dataclass(frozen=True)
class Ill:
    """What refuses the host, and what an administrator does then.

    :param said: what is said of it.
    :param options: of the run, and ``asked``, its variables.
    :param cure: on the host.
    :param decided: in the inventory.
    """

    said: tuple[str, ...]
    options: tuple[str, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)
    cure: str = "true"
    decided: dict[str, Any] = field(default_factory=dict)


REFUSED = {
    "users": Ill(
        (
            "late is left out, and gets no session and no containers: the account has expired",
            "unshadowed is left out, and gets no session and no containers: it has no password",
            "barred is left out, and gets no session and no containers: a rule of this host",
            "changing is left out, and gets no session and no containers: its password must be",
            "great is left out, and gets no session and no containers: its uid is 2^31 or more",
            "homeless has no home directory yet",
        ),
        asked={"ces_users_strict": True},
    ),
    "storage": Ill(
        (
            f"{ROOT} lacks the file .tre-ces-disk, which an earlier run left there",
            'storage.conf says driver = "vfs"',
            f"alice has containers that run in {OLD_STORAGE} (of-alice)",
        ),
        cure=f"mount --bind /var/disk {ROOT};"
        'sed -i \'s/"vfs"/"overlay"/\' /etc/containers/storage.conf;'
        "runuser -u alice -- env -C / HOME=/home/alice XDG_RUNTIME_DIR=/run/user/2001"
        " podman stop --time 1 of-alice",
    ),
    "ids": Ill(
        (
            "eve has the uid 2003, which was carol's",
            "eve has the subordinate ids 231072-296607, which were carol's",
        ),
        decided={"ces_reused_uids": "keep_apart"},
    ),
    "name service": Ill(
        ("nobody reads them, because /etc/nsswitch.conf says 'subid: sss'",),
        ("--check",),
        cure="sed -i 's/^subid: sss/subid: files/' /etc/nsswitch.conf",
    ),
    "signatures": Ill(
        ("policy.json demands signatures for signed.example.org (signedBy)",),
        ("--check",),
        decided={"podman_policy": "keep"},
    ),
}


@pytest.mark.parametrize("ill", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_name_and_nothing_is_changed(backend: Host, ill: Ill) -> None:
    before = snapshot(backend)
    done = playbook("backend.yml", *ill.options, **ill.asked)
    assert done.rc != 0, done.said
    for said in ill.said:
        assert said in words_of(done), done.said
    assert "--check" in ill.options or changed(done) == 0, done.said
    assert snapshot(backend) == before
    backend.root(ill.cure)
    DECIDED.update(ill.decided)


SHOWN = (
    '-graphroot = "/var/root-containers" # the large disk',
    '+rootless_storage_path = "/var/lib/tre-ces/containers/$UID/storage"',
    "/etc/containers/containers.conf.d/10-tre-ces.conf",
    "/etc/containers/registries.conf.d/90-tre-ces.conf",
    "-the policy of before",
    "#carol:231072:65536",
    "-2002:300000:65536",
)


def test_check_mode_shows_each_file_and_changes_nothing(backend: Host) -> None:
    cured = snapshot(backend)
    done = playbook("backend.yml", "--check", "--diff")
    assert done.rc == 0, done.said
    for shown in SHOWN:
        assert shown in done.said, done.said
    assert snapshot(backend) == cured
    backend.root("cat >/root/before.json", stdin=json.dumps(cured))


MAPPERS = "/usr/bin/newuidmap /usr/bin/newgidmap"


def test_programs_without_their_bits_are_named(backend: Host) -> None:
    """podman of one user cannot take up its ids. All other users get theirs."""
    done = playbook("backend.yml")
    assert done.rc != 0
    said = words_of(done)
    assert "podman of bob was not told of the changed ranges" in said, done.said
    assert "/usr/bin/newuidmap is neither setuid root nor has cap_setuid" in said, done.said
    # the commands are there, whatever comes of the engines
    assert "the administrator installs uidmap" in backend.run("eve", "ces-images").err
    backend.root(f"chmod u+s {MAPPERS}")


@pytest.fixture(scope="module")
def adopted(backend: Host) -> Iterator[str]:
    """What the run said that adopts the host."""
    done = playbook("backend.yml")
    assert done.rc == 0, done.said
    yield words_of(done)
    # carol's things are settled: nobody has to say it again
    DECIDED.pop("ces_reused_uids", None)


CONF = "/etc/containers/containers.conf.d/50-site.conf"
TOLD = (
    *(f"{name} is left out" for name in ("great", "late", "unshadowed", "barred", "changing")),
    "homeless has no home directory yet",
    f"alice: podman does not use {OLD_STORAGE} any more",
    "bob: /home/bob/.config/containers/storage.conf stands in place of the site's",
    *(
        f"{CONF} sets containers.{key} ="
        for key in ("userns", "pidns", "volumes", "env", "default_capabilities")
    ),
    "line 8 is not NAME:START:COUNT: 'something else'",
    "ranges overlap, so that containers can reach into one another: alice 100000-165535",
    "the range 1950-67485 of shellless (line 6) contains real uids",
    "certs.d/localhost:5443/ca.crt was written by somebody else before. What it said is kept in",
)


@pytest.mark.parametrize("told", TOLD)
def test_what_an_administrator_should_know_is_told(adopted: str, told: str) -> None:
    assert told in adopted


def test_a_second_run_changes_nothing(adopted: str) -> None:
    DECIDED.pop("ces_reused_uids", None)
    done = playbook("backend.yml")
    assert (done.rc, changed(done)) == (0, 0), done.said


def test_the_containers_and_settings_of_root_are_there(backend: Host) -> None:
    assert backend.root("podman ps --format '{{.Names}}'") == "of-root\n"
    images = backend.root("podman images --format '{{.Repository}}'").split()
    assert {"localhost/of-root", "localhost/of-the-store"} <= set(images)
    found = info(backend)
    assert found["store"]["graphRoot"] == "/var/root-containers"
    assert found["store"]["graphOptions"]["overlay.mount_program"]["Executable"].endswith(
        "fuse-overlayfs"
    )
    assert found["host"]["eventLogger"] == "file"


SITES_OWN = (
    "/etc/containers/policy.json",
    "/etc/containers/registries.conf",
    "/etc/containers/mounts.conf",
    CONF,
    "/etc/nsswitch.conf",
    "/etc/pam.d/common-account",
    "/etc/pam.d/common-session",
    "/etc/security/access.conf",
    "/etc/profile.d/banner.sh",
    "/var/lib/systemd/linger/bob",
)


def test_files_that_are_the_sites_are_as_they_were(backend: Host) -> None:
    before: Snapshot = json.loads(backend.root("cat /root/before.json"))
    now = snapshot(backend)
    for path in SITES_OWN:
        assert now[path] == before[path], path


REPLACED = ("# the large disk", "the policy of before", "BEGIN CERTIFICATE")


def test_what_was_replaced_is_kept(backend: Host) -> None:
    texts = backend.root(f"find {KEPT} -type f -exec cat {{}} +")
    for text in REPLACED:
        assert text in texts
    assert backend.root(f"stat -c '%U %a' {KEPT}") == "root 700\n"


def test_what_a_user_who_left_had_is_kept_apart(backend: Host) -> None:
    file = f"{ROOT}/kept/carol-2003/storage/patient-data"
    assert backend.root(f"cat {file}") == "of carol's patients\n"
    assert backend.run("eve", f"cat {file}").rc != 0
    assert backend.run("eve", f"find {ROOT}/2003 -name patient-data").out == ""
    assert backend.root(f"readlink {ROOT}/owners/2003") == "eve\n"


def test_ids_are_everybodys_own(backend: Host) -> None:
    lines = backend.root("cat /etc/subuid").splitlines()
    kept = ["# by hand", "alice:100000:65536", "dave:132768:65536", "bob:300000:65536"]
    assert lines[:5] == [*kept, "#carol:231072:65536"]
    assert backend.root("cat /etc/subgid").splitlines() == lines
    ids = backend.run("alice", "podman unshare cat /proc/self/uid_map").ok().out.split()
    assert ids == ["0", "2001", "1", "1", "100000", "65536"], "her podman had others before"
    assert backend.run("root", "ls /etc/subuid.lock").rc != 0


CANARIES = ("canary_podman", "canary_apptainer", "canary_oci")


def test_users_run_containers(backend: Host) -> None:
    for name in ("alice", "eve"):
        findings = json.loads(backend.run(name, "ces-doctor --canary --json").out)["findings"]
        canaries = {one["check"]: one["level"] for one in findings if "canary" in one["check"]}
        assert canaries == dict.fromkeys(CANARIES, "ok"), findings


def test_who_can_have_a_session_has_one(backend: Host) -> None:
    there = set(backend.root("ls /run/user").split())
    wanted = {"2001", "2002", "2003", "2105", "2106"}
    assert wanted <= there
    assert not there & {"2101", "2102", "2103", "2104", "3000000000"}


def test_users_settings_are_named(backend: Host) -> None:
    report = json.loads(backend.run("alice", "ces-doctor --json").out)["findings"]
    said = " ".join(one["said"] for one in report)
    assert "/home/alice/.config/containers/containers.conf sets containers.utsns" in said
    assert f"{CONF} sets containers.pidns" in said
    assert "is looked for in docker.io" not in said


REGISTRY = """
import http.server, ssl, sys
class Empty(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_HEAD = do_GET
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:])
server = http.server.HTTPServer(("127.0.0.1", 5443), Empty)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"""


def asked(backend: Host, by: str, image: str) -> Done:
    """A pull from an empty registry whose certificate is of one of the two authorities."""
    certificate = f"/srv/certificates/by-{by}.pem /srv/certificates/by-{by}.key"
    child = backend.start("root", f"exec python3 -c {shlex.quote(REGISTRY)} {certificate}")
    try:
        assert child.stdout and child.stdout.readline() == "ready\n"
        return backend.run("alice", f"ces-pull podman {image}")
    finally:
        backend.run("root", "pkill --full by-[a-z]*.key")
        child.wait(timeout=20)


@pytest.mark.parametrize("by", ["old", "new"])
def test_both_authorities_of_one_registry_are_trusted(backend: Host, by: str) -> None:
    done = asked(backend, by, "localhost:5443/project/x:1")
    assert done.rc == 125
    assert "certificate" not in done.err
    assert "the registry has no such image or tag" in done.err, done.err


def test_a_certificate_without_the_address_is_told(backend: Host) -> None:
    done = asked(backend, "old", "127.0.0.1:5443/x:1")
    assert done.rc == 125
    assert "the certificate lacks the name by which images call the registry" in done.err, done.err


def test_a_disk_that_is_not_mounted_keeps_all_from_it(backend: Host) -> None:
    """Its mount point is closed to all but root, as mount points often are."""
    backend.root(f"mkdir -m 0700 /root/below; mount --bind /root/below {ROOT}")
    try:
        done = backend.run("alice", "ces-images")
        assert (done.rc, "their disk is not there" in done.err) == (125, True), done.said
        assert backend.root("ls -A /root/below") == ""
    finally:
        backend.root(f"umount {ROOT}; rmdir /root/below")
