# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle of the host's own shell, for a job of Slurm with ``--container``."""

from __future__ import annotations

from ..engines.command import Launch
from ..engines.oci.images.root import configuration, lay_out, survey
from ..json_text import dumps
from ..system.account import Account
from ..system.files import explained, private_directory, write_new
from ..system.host.small_root import SHELL, make_root
from ..system.process import Process
from ..values.bundle import ImageConfig
from ..values.resources import Resources

WORD_FILE = "canary"
"""The file in the image that no other root has."""


def make_shell_bundle(path: str, word: str, account: Account, process: Process) -> str:
    """Make it as ces-bundle makes bundles, in a new directory; returns the path.

    :param word: what is in the file.
    :raises CesError: there is no room, or no shell that can be taken apart.
    """
    bundle = private_directory(path)
    image = private_directory(f"{bundle}/image")
    make_root(image, process)
    launch = Launch(
        image=image,
        run_id=0,
        name="ces-check",
        mounts=(),
        resources=Resources(),
        network="host",
        private=bundle,
        args=(SHELL,),
    )
    with explained(f"make the bundle {bundle}"):
        write_new(f"{image}/{WORD_FILE}", f"{word}\n")
        ground = survey(launch, ImageConfig(), image, bundle, None)
        lay_out(ground, launch, bundle)
        text = dumps(configuration(launch, ImageConfig(), ground, account), ascii=False)
        write_new(f"{bundle}/config.json", text)
    return bundle
