# SPDX-License-Identifier: GPL-3.0-or-later
"""Work beside other work."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.beside import beside


def test_work_goes_on_while_we_do_something_else() -> None:
    told = threading.Event()
    wait = beside(lambda: told.wait(5) and threading.get_ident())
    told.set()
    assert wait() not in (False, threading.get_ident())
    assert wait() == wait()


def test_what_goes_wrong_is_raised_where_it_is_waited_for() -> None:
    wait = beside(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        wait()


def test_without_threads_it_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Callable[..., Any] | tuple[str, ...]) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert beside(lambda: 5)() == 5
