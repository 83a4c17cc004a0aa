# SPDX-License-Identifier: GPL-3.0-or-later
"""Work beside other work, in a thread: for what waits for others and needs no processor."""

from __future__ import annotations

import _thread

from ..typed import Any, Callable


def beside(work: Callable[[], Any]) -> Callable[[], Any]:
    """Begin with some work; returns a function that waits for it, and answers or raises as it did.

    Where this user may have no more threads, the work is done when it is waited for.
    """
    over = _thread.allocate_lock()
    ended: dict[str, Any] = {}

    def do() -> None:
        try:
            ended["answer"] = work()
        except BaseException as error:  # whatever it is, it is for whoever waits
            ended["error"] = error
        finally:
            over.release()

    def wait() -> Any:
        with over:
            if "error" in ended:
                raise ended["error"]
            return ended["answer"]

    over.acquire()
    try:
        _thread.start_new_thread(do, ())
    except RuntimeError:
        over.release()
        return work
    return wait
