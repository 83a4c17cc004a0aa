# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's configuration as its maker wrote it: each field is looked at before it is used.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

from ..typed import Any, Callable, Mapping

_TEXT_MAX = 128 * 1024
"""Characters of a field; the kernel takes no longer word (execve(2))."""
_WORDS_MAX = 10_000
_ID_MAX = 2**32 - 2


def check_image(raw: object) -> dict[str, Any]:
    """A configuration whose fields are of the types that they must have, and of bounded length.

    :raises ValueError: naming the first field that is not.
    """
    if not isinstance(raw, dict):
        raise ValueError("it is no JSON object")
    _check(raw, _IMAGE, "")
    _check(raw.get("config") or {}, _CONFIG, "config.")
    return raw


def id_in(text: str) -> int | None:
    """The number of a user or group; None if the text is none that a kernel knows."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_ID_MAX))):
        return None
    number = int(text)
    return number if number <= _ID_MAX else None


def is_text(value: object) -> bool:
    """Whether it is text that a program can be given."""
    return isinstance(value, str) and len(value) <= _TEXT_MAX and "\0" not in value


def are_texts(value: object) -> bool:
    """Whether it is a list of such texts."""
    return (
        isinstance(value, (list, tuple)) and len(value) <= _WORDS_MAX and all(map(is_text, value))
    )


def is_count(value: object) -> bool:
    """Whether it is a number of bytes, or of a user."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_name(value: object) -> bool:
    return is_text(value) and len(str(value)) <= 256


def _are_words(value: object) -> bool:
    return is_text(value) or are_texts(value)


def _are_names(value: object) -> bool:
    return isinstance(value, dict) and are_texts(list(value))


_Fields = Mapping[str, Callable[[object], bool]]
_IMAGE: _Fields = {
    "architecture": _is_name,
    "os": _is_name,
    "config": lambda value: isinstance(value, dict),
}
_CONFIG: _Fields = {
    "Entrypoint": _are_words,
    "Cmd": _are_words,
    "Env": are_texts,
    "WorkingDir": is_text,
    "User": _is_name,
    "Volumes": _are_names,
    "ExposedPorts": _are_names,
    "StopSignal": _is_name,
}
"""What is used of a configuration; null is as good as nothing."""


def _check(raw: Mapping[str, Any], fields: _Fields, above: str) -> None:
    for name, fits in fields.items():
        value = raw.get(name)
        if value is not None and not fits(value):
            raise ValueError(f"{above}{name} is {value!r:.80}")
