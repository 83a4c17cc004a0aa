# SPDX-License-Identifier: GPL-3.0-or-later
"""forward.py PORT SOCKET: leads a port of this host to a Unix socket, byte by byte.

The container has no network by which the portal could reach it, and so none for what runs in it
either: this is the one way in. Prints "bound" when it holds the port, nothing if it cannot.

Whoever reaches this host may connect. So nobody has more than a share of the connections, and who
says nothing has none for long.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import stat
import sys

CHUNK = 1 << 16
FROM_ONE = 256
"""Connections of one address at once. All of a browser's are the portal's: some dozens."""
PATIENCE = 5.0
"""Seconds in which the first byte comes. A request comes at once."""


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end: the other one may go on."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        # whoever went away is told by the other direction too
        writer.transport.abort()


async def connected(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the server's socket.

    The socket lies in a directory that the container writes. A link there would lead whoever
    reaches the port to other sockets of the user: to the user's systemd, say. So we open what is
    there without following it, and connect to that.

    :raises OSError: there is none, or something else is there.
    """
    held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(held).st_mode):
            raise OSError(f"{path} is no socket")
        return await asyncio.open_unix_connection(f"/proc/self/fd/{held}")
    finally:
        os.close(held)


async def forward(path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        first = await asyncio.wait_for(reader.read(CHUNK), PATIENCE)
        there, back = await connected(path)
    except (OSError, asyncio.TimeoutError):
        # the client says nothing; or the server is not there yet, or not any more
        writer.transport.abort()
        return
    back.write(first)
    await asyncio.gather(copy(reader, back), copy(there, writer))
    for side in (back, writer):
        side.close()


class Door:
    """Who is connected, and how often.

    :param path: the server's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connected: dict[str, int] = {}

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = (writer.get_extra_info("peername") or ("",))[0]
        if self._connected.get(address, 0) >= FROM_ONE:
            writer.transport.abort()
            return
        self._connected[address] = self._connected.get(address, 0) + 1
        try:
            await forward(self._path, reader, writer)
        finally:
            self._connected[address] -= 1
            if not self._connected[address]:
                del self._connected[address]


def have_room() -> None:
    """As many descriptors as this process may have: a connection takes two."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen(port: int) -> socket.socket:
    """All addresses of the host: which one the portal takes is known to its name service alone."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


async def main(port: int, path: str) -> None:
    try:
        held = listen(port)
    except OSError:
        return
    have_room()
    server = await asyncio.start_server(Door(path).enter, sock=held)
    print("bound", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
