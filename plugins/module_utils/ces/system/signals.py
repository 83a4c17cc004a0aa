# SPDX-License-Identifier: GPL-3.0-or-later
"""Being told to stop: noted at once, obeyed where it is safe."""

from __future__ import annotations

import os

from ..blocks import suppress
from ..typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from types import FrameType, TracebackType
else:
    # what ``signal`` is made of: its names for numbers take 4 ms to load
    import _signal as signal

__all__ = ["STOP_SIGNALS", "StopSignals", "exit_status", "signal"]

STOP_SIGNALS: dict[int, str] = {
    signal.SIGTERM: "SIGTERM",
    signal.SIGINT: "SIGINT",
    signal.SIGHUP: "SIGHUP",
}
"""Signals that tell us to stop, and their names."""


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
        self._old: dict[int, Any] = {}

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
            signal.signal(number, handler or signal.SIG_DFL)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self.wakeup)
        os.close(self._writer)

    def drain(self) -> None:
        """Make ``wakeup`` unreadable again until the next signal."""
        with suppress(BlockingIOError):
            os.read(self.wakeup, 4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or STOP_SIGNALS[number]


def exit_status(name: str) -> int:
    """128+N for the signal of that name, as shells have it."""
    return 128 + next(number for number, known in STOP_SIGNALS.items() if known == name)


def stop_signal(text: str) -> int:
    """The number of an image's STOPSIGNAL: ``SIGINT``, ``INT``, ``2``, ``SIGRTMIN+3``.

    SIGTERM where it names none, or one that a program cannot hear.
    """
    name, plus, more = text.strip().upper().removeprefix("SIG").partition("+")
    number = int(name) if name.isdecimal() else int(getattr(signal, f"SIG{name}", 0))
    number += int(more) if plus and more.isdecimal() else 0
    heard = 0 < number <= signal.SIGRTMAX and number not in (signal.SIGKILL, signal.SIGSTOP)
    return number if heard else signal.SIGTERM
