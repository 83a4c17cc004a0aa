# SPDX-License-Identifier: GPL-3.0-or-later
"""A container of crun on trial, in a bundle of the small image."""

from __future__ import annotations

import os

from ....dataclass import replace
from ....values.trial import Odd, Trial
from ...images.trial import IN_IMAGE, Bench

_CHANGED = Odd("what it wrote into its image is in the image")


def try_out(bench: Bench) -> Trial:
    """Run it. What it writes has to go into a layer of its own."""
    _done, trial = bench.run(bench.lend())
    changed = os.path.exists(f"{bench.launch.image}/{IN_IMAGE}")
    return replace(trial, odd=(_CHANGED,) if changed else ())
