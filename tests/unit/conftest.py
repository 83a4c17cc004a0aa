# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the checkout importable as ``ansible_collections.tre.ces``; profiles of hypothesis."""

from __future__ import annotations

import faulthandler
import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLLECTIONS = ROOT / "build" / "collections"


def _make_importable() -> None:
    """The link that ``testbed/setup`` makes, for whoever runs pytest without it."""
    link = COLLECTIONS / "ansible_collections" / "tre" / "ces"
    if link.resolve() != ROOT:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT)
    # the commands import the core by the name that it is installed under, as the launcher does
    commands = (ROOT / "roles/ces_tools/files", ROOT / "plugins/module_utils")
    for path in map(str, (COLLECTIONS, HERE, *commands)):
        if path not in sys.path:
            sys.path.insert(0, path)


_make_importable()

# A shell that starts us in the background, or nohup, ignores these, and so would all that we start.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

# Tests leave few cycles behind, and Python looks for cycles a tenth of the time.
gc.set_threshold(20_000, 50, 1_000)

set_hypothesis_home_dir(ROOT / "build" / "hypothesis")

# HYPOTHESIS_PROFILE=deep looks longer than the daily loop has time for
for name, examples in (("daily", 50), ("deep", 5000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "daily"))


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    """A test that waits for ever ends the run, and says where it waits."""
    if os.environ.get("HYPOTHESIS_PROFILE") is None and sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()
