# SPDX-License-Identifier: GPL-3.0-or-later
"""forward.py PORT SOCKET: leads a port of this host to a Unix socket, byte by byte.

The container has no network by which the portal could reach it, and so none for what runs in it
either: this is the one way in. Prints "bound" when it holds the port, nothing if it cannot.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys

CHUNK = 1 << 16


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
        there, back = await connected(path)
    except OSError:
        # the server is not there yet, or not any more
        writer.transport.abort()
        return
    await asyncio.gather(copy(reader, back), copy(there, writer))
    for side in (back, writer):
        side.close()


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
    server = await asyncio.start_server(lambda *sides: forward(path, *sides), sock=held)
    print("bound", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
