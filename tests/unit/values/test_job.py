# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the scheduler is checked before it is asked; a run travels whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import (
    OURS,
    JobSpec,
    read,
    written,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    Directories,
    RunSpec,
)

IMAGE = ImageRef.parse("registry.example.org/app:1")


@pytest.mark.parametrize(
    ("array", "tasks"),
    [
        (None, []),
        ("0", [0]),
        ("0-3", [0, 1, 2, 3]),
        ("1,3,7", [1, 3, 7]),
        ("0-9:4", [0, 4, 8]),
        ("5,1-2,1%2", [1, 2, 5]),
    ],
)
def test_an_arrays_tasks(array: str | None, tasks: list[int]) -> None:
    assert JobSpec(array=array).tasks() == tasks


@pytest.mark.parametrize(
    "wrong",
    [
        *({"array": text} for text in ("", "x", "-1", "3-1", "1-", "1%", "1%0", "0-4:0", "1;2")),
        *({"array": text} for text in ("0-10000", "0-999999999", "\u0661")),
        *({"partition": text} for text in ("", "a b", "a\n", "a;b", "$x")),
        *({"gpus": text} for text in ("", "-1", "a100:", "x y:1", "2,3")),
        *({"time_limit": text} for text in ("", "soon", "0", "-5")),
        {"nodes": 0},
        {"dependency": "afterok:1 --wrap=id"},
    ],
)
def test_what_is_not_of_its_form_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        JobSpec(**wrong)


@pytest.mark.parametrize(
    "word",
    [
        *OURS,
        *(f"{option}=x" for option in OURS),
        *("--wra=id", "--expo=ALL", "--outp=/x", "--contain=/x", "--chd=/", "--req"),
        *("-p", "script.sh", "--", "", "-", "--x\n", "--licenses=a\nb", "--Licenses=a"),
    ],
)
def test_options_of_sbatch_that_would_change_the_run_are_refused(word: str) -> None:
    with pytest.raises(InvalidValue):
        JobSpec(extra=(word,))


@pytest.mark.parametrize("word", ["--hold", "--reservation=course", "--licenses=a:2,b", "--nice"])
def test_other_options_of_sbatch_are_taken(word: str) -> None:
    assert JobSpec(extra=(word,)).extra == (word,)


@pytest.mark.parametrize(
    ("limit", "minutes"), [(None, None), (1, 1), ("60", 1), ("61s", 2), ("1h30m", 90)]
)
def test_a_time_limit_is_whole_minutes_and_never_shorter(
    limit: int | str | None, minutes: int | None
) -> None:
    assert JobSpec(time_limit=limit).time_limit_minutes == minutes


TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


@given(
    args=st.lists(TEXT, max_size=3),
    env=st.dictionaries(
        st.from_regex("[A-Z_]{1,5}", fullmatch=True),
        TEXT.map(lambda text: text.replace("\n", "").replace("\r", "")),
        max_size=3,
    ),
    password=TEXT,
    identity=st.booleans(),
)
def test_a_run_that_travels_arrives_as_it_was(
    args: list[str], env: dict[str, str], password: str, identity: bool
) -> None:
    login = {"identity_token" if identity else "password": password}
    spec = RunSpec(
        IMAGE,
        "podman",
        args=args,
        env=env,
        options=["--read-only"],
        cpus=1.5,
        memory="1GiB",
        directories=Directories(project="p", outputs="/home/a b/o"),
        credentials=Credentials("ada", **login) if password else Credentials(),
    )
    assert read(json.loads(json.dumps(written(spec))), "job.json") == spec


@pytest.mark.parametrize("raw", [None, [], {}, {"image": "x"}, "x"])
def test_what_is_no_run_is_said_to_be_none(raw: object) -> None:
    with pytest.raises(CesError, match=r"could not read the run in here: it is none"):
        read(raw, "here")
