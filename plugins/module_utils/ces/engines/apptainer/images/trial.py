# SPDX-License-Identifier: GPL-3.0-or-later
"""A container of apptainer on trial: its image is a file, packed and mounted as a registry's is."""

from __future__ import annotations

import os

from ....dataclass import replace
from ....system.files import read_if_there, write_new
from ....typed import Iterator
from ....values.trial import Odd, Trial
from ...images.trial import Bench
from .. import command as apptainer
from .packing import packing, version_in

_CONF = "/etc/apptainer/apptainer.conf"
_UNPACKED = "temporary sandbox"
"""What apptainer says when it unpacks an image file."""
_SHELL = "/bin/sh"
_SEES = 'if test -e "$1"; then echo visible; else echo hidden; fi'


def try_out(bench: Bench) -> Trial:
    """Run it; then run one by hand, to see whether the home is as the site means it."""
    # apptainer would make a directory of its own in the home
    bench.environ["APPTAINER_CONFIGDIR"] = f"{bench.work}/config"
    image = f"{bench.work}/image.sif"
    launch = bench.lend()
    version = version_in(bench.do("ask apptainer its version", *apptainer.version().argv).stdout)
    packed = packing(bench.policy, version)
    build = ("apptainer", "--silent", "build", *packed, image, bench.launch.image)
    bench.do("make an image file", *build)
    done, trial = bench.run(replace(launch, image=image), "--silent")
    if trial.said:
        return trial
    return replace(trial, odd=(*_unpacked(done.stderr), *_home(image, bench)))


def _unpacked(said: str) -> Iterator[Odd]:
    if _UNPACKED in said:
        yield Odd(
            "its image was unpacked and not mounted, which every run would wait for",
            "the administrator sees to squashfuse and to /dev/fuse (role apptainer)",
        )


def _home(image: str, bench: Bench) -> Iterator[Odd]:
    meant = _home_meant(read_if_there(_CONF))
    # hosts that share the home do this at the same time: a name of our own in it
    marker = f"{bench.account.home}/.{bench.launch.name}-{os.uname().nodename}"
    write_new(marker, "")
    try:
        plain = ("apptainer", "--silent", "exec", image, _SHELL, "-c", _SEES, "sh", marker)
        sees = bench.do("see whether the home is there", *plain).stdout.strip() == "visible"
    finally:
        os.unlink(marker)
    if meant not in (None, sees):
        seen = "sees" if sees else "does not see"
        yield Odd(
            f'one that is started by hand {seen} the home, against "mount home" in apptainer.conf',
            "the administrator looks for another apptainer, or another file of its configuration",
        )


def _home_meant(text: str) -> bool | None:
    """What apptainer.conf says of the home; None if it says nothing."""
    found = [line.partition("=") for line in text.splitlines()]
    said = [value.strip() for name, _equals, value in found if name.strip() == "mount home"]
    return said[-1] == "yes" if said else None
