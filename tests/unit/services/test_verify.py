# SPDX-License-Identifier: GPL-3.0-or-later
"""A verification: whatever fails, the rest is proved, and what was not seen is not proved."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import verify, verify_portal
from ansible_collections.tre.ces.plugins.module_utils.ces.services.doctor import Diagnosis
from ansible_collections.tre.ces.plugins.module_utils.ces.services.errands import (
    Errand,
    run_errands,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.verify import Wanted, planned
from ansible_collections.tre.ces.plugins.module_utils.ces.services.verify_portal import Cluster
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy

ME = pwd.getpwuid(os.geteuid()).pw_name
SOMEBODY = "nobody" if os.geteuid() == 0 else ME
"""Who may run containers."""
FINE = Finding("container", "ok", "it ran")
ILL = Finding("container", "fault", "it did not", "somebody mends it")


def errand(work: Callable[[], Any], **how: Any) -> Errand:
    def find() -> Iterator[Finding]:
        yield from work() or (FINE,)

    return Errand("container", ME, find, **how)


def fail() -> None:
    raise RuntimeError("odd")


def test_what_fails_dies_or_hangs_is_a_proof_that_failed() -> None:
    begin = time.monotonic()
    proofs = run_errands(
        [
            errand(fail, engine="podman"),
            errand(lambda: os._exit(3)),
            errand(lambda: time.sleep(30), seconds=1.0),
            errand(lambda: None, place="node n1"),
        ]
    )
    assert time.monotonic() - begin < 10
    assert [proof.outcome for proof in proofs] == ["failed"] * 3 + ["proved"]
    assert ["odd" in proofs[0].finding.said, "died" in proofs[1].finding.said] == [True, True]
    assert (proofs[0].user, proofs[0].engine, proofs[3].place) == (ME, "podman", "node n1")


def test_proofs_are_in_the_order_of_their_errands_however_many() -> None:
    errands = [errand(lambda: None, place=str(number)) for number in range(9)]
    assert [proof.place for proof in run_errands(errands)] == [str(n) for n in range(9)]


def test_work_is_done_with_the_users_rights() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may act as another user")

    def work() -> list[Finding]:
        ids = f"{os.getresuid()} {os.getgroups()} {os.environ['HOME']} {os.getcwd()}"
        return [Finding("container", "ok", ids)]

    nobody = pwd.getpwnam("nobody")
    (proof,) = run_errands([Errand("container", "nobody", lambda: iter(work()))])
    uid = nobody.pw_uid
    assert proof.finding.said == f"({uid}, {uid}, {uid}) [{nobody.pw_gid}] {nobody.pw_dir} /"


@pytest.mark.parametrize(
    ("sample", "chosen"),
    [
        (0, ("a", "b", "c", "d", "e")),
        (9, ("a", "b", "c", "d", "e")),
        (1, ("a",)),
        (2, ("a", "c")),
        (3, ("a", "b", "d")),
    ],
)
def test_a_sample_is_the_same_each_time(sample: int, chosen: tuple[str, ...]) -> None:
    assert Wanted(users=["e", "b", "a", "d", "c", "a"], sample=sample).chosen == chosen


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """A host whose policy allows podman and apptainer; apptainer's containers do not run."""
    diagnosed: list[str | None] = []

    def prove(engine: str, _system: object) -> Iterator[Finding]:
        yield FINE if engine == "podman" else ILL

    def diagnose(name: str | None) -> Diagnosis:
        diagnosed.append(name)
        level = "fault" if name else "ok"
        return Diagnosis(
            name or "root", (Finding("subid", level, "a range"), Finding("fuse", "ok", "open"))
        )

    policy = Policy(runners=("podman", "apptainer", "of-another-version"))
    monkeypatch.setattr(verify, "load_policy", lambda: policy)
    monkeypatch.setattr(System, "here", staticmethod(lambda: None))
    monkeypatch.setattr(verify, "prove_engine", prove)
    monkeypatch.setattr(verify, "diagnose", diagnose)
    monkeypatch.setattr(verify, "job_errands", lambda *_asked: [])
    return diagnosed


def test_each_user_is_proved_under_each_engine(host: list[str]) -> None:
    found = verify.verify(Wanted([SOMEBODY, "no.such.user"])).as_dict()
    container = {
        (p["user"], p["engine"]): p["outcome"] for p in found["proofs"] if p["what"] == "container"
    }
    assert container == {
        (SOMEBODY, "podman"): "proved",
        (SOMEBODY, "apptainer"): "failed",
        ("no.such.user", ""): "failed",
    }
    assert found["counts"]["failed"] == 2
    assert (found["people"], found["engines"]) == (2, ["podman", "apptainer"])
    assert found["ended"] >= found["began"]


def test_what_is_not_asked_for_is_not_proved(host: list[str]) -> None:
    found = verify.verify(Wanted([SOMEBODY])).as_dict()
    outcomes = {proof["what"]: proof["outcome"] for proof in found["proofs"]}
    assert (outcomes["pull"], outcomes["gpu"]) == ("not proved",) * 2


def test_a_portal_runs_no_container(host: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> Iterator[Finding]:
        yield Finding("greeting", "ok", "a job ran")

    monkeypatch.setattr(verify_portal, "greeting", lambda _cluster: work)
    clusters = [Cluster("one"), Cluster("two", groups=("no such group",))]
    image = ImageRef.parse("registry.example.org/a/b:1")
    wanted = Wanted([SOMEBODY], image=image, containers=False, clusters=clusters)
    found = verify.verify(wanted).as_dict()
    assert [(p["what"], p["place"], p["outcome"]) for p in found["proofs"]] == [
        ("greeting", "cluster one", "proved"),
        ("greeting", "cluster two", "not proved"),
        # a job says nothing of the portal's pages
        ("forms", "", "not proved"),
    ]
    # ces-doctor would miss the engines
    assert (found["findings"], host, found["engines"]) == ([], [], [])
    assert planned(wanted) == [f"submit a job to cluster one as {SOMEBODY}"]


def test_without_users_the_report_says_why_nothing_was_proved(host: list[str]) -> None:
    found = verify.verify(Wanted([])).as_dict()
    assert found["counts"] == {"proved": 0, "not proved": 3, "failed": 0}
    assert found["proofs"][0]["said"] == "no users are named: nothing was run"
    assert "verify_users" in found["proofs"][0]["cure"]


def test_who_is_ill_is_diagnosed_and_nobody_else(host: list[str | None]) -> None:
    found = verify.verify(Wanted([SOMEBODY])).findings
    assert host == [None, SOMEBODY]
    assert [(one["user"], one["check"], one["level"]) for one in found] == [
        ("", "subid", "ok"),
        ("", "fuse", "ok"),
        (SOMEBODY, "subid", "fault"),
    ]


def test_a_broken_policy_is_what_failed(host: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Policy:
        raise CesError("read /etc/ces/policy.json", said="it is not JSON")

    monkeypatch.setattr(verify, "load_policy", broken)
    found = verify.verify(Wanted([SOMEBODY])).as_dict()
    assert [(p["what"], p["outcome"]) for p in found["proofs"]] == [("policy", "failed")]
    assert "it is not JSON" in found["proofs"][0]["said"]


def test_a_plan_says_what_would_be_done(host: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "run_errands", lambda _errands: pytest.fail("something ran"))
    image = ImageRef.parse("registry.example.org/a/b:1")
    would = planned(Wanted([SOMEBODY, "no.such.user"], image=image))
    assert would[1:] == [
        f"run a container as {SOMEBODY} under podman",
        f"run a container as {SOMEBODY} under apptainer",
        f"pull {image} as {SOMEBODY} under podman",
        f"pull {image} as {SOMEBODY} under apptainer",
    ]
    assert "no.such.user" in would[0]


def test_root_runs_no_container(host: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("others may not look at root")
    (proof,) = [p for p in verify.verify(Wanted(["root"])).proofs if p.user == "root"]
    assert (proof.outcome, proof.finding.said) == (
        "not proved",
        "containers are not run by root here",
    )
