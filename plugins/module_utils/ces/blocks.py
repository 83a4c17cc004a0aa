# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the standard library's ``contextlib`` that we use, for a tenth of its start-up cost.

``contextlib`` loads ``functools`` and ``collections``: 4 ms. Type checkers see the standard
library's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import contextmanager, nullcontext, suppress

    __all__ = ["contextmanager", "nullcontext", "suppress"]
else:

    def contextmanager(function):
        """As ``contextlib.contextmanager``."""

        def block(*args, **given):
            return _Block(function(*args, **given))

        block.__name__, block.__doc__ = function.__name__, function.__doc__
        return block

    class _Block:
        """What is done around a block: a generator's work before and behind its ``yield``."""

        def __init__(self, generator):
            self._generator = generator

        def __enter__(self):
            for value in self._generator:
                return value
            raise RuntimeError("the generator did not yield")

        def __exit__(self, kind, error, trace):
            if error is None:
                for _value in self._generator:
                    raise RuntimeError("the generator did not stop")
                return False
            try:
                self._generator.throw(error)
            except StopIteration as end:
                return end is not error
            except BaseException as raised:
                # a generator may not raise StopIteration: Python wraps the block's own (PEP 479)
                wrapped = isinstance(error, StopIteration) and raised.__cause__ is error
                if raised is not error and not wrapped:
                    raise
                error.__traceback__ = trace
                return False
            raise RuntimeError("the generator did not stop after an error")

    class nullcontext:
        """As ``contextlib.nullcontext``."""

        def __init__(self, value=None):
            self._value = value

        def __enter__(self):
            return self._value

        def __exit__(self, *error):
            return None

    class suppress:
        """As ``contextlib.suppress``."""

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, error, trace):
            return kind is not None and issubclass(kind, self._kinds)
