# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals to us: we obey those that tell us to stop where it is safe, and note others."""

from __future__ import annotations

import os

from ..blocks import suppress
from ..typed import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    import signal
    from types import FrameType, TracebackType
else:
    # what ``signal`` is made of: its names for numbers take 4 ms to load
    import _signal as signal

__all__ = ["STOP_SIGNALS", "SUSPEND_SIGNALS", "StopSignals", "exit_status", "signal"]

STOP_SIGNALS: dict[int, str] = {
    signal.SIGTERM: "SIGTERM",
    signal.SIGINT: "SIGINT",
    signal.SIGHUP: "SIGHUP",
    signal.SIGQUIT: "SIGQUIT",
}
"""Signals that tell us to stop, and their names."""
SUSPEND_SIGNALS = (signal.SIGTSTP, signal.SIGTTOU)
"""Signals that would suspend us: then nobody would end a container whose time is over."""
_NOT_FOR_CONTAINERS = {
    *STOP_SIGNALS,
    *SUSPEND_SIGNALS,
    # nobody can catch these
    *(signal.SIGKILL, signal.SIGSTOP),
    # these say that our own program is broken
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    # these tell us about our own children, terminal and connections, and end nobody
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGTTIN, signal.SIGURG, signal.SIGWINCH),
}


class StopSignals:
    """While in the block a signal is noted instead of ending us.

    ``received`` is the first signal that tells us to stop: whoever starts a container also gets to
    stop it and to clean up. ``take_other`` gives the signals that are for the container, SIGUSR1
    for example. Ctrl-Z does not suspend us. A signal that was ignored before (``nohup``) stays
    ignored. ``wakeup`` becomes readable when a signal arrives.
    """

    def __init__(self) -> None:
        self.received = ""
        self._others: dict[int, None] = {}
        self.wakeup = -1
        self._writer = -1
        self._old_wakeup = -1
        self._old: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self.wakeup, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._old_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handle(STOP_SIGNALS, self._note_stop)
        self._handle(signal.valid_signals() - _NOT_FOR_CONTAINERS, self._note_other)
        self._handle(SUSPEND_SIGNALS, signal.SIG_IGN)
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

    def take_other(self) -> int:
        """A signal for the container, the oldest one, which is no longer noted then; 0 for none."""
        for number in list(self._others):
            del self._others[number]
            return number
        return 0

    def forget_others(self) -> None:
        """Forget the signals for the container: there was none when they came."""
        self._others.clear()

    def _handle(self, numbers: Iterable[int], handler: Any) -> None:
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._old[number] = signal.signal(number, handler)

    def _note_stop(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or STOP_SIGNALS[number]

    def _note_other(self, number: int, _frame: FrameType | None) -> None:
        self._others[number] = None


def exit_status(name: str) -> int:
    """128+N for the signal of that name, as shells have it."""
    return 128 + next(number for number, known in STOP_SIGNALS.items() if known == name)


def _number(text: str) -> int:
    """0 where it is none, or too long for one of a signal."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def stop_signal(text: str) -> int:
    """The number of an image's STOPSIGNAL: ``SIGINT``, ``INT``, ``2``, ``SIGRTMIN+3``.

    SIGTERM where it names none, or one that a program cannot hear.
    """
    name, plus, more = text.strip().upper().removeprefix("SIG").partition("+")
    number = _number(name) or int(getattr(signal, f"SIG{name}", 0))
    number += _number(more) if plus else 0
    heard = 0 < number <= signal.SIGRTMAX and number not in (signal.SIGKILL, signal.SIGSTOP)
    return number if heard else signal.SIGTERM
