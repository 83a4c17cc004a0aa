# SPDX-License-Identifier: GPL-3.0-or-later
"""Being told to stop: noted at once, obeyed where it is safe."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """While in the block SIGTERM, SIGINT and SIGHUP are noted in ``received`` instead of ending us.

    So that whoever starts a container also gets to stop it and to clean up. A signal that was
    ignored before (``nohup``) stays ignored. ``wakeup`` becomes readable when one arrives.
    """

    def __init__(self) -> None:
        self.received = ""
        self.wakeup = -1
        self._writer = -1
        self._old_wakeup = -1
        self._old: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        self.wakeup, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._old_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self.wakeup)
        os.close(self._writer)

    def drain(self) -> None:
        """Make ``wakeup`` unreadable again until the next signal."""
        with suppress(BlockingIOError):
            os.read(self.wakeup, 4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name


def exit_status(name: str) -> int:
    """128+N for the signal of that name, as shells have it."""
    return 128 + int(signal.Signals[name])
