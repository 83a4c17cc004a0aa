# SPDX-License-Identifier: GPL-3.0-or-later
"""``USER TOKEN`` on the command line: accepted for compatibility, and hidden at once."""

from __future__ import annotations

import os
import sys

from ces_commands.parse import Parsed, UsageError

_VARIABLE = "CES_TOKEN_FD"
_HIDDEN = "******"


def hide(parsed: Parsed, argv: list[str], program_file: str) -> None:
    """Take the token out of the operands; if it is still visible, start again without it.

    Everybody can read a process's arguments, and a program cannot change its own for sure: so it
    replaces itself, and hands itself the token through a pipe. The name of the pipe is no secret.
    """
    handed = os.environ.pop(_VARIABLE, None)
    if len(parsed.operands) != 3:
        return
    user, token, image = parsed.operands
    if handed is not None and token == _HIDDEN:
        with os.fdopen(int(handed), encoding="utf-8", errors="surrogateescape") as pipe:
            token = pipe.read()
        print(
            f"{parsed.program}: warning: a token on the command line can be seen by others;"
            " use --username with --password-stdin",
            file=sys.stderr,
        )
    elif token:
        _start_again(argv, token, program_file)
    parsed.operands = [image]
    parsed.values["username"], parsed.token = user, token


def _start_again(argv: list[str], token: str, program_file: str) -> None:
    reader, writer = os.pipe()
    raw = token.encode("utf-8", "surrogateescape")
    # a pipe holds 64 KiB: no token is that long, and a write that blocks would hang
    os.set_blocking(writer, False)
    if os.write(writer, raw) != len(raw):
        raise UsageError("the token is longer than 64 KiB: give it with --password-stdin")
    os.close(writer)
    os.set_inheritable(reader, True)
    place = _place_of(argv, token)
    words = [*argv[1:place], _HIDDEN, *argv[place + 1 :]]
    os.environ[_VARIABLE] = str(reader)
    # the name it was called by says what it does: /usr/local/bin/ces-pull
    same = [sys.executable, "-IS", program_file, f"--as={argv[0]}"]
    os.execv(sys.executable, [*same, *words])  # noqa: S606  no shell is wanted


def _place_of(argv: list[str], token: str) -> int:
    """Where the token stands: the last but one word that is it (the image is the last operand)."""
    return max(place for place in range(1, len(argv)) if argv[place] == token)
