# SPDX-License-Identifier: GPL-3.0-or-later
"""What podman is told: exact argument lists, and nothing that is not in the allow-list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    InvalidValue,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.runners import podman
from ansible_collections.tre.ces.plugins.module_utils.ces.runners.command import Command, Launch
from ansible_collections.tre.ces.plugins.module_utils.ces.runners.table import (
    RUNNERS,
    runner_named,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.values.options import (
    allowed_options,
    read_options,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Resources

LAUNCH = Launch(
    image="registry.example.org/app:1",
    run_id=7,
    name="ces-7",
    mounts=(
        Mount("/safe_data/p", "/safe_data", "ro"),
        Mount("/home/ada l/outputs-7", "/safe_outputs"),
        Mount("/home/ada l/scratch-7", "/scratch"),
    ),
    resources=Resources(),
    network="none",
    private="/run/user/1000/ces/run-7",
)
BEFORE_OPTIONS = (
    "podman",
    "run",
    "--rm",
    "--pull=never",
    "--sig-proxy=false",
    "--group-add=keep-groups",
    "--name=ces-7",
    "--label=ces.run=7",
    "--cidfile=/run/user/1000/ces/run-7/cid",
    "--env-file=/run/user/1000/ces/run-7/env",
    "--network=none",
    "--mount=type=bind,src=/safe_data/p,dst=/safe_data,ro",
    "--mount=type=bind,src=/home/ada l/outputs-7,dst=/safe_outputs",
    "--mount=type=bind,src=/home/ada l/scratch-7,dst=/scratch",
)
END = ("--", "registry.example.org/app:1")


def test_a_run_is_exactly_these_words():
    assert podman.run(LAUNCH) == Command((*BEFORE_OPTIONS, *END))


def test_options_come_before_the_image_and_arguments_after_it_word_by_word():
    launch = replace(LAUNCH, options=("--user=1",), args=("-x", "--", "a b", "", "$HOME"))
    expected = (*BEFORE_OPTIONS, "--user=1", *END, "-x", "--", "a b", "", "$HOME")
    assert podman.run(launch).argv == expected


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(), ()),
        (Resources(cpus=2), ("--cpus=2",)),
        (Resources(cpus=0.5), ("--cpus=0.5",)),
        (Resources(memory=5 * 1024**2), ("--memory=5242880b", "--memory-swap=5242880b")),
        (Resources(gpu=True), ("--device=nvidia.com/gpu=all",)),
        (
            Resources(1.5, 4 * 1024**3, True),
            (
                "--cpus=1.5",
                "--memory=4294967296b",
                "--memory-swap=4294967296b",
                "--device=nvidia.com/gpu=all",
            ),
        ),
    ],
)
def test_resources_become_limits_that_swap_does_not_double(resources, words):
    argv = podman.run(replace(LAUNCH, resources=resources)).argv
    assert [word for word in argv if word not in (*BEFORE_OPTIONS, *END)] == list(words)


COMMANDS = [
    (podman.stop("/c/cid"), "podman stop --ignore --time=10 --cidfile=/c/cid"),
    (podman.remove("/c/cid"), "podman rm --force --ignore --time=0 --cidfile=/c/cid"),
    (podman.delete("/home/x/scratch-1"), "podman unshare rm -rf -- /home/x/scratch-1"),
    (podman.pull("r.io/a:1", None), "podman pull r.io/a:1"),
    (podman.pull("r.io/a:1", "/x/auth.json"), "podman pull --authfile=/x/auth.json r.io/a:1"),
    (podman.image_list(), "podman images --format json"),
    (podman.image_remove("r.io/a:1"), "podman rmi r.io/a:1"),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_the_other_commands_are_exactly_these_words(command, words):
    assert command == Command(tuple(words.split()))


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('Error: creating container storage: the container name "x" is already in use', "-n"),
        ("write /var/tmp/x: no space left on device", "ces-rm"),
        ("Error: cannot find UID/GID for user ada", "role subid"),
        ('newuidmap: exec: "newuidmap": executable file not found in $PATH', "uidmap"),
        ("Error: crun: executable file `/x` not found in $PATH", "--entrypoint"),
        ("{'message': 'UNAUTHORIZED'}", "token"),
        ("manifest unknown", "tag"),
        ("something new", ""),
        ("", ""),
    ],
)
def test_what_podman_says_leads_to_what_to_do_next(said, hint):
    assert hint in podman.hint(said)
    assert bool(podman.hint(said)) == bool(hint)


def test_an_unknown_runner_is_refused_with_those_there_are():
    assert runner_named("podman") is RUNNERS["podman"]
    with pytest.raises(InvalidValue, match="none of podman"):
        runner_named("docker")


# --- the allow-list: whatever the words, podman is told nothing else ---

OPTIONS_FILE = Path(__file__).with_name("podman_run_options.txt")
PODMAN_RUN = [line for line in OPTIONS_FILE.read_text().splitlines() if not line.startswith("#")]
SHORT = "acdehilmpPqrtuvw"
PLAIN = {"workdir", "user", "entrypoint", "hostname", "shm-size", "tmpfs", "ulimit"} | {
    *("stop-signal", "tz", "umask", "cap-drop"),
}
FLAGS = {"init", "read-only"}
ALLOWED = allowed_options(podman.OPTIONS, (), ())

value = st.one_of(
    st.sampled_from(["", "x", "/:/host", "/a:/b", "type=bind,src=/,dst=/h", "A=b", "true", "host"]),
    st.sampled_from([f"--{name}" for name in PODMAN_RUN]),
    st.text(max_size=6),
)
name = st.one_of(
    st.sampled_from(PODMAN_RUN),
    st.builds(lambda text, cut: text[: 1 + cut], st.sampled_from(PODMAN_RUN), st.integers(0, 8)),
    st.text("abcdefghijklmnopqrstuvwxyz-", max_size=6),
)
long_form = st.one_of(
    st.builds(lambda n, v: [f"--{n}={v}"], name, value),
    st.builds(lambda n, v: [f"--{n}", v], name, value),
    st.builds(lambda n: [f"--{n}"], name),
    st.builds(lambda n, v: [f"-{n}={v}"], name, value),
)
short_form = st.one_of(
    st.builds(lambda s, v: [f"-{s}{v}"], st.text(SHORT, min_size=1, max_size=3), value),
    st.builds(lambda s, v: [f"-{s}", v], st.sampled_from(SHORT), value),
    st.builds(lambda s, v: [f"-{s}={v}"], st.sampled_from(SHORT), value),
)
odd_form = st.one_of(st.just(["--"]), st.just(["-"]), st.lists(value, min_size=1, max_size=1))
good_form = st.one_of(
    st.builds(lambda n, v: [f"--{n}={v}"], st.sampled_from(sorted(PLAIN)), value),
    st.builds(lambda n, v: [f"--{n}", v], st.sampled_from(sorted(PLAIN)), value),
    st.builds(lambda n: [f"--{n}"], st.sampled_from(sorted(FLAGS | {"rm"}))),
    st.builds(lambda s, v: [f"-{s}{v}"], st.sampled_from("wu"), value.filter(bool)),
)


def _flat(forms):
    return [word for form in forms for word in form]


def _told(words):
    """The words between ours and the image, when podman is run with these option words."""
    given = read_options(words, ALLOWED, "podman")
    launch = replace(LAUNCH, mounts=(*LAUNCH.mounts, *given.mounts), options=given.words)
    argv = podman.run(launch).argv
    assert argv[: len(BEFORE_OPTIONS)] == BEFORE_OPTIONS
    assert argv[-len(END) :] == END
    return argv[len(BEFORE_OPTIONS) : -len(END)], given


def _is_allowed(word):
    # every word is a whole option, so podman takes none as the value of another
    name, equals, text = word.removeprefix("--").partition("=")
    if not word.startswith("--"):
        return False
    if name == "mount":
        return text.startswith("type=bind,src=/")
    if name == "userns":
        return text in ("keep-id", "host", "nomap")
    return name in PLAIN if equals else name in FLAGS


@example(["--workdir", "--privileged"])
@example(["--user=1", "--", "--privileged"])
@example(["--rm=--privileged"])
@example(["-v", "/:/host", "-v/:/host2", "--volume=/:/host3"])
@example(["-wx", "--privileged=true"])
@example(["--init", "--privileged"])
@example(["-uroot", "-P", "-p80:80"])
@example(["--userns=keep-id:uid=0", "--userns=ns:/proc/1/ns/user"])
@settings(max_examples=5 * settings.default.max_examples)
@given(st.lists(st.one_of(good_form, long_form, short_form, odd_form), max_size=5).map(_flat))
def test_no_sequence_of_words_tells_podman_an_option_that_is_not_allowed(words):
    try:
        told, given_ = _told(words)
    except (RefusedByPolicy, InvalidValue):
        return
    assert all(map(_is_allowed, told)), told
    # what is an environment variable goes by file
    assert not any("env" in word.partition("=")[0] for word in told)
    assert len(told) == len(given_.words) + len(given_.mounts)


@given(st.lists(good_form, max_size=5).map(_flat))
def test_words_of_allowed_options_are_all_told(words):
    if any("\0" in word for word in words):
        return
    told, _given = _told(words)
    assert all(map(_is_allowed, told))
    spelled = [word for word in words if word.startswith("-") and not word.startswith("--rm")]
    assert len(told) <= len(spelled)


@pytest.mark.parametrize("name", sorted({*PODMAN_RUN} - {o.name[2:] for o in podman.OPTIONS}))
def test_every_other_option_of_podman_is_refused_by_its_name(name):
    for word in (f"--{name}", f"--{name}=x", f"--{name}=true"):
        for words in ([word], [word, "x"], ["--user=1", word], ["--rm", word, "--", "x"]):
            with pytest.raises(RefusedByPolicy, match=f"pass --{name} to podman"):
                _told(words)
