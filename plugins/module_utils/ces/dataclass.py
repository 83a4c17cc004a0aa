# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the standard library's ``dataclasses`` that we use, for a tenth of its start-up cost.

``dataclasses`` loads ``inspect``, and compiles the methods of each class anew in every process:
18 ms of the 47 that ``ces-run`` took before it started an engine (measured with Python 3.13).
Type checkers see the standard library's. Methods here are plain functions over the fields.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, fields, replace

    __all__ = ["asdict", "dataclass", "field", "fields", "replace"]
else:
    _MISSING = object()

    class _Field:
        """What a class says of one field."""

        __slots__ = ("default", "default_factory", "name", "repr")

        def __init__(self, default, default_factory, shown):
            self.name = ""
            self.default = default
            self.default_factory = default_factory
            self.repr = shown

    def field(*, default=_MISSING, default_factory=_MISSING, repr=True):
        """As ``dataclasses.field``."""
        return _Field(default, default_factory, repr)

    def fields(owner):
        """As ``dataclasses.fields``: in order, those of base classes first."""
        return tuple(owner._ces_fields.values())

    def replace(value, /, **changes):
        """As ``dataclasses.replace``: a new value, validated anew."""
        return type(value)(**{**_contents(value), **changes})

    def asdict(value):
        """As ``dataclasses.asdict``."""
        return {name: _plain(content) for name, content in _contents(value).items()}

    def _plain(content):
        if hasattr(content, "_ces_fields"):
            return asdict(content)
        if isinstance(content, (list, tuple)):
            return type(content)(_plain(item) for item in content)
        if isinstance(content, dict):
            return {key: _plain(item) for key, item in content.items()}
        return content

    def _contents(value):
        return {name: getattr(value, name) for name in value._ces_fields}

    def dataclass(cls=None, *, frozen=False, order=False, repr=True):
        """As ``dataclasses.dataclass``, for annotations that are strings."""

        def made(cls):
            known = {}
            for base in reversed(cls.__mro__[1:]):
                known.update(getattr(base, "_ces_fields", {}))
            for name in cls.__annotations__:  # of a base class too, on old Pythons
                if name not in known:
                    known[name] = _declared(cls, name)
            cls._ces_fields = known
            methods = {"__init__": _init, "__eq__": _eq, "__hash__": _hash if frozen else None}
            if repr:
                methods["__repr__"] = _repr
            if frozen:
                methods.update(__setattr__=_refuse, __delattr__=_refuse)
            if order:
                methods.update(__lt__=_lt, __le__=_le)
            for name, method in methods.items():
                if name not in cls.__dict__:
                    setattr(cls, name, method)
            return cls

        return made if cls is None else made(cls)

    def _declared(cls, name):
        given = cls.__dict__.get(name, _MISSING)
        if not isinstance(given, _Field):
            given = field(default=given)
        elif given.default is not _MISSING:
            setattr(cls, name, given.default)
        else:
            delattr(cls, name)
        given.name = name
        return given

    def _init(self, *args, **given):
        known = self._ces_fields
        if len(args) > len(known):
            raise TypeError(f"{type(self).__name__} takes at most {len(known)} arguments")
        contents = self.__dict__
        contents.update(zip(known, args))
        for name, content in given.items():
            if name not in known or name in contents:
                reason = "gets it twice" if name in known else "knows none of that name"
                raise TypeError(f"argument {name!r}: {type(self).__name__} {reason}")
            contents[name] = content
        if len(contents) < len(known):
            for name, item in known.items():
                if name in contents:
                    continue
                if item.default_factory is not _MISSING:
                    contents[name] = item.default_factory()
                elif item.default is not _MISSING:
                    contents[name] = item.default
                else:
                    raise TypeError(f"{type(self).__name__} needs an argument {name!r}")
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    def _values(self):
        return tuple(_contents(self).values())

    def _eq(self, other):
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def _lt(self, other):
        return _values(self) < _values(other) if type(other) is type(self) else NotImplemented

    def _le(self, other):
        return _values(self) <= _values(other) if type(other) is type(self) else NotImplemented

    def _hash(self):
        return hash(_values(self))

    def _repr(self):
        shown = (f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _refuse(self, name, *value):
        raise AttributeError(f"{type(self).__name__} does not change: {name!r} is fixed")
