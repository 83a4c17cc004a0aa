# SPDX-License-Identifier: GPL-3.0-or-later
"""Our blocks behave as the standard library's do, on the same functions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces import blocks as ours


class Broken(Exception):
    """What goes wrong in a block."""


def around(
    library: Any, before: Any = None, after: Any = None, handled: tuple[Any, ...] = ()
) -> tuple[Callable[..., Any], list[str]]:
    """A block that notes what happens, and fails at its begin or its end if told to."""
    seen: list[str] = []

    def work(word: str, more: str = "") -> Iterator[str]:
        seen.append(f"begin {word}{more}")
        if before:
            raise before
        try:
            yield word
        except handled as error:
            seen.append(f"handled {error!r}")
        finally:
            seen.append("end")
        if after:
            raise after

    return library.contextmanager(work), seen


def entered(library: Any, error: BaseException | None = None, **how: Any) -> list[str]:
    block, seen = around(library, **how)
    try:
        with block("a", more="b") as word:
            seen.append(f"in {word}")
            if error is not None:
                raise error
        seen.append("behind")
    except BaseException as raised:
        seen.append(f"{raised!r} {'itself' if raised is error else ''} {raised.__context__!r}")
    return seen


def no_yield(library: Any) -> Any:
    def work() -> Iterator[None]:
        return
        yield

    block = library.contextmanager(work)
    with block():
        pass


def two_yields(library: Any, error: Exception | None = None) -> Any:
    def work() -> Iterator[int]:
        with library.suppress(Broken):
            yield 1
        yield 2

    block = library.contextmanager(work)
    with block():
        if error:
            raise error


def returned(library: Any) -> list[int]:
    seen = []

    def work() -> None:
        block, _seen = around(library)
        with block("a"):
            return seen.append(1)

    work()
    return seen


def suppressed(library: Any, kinds: Any, error: BaseException | None) -> str:
    with library.suppress(*kinds):
        if error:
            raise error
        return "no error"
    return "suppressed"


ATTEMPTS: dict[str, Callable[[Any], object]] = {
    "a block": entered,
    "an error in it": lambda lib: entered(lib, Broken("x")),
    "an error that is handled": lambda lib: entered(lib, Broken("x"), handled=(Broken,)),
    "another error instead": lambda lib: entered(
        lib, Broken("x"), handled=(Broken,), after=ValueError("y")
    ),
    "an error before": lambda lib: entered(lib, before=Broken("x")),
    "an error behind": lambda lib: entered(lib, after=Broken("x")),
    "the end of an iteration in it": lambda lib: entered(lib, StopIteration("x")),
    "an error of a generator in it": lambda lib: entered(lib, RuntimeError("x")),
    "an interrupt in it": lambda lib: entered(lib, KeyboardInterrupt()),
    "it returns from a function": returned,
    "no block": no_yield,
    "two blocks": two_yields,
    "two blocks after an error": lambda lib: two_yields(lib, Broken("x")),
    "suppressed": lambda lib: suppressed(lib, (Broken,), Broken("x")),
    "a kind of it": lambda lib: suppressed(lib, (OSError,), FileNotFoundError("x")),
    "another": lambda lib: suppressed(lib, (OSError,), Broken("x")),
    "one of several": lambda lib: suppressed(lib, (OSError, Broken), Broken("x")),
    "nothing to suppress": lambda lib: suppressed(lib, (OSError,), None),
    "nothing": lambda lib: suppressed(lib, (), Broken("x")),
    "null": lambda lib: lib.nullcontext(3).__enter__(),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_as_the_standard_library(attempt: str) -> None:
    theirs, own = (outcome(attempt, library) for library in (contextlib, ours))
    assert own == theirs


def outcome(attempt: str, library: Any) -> str:
    """What came of it, as text: a value, or the kind of the error."""
    try:
        return repr(ATTEMPTS[attempt](library))
    except Exception as error:
        return type(error).__name__


def test_an_error_keeps_the_line_that_it_came_from() -> None:
    block, _seen = around(ours)
    with pytest.raises(Broken) as caught, block("a"):
        raise Broken
    assert [entry.name for entry in caught.traceback] == [
        "test_an_error_keeps_the_line_that_it_came_from"
    ]
