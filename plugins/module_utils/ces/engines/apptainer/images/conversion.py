# SPDX-License-Identifier: GPL-3.0-or-later
"""Apptainer converts an image in a container, in which it can change nothing of the host.

What it unpacks may hold links, and what it writes then goes where they lead. So it sees the host's
programs and settings, read-only, the file that it makes and its temporary files: no home, no data,
no other image.
"""

from __future__ import annotations

import os

from ....blocks import suppress
from ....dataclass import dataclass
from ....system.account import Account
from ....system.files import explained, write_new
from ....typed import Iterable
from ....values.command import Command
from ....values.mounts import Mount
from ...images.transfer import Transfer
from .. import command as apptainer

_SHOWN = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr")
"""What there may be of these in ``/``: programs, libraries and settings, and nothing of users."""
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables by which a user or a site says where authorities are (Go's crypto/x509)."""


@dataclass(frozen=True)
class Conversion:
    """A container for one conversion.

    :param temporary: where apptainer unpacks.
    :param root: the directory that is the container's ``/``: it has nothing but links.
    """

    temporary: str
    root: str
    mounts: tuple[Mount, ...]
    account: Account

    def enclose(self, command: Command, authfile: str | None) -> Command:
        """That command of apptainer, in the container."""
        environ = self.account.engine_environ
        trust = {name: environ[name] for name in _TRUST if name in environ}
        env = {**trust, "APPTAINER_TMPDIR": self.temporary, **command.env}
        read = [authfile or "", *(path for name in _TRUST for path in env.get(name, "").split(":"))]
        program = self.account.program(command.argv[0])
        if program is not None:
            # a site may have put it somewhere of its own
            read.append(os.path.dirname(os.path.dirname(os.path.realpath(program))))
        return apptainer.enclosed(
            Command((program or command.argv[0], *command.argv[1:]), env=env, role=command.role),
            self.root,
            (*self.mounts, *_besides(read)),
            privileged=self.account.uid == 0,
        )


def conversion(room: Transfer, made: str, account: Account) -> Conversion:
    """Prepare it in a transfer's room.

    :param made: the directory in which apptainer makes the file.
    """
    temporary, root, people = (f"{room.directory}/{name}" for name in ("tmp", "root", "passwd"))
    with explained(f"prepare a container in {room.directory}"):
        # what else it mounts apptainer makes the places of
        for path in (temporary, root, f"{root}/dev"):
            os.mkdir(path, 0o700)
        # apptainer asks who the user is, and a directory service does not answer in a container
        write_new(
            people, f"{account.name}:x:{account.uid}:{os.getegid()}::{account.home}:/bin/sh\n"
        )
        for name in _SHOWN:
            with suppress(OSError):
                os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
    host = [f"/{name}" for name in _SHOWN if os.path.isdir(f"/{name}")]
    return Conversion(
        temporary,
        root,
        (
            *(Mount(path, path, "ro") for path in host if not os.path.islink(path)),
            Mount(people, "/etc/passwd", "ro"),
            # systemd-resolved has it outside of /etc
            *_besides([os.path.realpath("/etc/resolv.conf")]),
            Mount(temporary, temporary),
            Mount(made, made),
        ),
        account,
    )


def _besides(paths: Iterable[str]) -> list[Mount]:
    """Those of the paths that are on this host and not shown anyway, to be read."""
    there = [path for path in dict.fromkeys(paths) if path.startswith("/") and os.path.exists(path)]
    return [Mount(p, p, "ro") for p in there if p != "/" and p.split("/")[1] not in _SHOWN]
