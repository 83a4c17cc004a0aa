# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's configuration as its maker wrote it: each field is looked at before it is used.

How long a field is, is no matter here: who reads a configuration reads ``CONFIG_MAX`` at most, and
what a kernel takes of it is known when it is used.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

from ..typed import Any, Callable, Mapping

CONFIG_MAX = 4 * 1024 * 1024
"""Bytes; engines read no longer one (containers/image, iolimits)."""
_ID_MAX = 2**32 - 2


def check_image(raw: object) -> dict[str, Any]:
    """A configuration whose fields are of the types that they must have.

    :raises ValueError: naming the first field that is not.
    """
    if not isinstance(raw, dict):
        raise ValueError("it is no JSON object")
    _check(raw, _IMAGE, "")
    _check(raw.get("config") or {}, _CONFIG, "config.")
    return raw


def user_and_group(text: str) -> tuple[str, str]:
    """The parts of an image's ``User``; podman passes over what stands behind a second colon."""
    user, group, *_more = (*text.split(":"), "")
    return user, group


def is_number(text: str) -> bool:
    """Whether podman takes it for a number: digits, perhaps with a sign (Go's strconv.Atoi)."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return digits.isascii() and digits.isdigit()


def id_in(text: str) -> int | None:
    """The number of a user or group; None if the text is none that a kernel knows."""
    if not is_number(text):
        return None
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > len(str(_ID_MAX)) or (text[0] == "-" and digits != "0"):
        return None
    number = int(digits)
    return number if number <= _ID_MAX else None


def is_text(value: object) -> bool:
    """Whether it is text that a program can be given."""
    return isinstance(value, str) and "\0" not in value


def are_texts(value: object) -> bool:
    """Whether it is a list of such texts."""
    return isinstance(value, (list, tuple)) and all(map(is_text, value))


def is_count(value: object) -> bool:
    """Whether it is a number of bytes, or of a user."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _are_words(value: object) -> bool:
    return is_text(value) or are_texts(value)


def _are_names(value: object) -> bool:
    return isinstance(value, dict) and are_texts(list(value))


_Fields = Mapping[str, Callable[[object], bool]]
_IMAGE: _Fields = {
    "architecture": is_text,
    "os": is_text,
    "config": lambda value: isinstance(value, dict),
}
_CONFIG: _Fields = {
    "Entrypoint": _are_words,
    "Cmd": _are_words,
    "Env": are_texts,
    "WorkingDir": is_text,
    "User": is_text,
    "Volumes": _are_names,
    "ExposedPorts": _are_names,
    "StopSignal": is_text,
}
"""What is used of a configuration; null is as good as nothing."""


def _check(raw: Mapping[str, Any], fields: _Fields, above: str) -> None:
    for name, fits in fields.items():
        value = raw.get(name)
        if value is not None and not fits(value):
            raise ValueError(f"{above}{name} is {value!r:.80}")
