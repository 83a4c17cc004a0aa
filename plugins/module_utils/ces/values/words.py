# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that researchers write into files: words as a POSIX shell splits them, and env files.

Nothing here runs anything: no command substitution, no globs, no variable but those given.
"""

from __future__ import annotations

from ..errors import InvalidValue
from ..typed import TYPE_CHECKING, Mapping

if TYPE_CHECKING:
    import re

EXPANDABLE = ("HOME", "USER", "LOGNAME", "UID", "TMPDIR", "SLURM_JOB_ID")
"""What ``${NAME}`` may be in option, argument and (if asked for) env files, beside ``CES_*``."""

# patterns are loaded where they are used: most runs use none of them
_WORD = r"""(?xs)
        (?P<space>[ \t\r\n]+)
      | (?P<continued>\\\r?\n)
      | (?P<comment>\#[^\n]*)
      | '(?P<single>[^']*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | \\(?P<escaped>.)
      | (?P<plain>[^ \t\r\n'"\\]+)"""
_ENV_LINE_MAX = 64 * 1024
"""Bytes of a line of an env file that podman does not read any more."""
ENV_NAME = r"[A-Za-z_][A-Za-z0-9_.\-]*"
_SHELL_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NAME_FORM = "a name has letters, digits, _ . and -, and begins with a letter or _"
_ALSO_IN_NAMES = str.maketrans(".-", "__")
_REFERENCE = rf"\$\{{(?P<name>{_SHELL_NAME})\}}"
# both at once, so that \${HOME} stays literal
_IN_DOUBLE = rf'\\(?P<escaped>[$`"\\]|\r?\n)|{_REFERENCE}'


def expandable(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that ``${NAME}`` may refer to."""
    return {n: v for n, v in environ.items() if n in EXPANDABLE or n.startswith("CES_")}


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``${NAME}`` for the names in ``variables``; every other ``$`` stays as written."""
    import re

    return re.sub(_REFERENCE, lambda m: variables.get(m["name"], m[0]), text)


def split(text: str, variables: Mapping[str, str], what: str = "the file") -> list[str]:
    """Split text into words as a POSIX shell does: quotes, backslashes, ``#`` comments, any line.

    A word is never split again after expansion, so a space in ``${HOME}`` does no harm.

    :raises InvalidValue: a quote is not closed.
    """
    import re

    token = re.compile(_WORD)
    words: list[str] = []
    word: str | None = None
    position = 0
    while position < len(text):
        # a '#' inside a word is an ordinary character
        if word is not None and text[position] == "#":
            word, position = word + "#", position + 1
            continue
        match = token.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise InvalidValue(
                what, text[position : position + 20], f"line {line} does not end its quote"
            )
        position = match.end()
        kind, value = match.lastgroup, match.group(match.lastgroup or 0)
        if kind == "space":
            if word is not None:
                words.append(word)
            word = None
        elif kind not in ("comment", "continued"):
            word = (word or "") + _meaning(kind or "", value, variables)
    return words if word is None else [*words, word]


def _meaning(kind: str, value: str, variables: Mapping[str, str]) -> str:
    if kind == "plain":
        return expand(value, variables)
    if kind == "double":
        import re

        return re.sub(_IN_DOUBLE, lambda m: _in_double(m, variables), value)
    return value


def _in_double(match: re.Match[str], variables: Mapping[str, str]) -> str:
    escaped: str | None = match["escaped"]
    if escaped is None:
        return variables.get(match["name"], match[0])
    return escaped.lstrip("\r\n")


def parse_env(
    text: str, variables: Mapping[str, str] | None = None, what: str = "an env file"
) -> dict[str, str]:
    """``NAME=value`` lines; values are literal but for one matching pair of surrounding quotes.

    Blank lines and lines that start with ``#`` are passed over. With ``variables``, ``${NAME}`` is
    expanded for those names. A later line wins over an earlier one.

    :raises InvalidValue: a line is not of that form (the value is never repeated in the message).
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.lstrip().partition("=")
        if not equals:
            raise InvalidValue(
                what, f"line {number}", "it is not NAME=value", "write one NAME=value per line"
            )
        if not is_env_name(name):
            raise InvalidValue(
                what, f"line {number}", "what stands before = is no name of a variable", _NAME_FORM
            )
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[name] = expand(value, variables) if variables is not None else value
    return check_env(values, what)


def is_shell_name(name: str) -> bool:
    """Whether a shell can name a variable so."""
    return name.isascii() and name.isidentifier()


def is_env_name(name: str) -> bool:
    """Whether a container's variable can have that name: what ``ENV_NAME`` says."""
    return is_shell_name(name.translate(_ALSO_IN_NAMES)) and name[0] not in ".-"


def encoded(text: str) -> bytes | None:
    """The bytes that a program gets; None for half a UTF-16 pair, which has none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None


def check_env(values: Mapping[str, str], what: str = "the environment") -> dict[str, str]:
    """Refuse names that are no names, and values that no engine's env file can carry."""
    for name, value in values.items():
        if not is_env_name(name):
            raise InvalidValue(what, name, "it is no name of a variable", _NAME_FORM)
        line = encoded(f"{name}={value}")
        if line is None or any(char in value for char in "\n\r\0"):
            raise InvalidValue(
                what,
                name,
                "its value holds a line break or a NUL",
                "encode it, for example with base64",
            )
        if len(line) >= _ENV_LINE_MAX:
            raise InvalidValue(
                what, name, "its value is longer than 64 KiB", "put it into a file and mount that"
            )
    return dict(values)
