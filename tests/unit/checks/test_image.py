# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check of an image: what it finds where something is wrong, and nothing where all is well."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.checks import image as module
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.facts import (
    Engine,
    Host,
    Image,
    Space,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.image import ROWS, image_findings
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    Denied,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import worst
from ansible_collections.tre.ces.plugins.module_utils.ces.values.manifest import (
    CONFIGURATIONS,
    DOCKER,
    OCI,
    Layer,
    Manifest,
)

NAME = "registry.example.org/app:1"
DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "12")
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
MIB = 1024 * 1024
MANIFEST = Manifest(DIGEST, OCI, OTHER, CONFIGURATIONS[0], (Layer(GZIP, 10 * MIB),))
CONFIG: dict[str, Any] = {"Entrypoint": ["/bin/app"], "Env": ["PATH=/bin", "LANG=C.UTF-8"]}
RAW = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [OTHER]},
    "config": CONFIG,
}
IMAGE = Image(NAME, manifest=MANIFEST, raw=RAW)
HOST = Host("amd64", uids=65536, gids=65536)
RUNNERS = known_runners()
ALL = tuple(RUNNERS)
TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"  # noqa: S105  an example


def engine(name: str, **facts: Any) -> Engine:
    return Engine(name, RUNNERS[name], RUNNERS[name].traits().ways, **facts)


def saying(**config: Any) -> Image:
    """An image whose configuration says that, too."""
    return replace(IMAGE, raw={**RAW, "config": {**CONFIG, **config}})


def about(**parts: Any) -> Image:
    """An image with other facts beside its configuration's ``config``."""
    return replace(IMAGE, raw={**RAW, **parts})


def made(**parts: Any) -> Image:
    """An image with another manifest."""
    return replace(IMAGE, manifest=replace(MANIFEST, **parts))


def found(check: str, image: Image, host: Host, runner: Engine) -> Any:
    return [one for one in image_findings(image, host, runner) if one.check == check]


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_ordinary_image_passes_every_check(runner: str) -> None:
    space = (Space("/copies", 1000 * MIB, 3),)
    findings = image_findings(IMAGE, HOST, engine(runner, spaces=space))
    assert {one.check for one in findings} == {row.name for row in ROWS}
    assert [one for one in findings if one.level != "ok"] == []


def layered(*forms: str, form: str = OCI) -> Image:
    layers = tuple(Layer(name, MIB) for name in forms)
    ids = {"diff_ids": [OTHER] * len(layers)}
    return replace(
        IMAGE,
        manifest=replace(MANIFEST, form=form, layers=layers),
        raw={**RAW, "rootfs": ids},
    )


NO_IMAGE = NotFound("find", said="the registry has no such image or tag", hint="check the name")
NO_PERMISSION = RefusedByPolicy("use", said="its registry is not allowed", hint="use another")
NOT_GIVEN = Denied("ask", said="it does not accept", hint="check both")
NO_SIGNAL = saying(StopSignal="SIGNONE")
EMPTY = "application/vnd.oci.empty.v1+json"
TWO_NAMED = about(rootfs={"diff_ids": [OTHER, OTHER]})
NO_PATH = saying(Entrypoint=["app"], Env=["PATH="])
FORM = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKERS = "application/vnd.docker.image.rootfs.diff.tar.gzip"

ILL = [
    # check, image, engines, level, what is said
    ("policy", Image(NAME, NO_PERMISSION, "policy"), ALL, "fault", "not allowed. use another"),
    (
        "policy",
        replace(IMAGE, unnamed="this site requires images to be named by digest"),
        ALL,
        "fault",
        f"by digest. write registry.example.org/app@{DIGEST}",
    ),
    ("policy", replace(IMAGE, asked=("it is fetched from mirror",)), ALL, "note", "from mirror"),
    ("registry", Image(NAME, NO_IMAGE, "registry"), ALL, "fault", "no such image or tag. check"),
    ("login", Image(NAME, NOT_GIVEN, "login"), ALL, "fault", "does not accept. check both"),
    ("config", replace(IMAGE, raw=None), ALL, "fault", "cannot be read: it is no JSON object"),
    ("config", saying(Cmd="sh"), ALL, "fault", "config.Cmd is a text, and no list of words"),
    ("config", saying(ExposedPorts=["80"]), ALL, "fault", "config.ExposedPorts is ['80']"),
    ("config", saying(Cmd=[1]), ALL, "fault", "cannot be read: config.Cmd is [1]"),
    ("artifact", made(config_form=EMPTY), ("podman", "oci"), "fault", "check the name"),
    ("artifact", made(config_form=CONFIGURATIONS[1]), ("podman", "oci"), "fault", "in one form"),
    ("artifact", made(layers=()), ALL, "fault", "it has no layers"),
    ("index", made(indexes=2), ("podman", "oci"), "fault", "which apptainer alone takes"),
    ("layers", layered(ZSTD, form=DOCKER), ("podman", "oci"), "fault", "push it in the OCI form"),
    ("layers", layered(DOCKERS), ("oci",), "fault", "in a manifest of the OCI. ask its maker"),
    ("layers", layered("text/plain"), ("apptainer", "oci"), "fault", "no layer of the form 'text"),
    (
        "layers",
        layered("text/plain", form=DOCKER),
        ALL,
        "fault",
        "of Docker. ask its maker to push",
    ),
    ("depth", layered(*[FORM] * 501), ("podman",), "fault", "no container of more than 500"),
    (
        "depth",
        layered(*[FORM] * 129),
        ("podman",),
        "warning",
        "(4.3) start no container of more th",
    ),
    ("diff_ids", TWO_NAMED, ("podman", "oci"), "fault", "it has 1 layers, and its configuration"),
    ("platform", about(architecture="arm64"), ALL, "fault", "it is for arm64, and this host is am"),
    ("platform", about(os="windows"), ALL, "warning", "it says that it is for 'windows': if its"),
    ("platform", about(architecture="z" * 5000), ALL, "warning", "for the processor 'zzz"),
    ("volumes", saying(Volumes={f"/{n}": {} for n in range(101)}), ("podman",), "fault", "101 VOL"),
    ("volumes", saying(WorkingDir="/a" * 1001), ("apptainer", "oci"), "fault", "1001 directories"),
    ("words", saying(Env=["V=" + "x" * 2**17]), ALL, "fault", "one longer than 128KiB"),
    (
        "words",
        saying(Env=[f"V{n}={'x' * 60_000}" for n in range(40)]),
        ALL,
        "fault",
        "starts no program with more than",
    ),
    (
        "words",
        saying(Env=[f"V{n}={'x' * 60_000}" for n in range(20)]),
        ("apptainer",),
        "fault",
        "apptainer starts no program with more than",
    ),
    ("program", saying(Entrypoint=None), ALL, "fault", "no CMD. give arguments"),
    ("program", saying(Entrypoint=[""]), ALL, "fault", "no CMD. give arguments"),
    ("program", saying(Entrypoint=["", "x"]), ALL, "fault", "first word of what it runs is empty"),
    ("program", NO_PATH, ("podman", "oci"), "fault", "its PATH is empty, and its program 'app'"),
    ("program", saying(Entrypoint=["./app"]), ALL, "warning", "'./app' is looked for in /"),
    ("program", saying(Entrypoint=["/scratch/app"]), ALL, "fault", "below /scratch, where your"),
    (
        "program",
        saying(Entrypoint=["./app"], WorkingDir="/safe_data/x"),
        ALL,
        "fault",
        "'/safe_data/x/app' lies below /safe_data",
    ),
    ("user", saying(User="1000:1000"), ("podman",), "warning", "put --user=0 into an option file"),
    ("user", saying(User="1000"), ("apptainer",), "note", "passes its user '1000' over"),
    ("user", saying(User="65537"), ("podman",), "fault", "beyond your range of subordinate ids"),
    ("user", saying(User="0:70000"), ("podman",), "fault", "its group is 70000, and your contai"),
    (
        "user",
        saying(User="5000000000"),
        ("podman", "oci"),
        "fault",
        "a number that no system knows",
    ),
    ("user", saying(User="app"), ("podman", "oci"), "note", "its user 'app' is a name"),
    ("workdir", saying(WorkingDir="tmp/app"), ALL, "note", "it starts in '/tmp/app'"),
    ("workdir", saying(WorkingDir="/scratch"), ALL, "note", "your directory is mounted at /scr"),
    (
        "workdir",
        saying(WorkingDir="/safe_data/x"),
        ("podman", "oci"),
        "warning",
        "a run makes that",
    ),
    (
        "workdir",
        saying(WorkingDir="/safe_data/x"),
        ("apptainer",),
        "warning",
        "has to be among you",
    ),
    ("workdir", saying(WorkingDir="/proc/x"), ALL, "fault", "'/proc/x' to start in can be made"),
    ("workdir", saying(WorkingDir="/dev/x"), ("apptainer",), "fault", "to start in can be made"),
    ("config", saying(Labels={"a": 1}), ALL, "fault", "config.Labels has what is no text"),
    ("config", saying(Labels=["a"]), ALL, "fault", "config.Labels has what is no text"),
    ("workdir", saying(WorkingDir="/" + "w" * 256), ALL, "fault", "longer than paths can be"),
    ("workdir", saying(WorkingDir="/" + "é" * 128), ALL, "fault", "longer than paths can be"),
    ("workdir", saying(WorkingDir="/w" * 2048), ALL, "fault", "longer than paths can be"),
    ("volumes", saying(Volumes={"/" + "v" * 256: {}}), ALL, "fault", "longer than paths can be"),
    ("volumes", saying(Volumes={"/": {}}), ("podman",), "fault", "cannot mount its VOLUME '/'"),
    ("volumes", saying(Volumes={"/sys/x": {}}), ("podman",), "fault", "its VOLUME '/sys/x' there"),
    ("volumes", saying(Volumes={"/scratch/a": {}}), ALL, "note", "is your directory"),
    ("ports", saying(ExposedPorts={"8080/tcp": {}}), ALL, "note", "'8080/tcp', and nobody reaches"),
    (
        "ports",
        saying(ExposedPorts={"a": {}}),
        ("podman",),
        "fault",
        "exposes 'a', which is no port",
    ),
    ("stop_signal", NO_SIGNAL, ("podman",), "fault", "--stop-signal=SIGTERM"),
    ("stop_signal", NO_SIGNAL, ("apptainer", "oci"), "note", "SIGTERM is sent instead"),
    ("stop_signal", saying(StopSignal="SIGKILL"), ALL, "warning", "without a chance to finish"),
    ("variables", saying(Env=["a.b=1"]), ("apptainer",), "warning", "over variables of the image"),
    ("variables", saying(Env=["UID=1"]), ("apptainer",), "note", "image: UID. if its program"),
    ("variables", saying(Env=["=1"]), ("podman",), "fault", "a variable of the image has no name"),
    ("variables", saying(Env=["A=\ud800"]), ("oci",), "fault", "is not UTF-8"),
    ("secrets", saying(Env=["DB_PASSWORD=x"]), ALL, "warning", "a secret in 'DB_PASSWORD'"),
    ("secrets", saying(Env=[f"X={TOKEN}"]), ALL, "warning", "a secret in 'X'"),
]


@pytest.mark.parametrize(
    ("check", "image", "runner", "level", "says"),
    [
        (check, image, runner, level, says)
        for check, image, runners, level, says in ILL
        for runner in runners
    ],
)
def test_what_is_wrong_with_an_image_is_told_with_its_cure(
    check: str, image: Image, runner: str, level: str, says: str
) -> None:
    findings = found(check, image, HOST, engine(runner))
    assert any(one.level == level and says in str(one) for one in findings), findings
    assert all(one.cure for one in findings if one.level in ("warning", "fault"))


_ANOTHER_ONE = ("user", "workdir", "ports", "stop_signal", "variables")
"""Checks that tell something else of the other engines."""


@pytest.mark.parametrize(
    ("check", "image", "runner"),
    [
        (check, image, runner)
        for check, image, runners, _level, _says in ILL
        for runner in ALL
        if runner not in runners and check not in _ANOTHER_ONE
    ],
)
def test_what_an_engine_can_have_is_no_fault_there(check: str, image: Image, runner: str) -> None:
    assert [one.level for one in found(check, image, HOST, engine(runner))] == ["ok"]


def test_each_check_is_seen_to_find_something() -> None:
    elsewhere = {"engine", "files", "present", "size", "space", "network"}
    assert {case[0] for case in ILL} | elsewhere == {row.name for row in ROWS}


@pytest.mark.parametrize(
    ("user", "level"),
    [("", "ok"), ("0", "ok"), ("0:0", "ok"), ("root", "note"), ("65536", "warning")],
)
def test_a_user_that_podman_can_have_is_no_fault(user: str, level: str) -> None:
    assert worst(found("user", saying(User=user), HOST, engine("podman"))) == level


def test_a_user_whose_range_is_not_known_is_no_fault() -> None:
    nobody_knows = replace(HOST, uids=None, gids=None)
    assert worst(found("user", saying(User="70000"), nobody_knows, engine("podman"))) == "warning"


def test_a_file_that_a_pull_cannot_read_is_a_fault_unless_nothing_is_pulled() -> None:
    runner = engine("podman", misread=("/etc/r.conf cannot be read (line 1)",))
    assert [one.level for one in found("files", IMAGE, HOST, runner)] == ["fault"]
    here = replace(runner, here=MANIFEST.digest)
    assert [one.level for one in found("files", IMAGE, HOST, here)] == ["ok"]


def test_an_engine_that_cannot_be_used_is_all_that_is_told() -> None:
    refusal = CesError("use it", said="crun is not installed on this host", hint="role oci")
    findings = image_findings(IMAGE, HOST, engine("oci", refusal=refusal))
    (fault,) = [one for one in findings if one.level == "fault"]
    assert (fault.check, fault.said, fault.role) == ("engine", refusal.said, "oci")
    assert {one.check for one in findings} <= {
        *("engine", "files", "policy", "registry", "login", "present", "network")
    }


def test_an_image_that_is_here_is_not_measured_again() -> None:
    full = (Space("/copies", 0, 3),)
    large, limited = layered("text/plain", form=DOCKER), replace(HOST, size_limit=1)
    here = engine("podman", here=DIGEST, spaces=full)
    assert worst(image_findings(large, limited, here)) == "ok"
    (present,) = found("present", large, limited, here)
    assert present.said == "podman has it already: nothing is fetched"
    other = engine("podman", here=OTHER, spaces=full)
    levels = {one.check: one.level for one in image_findings(large, limited, other)}
    assert levels["present"] == "note"
    assert [levels[name] for name in ("size", "space", "layers")] == ["fault"] * 3


def test_an_image_that_only_its_registry_has_lost_can_still_be_run() -> None:
    (finding,) = found(
        "registry", Image(NAME, NO_IMAGE, "registry"), HOST, engine("oci", here=DIGEST)
    )
    assert finding.level == "warning" and "takes the image that is here" in finding.said


def test_of_another_host_nothing_is_said_that_is_about_this_one() -> None:
    full = (Space("/copies", 0, 3),)
    other = replace(HOST, elsewhere=True)
    runner = engine("podman", refusal=None, spaces=full, misread=("/etc/r.conf cannot be read",))
    told = {one.check for one in image_findings(IMAGE, other, runner)}
    assert {row.name for row in ROWS} - told == {"engine", "files", "present", "space", "words"}
    assert worst(image_findings(IMAGE, other, runner)) == "ok"
    assert worst(image_findings(about(architecture="s390x"), other, runner)) == "fault"


def test_a_damaged_image_is_to_be_pulled_again() -> None:
    (finding,) = found("present", IMAGE, HOST, engine("oci", damaged="it is no JSON"))
    assert (finding.level, finding.cure) == ("warning", "pull the image again (ces-pull)")


@pytest.mark.parametrize(
    ("limit", "level"), [(None, "ok"), (10 * MIB, "ok"), (10 * MIB - 1, "fault")]
)
def test_an_image_may_be_as_large_as_the_site_says(limit: int | None, level: str) -> None:
    host = replace(HOST, size_limit=limit)
    assert worst(found("size", IMAGE, host, engine("podman"))) == level


@pytest.mark.parametrize(
    ("spaces", "level"),
    [
        ([], "ok"),
        ([Space("/a", 30 * MIB, 3)], "ok"),
        ([Space("/a", 29 * MIB, 3)], "warning"),
        ([Space("/a", 9 * MIB, 3)], "fault"),
        # two directories on one disk share its space
        ([Space("/a", 19 * MIB, 1), Space("/b", 19 * MIB, 1)], "fault"),
        ([Space("/a", 19 * MIB, 1), Space("/b", 19 * MIB, 1, disk=1)], "ok"),
        ([Space("/a", 30 * MIB, 3, closed=True)], "fault"),
    ],
)
def test_space_is_counted_for_each_disk(spaces: list[Space], level: str) -> None:
    assert worst(found("space", IMAGE, HOST, engine("podman", spaces=tuple(spaces)))) == level


@pytest.mark.parametrize(
    ("network", "networks", "runner", "level"),
    [
        ("none", ("none",), "oci", "ok"),
        ("pasta", ("pasta",), "podman", "ok"),
        ("pasta", ("pasta", "none"), "oci", "warning"),
        ("pasta", ("pasta",), "apptainer", "fault"),
    ],
)
def test_a_network_that_an_engine_does_not_know_is_told(
    network: str, networks: tuple[str, ...], runner: str, level: str
) -> None:
    host = replace(HOST, network=network, networks=networks)
    assert worst(found("network", IMAGE, host, engine(runner))) == level


def test_ports_are_reached_where_there_is_a_network() -> None:
    image = saying(ExposedPorts={"8080/tcp": {}})
    host = replace(HOST, network="host", networks=("host",))
    assert worst(found("ports", image, host, engine("podman"))) == "ok"


def test_no_value_of_a_secret_is_told() -> None:
    image = saying(Env=[f"A_TOKEN={TOKEN}", "B=https://ada:pa55@example.org/"])
    for runner in ALL:
        said = "".join(map(str, image_findings(image, HOST, engine(runner))))
        assert "A_TOKEN" in said and "'B'" in said
        assert TOKEN not in said and "pa55" not in said


def test_checks_know_nothing_of_services() -> None:
    for path in sorted(Path(module.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("services"), path


# --- whatever a registry sends ---

odd = st.sampled_from(
    ["", "a", "A=b", "/", "\0", "\u00b2", "\ud800", "9" * 40, "x" * 300, "../..", "0:0", "\x1b[31m"]
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | odd | st.text(max_size=9)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd, inner, max_size=3),
    max_leaves=5,
)
words = st.none() | st.lists(odd, max_size=3)
configurations = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("Entrypoint", "Cmd", "Env"), words | values),
        **dict.fromkeys(("WorkingDir", "User", "StopSignal"), odd | values),
        **dict.fromkeys(("Volumes", "ExposedPorts"), st.dictionaries(odd, plain) | values),
    },
)


@given(configurations, values, values, st.sampled_from(ALL))
def test_no_configuration_is_too_odd(
    config: dict[str, Any],
    system: object,
    rootfs: object,
    runner: str,
) -> None:
    """It has its findings, short ones, and every fault has a cure."""
    raw = {"config": config, "os": system, "rootfs": rootfs}
    findings = image_findings(replace(IMAGE, raw=raw), HOST, engine(runner))
    assert all(len(str(one)) < 1000 for one in findings)
    assert all(one.cure for one in findings if one.level in ("warning", "fault"))
    assert all(str(one).isprintable() for one in findings)
    json.dumps([one.as_dict() for one in findings])


layers = st.fixed_dictionaries({"size": st.integers(0, 2**63) | values, "mediaType": odd | values})


@given(
    st.lists(layers, max_size=3) | values,
    odd | values,
    st.sampled_from([OCI, DOCKER]) | values,
    st.sampled_from(ALL),
)
def test_no_manifest_is_too_odd(
    parts: dict[str, Any] | list[Any] | str | None,
    config_form: object,
    form: object,
    runner: str,
) -> None:
    """It is refused, or it has findings."""
    config = {"digest": DIGEST, "mediaType": config_form}
    try:
        manifest = Manifest.from_dict(
            {"config": config, "layers": parts, "mediaType": form}, DIGEST
        )
    except ValueError as error:
        assert len(str(error)) < 300
        return
    findings = image_findings(replace(IMAGE, manifest=manifest), HOST, engine(runner))
    assert all(len(str(one)) < 1000 for one in findings)
