# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way to the back-end: a program that answers a request (far.py), over ssh.

What is asked travels on standard input, never as arguments: those can be seen on both sides.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ces.errors import CesError
from ces.system.files import locked
from ces.typed import Any

from .protocol import MARK
from .runtime import Runtime
from .site import Site, home

PERSIST = 60
"""Seconds for which the connection stays open after its last use."""

_BOOT = (
    "import sys, types, json\n"
    "for n, s in json.loads(sys.stdin.buffer.read(int(sys.argv[1]))):\n"
    " m = sys.modules[n] = types.ModuleType(n)\n"
    " p = n.partition('.')\n"
    " if p[2]: setattr(sys.modules[p[0]], p[2], m)\n"
    " exec(compile(s, n, 'exec'), m.__dict__)\n"
    "sys.modules['ces_remote.far'].main()\n"
)
_COPYING = ("new_file", "tree", "protocol", "far", "far_copy")
_MODULES = dict.fromkeys(("submit", "fetch", "remove"), _COPYING)
_HERE = os.path.dirname(os.path.abspath(__file__))


class Unreachable(CesError):
    """The request did not reach the back-end, or its answer did not reach us."""


class NotConnected(Unreachable):
    """Nothing was sent."""


class BackEnd:
    """A back-end, as the user who runs this."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.runtime = Runtime(site.cluster)

    def ask(
        self,
        do: str,
        *,
        feed: Callable[[Any], None] | None = None,
        take: Callable[[Any], None] | None = None,
        timeout: float = 0,
        patient: bool = True,
        **request: Any,
    ) -> dict[str, Any]:
        """What the far side answers.

        :param feed: writes what comes after the request.
        :param take: reads what comes after the answer.
        :param patient: try also if it did not answer a moment ago.
        :raises Unreachable: there was no answer.
        :raises CesError: the far side could not do it.
        """
        tried = f"reach the back-end {self.site.cluster}"
        if not patient and self.runtime.down():
            raise Unreachable(tried, said=self.runtime.down())
        timeout = timeout or self.site.timeout
        body = {"do": do, "base": self.site.base, "slurm_bin": self.site.slurm_bin, **request}
        body.setdefault("timeout", max(1, int(timeout) - 2))
        with self.runtime.place(timeout, do == "fetch"):
            refused = self._connect()
            answer, said = self._exchange(body, feed, take, timeout) if not refused else (None, "")
        if refused:
            error = self._explained(tried, refused)
            self.runtime.set_down(f"{error.said}. {error.hint}")
            raise NotConnected(tried, said=error.said, hint=error.hint)
        if answer is None:
            error = self._explained(tried, said)
            self.runtime.set_down(f"{error.said}. {error.hint}")
            raise Unreachable(tried, said=error.said, hint=error.hint)
        self.runtime.set_down("")
        if "failed" in answer:
            from .complaint import explain

            raise explain(self.site, f"{do} on the back-end {self.site.cluster}", answer["failed"])
        return answer

    def _exchange(
        self,
        body: dict[str, Any],
        feed: Callable[[Any], None] | None,
        take: Callable[[Any], None] | None,
        timeout: float,
    ) -> tuple[dict[str, Any] | None, str]:
        program = json.dumps(program_of(body["do"])).encode()
        remote = shlex.join(["exec", "python3", "-IS", "-c", _BOOT, str(len(program))])
        with self._process([*self.command(), remote], timeout) as child:
            writer = threading.Thread(
                target=_write, args=(child, program + json.dumps(body).encode() + b"\n", feed)
            )
            errors: list[bytes] = []
            reader = threading.Thread(target=lambda: errors.append(child.stderr.read(1 << 16)))
            writer.start()
            reader.start()
            answer = _head(child.stdout)
            broken = ""
            if answer is not None and take is not None and "failed" not in answer:
                try:
                    take(child.stdout)
                except EOFError as error:
                    broken, answer = f"lost connection: {error}", None
            # with nothing more to come, whoever still writes is told so
            child.stdout.close()
            child.wait()
            writer.join()
            reader.join()
        return answer, broken or b"".join(errors).decode("utf-8", "replace")

    @contextmanager
    def _process(self, argv: list[str], timeout: float) -> Iterator[Any]:
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe) as child:
            late = threading.Timer(timeout, self._give_up, args=(child, timeout))
            late.start()
            try:
                yield child
            finally:
                late.cancel()
                if child.poll() is None:
                    child.kill()

    def _give_up(self, child: Any, timeout: float) -> None:
        """A connection whose other end is gone would keep everyone waiting: begin anew."""
        child.kill()
        self.disconnect()

    # --- the connection -----------------------------------------------------------------------

    def options(self) -> list[str]:
        """What holds for every connection, whatever the user's own configuration says."""
        site = self.site
        given = {
            "BatchMode": "yes",
            "ConnectTimeout": site.connect_timeout,
            "StrictHostKeyChecking": "yes",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "RequestTTY": "no",
            "EscapeChar": "none",
            "LogLevel": "ERROR",
            "ServerAliveInterval": 5,
            "ServerAliveCountMax": 2,
            "ControlPath": self.runtime.socket or "none",
        }
        if site.known_hosts:
            given["GlobalKnownHostsFile"] = f"{site.known_hosts} /etc/ssh/ssh_known_hosts"
        if site.identity:
            given["IdentityFile"] = site.identity
        return [f"-o{name}={value}" for name, value in given.items()] + [f"-p{site.port}"]

    def command(self) -> list[str]:
        """ssh, to the point where the command begins."""
        return ["ssh", "-T", "-oControlMaster=no", *self.options(), "--", self.site.host]

    def _connect(self) -> str:
        """Have one connection for all who ask soon; answers why there is none."""
        if not self.runtime.socket or self._connected():
            return ""
        with locked(f"{self.runtime.directory}/connect", timeout=self.site.timeout):
            return "" if self._connected() else self._start_master()

    def _start_master(self) -> str:
        with suppress(OSError):
            os.unlink(self.runtime.socket)
        argv = [
            "ssh",
            "-MNfT",
            f"-oControlPersist={PERSIST}",
            *self.options(),
            "--",
            self.site.host,
        ]
        null, said = subprocess.DEVNULL, f"{self.runtime.directory}/connect.said"
        # a file, since the master lives on and would keep a pipe open
        with open(said, "w+b") as stream:
            try:
                done = subprocess.run(
                    argv,
                    stdin=null,
                    stdout=null,
                    stderr=stream,
                    timeout=self.site.connect_timeout + 5,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return "timed out"
            stream.seek(0)
            words = stream.read(1 << 16).decode("utf-8", "replace")
        return "" if done.returncode == 0 else words or "lost connection"

    def _connected(self) -> bool:
        """Whether a master listens: one that was killed leaves its socket."""
        # the module that wraps it takes 5 ms to load
        from _socket import AF_UNIX, SOCK_STREAM, socket

        door = socket(AF_UNIX, SOCK_STREAM)
        try:
            door.connect(self.runtime.socket)
        except OSError:
            return False
        finally:
            door.close()
        return True

    def disconnect(self, how: str = "exit") -> None:
        """End the connection, if there is one; with ``stop``, when those who use it are done."""
        if self.runtime.socket:
            self._quietly(["ssh", f"-O{how}", *self.options(), "--", self.site.host], 3)
            with suppress(OSError):
                os.unlink(self.runtime.socket)

    def _quietly(self, argv: list[str], timeout: float) -> None:
        """Nothing is said of it: whoever asks next says what does not work."""
        null = subprocess.DEVNULL
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(argv, stdin=null, stdout=null, stderr=null, timeout=timeout, check=False)

    # --- why it did not work ------------------------------------------------------------------

    def _explained(self, tried: str, said: str) -> CesError:
        from .complaint import explain

        # the master may have gone, and its socket stayed
        self.disconnect("stop")
        key = self._key()
        matter = "no-key" if not key else "passphrase" if self._locked(key) else ""
        return explain(self.site, tried, said or "no answer in time", matter, key)

    def _key(self) -> str:
        names = [self.site.identity] if self.site.identity else []
        names += [f"{home()}/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa")]
        return next((name for name in names if os.path.exists(os.path.expanduser(name))), "")

    def _locked(self, key: str) -> bool:
        argv = ["ssh-keygen", "-y", "-P", "", "-f", os.path.expanduser(key)]
        null = subprocess.DEVNULL
        return (
            subprocess.run(argv, stdin=null, stdout=null, stderr=null, check=False).returncode != 0
        )


def program_of(verb: str) -> list[list[str]]:
    """The parts of the far side that a verb needs: names of modules, and their text."""
    parts = [["ces_remote", ""]]
    for name in _MODULES.get(verb, ("protocol", "far")):
        with open(f"{_HERE}/{name}.py", encoding="utf-8") as stream:
            parts.append([f"ces_remote.{name}", stream.read()])
    return parts


def _write(child: Any, first: bytes, feed: Callable[[Any], None] | None) -> None:
    try:
        child.stdin.write(first)
        if feed is not None:
            feed(child.stdin)
    except (BrokenPipeError, ValueError):
        pass
    finally:
        with suppress(OSError, ValueError):
            child.stdin.close()


def _head(stream: Any) -> dict[str, Any] | None:
    """The answer, after whatever the user's shell has printed."""
    read = 0
    for line in iter(lambda: stream.readline(1 << 24), b""):
        place = line.find(MARK)
        if place >= 0:
            found: dict[str, Any] = json.loads(line[place + len(MARK) :])
            return found
        read += len(line)
        if read > 1 << 20:
            break
    return None


def detach(words: list[str]) -> Any:
    """Start one of our commands that lives on when this one has ended."""
    null = subprocess.DEVNULL
    launcher = f"{os.path.dirname(_HERE)}/launcher"
    return subprocess.Popen(
        [launcher, *words], stdin=null, stdout=null, stderr=null, start_new_session=True, cwd="/"
    )


def waited(child: Any, seconds: float) -> bool:
    """Whether a process that was started has ended by then."""
    end = time.monotonic() + seconds
    while child.poll() is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
