# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session of JupyterLab is made of, piece by piece."""

from __future__ import annotations

import contextlib
import hashlib
import html
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ood_support import FILES, LARGE, Portal
from support import eventually, there

PARTS = FILES / "apps/jupyter_app/template"
PASSWORD = "x" * 20 + "'\"$HOME` \\"


def part(name: str, *words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", PARTS / name, *words], text=True, stdout=subprocess.PIPE, **options
    )


def free_port() -> int:
    with socket.create_server(("", 0)) as held:
        return int(held.getsockname()[1])


def test_the_configuration_has_a_hash_and_is_the_users_alone(tmp_path: Path) -> None:
    words = (str(tmp_path), "/node/n1/2000/", "/home/ada", "")
    done = part("configure.py", *words, stdin=subprocess.PIPE)
    done.communicate(PASSWORD)
    file = tmp_path / "jupyter_server_config.json"
    assert file.stat().st_mode & 0o777 == 0o600
    said = json.loads(file.read_text())
    assert said["ServerApp"] == {
        "base_url": "/node/n1/2000/",
        "root_dir": "/home/ada",
        "terminals_enabled": False,
    }
    kind, salt, digest = said["PasswordIdentityProvider"]["hashed_password"].split(":")
    # as jupyter_server checks it
    assert digest == hashlib.new(kind, PASSWORD.encode() + salt.encode()).hexdigest()
    assert len(salt) >= 16 and PASSWORD not in file.read_text()


@contextmanager
def forwarded(place: Path) -> Iterator[int]:
    """A port of this machine that leads to ``place/socket``."""
    port = free_port()
    child = part("forward.py", str(port), "socket", cwd=place)
    try:
        assert child.stdout and child.stdout.readline() == "bound\n"
        yield port
    finally:
        child.terminate()
        child.wait()


def send_all(client: socket.socket, text: bytes) -> None:
    client.sendall(text)
    client.shutdown(socket.SHUT_WR)


def test_what_goes_in_comes_out_in_both_directions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = bytes(range(256)) * 4000
    with socket.socket(socket.AF_UNIX) as server, forwarded(tmp_path) as port:
        server.bind("socket")
        server.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            threading.Thread(target=send_all, args=(client, sent)).start()
            inside = server.accept()[0]
            # to the end, which is passed on while the other direction stays open
            with inside.makefile("rb") as got:
                assert got.read() == sent
            inside.sendall(b"answer")
            inside.close()
            with client.makefile("rb") as got:
                assert got.read() == b"answer"


def test_where_no_server_is_a_connection_ends_and_the_next_is_taken(tmp_path: Path) -> None:
    with forwarded(tmp_path) as port:
        for _turn in range(3):
            client = socket.create_connection(("127.0.0.1", port), timeout=5)
            with client, contextlib.suppress(ConnectionError):
                client.sendall(b"x")
                assert client.recv(1) == b""


def connect(port: int, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))


def test_a_neighbour_who_holds_connections_keeps_nobody_else_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        socket.socket(socket.AF_UNIX) as server,
        forwarded(tmp_path) as port,
        contextlib.ExitStack() as held,
    ):
        server.bind("socket")
        server.listen()
        server.settimeout(1)
        for _number in range(256):
            held.enter_context(connect(port, "127.0.0.2"))
        with connect(port, "127.0.0.2") as more, contextlib.suppress(ConnectionError):
            assert more.recv(1) == b""
        # who says nothing does not reach the server
        with pytest.raises(TimeoutError):
            server.accept()
        with connect(port, "127.0.0.1") as client:
            client.sendall(b"GET")
            with server.accept()[0] as inside:
                assert inside.recv(3) == b"GET"


def test_who_says_nothing_is_put_out(tmp_path: Path) -> None:
    with forwarded(tmp_path) as port, connect(port, "127.0.0.1") as client:
        client.settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""


@pytest.mark.parametrize("force", [False, True], ids=["none before", "after the server's own"])
def test_a_link_of_the_containers_leads_to_no_other_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """The container writes the directory of the socket, and the host resolves its links."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as users, forwarded(tmp_path) as port:
        users.bind("bus")
        users.listen()
        users.settimeout(2)
        if force:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("socket")
            Path("socket").unlink()
        Path("socket").symlink_to("bus")
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        with client, contextlib.suppress(ConnectionError):
            client.sendall(b"x")
            assert client.recv(1) == b""
        with pytest.raises(TimeoutError):
            users.accept()


def test_a_port_that_is_taken_is_not_held(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:  # noqa: S104  as a server of somebody else
        child = part("forward.py", str(other.getsockname()[1]), "socket", cwd=tmp_path)
        assert child.communicate(timeout=20)[0] == ""


class Page(http.server.BaseHTTPRequestHandler):
    """A server that has its page at the third request."""

    asked = 0

    def do_GET(self) -> None:
        Page.asked += 1
        self.send_response(200 if self.path == "/login" and Page.asked > 2 else 503)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(("path", "rc"), [("/login", 0), ("/elsewhere", 1)])
def test_it_waits_for_the_page_and_no_longer_than_the_process(path: str, rc: int) -> None:
    Page.asked = 0
    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with subprocess.Popen(["sleep", "60"]) as process:
        words = ("127.0.0.1", str(server.server_port), path, str(process.pid))
        waiting = part("await_server.py", *words)
        eventually(lambda: Page.asked > 2, seconds=20)
        if path == "/elsewhere":
            assert waiting.poll() is None
            process.kill()
        assert waiting.wait(timeout=20) == rc
        process.kill()
    server.shutdown()


def test_the_button_posts_the_password(every_portal: Portal) -> None:
    session = every_portal.launch("jupyter_app", cluster="large")
    Path(session["directory"], "connection.yml").write_text(
        "host: n1.example.org\nport: 2000\npassword: Abc123\n"
    )
    (card,) = every_portal.ask({"card": session["id"], "app": "jupyter_app"})
    form = there(
        re.search(r'<form class="mb-3" action="([^"]*)" method="post".*</form>', card["view"])
    )
    server = "/node/n1.example.org/2000"
    assert html.unescape(form[1]) == f"{server}/login?next={server.replace('/', '%2F')}%2Flab"
    assert 'type="hidden" name="password" value="Abc123"' in form[0]
    assert card["view"].count("Abc123") == 1


def test_a_cluster_without_an_image_does_not_offer_it(portal: Portal) -> None:
    plain = {name: value for name, value in LARGE.items() if name != "jupyter_image"}
    portal.has_cluster("plain", plain)
    assert "plain" not in portal.form("jupyter_app")["cluster"]
    assert "plain" in portal.form("batch_container_app")["cluster"]
    refused = portal.check("jupyter_app", cluster="plain")
    assert "it is none that you may use for this" in refused["error"]


def test_a_site_can_keep_the_home_and_terminals_back(portal: Portal) -> None:
    portal.has_cluster("shut", {**LARGE, "jupyter_home": False, "jupyter_terminals": False})
    session = portal.launch("jupyter_app", cluster="shut")
    settings = Path(session["directory"], "settings.sh").read_text()
    assert "\nces_home=\n" in settings and "\nces_terminals=\n" in settings
