# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that a researcher may hand to an engine: an allow-list, read strictly.

Words are read here and spelled anew (``--name=value``), so that the engine never sees a form that
we did not understand: no abbreviation, no value that is taken for an option, nothing behind ``--``.
"""

from __future__ import annotations

from ..dataclass import dataclass, replace
from ..errors import InvalidValue, RefusedByPolicy
from ..patterns import matches
from ..typed import Any, Iterable, Mapping, Sequence
from .mounts import Mount, parse_binds, parse_mount, parse_tmpfs, parse_volume
from .own_words import ALIKE, INSTEAD, OWN_WORDS
from .words import check_env


@dataclass(frozen=True)
class Option:
    """One option of an engine.

    :param name: its long name with dashes, ``--volume``.
    :param short: its one-letter name with dash, or nothing.
    :param flag: it takes no value.
    :param meaning: what becomes of the value: ``plain`` (passed on), ``volume``, ``bind`` and
        ``mount`` (directories that must lie below an allowed root), ``env`` (goes by file, never by
        argument), ``own`` (accepted and dropped, because we say it anyway), ``mount or tmpfs``, or
        one of OWN_WORDS.
    :param values: regular expressions of the only values allowed; empty for any.
    :param form: what people are told of them.
    """

    name: str
    short: str = ""
    flag: bool = False
    meaning: str = "plain"
    values: tuple[str, ...] = ()
    form: str = ""


@dataclass(frozen=True)
class Given:
    """What options came to: words for the engine, mounts, environment, words of the run's own."""

    words: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    own: tuple[tuple[str, Any], ...] = ()

    def with_option(self, option: Option, value: str) -> Given:
        """This, and one more option."""
        if option.meaning == "own":
            return self
        if option.meaning == "volume":
            return replace(self, mounts=(*self.mounts, parse_volume(value)))
        if option.meaning == "bind":
            return replace(self, mounts=(*self.mounts, *parse_binds(value)))
        if option.meaning == "mount or tmpfs" and (tmpfs := parse_tmpfs(value)):
            return replace(self, words=(*self.words, f"--tmpfs={tmpfs}"))
        if option.meaning.startswith("mount"):
            return replace(self, mounts=(*self.mounts, parse_mount(value)))
        if option.meaning == "env":
            return replace(self, env=(*self.env, _variable(value)))
        if option.meaning in OWN_WORDS:
            return replace(self, own=(*self.own, *OWN_WORDS[option.meaning](value).items()))
        bare = option.flag and value != "false"
        return replace(self, words=(*self.words, option.name if bare else f"{option.name}={value}"))


def allowed_options(
    table: Iterable[Option], allow: Sequence[str], deny: Sequence[str]
) -> dict[str, Option]:
    """The options by every name they have, after a site's changes.

    A name in ``allow`` that the table lacks is taken as a plain option with a value, a trailing
    ``!`` makes it a flag (``--privileged!``): what a site opens is the site's to answer for, also
    where it would be one of a run's own words.
    """
    options = {option.name: option for option in table}
    for name in allow:
        plain = name.rstrip("!")
        if plain not in options or options[plain].meaning in OWN_WORDS:
            options[plain] = Option(plain, flag=name.endswith("!"))
    for name in deny:
        options = {key: o for key, o in options.items() if name not in (o.name, o.short)}
    return {**options, **{option.short: option for option in options.values() if option.short}}


def read_options(
    words: Sequence[str], allowed: Mapping[str, Option], runner: str, closed: bool = False
) -> Given:
    """Read option words: ``--x y``, ``--x=y``, ``-x y``, ``-xy``; each must be in the allow-list.

    :param closed: a site cannot allow more of them.
    :raises RefusedByPolicy: an option that is not allowed; the message names it.
    :raises InvalidValue: a word that is no option, or an option without its value.
    """
    given = Given()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, value = _name_and_value(word)
        option = allowed.get(name)
        if option is None:
            raise _refusal(word, name, allowed, runner, closed)
        if option.flag:
            if value not in (None, "true", "false"):
                raise InvalidValue("an option", word, f"{name} takes no value but true or false")
            if value == "false" and (option.meaning == "own" or option.meaning in OWN_WORDS):
                raise InvalidValue(
                    "an option", word, f"{name} cannot be turned off", "leave it out"
                )
        elif value is None:
            if not rest:
                raise InvalidValue("an option", word, f"{name} needs a value")
            value = rest.pop(0)
        if value is not None and "\0" in value:
            raise InvalidValue("an option", word, "its value holds a NUL")
        if option.values and not any(matches(form, value or "") for form in option.values):
            raise RefusedByPolicy(
                f"pass {name}={value} to {runner}", said=f"allowed here: {option.form}"
            )
        given = given.with_option(option, value or "")
    return given


def _name_and_value(word: str) -> tuple[str, str | None]:
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    if word.startswith("-") and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _refusal(
    word: str, name: str, allowed: Mapping[str, Option], runner: str, closed: bool
) -> Exception:
    if not word.startswith("-"):
        return InvalidValue(
            f"an option of {runner}",
            word,
            "it does not start with a dash",
            "arguments go in --arg-file",
        )
    alike = (other for group in ALIKE if name in group for other in group if other in allowed)
    instead = INSTEAD.get(name) or next((f"write {other} instead" for other in alike), "")
    offered = ", ".join(sorted(key for key in allowed if key.startswith("--")))
    opened = () if closed else ("the administrator can change that in policy.json",)
    return RefusedByPolicy(
        f"pass {name} to {runner}",
        said="the option is not allowed on this back-end",
        hint="; ".join(filter(None, (instead, f"allowed: {offered}", *opened))),
    )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidValue(
            "--env", name, "it has no value", "write --env NAME=value, or use an env file"
        )
    check_env({name: value}, "--env")
    return name, value
