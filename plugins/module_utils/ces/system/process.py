# SPDX-License-Identifier: GPL-3.0-or-later
"""The single door to other programs: what is run is followed to its end, and stopped."""

from __future__ import annotations

import os
import select
import time

from ..blocks import contextmanager
from ..dataclass import dataclass
from ..errors import CesError
from ..shown import shown_lines
from ..typed import Callable, Iterator, Mapping, Protocol
from ..values.command import Command
from .child import Child, start
from .files import explained, write_all
from .proc import kill_session, record_process
from .signals import StopSignals, signal

TAIL = 64 * 1024
"""Bytes of each output that are kept for results; the whole is in the log."""

_CHUNK = 64 * 1024
_AFTER_EXIT = 1.0
"""Seconds that a child's own children may hold its pipes open."""
_AFTER_STOP = 3.0
"""Seconds that an engine may take to notice that its container was stopped."""


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    :param rc: exit status; 128+N when signal N ended it.
    :param stdout: the last 64 KiB, likewise ``stderr``.
    :param stopped_by: ``timeout``, the name of the signal we received, what the watch answered, or
        nothing.
    :param log_error: why the log is not whole, or nothing.
    """

    argv: tuple[str, ...]
    rc: int
    stdout: str = ""
    stderr: str = ""
    stopped_by: str = ""
    log_error: str = ""

    @property
    def ok(self) -> bool:
        return self.rc == 0

    def check(self, tried: str, hint: str = "") -> Finished:
        """This, or an error that says what the tool answered."""
        if self.ok:
            return self
        raise CesError(
            tried,
            said=last_lines(self.stderr or self.stdout) or f"{self.argv[0]} exited with {self.rc}",
            hint=hint,
            cmd=self.argv,
            rc=self.rc,
            stdout=self.stdout,
            stderr=self.stderr,
        )


@dataclass(frozen=True)
class Streams:
    """Where a long-running command's output goes, and when and how it is stopped.

    :param log: file that gets both outputs as they come.
    :param echo: also to our own standard output and error.
    :param quoted: there it commands no terminal: a registry's words may be in it.
    :param timeout: seconds until it is stopped.
    :param stop_signal: what stops it gently in place of SIGTERM; the program passes it on.
    :param interruptible: a noted stop signal stops it; what cleans up is not interruptible.
    :param stop: the command that stops it gently; None is SIGTERM.
    :param kill: the command that sends a signal to the container in it; None: the program that we
        run passes on what we send to it.
    :param grace: seconds that stopping may take before the command is killed.
    :param keep: bytes of each output, from its end, that are returned.
    :param pid_file: file that says which process it is while it runs, for proc.kill_recorded.
    :param watch: asked ten times a second; what it answers, if anything, is why the command stops.
    """

    log: str | None = None
    echo: bool = False
    quoted: bool = False
    timeout: float | None = None
    stop_signal: int = signal.SIGTERM
    interruptible: bool = False
    stop: Command | None = None
    kill: Callable[[int], Command] | None = None
    grace: float = 15.0
    keep: int = TAIL
    pid_file: str | None = None
    watch: Callable[[], str] | None = None


UNSTREAMED = Streams()


class Process(Protocol):
    """What services need of the operating system's processes."""

    signals: StopSignals | None

    def run(self, command: Command, streams: Streams = UNSTREAMED) -> Finished:
        """Run a command to its end."""

    def told_to_stop(self) -> str:
        """The name of the stop signal that was noted, or nothing."""


def last_lines(text: str, count: int = 4) -> str:
    """The last lines that say something, for messages."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[-count:])


class SystemProcess:
    """Runs commands for real, each in a process group of its own.

    :param environ: the environment of every command; None is ours.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self.signals: StopSignals | None = None

    def run(self, command: Command, streams: Streams = UNSTREAMED) -> Finished:
        """Run a command to its end, streaming its output, stopping it when we are told to stop.

        :raises CesError: the program is not there.
        """
        signals = self.signals if streams.interruptible else None
        with _log(streams.log) as log:
            if signals is not None:
                signals.forget_others()  # they come before there is a container
            child = self._start(command)
            try:
                if streams.pid_file is not None:
                    record_process(streams.pid_file, child.pid)
                return _Session(command, child, streams, log, signals, self._start_silent).follow()
            except BaseException:
                kill_session(child.pid)
                child.wait()
                raise
            finally:
                child.close()

    def told_to_stop(self) -> str:
        """The name of the stop signal that was noted, or nothing."""
        return self.signals.received if self.signals else ""

    def _start_silent(self, command: Command) -> Child:
        # nobody reads what it says, and a full pipe would hold it up
        return self._start(command, heard=False)

    def _start(self, command: Command, heard: bool = True) -> Child:
        ours = {n: v for n, v in self._environ.items() if n not in command.without}
        environ = {**ours, **command.env}
        try:
            told = command.stdin is not None
            child = start(command.argv, environ, told, heard, command.directory)
        except FileNotFoundError:
            from .missing import missing

            program, path = command.argv[0], environ.get("PATH", os.defpath)
            raise missing(f"run {program}", program, path, command.role, command.argv) from None
        except OSError as error:
            raise CesError(f"run {command.argv[0]}", said=str(error), cmd=command.argv) from error
        if command.stdin is not None:
            child.tell(command.stdin)
        return child


class _Session:
    """One command being followed: its output taken, its end awaited, its stop seen to."""

    def __init__(
        self,
        command: Command,
        child: Child,
        streams: Streams,
        log: _Log,
        signals: StopSignals | None,
        start: Callable[[Command], Child],
    ) -> None:
        self._command, self._child, self._streams, self._log = command, child, streams, log
        self._signals, self._start = signals, start
        self._tails = {1: bytearray(), 2: bytearray()}
        self._echoing = {1, 2} if streams.echo else set()
        self._end = None if streams.timeout is None else time.monotonic() + streams.timeout
        self._exited_at: float | None = None
        self._kill_at: float | None = None
        self._stopper: Child | None = None
        self._stopped_by = ""
        self._passer: Child | None = None

    def follow(self) -> Finished:
        with _exit_watch(self._child) as exit_watch:
            wakeup = self._signals.wakeup if self._signals else None
            pipes = {self._child.stdout: 1, self._child.stderr: 2}
            poll = select.poll()
            for descriptor in (exit_watch, wakeup, *pipes):
                if descriptor is not None:
                    poll.register(descriptor, select.POLLIN)
            while pipes or self._exited_at is None:
                ready = [found for found, _event in poll.poll(self._patience(exit_watch))]
                for pipe in [found for found in ready if found in pipes]:
                    if not self._take(pipes[pipe], pipe):
                        poll.unregister(pipe)
                        del pipes[pipe]
                if self._signals is not None and wakeup in ready:
                    self._signals.drain()
                may_have_ended = exit_watch is None or exit_watch in ready
                if may_have_ended and self._exited_at is None and self._child.poll() is not None:
                    self._exited_at = time.monotonic()
                    if exit_watch is not None:
                        poll.unregister(exit_watch)
                if self._exited_at is not None and time.monotonic() - self._exited_at > _AFTER_EXIT:
                    break
                self._stop_if_told()
                self._pass_on()
        return self._finished()

    def _patience(self, exit_watch: int | None) -> float | None:
        """Milliseconds to sleep at most; None until something happens."""
        now = time.monotonic()
        moments = [moment for moment in (self._kill_at, self._end) if moment is not None]
        asked = (self._stopper, self._passer, self._streams.watch)
        if exit_watch is None or any(one is not None for one in asked):
            moments.append(now + 0.1)
        if self._exited_at is not None:
            moments = [self._exited_at + _AFTER_EXIT]
        return 1000 * max(0.0, min(moments) - now) + 1 if moments else None

    def _take(self, number: int, descriptor: int) -> bool:
        """Take what is there; False at the end of the output."""
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            return False
        tail = self._tails[number]
        tail += chunk
        if len(tail) > 2 * self._streams.keep:
            del tail[: -self._streams.keep]
        self._log.write(chunk)
        if number in self._echoing:
            try:
                write_all(number, shown_lines(chunk) if self._streams.quoted else chunk)
            except OSError:  # nobody listens any more; the log still does
                self._echoing.discard(number)
        return True

    def _stop_if_told(self) -> None:
        now = time.monotonic()
        if self._exited_at is not None:
            return
        told = self._signals.received if self._signals is not None else ""
        if not told and self._end is not None and now >= self._end:
            told = "timeout"
        if not told and self._streams.watch is not None:
            told = self._streams.watch()
        if told and not self._stopped_by:
            self._begin_stop(told, now)
        if self._stopper is not None and self._stopper.poll() is not None:
            # where the container never started the engine itself must end, and soon
            self._kill_at = min(self._kill_at or now, now + _AFTER_STOP)
            self._stopper = None
        if self._kill_at is not None and now >= self._kill_at:
            kill_session(self._child.pid)
            self._kill_at = None

    def _begin_stop(self, told: str, now: float) -> None:
        self._stopped_by, self._end = told, None
        self._kill_at = now + self._streams.grace
        if self._streams.stop is None:
            self._signal_to_stop(self._streams.stop_signal)
        else:
            self._stopper = self._start(self._streams.stop)

    def _signal_to_stop(self, number: int) -> None:
        if number == signal.SIGTERM:
            self._child.signal_group(number)
        else:  # what is beside the container in the group does not know it, and would die
            os.kill(self._child.pid, number)

    def _pass_on(self) -> None:
        """Give the container the signals that do not tell us to stop."""
        if self._signals is None or self._exited_at is not None:
            return
        if self._passer is not None and self._passer.poll() is None:
            return
        self._passer = None
        while self._passer is None and (number := self._signals.take_other()):
            if self._streams.kill is None:
                self._child.pass_on(number)
            else:
                self._passer = self._start(self._streams.kill(number))

    def _finished(self) -> Finished:
        self._child.wait()
        _end(self._stopper)
        _end(self._passer)
        code, keep = self._child.returncode or 0, self._streams.keep
        return Finished(
            argv=self._command.argv,
            rc=128 - code if code < 0 else code,
            stdout=bytes(self._tails[1][-keep:]).decode("utf-8", "replace"),
            stderr=bytes(self._tails[2][-keep:]).decode("utf-8", "replace"),
            stopped_by=self._stopped_by,
            log_error=self._log.error,
        )


def _end(command: Child | None) -> None:
    """Wait for a command to a container that is over: it has no more to do but to notice."""
    if command is not None and not command.wait(_AFTER_STOP):
        command.signal_group(signal.SIGKILL)
        command.wait()


class _Log:
    """A log that outputs are copied to; a full disk ends the copy, not the run."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.error = ""

    def write(self, chunk: bytes) -> None:
        if self._descriptor is None or self.error:
            return
        try:
            write_all(self._descriptor, chunk)
        except OSError as error:
            self.error = f"the log is cut short: {error.strerror}"


@contextmanager
def _log(path: str | None) -> Iterator[_Log]:
    if path is None:
        yield _Log(None)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with explained(f"write the log {path}"):
        descriptor = os.open(path, flags, 0o600)
    try:
        yield _Log(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _exit_watch(child: Child) -> Iterator[int | None]:
    """A descriptor that becomes readable when the child ends; None where the kernel has none."""
    try:
        descriptor = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
