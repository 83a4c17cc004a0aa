# SPDX-License-Identifier: GPL-3.0-or-later
"""Option and argument files (words as ``sh`` splits them), and env files (literal values)."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.words import (
    ENV_NAME,
    check_env,
    expand,
    expandable,
    is_env_name,
    parse_env,
    split,
)

VARIABLES = {"HOME": "/home/ada l", "USER": "ada", "CES_X": "'\"\\ #", "EMPTY": ""}

SPLITS = {
    "": [],
    " \t\r\n\n": [],
    "a": ["a"],
    "a b\tc\nd": ["a", "b", "c", "d"],
    "a b\r\nc\r\n": ["a", "b", "c"],
    "'a b' \"c d\"": ["a b", "c d"],
    "a'b'\"c\"d": ["abcd"],
    "''": [""],
    '""': [""],
    "a '' b": ["a", "", "b"],
    "''a": ["a"],
    "a\\ b": ["a b"],
    "\\'": ["'"],
    "'\\'": ["\\"],
    "'a\nb'": ["a\nb"],
    '"a\nb"': ["a\nb"],
    '"a\\"b"': ['a"b'],
    '"a\\\\b"': ["a\\b"],
    '"a\\nb"': ["a\\nb"],
    '"a\\`b"': ["a`b"],
    "\\a\\b": ["ab"],
    # a line goes on after a backslash, and that makes no word
    "a\\\nb": ["ab"],
    "a \\\nb": ["a", "b"],
    "a \\\n  b": ["a", "b"],
    "a \\\n\\\n b": ["a", "b"],
    "\\\n": [],
    "\\\n a": ["a"],
    "a \\\r\n  b\r\n": ["a", "b"],
    '"a\\\nb"': ["ab"],
    "'a\\\nb'": ["a\\\nb"],
    "-v /a:/b \\\n  -e X=1 \\\n": ["-v", "/a:/b", "-e", "X=1"],
    # comments
    "# a 'comment": [],
    "a # comment\nb": ["a", "b"],
    "a #": ["a"],
    "a#b": ["a#b"],
    "a'b'#c": ["ab#c"],
    "''#c": ["#c"],
    "\\#c": ["#c"],
    "'#' c": ["#", "c"],
    "a \\\n# comment\nb": ["a", "b"],
    "# comment \\\nb": ["b"],
    # references: for the names given and no other, never split again, never read again
    "${HOME}": ["/home/ada l"],
    "-v ${HOME}/x:/mnt": ["-v", "/home/ada l/x:/mnt"],
    '"${HOME}/x"': ["/home/ada l/x"],
    "'${HOME}'": ["${HOME}"],
    "\\${HOME}": ["${HOME}"],
    '"\\${HOME}"': ["${HOME}"],
    '"\\a${USER}"': ["\\aada"],
    '"\\\\${USER}"': ["\\ada"],
    '"${USER}\\"${USER}"': ['ada"ada'],
    "${USER}${USER}": ["adaada"],
    "a${EMPTY}b": ["ab"],
    "${CES_X}": ["'\"\\ #"],
    '"${CES_X}"': ["'\"\\ #"],
    "$HOME": ["$HOME"],
    "${PATH}": ["${PATH}"],
    "${HOME:-x}": ["${HOME:-x}"],
    "$${USER}": ["$ada"],
    '"$"{USER}': ["${USER}"],
    "${US'ER'}": ["${USER}"],
    # nothing is run
    "$(id)": ["$(id)"],
    "`id`": ["`id`"],
    "$((1+1))": ["$((1+1))"],
    "* ?.x [a-z] ~ ~root {a,b}": ["*", "?.x", "[a-z]", "~", "~root", "{a,b}"],
    "a;b|c&d>e<f(g)": ["a;b|c&d>e<f(g)"],
    "! history": ["!", "history"],
    # no white space but the shell's
    "a\u00a0b\u2028c\x0bd\x0ce": ["a\u00a0b\u2028c\x0bd\x0ce"],
}


@pytest.mark.parametrize(("text", "words"), SPLITS.items())
def test_text_is_split_into_words_as_a_shell_does(text: str, words: list[str]) -> None:
    assert split(text, VARIABLES) == words


@pytest.mark.parametrize(
    ("text", "line"),
    [("'a", 1), ('"a', 1), ("a\nb 'c\nd", 2), ("a\\", 1), ('"a\\"', 1), ("'a' \n\n\"b\\", 3)],
)
def test_an_unfinished_quote_is_an_error_that_names_file_and_line(text: str, line: int) -> None:
    with pytest.raises(InvalidValue) as caught:
        split(text, {}, "the option file o.txt")
    assert "the option file o.txt" in str(caught.value)
    assert f"line {line} " in str(caught.value)


# --- against a real shell ---

# neither what a shell would run or expand, nor what ends a command
_META = "$`*?[]~;|&()<>{}!="
_UNQUOTED = st.characters(codec="utf-8", exclude_characters=_META + "\\'\"# \t\r\n\0")
_FIRST = "first-word-of-a-line"
_QUOTED = st.characters(codec="utf-8", exclude_characters="'\"\\$`\r\0")


def _joined(*alternatives: st.SearchStrategy[str], max_size: int = 4) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*alternatives), min_size=1, max_size=max_size).map("".join)


fragment = st.one_of(
    st.text(_UNQUOTED, min_size=1, max_size=5),
    st.text(_QUOTED, max_size=5).map("'{}'".format),
    st.text(_QUOTED, max_size=5).map('"{}"'.format),
    st.sampled_from(
        ['"\\a"', '"\\""', '"\\\\"', '"\\$"', '"\\`"', '"\\\n"', "'\\'", "'\"'", '"\'"']
    ),
    st.sampled_from(list("\\'\"$`*?#;|&~ \ta")).map("\\{}".format),
    st.sampled_from(["''#", "a#b"]),
    st.just("\\\n"),
)
gap = st.lists(st.sampled_from([" ", "\t", "\\\n"]), min_size=1, max_size=3).map("".join)
comment = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8).map(
    " #{}".format
)
line = st.builds("{}{}".format, _joined(fragment, gap, max_size=8), st.just("") | comment)


def _as_sh_has_it(lines: list[str]) -> list[str]:
    # a line is a command, so each line's words are asked for by a printf of its own
    script = "\n".join(f"printf '%s\\0' {_FIRST} {line}" for line in lines)
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, timeout=10)
    return [word for word in shell.stdout.decode("utf-8").split("\0")[:-1] if word != _FIRST]


@example(["a \\\n b", "\\\n#c", "''#c"])
@given(st.lists(line, min_size=1, max_size=4))
def test_words_are_those_that_sh_passes_to_a_program(lines: list[str]) -> None:
    assert split("\n".join(lines), {}) == _as_sh_has_it(lines)


@given(st.lists(st.text()))
def test_words_quoted_for_a_shell_come_back_as_they_were(words: list[str]) -> None:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    assert split(quoted, VARIABLES) == words


@given(st.text("ab '\"\\#\n\t${}HOME`()", max_size=40))
def test_splitting_never_runs_looks_up_or_crashes(text: str) -> None:
    try:
        words = split(text, {})
    except InvalidValue:
        return
    assert all(isinstance(word, str) for word in words)
    assert sum(map(len, words)) <= len(text)


# --- references ---


def test_only_listed_names_and_those_of_ces_may_be_referred_to() -> None:
    environ = {
        "HOME": "/h",
        "UID": "5",
        "CES_SCRATCH": "/s",
        "PATH": "/bin",
        "SECRET": "x",
        "XCES_": "",
    }
    assert expandable(environ) == {"HOME": "/h", "UID": "5", "CES_SCRATCH": "/s"}


@given(st.text("${}HOMEUSR_ab", max_size=30))
def test_an_expanded_reference_is_not_expanded_again(text: str) -> None:
    assert expand(text, {"HOME": "${USER}", "USER": "x"}).count("x") == text.count("${USER}")


# --- env files ---

ENV_FILES = {
    "": {},
    "A=1": {"A": "1"},
    "A=1\nB=2\n": {"A": "1", "B": "2"},
    "A=1\r\nB=2\r\n": {"A": "1", "B": "2"},
    "\n \n# comment\n  # comment\nA=1": {"A": "1"},
    "  A=1": {"A": "1"},
    "A=": {"A": ""},
    "A==": {"A": "="},
    "A=b=c": {"A": "b=c"},
    "A= b ": {"A": " b "},
    "A='b c'": {"A": "b c"},
    'A="b c"': {"A": "b c"},
    "A='b": {"A": "'b"},
    "A=b'": {"A": "b'"},
    "A='b\"": {"A": "'b\""},
    "A='": {"A": "'"},
    "A=''": {"A": ""},
    "A=\"'b'\"": {"A": "'b'"},
    "A='b' 'c'": {"A": "b' 'c"},
    "A=b # no comment": {"A": "b # no comment"},
    "A=$HOME ${HOME} $(id) `id` \\n": {"A": "$HOME ${HOME} $(id) `id` \\n"},
    "A=1\nA=2": {"A": "2"},
    "_a9=1": {"_a9": "1"},
    "discovery.type=single-node\nA-B.c=1": {"discovery.type": "single-node", "A-B.c": "1"},
    "A=\u2028\x85ä": {"A": "\u2028\x85ä"},
}


@pytest.mark.parametrize(("text", "values"), ENV_FILES.items())
def test_values_in_an_env_file_are_literal_but_for_one_pair_of_quotes(
    text: str, values: dict[str, str]
) -> None:
    assert parse_env(text) == values


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A", 1),
        ("=secret", 1),
        ("A=1\nsecret", 2),
        ("A=1\n\nexport B=secret", 3),
        ("A B=secret", 1),
        ("A =secret", 1),
        ("1A=secret", 1),
        (".A=secret", 1),
        ("-A=secret", 1),
        ("A*=secret", 1),
        ("Ä=secret", 1),
        ("A\0=secret", 1),
        ('A="x\nsecret"', 2),
    ],
)
def test_a_line_without_a_name_is_an_error_that_names_the_line_and_not_its_value(
    text: str, line: int
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_env(text, what="the env file e")
    assert f"line {line}'" in str(caught.value)
    assert "the env file e" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert ("is not NAME=value" in str(caught.value)) is ("=" not in text.split("\n")[line - 1])


@pytest.mark.parametrize("value", ["secret\n", "a\rsecret", "secret\0", "secret\ud800"])
def test_a_value_that_no_engine_can_carry_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(InvalidValue, match="line break or a NUL") as caught:
        check_env({"TOKEN": value})
    assert "TOKEN" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_line_that_podman_would_not_read_is_refused() -> None:
    assert check_env({"A": "x" * (64 * 1024 - 3)})
    with pytest.raises(InvalidValue, match="longer than 64 KiB"):
        check_env({"A": "x" * (64 * 1024 - 2)})
    with pytest.raises(InvalidValue, match="longer than 64 KiB"):
        check_env({"A": "\u20ac" * 22000})


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1", "A\n", "--env", ".A", "Ä"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue):
        check_env({name: "x"})


@given(st.text("aZ_9.-\u00e9 =", max_size=4))
def test_a_name_is_what_its_pattern_says(name: str) -> None:
    assert is_env_name(name) == bool(re.fullmatch(ENV_NAME, name))


def test_references_in_an_env_file_are_expanded_only_when_asked_for() -> None:
    text = "A='${HOME}/x'\nB=$HOME ${PATH}"
    assert parse_env(text)["A"] == "${HOME}/x"
    assert parse_env(text, VARIABLES) == {"A": "/home/ada l/x", "B": "$HOME ${PATH}"}


env_name = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
env_value = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)


@given(st.dictionaries(env_name, env_value, max_size=5))
def test_any_environment_survives_being_written_to_a_file_in_quotes(values: dict[str, str]) -> None:
    text = "".join(f'{name}="{value}"\n' for name, value in values.items())
    assert parse_env(text) == check_env(values) == values


@given(st.text("A=\"'# \r\n\0\\$x", max_size=40))
def test_an_env_file_is_refused_or_gives_values_of_one_line(text: str) -> None:
    try:
        values = parse_env(text)
    except InvalidValue:
        return
    assert not any(char in value for value in values.values() for char in "\r\n\0")
