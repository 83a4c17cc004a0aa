# SPDX-License-Identifier: GPL-3.0-or-later
"""JupyterLab: a real one in a real container, started by the app as a job, seen by a browser."""

from __future__ import annotations

import http.client
import json
import shlex
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from browser import PORTAL, Lab, browser
from remote import Host, wait_until
from selenium import webdriver
from users import SITE, TOKEN, Session, User, read_card

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parents[2] / "build/jupyterlab.png"
IMAGE = "registry.tre.test:5000/tre/jupyterlab:1.0"
# the portal's certificate is one that it made itself
BY_ITSELF = ssl.create_default_context()
BY_ITSELF.check_hostname = False
BY_ITSELF.verify_mode = ssl.CERT_NONE
WEBSOCKET: dict[str, Any] = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}
LOOK = (
    "import os, socket; print(os.getcwd(), *(name for _, name in socket.if_nameindex()),"
    " os.path.exists(os.environ['HOME']+'/.bashrc'), sorted(os.listdir('/safe_data')),"
    " open('/safe_outputs/result','w').write('1'), os.access('/scratch',os.W_OK))"
)
"""Where a notebook is, which networks, home and data it has, and what it can write to."""


@dataclass(frozen=True)
class Server:
    """A session to which one can connect."""

    session: Session
    host: str
    port: int
    password: str

    @property
    def root(self) -> str:
        return f"/node/{self.host}/{self.port}"


def launch(user: User, **values: str) -> Session:
    return user.launch("jupyter_app", **{"cores": "1", "memory": "1", **values})


def wait_for_server(session: Session) -> Server:
    """Wait until the card has its button, which is there when connection.yml is."""
    path = shlex.quote(f"{session.directory}/connection.yml")
    done = session.user.run(
        # the job makes the file, and then writes it
        f"for i in $(seq 900); do test -s {path} && cat {path} && exit; sleep 0.1; done; exit 1"
    )
    assert done.rc == 0, session.log()
    said = yaml.safe_load(done.out)
    return Server(session, said["host"], int(said["port"]), said["password"])


@dataclass(frozen=True)
class Answer:
    """What a server answered, all of it."""

    status: int
    headers: Message
    said: str


def ask(
    address: str, method: str, path: str, body: dict[str, str] | None = None, **headers: str
) -> Answer:
    """One request by way of the portal's web server."""
    connection = http.client.HTTPSConnection(address, context=BY_ITSELF, timeout=20)
    headers = {
        "Host": PORTAL,
        **({"Content-Type": "application/x-www-form-urlencoded"} if body else {}),
        **headers,
    }
    connection.request(method, path, urlencode(body) if body else None, headers)
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))


def left_of(session: Session, node: Host) -> dict[str, str]:
    """What there is of a session that should end with it, on its node and in the home."""
    user, directory = session.user, session.directory
    as_user = f"runuser -u {user.name} -- env -C / XDG_RUNTIME_DIR=/run/user/$(id -u {user.name})"
    looks = {
        "processes": f"grep -lzsx SLURM_JOB_ID={session.job} /proc/[0-9]*/environ",
        # what runs in its container has its directory mounted
        "servers": f"grep -ls {session.id} /proc/[0-9]*/mountinfo",
        "containers": f"{as_user} podman ps -a --format '{{{{.Names}}}}' | grep {session.id}",
        "scratch": f"grep -so '{user.home}/scratch-[0-9]*' {directory}/run/run.json"
        " | sort -u | xargs -r ls -d",
        "files": f"cd {directory} && ls -d server connection.yml options.txt environment.txt",
    }
    found = {name: node.run("root", look).out.strip() for name, look in looks.items()}
    return {name: said for name, said in found.items() if said}


def wait_until_gone(session: Session, node: Host) -> None:
    wait_until(
        lambda: not left_of(session, node), f"nothing to be left of it: {left_of(session, node)}"
    )


@pytest.fixture(scope="module")
def address(portal: Host) -> str:
    return str(portal._address)


@pytest.fixture(scope="module")
def images(node: Host) -> None:
    """Researchers have the site's image on the node, one for each engine.

    The test bed's registry shows it to nobody without a password: the app takes what is there.
    """
    words = ["--username", SITE["testbed_registry_user"], "--password-stdin", IMAGE]
    for user, runner in (("alice", "podman"), ("bob", "apptainer")):
        node.command(user, "ces-pull", runner, *words, stdin=TOKEN, timeout=900).ok()


@pytest.fixture(scope="module", autouse=True)
def tidy(portal: Host) -> Iterator[None]:
    """A home keeps what was open in JupyterLab: it is as new, and no session stays."""
    for user in ("alice", "bob"):
        portal.run(user, "rm -rf ~/.jupyter ~/Untitled*.ipynb ~/analysis").ok()
    yield
    for user in ("alice", "bob"):
        portal.run("root", f"scancel -u {user}")


@pytest.fixture(scope="module")
def out_of_time(images: None, alice: User, portal: Host) -> Session:
    """A session with a minute to live: the last test looks what is left of it."""
    # a job learns how long it has when it begins
    portal.root("scontrol update partition=batch state=down")
    try:
        session = launch(alice, runner="podman")
        portal.root(f"scontrol update job={session.job} TimeLimit=1")
    finally:
        portal.root("scontrol update partition=batch state=up")
    return session


@pytest.fixture
def chromium(address: str, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with browser(address, tmp_path / "profile") as driver:
        yield driver


def begin_to_look(host: Host) -> Popen[str]:
    child = host.start("root", shlex.join(["python3", "-Ic", (HERE / "processes.py").read_text()]))
    assert child.stdout and child.stdout.readline() == "ready\n"
    return child


def found_by(child: Popen[str], secret: str) -> dict[str, Any]:
    out, err = child.communicate(secret, timeout=30)
    assert child.returncode == 0, err
    return dict(json.loads(out))


def test_who_does_not_know_the_password_gets_nothing(out_of_time: Session, address: str) -> None:
    server = wait_for_server(out_of_time)
    login, portal = f"{server.root}/login", f"https://{PORTAL}"
    wrong = ask(address, "POST", login, {"password": server.password[:-1]}, Origin=portal)
    assert wrong.status == 401 and "Invalid credentials" in wrong.said
    assert "username-" not in str(wrong.headers.get_all("Set-Cookie"))
    for method, path, headers in (
        ("GET", "/api/contents", {}),
        ("POST", "/api/kernels", {}),
        ("POST", "/api/shutdown", {}),
        ("GET", "/terminals/websocket/1", WEBSOCKET),
        ("GET", "/api/events/subscribe", WEBSOCKET),
    ):
        assert ask(address, method, server.root + path, **headers).status == 403, path

    right = ask(address, "POST", login, {"password": server.password}, Origin=portal)
    assert (right.status, right.headers["Location"]) == (302, f"{server.root}/")
    cookies = right.headers.get_all("Set-Cookie") or []
    (cookie,) = [cookie for cookie in cookies if cookie.startswith("username-")]
    for part in ("HttpOnly", "Secure", "SameSite=Strict", f"Path={server.root}"):
        assert part.lower() in cookie.lower()
    events = f"{server.root}/api/events/subscribe"
    authorized: dict[str, Any] = {**WEBSOCKET, "Cookie": cookie.split(";")[0]}
    assert ask(address, "GET", events, **authorized, Origin=portal).status == 101
    # a browser would not even send the cookie
    assert ask(address, "GET", events, **authorized, Origin="https://elsewhere.test").status == 403


@pytest.mark.parametrize(
    ("who", "values"),
    [
        ("alice", {"runner": "podman"}),
        ("bob", {"runner": "apptainer", "work_dir": "~/analysis", "project": "proj2"}),
    ],
    ids=["podman", "apptainer"],
)
def test_a_notebook_in_a_browser(
    who: str,
    values: dict[str, str],
    images: None,
    node: Host,
    portal: Host,
    address: str,
    chromium: webdriver.Chrome,
) -> None:
    user = User.named(who, portal)
    user.run("mkdir -p ~/analysis").ok()
    watch = begin_to_look(node)
    session = launch(user, **values)
    server = wait_for_server(session)
    # no proxy error: the very first request is answered
    assert ask(address, "GET", f"{server.root}/login").status == 200

    lab = Lab(chromium, session.card()["view"])
    assert lab.driver.current_url.split("?")[0] == f"https://{PORTAL}{server.root}/lab"
    lab.new_notebook()
    assert lab.run("6*7") == "42"
    seen = lab.run(LOOK)
    # a container has no network; with a directory of one's own choice it has not the home either
    where, home = (f"{user.home}/analysis", False) if "work_dir" in values else (user.home, True)
    assert seen == f"{where} lo {home} ['data.csv'] 1 True"
    if who == "alice":
        PICTURE.parent.mkdir(exist_ok=True)
        chromium.save_screenshot(str(PICTURE))

    looked = found_by(watch, server.password)
    assert looked["looked_at"] > 50 and looked["found"] == []
    assert server.password not in session.log()
    assert server.password not in portal.root("cat /var/log/apache2/*.log")
    config = session.file("server/config/jupyter_server_config.json")
    assert server.password not in config and '"sha256:' in config
    closed = "server/config/*.json connection.yml server/socket . server"
    modes = user.run(f"cd {session.directory} && stat -c %a {closed}").ok().out
    assert modes.split() == ["600", "600", "600", "700", "700"]

    lab.shut_down()
    session.end()
    # before the card: with it the portal removes what a job left
    wait_until_gone(session, node)
    outcome = session.outcome()
    assert (outcome["State"], outcome["Exit code"]) == ("COMPLETED", "0"), session.log()
    assert outcome["headline"] == "The JupyterLab session succeeded"
    assert user.run(f"cat {outcome['Outputs']}/result").ok().out == "1"


def test_a_cancelled_session_leaves_nothing(images: None, alice: User, node: Host) -> None:
    session = launch(alice, runner="podman")
    wait_for_server(session)
    alice.run(f"scancel {session.job}").ok()
    session.end()
    assert session.outcome()["State"] == "CANCELLED"
    wait_until_gone(session, node)
    # the job's script removes the empty directory, unless Slurm kills the script first (KillWait)
    assert alice.run(f"ls -A ~/outputs-{session.id}").out == ""


def test_one_that_cannot_begin_says_why_and_has_no_button(images: None, alice: User) -> None:
    session = launch(alice, runner="podman", work_dir="~/nowhere").end()
    outcome = session.outcome()
    assert (
        outcome["State"] == "FAILED" and f"{alice.home}/nowhere is not there" in outcome["Reason"]
    )
    assert "connection.yml" not in session.files()
    session = launch(alice, runner="podman", work_dir="/srv").end()
    outcome = session.outcome()
    assert (
        outcome["State"] == "FAILED"
        and "it lies outside what may be mounted here" in outcome["Reason"]
    )
    assert "connection.yml" not in session.files() and "server" not in session.files()


def test_a_private_image_needs_a_token_and_says_so(images: None, alice: User) -> None:
    """She has it for podman, not for apptainer."""
    session = launch(alice, runner="apptainer").end()
    outcome = session.outcome()
    assert (outcome["State"], outcome["Step"]) == ("FAILED", "pull")
    assert outcome["Reason"].startswith(
        "The image could not be fetched. Could not ask the registry"
    )
    assert "(Registry user and Registry token)" in outcome["Reason"]
    assert "connection.yml" not in session.files()

    credentials = {"registry_user": SITE["testbed_registry_user"], "registry_token": TOKEN}
    for values in ({}, credentials):
        session = launch(alice, runner="podman", **values)
        wait_for_server(session)
        said = read_card(session.card()["info"])
        assert ("Note" in said) == (not values), said
        alice.run(f"scancel {session.job}").ok()


def test_a_directory_that_is_none_is_refused(alice: User) -> None:
    for odd in ("notes", "~/a,b", "~/a:b", '~/"', "~/a\nb"):
        refused = alice.try_launch("jupyter_app", work_dir=odd)
        assert "Working directory" in refused["error"]


def test_the_time_is_over(out_of_time: Session, node: Host) -> None:
    facts = out_of_time.wait_for("TIMEOUT", "CANCELLED", "FAILED", "COMPLETED", seconds=150)
    assert facts["JobState"] == "TIMEOUT"
    out_of_time.end()
    assert out_of_time.outcome()["State"] == "TIMEOUT"
    wait_until_gone(out_of_time, node)
