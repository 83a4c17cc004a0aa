# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines: every form of an option, runners, operands, and what is no command line."""

from __future__ import annotations

from typing import Any

import pytest
from ces_commands.parse import UsageError, parse
from ces_commands.verbs import OLD_NAMES, VERBS, Verb, overview, spellings, usage
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import NAMES

RUN, PULL = VERBS["run"], VERBS["pull"]
IMAGE = "registry.example.org/app:1"


@pytest.mark.parametrize(
    ("words", "values", "operands"),
    [
        ([IMAGE], {}, [IMAGE]),
        (["-c", "2", IMAGE], {"cores": "2"}, [IMAGE]),
        (["-c2", IMAGE], {"cores": "2"}, [IMAGE]),
        (["--cores", "2", IMAGE], {"cores": "2"}, [IMAGE]),
        (["--cores=2", IMAGE], {"cores": "2"}, [IMAGE]),
        (["--name=", IMAGE], {"name": ""}, [IMAGE]),
        (["--name", "--gpu", IMAGE], {"name": "--gpu"}, [IMAGE]),
        (["--gpu", IMAGE], {"gpu": True}, [IMAGE]),
        (["--opt-file=a", "--opt-file", "b", IMAGE], {"opt_file": ["a", "b"]}, [IMAGE]),
        (["--name=a", "--name=b", IMAGE], {"name": "b"}, [IMAGE]),
        # what follows the image is the container's
        ([IMAGE, "-c", "2", "--", "--gpu"], {}, [IMAGE, "-c", "2", "--", "--gpu"]),
        (["--gpu", "--", IMAGE, "--gpu"], {"gpu": True}, [IMAGE, "--gpu"]),
        ([IMAGE, ""], {}, [IMAGE, ""]),
        (["-", "x"], {}, ["-", "x"]),
    ],
)
def test_a_run_is_read_in_every_form(
    words: list[str], values: dict[str, Any], operands: list[str]
) -> None:
    parsed = parse(RUN, "ces-run", words)
    assert (parsed.values, parsed.operands, parsed.runner) == (values, operands, None)


@pytest.mark.parametrize(
    ("words", "fixed", "runner", "operands"),
    [
        (["podman", IMAGE], None, "podman", [IMAGE]),
        (["--gpu", "apptainer", IMAGE], None, "apptainer", [IMAGE]),
        (["apptainer", "--gpu", IMAGE], None, "apptainer", [IMAGE]),
        (["--", "podman"], None, None, ["podman"]),
        # what is no image either is for the door to refuse
        (["alpine", "/bin/sh"], None, None, ["alpine", "/bin/sh"]),
        (["docker.sif", IMAGE], None, None, ["docker.sif", IMAGE]),
        (["./docker", IMAGE], None, None, ["./docker", IMAGE]),
    ],
)
def test_the_first_word_may_be_a_runner(
    words: list[str], fixed: str | None, runner: str | None, operands: list[str]
) -> None:
    parsed = parse(RUN, "ces-run", words, fixed)
    assert (parsed.runner, parsed.operands) == (runner, operands)


THERE_ARE = "the runners are podman, apptainer, oci"


@pytest.mark.parametrize(
    ("verb", "words", "fixed", "said"),
    [
        (RUN, ["docker", IMAGE], None, "write podman, which takes the same images"),
        (RUN, ["docker", IMAGE], None, THERE_ARE),
        (RUN, ["docker", "-c", "2", IMAGE], None, "write podman"),
        (RUN, ["singularity", "hello.sif"], None, "write apptainer"),
        (RUN, ["charliecloud", IMAGE], None, THERE_ARE),
        (RUN, ["Podman", IMAGE], None, "write podman, in small letters"),
        (RUN, ["podmann", IMAGE], None, THERE_ARE),
        (RUN, ["runc"], None, "write oci"),
        (RUN, ["podman", "docker", IMAGE], None, "its runner is podman already: leave docker out"),
        # ces-pm-run: the name says the runner
        (RUN, ["apptainer", IMAGE], "podman", "its runner is podman already: leave apptainer out"),
        (PULL, ["docker", IMAGE], None, "write podman"),
        (PULL, ["docker", "ada", "token", IMAGE], None, "write podman"),
        (PULL, ["ada", IMAGE], None, "it takes [USER TOKEN] IMAGE"),
        (VERBS["rm"], ["docker", IMAGE], None, "write podman"),
        (VERBS["bundle"], ["podman", IMAGE], None, "has the runner oci and takes none"),
        (VERBS["bundle"], ["docker", IMAGE], None, "leave docker out"),
    ],
)
def test_a_runner_that_is_none_is_told_with_what_to_write(
    verb: Verb, words: list[str], fixed: str | None, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parse(verb, "ces-x", words, fixed)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ["ada", "token", IMAGE],
        ["docker", "token", IMAGE],
        ["podman", "", "", IMAGE],
        ["ada", "--force", "t", IMAGE],
    ],
)
def test_a_pull_may_have_a_user_and_a_token_before_the_image(words: list[str]) -> None:
    parsed = parse(PULL, "ces-pull", words)
    assert (len(parsed.operands), parsed.operands[-1]) == (3, IMAGE)


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        (RUN, [], "takes IMAGE"),
        (RUN, ["--gpu"], "takes IMAGE"),
        (RUN, ["podman"], "takes IMAGE"),
        (RUN, ["--privileged", IMAGE], "no option --privileged"),
        (RUN, ["--cor", "2", IMAGE], "no option --cor"),
        (RUN, ["-x", IMAGE], "no option -x"),
        (RUN, ["--gpu=yes", IMAGE], "--gpu takes no value"),
        (RUN, ["-hx"], "-h takes no value"),
        (RUN, ["--name"], "--name needs a value: NAME"),
        (RUN, ["-c"], "-c needs a value: CORES"),
        (PULL, [], "0 given"),
        (PULL, ["ada", IMAGE], "2 given"),
        (PULL, ["ada", "t", IMAGE, "x"], "4 given"),
        (VERBS["clean"], ["x"], "takes no words"),
        (VERBS["runs"], ["1", "2"], "2 given"),
    ],
)
def test_what_is_no_command_line_is_an_error_that_says_which_word(
    verb: Verb, words: list[str], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(verb, "ces-x", words)
    assert said in str(caught.value)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_option_of_every_command_is_in_its_help_and_has_one_meaning(verb: Verb) -> None:
    text = usage(verb, f"ces-{verb.name}")
    names = [name for option in verb.options for name in option.names]
    assert all(name in text for name in names)
    for_programs = verb.alone.names if verb.alone else []
    assert len(names) == len(set(names)) == len(spellings(verb)) - len(for_programs)
    assert not any(f"{name} " in text for name in for_programs)
    assert verb.summary in overview()
    for word in ("--help", "-h", "--version"):
        parse(verb, "x", [word])


@given(st.lists(st.text("-cn=gpu a", max_size=8), max_size=5))
def test_any_words_are_a_command_line_or_an_error_of_usage(words: list[str]) -> None:
    try:
        parsed = parse(RUN, "ces-run", words)
    except UsageError:
        return
    given_ = " ".join(words)
    assert all(operand in given_ for operand in parsed.operands)
    # the container's arguments are the end of the line, word by word
    assert words[len(words) - len(parsed.operands) :] == parsed.operands


def test_the_runners_are_those_of_the_table() -> None:
    assert f"[{'|'.join(NAMES)}]" in usage(VERBS["run"], "ces-run")
    assert {runner for _verb, runner in OLD_NAMES.values()} <= set(NAMES)


@pytest.mark.parametrize("name", ["check", "doctor"])
def test_verbose_is_what_it_is_for_that_command(name: str) -> None:
    said = usage(VERBS[name], f"ces-{name}")
    assert "print what is well, too" in said
    assert said.count("--verbose") == 1
    assert parse(VERBS[name], "", ["-v", *["a"] * VERBS[name].operands[1]], None).on("verbose")
