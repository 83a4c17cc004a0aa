# SPDX-License-Identifier: GPL-3.0-or-later
"""The allow-list of engine options, as values; what reaches podman is in runners/test_podman.py."""

from __future__ import annotations

import pytest

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
    Option("--mode", values=("a", "b")),
    Option("--init", flag=True),
    Option("--rm", flag=True, meaning="own"),
)
ALLOWED = allowed_options(TABLE, (), ())


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
        (["--rm"], Given()),
        (["--mode", "a"], Given(words=("--mode=a",))),
        (["-v/a:/b:ro"], Given(mounts=(Mount("/a", "/b", "ro"),))),
        (["--mount", "src=/a,dst=/b"], Given(mounts=(Mount("/a", "/b"),))),
        (["-e", "A=b=c", "--env=D="], Given(env=(("A", "b=c"), ("D", "")))),
    ],
)
def test_every_form_of_an_allowed_option_is_read_and_spelled_anew(words, given_):
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
def test_an_option_that_is_not_in_the_list_is_refused_by_its_name(words, named):
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
        (["--init=false"], "takes no value"),
        (["--init="], "takes no value"),
        (["--user=a\0b"], "a NUL"),
        (["-e", "A"], "has no value"),
        (["-e", "=b"], "no name of a variable"),
        (["-e", "A=b\nC=d"], "a line break"),
        (["-v", "/a"], "not SOURCE:TARGET"),
    ],
)
def test_a_malformed_option_is_refused(words, said):
    with pytest.raises(InvalidValue) as caught:
        read_options(words, ALLOWED, "podman")
    assert said in str(caught.value)


def test_a_variable_that_is_refused_does_not_show_its_value():
    for words in (["-e", "A=secret\nB=1"], ["-eA B=secret"], ["--env==secret"]):
        with pytest.raises(InvalidValue) as caught:
            read_options(words, ALLOWED, "podman")
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("denied", ["--user", "-u"])
@pytest.mark.parametrize("words", [["--user=1"], ["--user", "1"], ["-u", "1"], ["-u1"]])
def test_a_site_denies_an_option_by_either_name_in_every_form(denied, words):
    allowed = allowed_options(TABLE, (), (denied,))
    with pytest.raises(RefusedByPolicy):
        read_options(words, allowed, "podman")


def test_a_site_denies_what_it_also_allows():
    assert "--gpus" not in allowed_options(TABLE, ("--gpus",), ("--gpus",))


def test_a_site_opens_an_option_with_a_value_or_as_a_flag():
    allowed = allowed_options(TABLE, ("--annotation", "--privileged!"), ())
    words = ["--annotation", "a=b", "--privileged", "--user=1"]
    assert read_options(words, allowed, "podman").words == (
        "--annotation=a=b",
        "--privileged",
        "--user=1",
    )


def test_allowing_a_built_in_option_leaves_its_rules_in_force():
    allowed = allowed_options(TABLE, ("--volume", "--mode"), ())
    with pytest.raises(InvalidValue):
        read_options(["--volume=/a"], allowed, "podman")
    with pytest.raises(RefusedByPolicy):
        read_options(["--mode=c"], allowed, "podman")
