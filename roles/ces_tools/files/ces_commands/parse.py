# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a command line by the table of its options."""

from __future__ import annotations

from ces.engines.table import NAMES

from ces_commands.verbs import Option, Verb, spellings


class UsageError(Exception):
    """The command line is not of the command's form."""


class Parsed:
    """A command line, read.

    :param program: the name that was typed, for messages.
    :param values: options by key; switches are True, those that repeat are lists.
    """

    def __init__(self, verb: Verb, program: str, runner: str | None) -> None:
        self.verb = verb
        self.program = program
        self.runner = runner
        self.values: dict[str, str | bool | list[str]] = {}
        self.operands: list[str] = []
        self.token: str | None = None

    def text(self, key: str) -> str | None:
        """An option's value, or None."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def texts(self, key: str) -> list[str]:
        """The values of an option that repeats."""
        value = self.values.get(key)
        return value if isinstance(value, list) else []

    def on(self, key: str) -> bool:
        """Whether a switch was given."""
        return self.values.get(key) is True


def parse(verb: Verb, program: str, words: list[str], runner: str | None = None) -> Parsed:
    """Read the words behind the command's name: ``--x V``, ``--x=V``, ``-x V``, ``-xV``, ``--``.

    :param runner: the one that the program's name fixes.
    :raises UsageError: saying which word is wrong.
    """
    parsed = Parsed(verb, program, runner)
    options = spellings(verb)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.operands += rest
            break
        if word.startswith("-") and word != "-":
            _take_option(parsed, word, rest, options)
        elif verb.takes_runner and not parsed.operands and parsed.runner is None and word in NAMES:
            parsed.runner = word
        else:
            parsed.operands.append(word)
            if verb.takes_rest:
                parsed.operands += rest
                break
    if not (parsed.on("help") or parsed.on("version")):
        if "IMAGE" in verb.usage and parsed.operands and "/" not in parsed.operands[0]:
            _check_runner(parsed)
        _check_operands(parsed)
    return parsed


def _take_option(parsed: Parsed, word: str, rest: list[str], options: dict[str, Option]) -> None:
    name, value = _split(word)
    option = options.get(name)
    if option is None:
        raise UsageError(f"there is no option {name}")
    if not option.value:
        if value is not None:
            raise UsageError(f"{name} takes no value")
        parsed.values[option.key] = True
        return
    if value is None:
        if not rest:
            raise UsageError(f"{name} needs a value: {option.value}")
        value = rest.pop(0)
    if option.repeat:
        parsed.values[option.key] = [*parsed.texts(option.key), value]
    else:
        parsed.values[option.key] = value


def _split(word: str) -> tuple[str, str | None]:
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    return word[:2], word[2:] or None


def _check_runner(parsed: Parsed) -> None:
    """Refuse a runner that there is not, and one where none can be.

    Of the three words that a pull may have, the first one is a user.
    """
    # no word without a slash is an image: only what is refused anyway loads this
    from ces.engines.other_engines import is_meant

    pull = parsed.verb.name == "pull"
    words = parsed.operands[:1] if pull else parsed.operands
    if (pull and len(parsed.operands) == 3) or not is_meant(words, NAMES):
        return
    if not parsed.verb.takes_runner:
        raise UsageError(f"it has the runner oci and takes none: leave {words[0]} out")
    if parsed.runner is not None:
        raise UsageError(f"its runner is {parsed.runner} already: leave {words[0]} out")
    from ces.engines.table import runner_named
    from ces.errors import InvalidValue

    try:
        runner_named(words[0])
    except InvalidValue as error:
        raise UsageError(str(error)) from None


def _check_operands(parsed: Parsed) -> None:
    least, most = parsed.verb.operands
    alone = parsed.verb.alone
    if alone and alone.key in parsed.values:
        least = most = 0
    count = len(parsed.operands)
    if count < least or count > most or (parsed.verb.name == "pull" and count == 2):
        wanted = parsed.verb.usage or "no words"
        raise UsageError(f"it takes {wanted} besides its options; {count} given")
