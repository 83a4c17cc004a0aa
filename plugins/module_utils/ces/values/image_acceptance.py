# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images engines accept: ``policy.json`` (containers-policy.json(5)). No I/O."""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import CesError
from ..typed import Any, Iterator, Mapping

_DEFAULT = "default"


@dataclass(frozen=True)
class Acceptance:
    """What is demanded of images.

    :param scopes: of the transport ``docker``, by their names; ``default`` is for all others.
    """

    scopes: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_dict(cls, raw: object, file: str) -> Acceptance:
        """Read parsed JSON.

        :raises CesError: engines would not accept it either.
        """
        try:
            return cls(_scopes(raw))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CesError(
                f"use {file}",
                said=f"it is not of the form of containers-policy.json(5) ({error})",
                hint="correct it, or remove it if it is your own",
            ) from None

    def of(self, place: str) -> str:
        """What becomes of an image below ``HOST[/PATH]``: ``accept``, ``reject`` or ``signed``."""
        for scope in (*_scopes_of(place), _DEFAULT):
            if scope in self.scopes:
                wanted = self.scopes[scope]
                if "reject" in wanted:
                    return "reject"
                return "signed" if set(wanted) - {"insecureAcceptAnything"} else "accept"
        return "accept"


def _scopes(raw: Any) -> dict[str, tuple[str, ...]]:
    scopes = {_DEFAULT: _kinds(raw[_DEFAULT])}
    for scope, wanted in raw.get("transports", {}).get("docker", {}).items():
        scopes[scope] = _kinds(wanted)
    return scopes


def _kinds(wanted: Any) -> tuple[str, ...]:
    kinds = tuple(str(demand["type"]) for demand in wanted)
    if not kinds:
        raise ValueError("a list of demands is empty")
    return kinds


def _scopes_of(place: str) -> Iterator[str]:
    """The scopes that an image below a place may have, the narrowest first."""
    parts = place.split("/")
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])
    host = parts[0].partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"
    # all of the transport
    yield ""
