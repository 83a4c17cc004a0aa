# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check of an image's files: what it finds where something is wrong, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.checks import cuda
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.facts import (
    Engine,
    Host,
    Image,
    Opened,
    Space,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.image_files import (
    ROWS,
    file_findings,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.inside import (
    BLOCKED,
    DANGLING,
    DIRECTORY,
    ELF,
    FILE,
    NOTHING,
    OTHER,
    SCRIPT,
    UNKNOWN,
    UNSEEN,
    Inside,
    Program,
    Strangers,
)

NAME = "registry.example.org/app:1"
IMAGE = Image(NAME, raw={"config": {"Entrypoint": ["/bin/app"], "WorkingDir": "/work"}})
HOST = Host("amd64")
RUNNERS = known_runners()
ALL, CRUN = tuple(RUNNERS), ("podman", "oci")
LOADER = Program("/lib/ld.so", "/lib/ld.so", FILE, True, ELF, "amd64")
APP = Program("/bin/app", "/bin/app", FILE, True, ELF, "amd64", LOADER)
SHELL = Program("/bin/sh", "/bin/sh", FILE, True, ELF, "amd64")
FINE = Inside(
    APP,
    None,
    SHELL,
    dict.fromkeys(("/safe_data", "/safe_outputs", "/scratch"), NOTHING),
    strangers=Strangers(),
)


def engine(name: str, inside: Inside | None = FINE, **facts: Any) -> Engine:
    runner = RUNNERS[name]
    spaces = facts.pop("spaces", ())
    opened = Opened(name, inside=inside, **facts)
    return Engine(name, runner, runner.traits().ways, opened=opened, spaces=spaces)


def found(check: str, runner: Engine, host: Host = HOST) -> Any:
    return [one for one in file_findings(IMAGE, host, runner) if one.check == check]


@pytest.mark.parametrize("runner", ALL)
def test_an_ordinary_image_passes_every_check(runner: str) -> None:
    findings = file_findings(IMAGE, HOST, engine(runner))
    assert [one.check for one in findings] == [row.name for row in ROWS]
    assert [one for one in findings if one.level != "ok"] == []


@pytest.mark.parametrize("runner", ALL)
def test_who_did_not_ask_is_told_nothing(runner: str) -> None:
    assert file_findings(IMAGE, HOST, replace(engine(runner), opened=None)) == ()
    refused = replace(engine(runner), refusal=CesError("use it", said="no"))
    assert file_findings(IMAGE, HOST, refused) == ()


def app(**more: Any) -> Inside:
    return replace(FINE, program=replace(APP, **more))


def script(interpreter: Program) -> Inside:
    return app(form=SCRIPT, processor="", next=interpreter)


def behind(**more: Any) -> Inside:
    return replace(FINE, command=replace(APP, word="psql", path="/bin/psql", **more))


def at_scratch(kind: str) -> Inside:
    return replace(FINE, places={**FINE.places, "/scratch": kind})


NO_LOADER = replace(LOADER, kind=NOTHING, executable=False, form=UNSEEN, processor="")
BASH = Program("/bin/bash", "/bin/bash", NOTHING)
ILL = [
    # check, what was seen, engines, level, what is said
    ("executable", app(kind=NOTHING), ALL, "fault", "'/bin/app' is not among its files. ask its"),
    ("executable", app(kind=DANGLING), ALL, "fault", "is a link that leads nowhere"),
    ("executable", app(kind=BLOCKED), ALL, "fault", "is below what is no directory"),
    ("executable", app(kind=DIRECTORY), ALL, "fault", "is a directory. the image has a directory"),
    ("executable", app(kind=OTHER), ALL, "fault", "'/bin/app' is no file"),
    ("executable", app(path="PATH", kind=NOTHING), ALL, "fault", "in no directory of its PATH"),
    ("executable", app(executable=False), ALL, "fault", "may be executed by nobody. the program's"),
    ("executable", app(form=UNKNOWN, next=None), CRUN, "fault", "a first line like #!/bin/sh"),
    ("executable", app(form=UNSEEN, next=None), ALL, "note", "can be read by its owner alone"),
    ("executable", app(kind=UNSEEN), ALL, "note", "only another user of the image may look"),
    ("processor", app(processor="arm64"), ALL, "fault", "'/bin/app' is for arm64, and this host"),
    (
        "processor",
        app(next=replace(LOADER, processor="arm64")),
        ALL,
        "fault",
        "'/lib/ld.so' is for arm64",
    ),
    ("processor", behind(processor="ppc64le"), ALL, "warning", "'/bin/psql' is for ppc64le"),
    (
        "processor",
        replace(FINE, shell=replace(SHELL, processor="arm64")),
        ALL,
        "warning",
        "'/bin/sh' is for arm64",
    ),
    ("interpreter", app(next=NO_LOADER), ALL, "fault", "needs '/lib/ld.so', which is not among"),
    ("interpreter", script(BASH), ALL, "fault", "names the interpreter '/bin/bash', which is not"),
    (
        "interpreter",
        script(replace(BASH, word="/bin/sh\r")),
        ALL,
        "fault",
        r"names the interpreter '/bin/sh\r', which",
    ),
    (
        "interpreter",
        script(replace(BASH, kind=FILE)),
        ALL,
        "fault",
        "'/bin/bash', which may be executed by nobody",
    ),
    (
        "interpreter",
        script(replace(APP, next=Program("python3", "PATH", NOTHING))),
        ALL,
        "fault",
        "'python3', which is in no directory of its PATH",
    ),
    ("interpreter", behind(next=NO_LOADER), ALL, "warning", "'/bin/psql' needs '/lib/ld.so'"),
    ("shell", replace(FINE, shell=Program("/bin/sh", "/bin/sh", NOTHING)), ALL, "note", "no shell"),
    ("places", at_scratch(FILE), ("podman", "apptainer"), "fault", "/scratch is a file, and a run"),
    ("places", at_scratch(DANGLING), ("podman",), "fault", "a link that leads nowhere, and a run"),
    ("places", at_scratch(FILE), ("oci",), "note", "your directory is in its place"),
    ("start", replace(FINE, start=FILE), ALL, "fault", "its WORKDIR '/work' is a file. name anot"),
    ("start", replace(FINE, start=BLOCKED), CRUN, "fault", "is below what is no directory"),
    ("start", replace(FINE, start=DANGLING), ("podman",), "fault", "a link that leads nowhere"),
    ("start", replace(FINE, start=NOTHING), ALL, "note", "is not among its files: a run makes it"),
    (
        "owners",
        replace(FINE, strangers=Strangers(3, "/home/x", 900, 901)),
        ALL,
        "warning",
        "3 of its files belong to ids that are not among yours, the first is '/home/x' of 900:901",
    ),
    ("cuda", replace(FINE, cuda=("12.4.127", "11.0")), ALL, "note", "it has CUDA 12.4.127, and"),
    ("pull", replace(FINE, partly=True), ALL, "note", "not all of them were looked at"),
]


@pytest.mark.parametrize(
    ("check", "inside", "runner", "level", "says"),
    [
        (check, inside, runner, level, says)
        for check, inside, runners, level, says in ILL
        for runner in runners
    ],
)
def test_what_is_wrong_with_files_is_told_with_its_cure(
    check: str, inside: Inside, runner: str, level: str, says: str
) -> None:
    findings = found(check, engine(runner, inside))
    assert any(one.level == level and says in str(one) for one in findings), findings
    assert all(one.cure for one in findings if one.level in ("warning", "fault"))


def test_each_check_is_seen_to_find_something() -> None:
    assert {case[0] for case in ILL} | {"unpacked"} == {row.name for row in ROWS}


@pytest.mark.parametrize(
    ("inside", "runner"),
    [
        (app(form=UNKNOWN, next=None), "apptainer"),
        (app(processor="386"), "podman"),
        (replace(FINE, program=None), "podman"),
        (behind(kind=NOTHING), "podman"),
        (replace(FINE, shell=Program("/bin/sh", "/bin/sh", UNSEEN)), "oci"),
        # what is the user's own, whatever the image has there
        (app(path="/scratch/app", kind=NOTHING), "podman"),
    ],
)
def test_what_can_be_run_is_no_fault(inside: Inside, runner: str) -> None:
    findings = file_findings(IMAGE, HOST, engine(runner, inside))
    assert [one for one in findings if one.level != "ok"] == []


def test_a_fault_is_told_once_however_often_it_is_met() -> None:
    inside = replace(script(BASH), command=replace(APP, form=SCRIPT, next=BASH))
    assert len(found("interpreter", engine("podman", inside))) == 1


def test_what_became_of_the_image_is_told() -> None:
    (here,) = found("pull", engine("podman"))
    assert (here.level, here.said) == ("ok", "its files are here: nothing was fetched")
    (pulled,) = found("pull", engine("podman", pulled=True, place="/store"))
    assert pulled.level == "note" and "it stays in /store" in pulled.said
    assert pulled.cure == f"ces-rm podman {NAME} removes it"
    (would,) = found("pull", engine("podman", None, would=True))
    assert would.level == "note" and "podman would pull it" in would.said
    error = CesError("pull it", said="it is too far", hint="come closer")
    (failed,) = found("pull", engine("podman", None, refusal=error, unseen="podman could not"))
    assert (failed.level, failed.said, failed.cure) == ("fault", "it is too far", "come closer")


def test_what_one_engine_could_not_fetch_another_may() -> None:
    error = CesError("pull it", said="it is too far")
    opened = Opened("podman", refusal=error, unseen="podman could not pull it")
    other = replace(engine("oci"), opened=opened)
    (note,) = file_findings(IMAGE, HOST, other)
    assert (note.level, note.said) == (
        "note",
        "its files were not looked at: podman could not pull it",
    )


@pytest.mark.parametrize("other", ["apptainer", "oci"])
def test_owners_and_room_are_for_the_engine_whose_files_these_are(other: str) -> None:
    seen = replace(FINE, strangers=Strangers(3, "/home/x", 900, 901))
    full = (Space("/store", 10, 3),)
    opened = Opened("podman", inside=seen, size=1000)
    findings = file_findings(IMAGE, HOST, replace(engine(other, spaces=full), opened=opened))
    assert {one.level for one in findings} == {"ok"}


@pytest.mark.parametrize(("here", "level"), [(None, "note"), ("sha256:1", "ok")])
def test_files_of_another_engine_do_not_show_whose_they_are(here: str | None, level: str) -> None:
    podman = replace(engine("podman"), here=here, opened=Opened("oci", inside=FINE))
    assert [one.level for one in found("owners", podman)] == [level]


@pytest.mark.parametrize(("free", "level"), [(999, "warning"), (1000, "ok")])
def test_there_is_to_be_room_for_a_new_version(free: int, level: str) -> None:
    space = (Space("/store", free, 3),)
    (finding,) = found("unpacked", engine("podman", size=1000, spaces=space))
    assert finding.level == level


@pytest.mark.parametrize(
    ("versions", "driver", "forward", "level"),
    [
        (("12.4.127",), "525.60.13", False, "ok"),
        (("12.4.127",), "535.183.01", False, "ok"),
        (("12",), "470.256.02", False, "warning"),
        (("12",), "470.256.02", True, "ok"),
        (("11.0", "9.2"), "450.80.02", False, "ok"),
        (("11.0",), "450.36", False, "warning"),
        (("13.0.1",), "580.65.06", False, "ok"),
        (("99",), "1.0", False, "ok"),
        (("7.5",), "304.1", False, "ok"),
        ((), "", False, "ok"),
    ],
)
def test_the_driver_has_to_do_for_the_newest_cuda(
    versions: tuple[str, ...], driver: str, forward: bool, level: str
) -> None:
    inside = replace(FINE, cuda=versions, forward=forward)
    (finding,) = found("cuda", engine("podman", inside), replace(HOST, driver=driver))
    assert finding.level == level


def test_versions_compare_as_numbers() -> None:
    assert cuda.newest(("9.2", "10.1", "10.0.130")) == "10.1"
    assert cuda.newest(("1" * 5000, "12")) == "12"
