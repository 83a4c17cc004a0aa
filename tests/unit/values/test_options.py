# SPDX-License-Identifier: GPL-3.0-or-later
"""The allow-list of engine options, as values; what reaches podman is in engines/test_podman.py."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.apptainer import (
    command as apptainer,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.podman import command as podman
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    InvalidValue,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.values.options import (
    Given,
    Option,
    allowed_options,
    read_options,
)

TABLE = (
    Option("--volume", "-v", meaning="volume"),
    Option("--mount", meaning="mount"),
    Option("--env", "-e", meaning="env"),
    Option("--user", "-u"),
    Option("--mode", values=("a", "b"), form="a, b"),
    Option("--init", flag=True),
    Option("--rm", flag=True, meaning="own"),
)
ALLOWED = allowed_options(TABLE, (), ())

RUNNERS = known_runners()


@pytest.mark.parametrize(
    ("words", "given_"),
    [
        ([], Given()),
        (["--user", "1"], Given(words=("--user=1",))),
        (["--user=1"], Given(words=("--user=1",))),
        (["-u", "1"], Given(words=("--user=1",))),
        (["-u1"], Given(words=("--user=1",))),
        (["-u=1"], Given(words=("--user=1",))),
        (["--user=a=b"], Given(words=("--user=a=b",))),
        (["--user="], Given(words=("--user=",))),
        (["--user", ""], Given(words=("--user=",))),
        (["--user=1", "-u2"], Given(words=("--user=1", "--user=2"))),
        # a value stays a value, whatever it looks like
        (["--user", "--privileged"], Given(words=("--user=--privileged",))),
        (["--user", "--"], Given(words=("--user=--",))),
        (["-u--privileged"], Given(words=("--user=--privileged",))),
        (["--init"], Given(words=("--init",))),
        (["--init=true"], Given(words=("--init",))),
        (["--init=false"], Given(words=("--init=false",))),
        (["--rm"], Given()),
        (["--mode", "a"], Given(words=("--mode=a",))),
        (["-v/a:/b:ro"], Given(mounts=(Mount("/a", "/b", "ro"),))),
        (["--mount", "src=/a,dst=/b"], Given(mounts=(Mount("/a", "/b"),))),
        (["-e", "A=b=c", "--env=D="], Given(env=(("A", "b=c"), ("D", "")))),
    ],
)
def test_every_form_of_an_allowed_option_is_read_and_spelled_anew(
    words: list[str], given_: Given
) -> None:
    assert read_options(words, ALLOWED, "podman") == given_


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--privileged"], "--privileged"),
        (["--privileged=true"], "--privileged"),
        (["--user", "1", "--privileged"], "--privileged"),
        (["--use", "1"], "--use"),
        (["--use=1"], "--use"),
        (["--USER=1"], "--USER"),
        (["-U1"], "-U"),
        (["-iu1"], "-i"),
        (["-it"], "-i"),
        (["-"], "-"),
        (["--"], "--"),
        (["--", "--privileged"], "--"),
        (["--=x"], "--"),
        (["---user=1"], "---user"),
        (["--user 1"], "--user 1"),
        (["--mode=c"], "--mode"),
        (["--rm", "--name=x"], "--name"),
    ],
)
def test_an_option_that_is_not_in_the_list_is_refused_by_its_name(
    words: list[str], named: str
) -> None:
    with pytest.raises(RefusedByPolicy) as caught:
        read_options(words, ALLOWED, "podman")
    assert f"pass {named}" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image"], "does not start with a dash"),
        ([""], "does not start with a dash"),
        (["--init", "true"], "does not start with a dash"),
        (["--user"], "--user needs a value"),
        (["-u"], "-u needs a value"),
        (["--init=no"], "takes no value but true or false"),
        (["--init="], "takes no value"),
        (["--rm=false"], "--rm cannot be turned off"),
        (["--user=a\0b"], "a NUL"),
        (["-e", "A"], "has no value"),
        (["-e", "=b"], "no name of a variable"),
        (["-e", "A=b\nC=d"], "a line break"),
        (["-v", "/a"], "not SOURCE:TARGET"),
    ],
)
def test_a_malformed_option_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_options(words, ALLOWED, "podman")
    assert said in str(caught.value)


def test_a_variable_that_is_refused_does_not_show_its_value() -> None:
    for words in (["-e", "A=secret\nB=1"], ["-eA B=secret"], ["--env==secret"]):
        with pytest.raises(InvalidValue) as caught:
            read_options(words, ALLOWED, "podman")
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("denied", ["--user", "-u"])
@pytest.mark.parametrize("words", [["--user=1"], ["--user", "1"], ["-u", "1"], ["-u1"]])
def test_a_site_denies_an_option_by_either_name_in_every_form(
    denied: str, words: list[str]
) -> None:
    allowed = allowed_options(TABLE, (), (denied,))
    with pytest.raises(RefusedByPolicy):
        read_options(words, allowed, "podman")


def test_a_site_denies_what_it_also_allows() -> None:
    assert "--gpus" not in allowed_options(TABLE, ("--gpus",), ("--gpus",))


def test_a_site_opens_an_option_with_a_value_or_as_a_flag() -> None:
    allowed = allowed_options(TABLE, ("--annotation", "--privileged!"), ())
    words = ["--annotation", "a=b", "--privileged", "--user=1"]
    assert read_options(words, allowed, "podman").words == (
        "--annotation=a=b",
        "--privileged",
        "--user=1",
    )


def test_allowing_a_built_in_option_leaves_its_rules_in_force() -> None:
    allowed = allowed_options(TABLE, ("--volume", "--mode"), ())
    with pytest.raises(InvalidValue):
        read_options(["--volume=/a"], allowed, "podman")
    with pytest.raises(RefusedByPolicy):
        read_options(["--mode=c"], allowed, "podman")


def _podman(*words: str) -> Given:
    return read_options(words, allowed_options(podman.OPTIONS, (), ()), "podman")


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (["--network=none"], {"network": "none"}),
        (["--net", "none"], {"network": "none"}),
        (["--name", "mine"], {"name": "mine"}),
        (["--timeout=60"], {"timeout": "60"}),
        (["--cpus=1.5"], {"cpus": "1.5"}),
        (["--memory=512m"], {"memory": "512m"}),
        (["-m", "1g"], {"memory": "1g"}),
        # without a unit it is bytes to an engine, and GiB to a run
        (["-m1073741824"], {"memory": "1048576KiB"}),
        (["-m1073741824b"], {"memory": "1048576KiB"}),
        (["--gpus=all"], {"gpu": True}),
        (["--gpus", "2"], {"gpu": True, "gpus": 2}),
        (["--device=nvidia.com/gpu=all"], {"gpu": True}),
    ],
)
def test_what_a_run_has_a_word_of_its_own_for_is_taken_as_that_word(
    words: list[str], own: dict[str, Any]
) -> None:
    assert _podman(*words) == Given(own=tuple(own.items()))


@pytest.mark.parametrize("word", ["--nv", "--rocm", "--nv=true"])
def test_apptainers_switches_for_gpus_are_the_runs_own_word(word: str) -> None:
    allowed = allowed_options(apptainer.OPTIONS, (), ())
    assert read_options([word], allowed, "apptainer") == Given(own=(("gpu", True),))
    with pytest.raises(InvalidValue, match="cannot be turned off"):
        read_options(["--nv=false"], allowed, "apptainer")


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("--device=nvidia.com/gpu=0", "write --gpu on the run for all GPUs"),
        ("--device=/dev/fuse", "no run has devices but GPUs"),
        ("--gpus=device=0", "--gpus NUMBER for so many"),
        ("--privileged", "no container has more rights than its user"),
        ("-it", "nobody sits at a container"),
        ("-d", "put the run itself in the background"),
        ("-p8080:80", "what a container can reach is said by --network on the run"),
        ("--env-file=x", "write --env-file on the run"),
    ],
)
def test_what_is_refused_is_said_with_what_to_write_instead(word: str, instead: str) -> None:
    with pytest.raises(RefusedByPolicy) as caught:
        _podman(word)
    assert instead in str(caught.value)


@pytest.mark.parametrize(
    ("runner", "word", "instead"),
    [
        ("apptainer", "-v/a:/b", "write --bind instead; allowed:"),
        ("apptainer", "--workdir=/x", "write --cwd instead; allowed:"),
        ("apptainer", "--name=x", "write --name on the run; allowed:"),
        ("apptainer", "-m512m", "write --memory on the run; allowed:"),
        ("apptainer", "--rm", "leave it out: every container is removed at its end"),
        ("podman", "--bind=/a:/b", "write --volume instead; allowed:"),
        ("podman", "--scratch=/x", "write --tmpfs instead; allowed:"),
        ("podman", "--nv", "write --gpu on the run"),
        ("podman", "--none", "the administrator can change that in policy.json"),
        ("oci", "--cwd=/x", "write --workdir instead; allowed:"),
    ],
)
def test_an_option_of_another_engine_is_refused_with_the_one_of_this(
    runner: str, word: str, instead: str
) -> None:
    with pytest.raises(RefusedByPolicy) as caught:
        allowed = allowed_options(RUNNERS[runner].options, (), ())
        read_options([word], allowed, runner, RUNNERS[runner].closed)
    assert instead in caught.value.hint
    assert ("policy.json" in caught.value.hint) is (runner != "oci")


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_values_that_an_option_may_have_are_told_in_words(runner: str) -> None:
    for option in RUNNERS[runner].options:
        assert bool(option.form) == bool(option.values)
        assert "\\" not in option.form


def test_memory_without_a_unit_is_bytes_and_too_little_is_said_as_it_was_written() -> None:
    with pytest.raises(InvalidValue, match="without a unit it is bytes") as caught:
        _podman("--memory=4")
    assert "'4'" in str(caught.value)


def test_what_a_site_opens_is_passed_on_and_no_word_of_the_run() -> None:
    allowed = allowed_options(podman.OPTIONS, ("--device",), ())
    given_ = read_options(["--device=/dev/fuse"], allowed, "podman")
    assert given_ == Given(words=("--device=/dev/fuse",))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("type=tmpfs,destination=/run", "--tmpfs=/run"),
        ("type=tmpfs,dst=/a//b/,tmpfs-size=64m,tmpfs-mode=1777", "--tmpfs=/a/b:size=64m,mode=1777"),
        ("type=tmpfs,target=/tmp,tmpfs-mode=700", "--tmpfs=/tmp:mode=700"),
    ],
)
def test_memory_as_a_directory_is_no_mount_of_the_host(text: str, word: str) -> None:
    assert _podman(f"--mount={text}") == Given(words=(word,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type=tmpfs", "no tmpfs with dst="),
        ("type=tmpfs,dst=/a,target=/b", "no tmpfs with dst="),
        ("type=tmpfs,dst=/a,src=/b", "no tmpfs with dst="),
        ("type=tmpfs,dst=run", "not absolute"),
        ("type=tmpfs,dst=/a/../b", "contains '..'"),
        ("type=tmpfs,dst=/a:exec", "belongs to the system"),
        ("type=tmpfs,dst=/", "belongs to the system"),
        ("type=tmpfs,dst=/dev/shm", "belongs to the system"),
        ("type=tmpfs,dst=/safe_data", "is taken"),
    ],
)
def test_memory_as_a_directory_hides_nothing_that_must_stay(text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        _podman(f"--mount={text}")


def test_memory_as_a_directory_is_podmans_alone() -> None:
    with pytest.raises(InvalidValue, match="--scratch of apptainer"):
        read_options(
            ["--mount=type=tmpfs,dst=/run"], allowed_options(apptainer.OPTIONS, (), ()), "apptainer"
        )
