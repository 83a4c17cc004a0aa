# SPDX-License-Identifier: GPL-3.0-or-later
"""What podman says when it cannot start, as sentences."""

from __future__ import annotations

ERROR = "Error: "
"""How a line of podman's begins that says what went wrong."""
_RESET = 'invalid internal status, try resetting the pause process with "podman system migrate": '
"""What podman says first, where it cannot start: that would not help."""


def messages(stderr: str) -> str:
    """What podman says alone, without a container: its last messages, as sentences.

    Where it fails as it starts, the line that names the reason need not be the one with the word
    ``Error``, and its exit status is 1 or 125.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return "; ".join(_message(line) for line in lines[-3:])


def _message(line: str) -> str:
    """A line as people read it: that of a log has its text in quotes."""
    _head, level, rest = line.partition(" level=")
    _level, quoted, text = rest.partition(' msg="')
    if not (level and quoted):
        return line.removeprefix(ERROR)
    text = text.removesuffix('"').removesuffix("\\n")
    return text.replace('\\"', '"').replace("\\\\", "\\").removeprefix(_RESET)
