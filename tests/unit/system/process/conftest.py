# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import (
    SystemProcess,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import (
    STOP_SIGNALS,
)


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """What runs in the background of a script or under nohup has signals ignored, and so do we."""
    numbers = (*STOP_SIGNALS, signal.SIGTSTP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def process() -> SystemProcess:
    return SystemProcess()


@pytest.fixture(params=["pidfd", "no pidfd"])
def exit_watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the kernel's help."""
    if request.param == "no pidfd":
        monkeypatch.delattr(os, "pidfd_open")
