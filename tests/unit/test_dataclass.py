# SPDX-License-Identifier: GPL-3.0-or-later
"""Our dataclasses behave as the standard library's do, on the same classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces import dataclass as ours


def classes(library: Any) -> tuple[Any, Any, Any]:
    """A frozen class, one derived from it, and one that changes."""

    @library.dataclass(frozen=True, order=True)
    class Point:
        x: int
        y: int = 2
        label: str = library.field(default="", repr=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x")

    @library.dataclass(frozen=True)
    class Deep(Point):
        points: tuple[Any, ...] = ()
        names: dict[str, Any] = library.field(default_factory=dict)

    @library.dataclass
    class Open:
        x: int = 1
        points: Any = ()

    return Point, Deep, Open


ATTEMPTS: dict[str, Callable[..., object]] = {
    "positional": lambda lib, point, deep, loose: point(1, 3),
    "by name": lambda lib, point, deep, loose: point(y=3, x=1, label="hidden"),
    "defaults": lambda lib, point, deep, loose: (point(1), deep(1), loose()),
    "too few": lambda lib, point, deep, loose: point(),
    "too many": lambda lib, point, deep, loose: point(1, 2, "", 4),
    "twice": lambda lib, point, deep, loose: point(1, x=2),
    "unknown": lambda lib, point, deep, loose: point(1, z=2),
    "invalid": lambda lib, point, deep, loose: point(-1),
    "replaced": lambda lib, point, deep, loose: lib.replace(point(1, 3, "kept"), y=4),
    "replaced by what is invalid": lambda lib, point, deep, loose: lib.replace(point(1), x=-1),
    "as dict": lambda lib, point, deep, loose: lib.asdict(deep(1, points=(point(2), [point(3)]))),
    "dicts inside": lambda lib, point, deep, loose: lib.asdict(deep(1, names={"a": point(1)})),
    "fields": lambda lib, point, deep, loose: [item.name for item in lib.fields(deep)],
    "equal": lambda lib, point, deep, loose: (point(1) == point(1, 2), point(1) == point(2)),
    "not of one kind": lambda lib, point, deep, loose: point(1) == deep(1),
    "hash": lambda lib, point, deep, loose: len({point(1), point(1), point(2)}),
    "no hash": lambda lib, point, deep, loose: hash(loose()),
    "no hash of a dict": lambda lib, point, deep, loose: hash(deep(1)),
    "order": lambda lib, point, deep, loose: sorted([point(2, 1), point(1, 9), point(1, 3)]),
    "order, both ways": lambda lib, point, deep, loose: (point(1) > point(1), point(1) >= point(1)),
    "no order": lambda lib, point, deep, loose: loose() < loose(),
    "set": lambda lib, point, deep, loose: setattr(point(1), "x", 2),
    "deleted": lambda lib, point, deep, loose: delattr(point(1), "x"),
    "set where it may be": lambda lib, point, deep, loose: setattr(loose(), "x", 2),
    "default of the class": lambda lib, point, deep, loose: (point.y, point.label, loose.x),
    "factory's default is none of the class": lambda lib, point, deep, loose: deep.names,
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_as_the_standard_library(attempt: str) -> None:
    theirs, own = (outcome(attempt, library) for library in (dataclasses, ours))
    assert own == theirs


def outcome(attempt: str, library: Any) -> str:
    """What came of it, as text: a value, or the kind of the error."""
    try:
        return repr(ATTEMPTS[attempt](library, *classes(library)))
    except (AttributeError, TypeError, ValueError) as error:
        return next(
            kind.__name__
            for kind in (AttributeError, TypeError, ValueError)
            if isinstance(error, kind)
        )


def test_factories_are_called_each_time() -> None:
    deep = classes(ours)[1]
    assert deep(1).names is not deep(1).names
