# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks a proxy for what: podman and our own code, with the same variables; answers a list.

cases: [{host: of a registry, environ: variables, PROXY in them stands for our proxy's address}].
The answer has for each [what podman asks the proxy for, whether ours would ask one]: "" for
nothing, HOST:PORT for a tunnel to that, "TLS" or "SOCKS" for how proxies of these kinds are asked.
The proxy refuses everything: podman ends at once.
"""

import json
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, "/usr/local/lib/tre-ces")
from ces.errors import CesError
from ces.system.proxy import proxy_for

KINDS = {b"\x16": "TLS", b"\x05": "SOCKS"}
asked: list[str] = []


def serve(server: socket.socket) -> None:
    while True:
        connection, _address = server.accept()
        with connection:
            connection.settimeout(5)
            said = connection.recv(4096)
            words = said.split(b" ")
            tunnel = words[1].decode() if words[0] == b"CONNECT" else "?"
            asked.append(KINDS.get(said[:1], tunnel))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def podman(host: str, environ: dict[str, str]) -> str:
    asked.clear()
    # nothing of that name is anywhere, so that nothing is transferred either
    argv = ["podman", "pull", "--quiet", "--retry=0", f"{host}/tre/nothing-of-this-name:1"]
    subprocess.run(argv, env=environ, capture_output=True, timeout=60, check=False)
    return asked[0] if asked else ""


def ours(host: str, environ: dict[str, str]) -> bool:
    try:
        return proxy_for(host, environ) is not None
    except CesError:
        return True


server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(server,), daemon=True).start()
address = f"127.0.0.1:{server.getsockname()[1]}"
usual = {
    name: os.environ[name] for name in ("HOME", "PATH", "XDG_RUNTIME_DIR") if name in os.environ
}
found = []
for case in json.loads(sys.stdin.readline())["cases"]:
    given = {name: text.replace("PROXY", address) for name, text in case["environ"].items()}
    environ = {**usual, **given}
    found.append([podman(case["host"], environ), ours(case["host"], environ)])
print(json.dumps(found))
