# SPDX-License-Identifier: GPL-3.0-or-later
"""Work beside other work."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system import beside as module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.beside import beside


def test_work_goes_on_while_we_do_something_else():
    told = threading.Event()
    wait = beside(lambda: told.wait(5) and threading.get_ident())
    told.set()
    assert wait() not in (False, threading.get_ident())
    assert wait() == wait()


def test_what_goes_wrong_is_raised_where_it_is_waited_for():
    wait = beside(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        wait()


def test_without_threads_it_is_done_all_the_same(monkeypatch):
    def refuse(*_arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module._thread, "start_new_thread", refuse)
    assert beside(lambda: 5)() == 5
