# SPDX-License-Identifier: GPL-3.0-or-later
"""The allow-list of options, for every engine: whatever the words, it is told nothing else.

What is looked at is the argument list that the engine would be run with. A bundle's runtime is told
no option at all: see test_oci.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Launch
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    InvalidValue,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.options import (
    allowed_options,
    read_options,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.own_words import OWN_WORDS
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Resources

RUNNERS = known_runners()
IMAGE = "/the/image"


def _names(engine: str) -> list[str]:
    text = Path(__file__).with_name(f"{engine}_run_options.txt").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


@dataclass(frozen=True)
class Engine:
    """What an engine may be told beside our own words, written down a second time.

    :param plain: options with a value; ``chosen``: those with some values only, a pattern each.
    :param ours: flags that are taken and not passed on, because we say them anyway.
    :param own: options that are taken as words of the run.
    :param short: letters of options with a value, and the long option of each.
    """

    plain: frozenset[str]
    flags: frozenset[str]
    ours: frozenset[str]
    short: dict[str, str]
    chosen: dict[str, str]
    own: frozenset[str]


ENGINES = {
    "podman": Engine(
        plain=frozenset(
            {"workdir", "user", "entrypoint", "hostname", "shm-size", "tmpfs", "ulimit"}
            | {"stop-signal", "umask", "cap-drop"}
        ),
        flags=frozenset({"init", "read-only", "http-proxy"}),
        ours=frozenset({"rm"}),
        short={"w": "workdir", "u": "user", "h": "hostname"},
        chosen={"userns": r"keep-id(:uid=\d+)?|host|nomap", "tz": r"[A-Za-z0-9_+/-]+"},
        own=frozenset({"network", "net", "name", "timeout", "cpus", "memory", "gpus", "device"}),
    ),
    "apptainer": Engine(
        plain=frozenset({"cwd", "hostname", "no-mount", "scratch", "app"}),
        flags=frozenset(),
        ours=frozenset(
            {"cleanenv", "contain", "containall", "no-home", "pid", "ipc", "writable-tmpfs"}
        ),
        short={"S": "scratch"},
        chosen={},
        own=frozenset({"network", "cpus", "memory", "nv", "rocm"}),
    ),
}
# all engines' together, so that each is also offered the other's
NAMES = sorted({name for engine in ENGINES for name in _names(engine)})
LETTERS = "aBcCdefFhHilmnNpPqrStuvVwW"

value = st.one_of(
    st.sampled_from(["", "x", "/:/host", "/a:/b", "type=bind,src=/,dst=/h", "A=b", "true", "host"]),
    st.sampled_from([f"--{name}" for name in NAMES]),
    st.text(max_size=6),
)
name = st.one_of(
    st.sampled_from(NAMES),
    st.builds(lambda text, cut: text[: 1 + cut], st.sampled_from(NAMES), st.integers(0, 8)),
    st.text("abcdefghijklmnopqrstuvwxyz-", max_size=6),
)
any_form = st.one_of(
    st.builds(lambda n, v: [f"--{n}={v}"], name, value),
    st.builds(lambda n, v: [f"--{n}", v], name, value),
    st.builds(lambda n: [f"--{n}"], name),
    st.builds(lambda n, v: [f"-{n}={v}"], name, value),
    st.builds(lambda s, v: [f"-{s}{v}"], st.text(LETTERS, min_size=1, max_size=3), value),
    st.builds(lambda s, v: [f"-{s}", v], st.sampled_from(LETTERS), value),
    st.builds(lambda s, v: [f"-{s}={v}"], st.sampled_from(LETTERS), value),
    st.just(["--"]),
    st.just(["-"]),
    st.lists(value, min_size=1, max_size=1),
)


def good_form(engine: Engine) -> st.SearchStrategy[tuple[list[str], list[str]]]:
    """Option words that must be accepted, with what the engine is to be told for them."""
    text = value.filter(lambda v: "\0" not in v)
    long = st.sampled_from(sorted(engine.plain))
    letter = st.sampled_from(sorted(engine.short))
    return st.one_of(
        st.builds(lambda n, v: ([f"--{n}={v}"], [f"--{n}={v}"]), long, text),
        st.builds(lambda n, v: ([f"--{n}", v], [f"--{n}={v}"]), long, text),
        st.builds(
            lambda s, v: ([f"-{s}", v], [f"--{engine.short[s]}={v}"]),
            letter,
            text,
        ),
        st.builds(
            lambda s, v: ([f"-{s}{v}"], [f"--{engine.short[s]}={v}"]),
            letter,
            text.filter(lambda v: v and not v.startswith("=")),
        ),
        *(st.just(([f"--{n}"], [f"--{n}"])) for n in sorted(engine.flags)),
        *(st.just(([f"--{n}=false"], [f"--{n}=false"])) for n in sorted(engine.flags)),
        st.sampled_from([([f"--{n}"], []) for n in sorted(engine.ours)]),
    )


def test_every_engine_that_reads_options_itself_is_tried() -> None:
    assert set(ENGINES) == {name for name, one in RUNNERS.items() if not one.closed}


def _told(runner: str, words: list[str]) -> tuple[list[str], Command]:
    """What the engine is told with these option words and is not without them."""
    given_ = read_options(words, allowed_options(RUNNERS[runner].options, (), ()), runner)
    run: Callable[..., Command] = RUNNERS[runner].run

    def argv(**more: Any) -> tuple[list[str], Command]:
        launch = Launch(IMAGE, 7, "ces-7", resources=Resources(), network="none", **more)
        command = run(launch)
        return list(command.argv[: command.argv.index(IMAGE)]), command

    bare, _command = argv(mounts=(), private="/p")
    told, command = argv(
        mounts=given_.mounts, private="/p", options=given_.words, env=dict(given_.env)
    )
    for word in bare:
        told.remove(word)
    return told, command


def _is_allowed(word: str, engine: Engine) -> bool:
    # every word is a whole option, so the engine takes none as the value of another
    name, equals, text = word.removeprefix("--").partition("=")
    if not word.startswith("--"):
        return False
    if name == "mount":
        return text.startswith("type=bind,src=/")
    if name in engine.chosen:
        return re.fullmatch(engine.chosen[name], text) is not None
    if name in engine.flags:
        return not equals or text == "false"
    return bool(equals) and name in engine.plain


@pytest.mark.parametrize("runner", ENGINES)
@example(data=["--workdir", "--privileged"])
@example(data=["--user=1", "--", "--privileged"])
@example(data=["--rm=--privileged"])
@example(data=["-v", "/:/host", "-v/:/host2", "--volume=/:/host3"])
@example(data=["-wx", "--privileged=true"])
@example(data=["--init", "--privileged"])
@example(data=["-uroot", "-P", "-p80:80"])
@example(data=["--userns=keep-id:uid=0", "--userns=ns:/proc/1/ns/user"])
@example(data=["--bind", "/a,/b:/c:ro,/d:/e", "--pwd=/x", "-B/x"])
@example(data=["--cwd", "--writable", "-fw", "-e"])
@example(data=["--tz=../../../etc/hostname", "--tz=/etc/hostname"])
@example(data=["--tz=x"])
@settings(max_examples=4 * there(settings.default).max_examples)
@given(data=st.lists(any_form, max_size=4).map(lambda forms: [w for form in forms for w in form]))
def test_no_sequence_of_words_tells_an_engine_an_option_that_is_not_allowed(
    runner: str, data: list[str]
) -> None:
    try:
        told, _command = _told(runner, data)
    except (RefusedByPolicy, InvalidValue):
        return
    assert all(_is_allowed(word, ENGINES[runner]) for word in told), told


@pytest.mark.parametrize("runner", ENGINES)
@given(data=st.data())
def test_allowed_options_in_any_form_and_order_are_all_told(
    runner: str, data: st.DataObject
) -> None:
    forms = data.draw(st.lists(good_form(ENGINES[runner]), max_size=5))
    told, _command = _told(runner, [word for words, _expected in forms for word in words])
    assert told == [word for _words, expected in forms for word in expected]


@pytest.mark.parametrize("runner", ENGINES)
@pytest.mark.parametrize("words", [["--env", "TOKEN=s3cret"], ["--env=TOKEN=s3cret"]])
def test_a_variable_is_never_an_argument(runner: str, words: list[str]) -> None:
    told, command = _told(runner, words)
    assert told == []
    assert "s3cret" not in f"{command.argv} {command!r}"


@pytest.mark.parametrize(
    ("runner", "name"),
    [
        (runner, name)
        for runner in ENGINES
        for name in _names(runner)
        if f"--{name}" not in allowed_options(RUNNERS[runner].options, (), ())
    ],
)
def test_every_other_option_of_the_engine_is_refused_by_its_name(runner: str, name: str) -> None:
    before = "--hostname=x"
    for word in (f"--{name}", f"--{name}=x", f"--{name}=true"):
        for words in ([word], [word, "x"], [before, word], [before, word, "--", "x"]):
            with pytest.raises(RefusedByPolicy, match=f"pass --{name} to {runner}"):
                _told(runner, words)


@pytest.mark.parametrize("runner", ENGINES)
def test_the_allow_list_is_the_one_written_down_here(runner: str) -> None:
    engine = ENGINES[runner]
    meant = {"plain": engine.plain | engine.flags | {*engine.chosen}, "own": engine.ours}
    for meaning, names in meant.items():
        listed = {o.name[2:] for o in RUNNERS[runner].options if o.meaning == meaning}
        assert listed == names
    assert {o.name[2:] for o in RUNNERS[runner].options if o.meaning in OWN_WORDS} == engine.own
