# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ces_verify: what it asks for, and what it returns; in check mode nothing is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.services.verify import Verified, Wanted
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.module_utils.ces.values.proof import Proof
from ansible_collections.tre.ces.plugins.modules import ces_verify

Run = Callable[..., dict[str, Any]]
SECRET = "s3cret-Zw9qLr5vKd"  # noqa: S105  it is looked for


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What was wanted; one thing failed."""
    wanted: list[Wanted] = []

    def verify(one: Wanted) -> Verified:
        wanted.append(one)
        proofs = [
            Proof(Finding("container", "fault", "it did not run", "mend it"), "ada", "podman")
        ]
        return Verified("host1", "2026", proofs=proofs, chosen=one.chosen)

    monkeypatch.setattr(ces_verify, "verify", verify)
    monkeypatch.setattr(ces_verify, "planned", lambda one: [f"would {' '.join(one.users)}"])
    return wanted


def test_what_failed_is_returned_and_no_failure_of_the_task(run: Run, asked: list[Wanted]) -> None:
    answer = run(
        ces_verify,
        users=["ada", "bo"],
        sample=1,
        image="registry.example.org/a/b:1",
        username="u",
        password=SECRET,
        slurm=False,
    )
    assert (answer["changed"], answer.get("failed", False)) == (False, False)
    assert answer["counts"] == {"proved": 0, "not proved": 0, "failed": 1}
    assert answer["proofs"][0]["cure"] == "mend it"
    (wanted,) = asked
    assert (wanted.chosen, str(wanted.image), wanted.slurm) == (
        ("ada",),
        "registry.example.org/a/b:1",
        False,
    )
    assert wanted.credentials.password == SECRET
    answer.pop("invocation")
    assert SECRET not in repr(answer)


def test_check_mode_says_what_would_be_done(run: Run, asked: list[Wanted]) -> None:
    answer = run(ces_verify, check=True, users=["ada"])
    assert asked == []
    assert (answer["changed"], answer["would"]) == (False, ["would ada"])


def test_a_sample_of_less_than_nobody_is_refused(run: Run, asked: list[Wanted]) -> None:
    answer = run(ces_verify, users=["ada"], sample=-1)
    assert answer["failed"]
    assert "sample" in answer["msg"]
