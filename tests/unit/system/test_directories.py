# SPDX-License-Identifier: GPL-3.0-or-later
"""Which project's data, which outputs and scratch, and what may be mounted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    InvalidValue,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.directories import (
    allowed_directory,
    allowed_mount,
    check_home_directory,
    chosen_directory,
    mounted_below,
    safe_data_mount,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy, SafeData
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Directories


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A back-end: a home, and the data of four projects."""
    for path in ("home/ada", "safe_data/p1", "safe_data/p2", "safe_data/tre-p3", "other"):
        (tmp_path / path).mkdir(parents=True)
    return tmp_path


def policy_of(place: Path, access: str = "rw", prefixes: tuple[str, ...] = ()) -> Policy:
    root = f"{place}/safe_data"
    return Policy(mount_roots=("~", root), safe_data=SafeData(root, access, prefixes))


def ada_of(place: Path, *groups: str, **environ: str) -> Account:
    return Account("ada", os.geteuid(), f"{place}/home/ada", ("ada", *groups), environ)


def _project(
    place: Path,
    *groups: str,
    prefixes: tuple[str, ...] = (),
    wanted: str | None = None,
    **environ: str,
) -> str:
    directories = Directories(project=wanted)
    policy = policy_of(place, prefixes=prefixes)
    mount = safe_data_mount(directories, ada_of(place, *groups, **environ), policy)
    return os.path.relpath(mount.source, place)


@pytest.mark.parametrize(
    ("groups", "prefixes", "project"),
    [
        (["p1"], (), "safe_data/p1"),
        (["tre-p1"], (), "safe_data/p1"),
        (["site-tre-p1"], (), "safe_data/p1"),
        (["tre-p1", "p1"], (), "safe_data/p1"),
        (["tre-p3"], ("site",), "safe_data/tre-p3"),
        (["site-tre-p3"], (), "safe_data/tre-p3"),
        (["site-p1"], ("site",), "safe_data/p1"),
        (["site-x-p1", "p2"], ("site",), "safe_data/p2"),
        (["..", ".", "a/b", "p1"], (), "safe_data/p1"),
        (["tre-..", "tre-.", "p1"], (), "safe_data/p1"),
    ],
)
def test_the_project_is_that_of_the_users_group(
    place: Path, groups: list[str], prefixes: tuple[str, ...], project: str
) -> None:
    assert _project(place, *groups, prefixes=prefixes) == project


@pytest.mark.parametrize("groups", [[], ["p9"], ["p1-x"], ["xp1"], ["P1"], ["-"], ["p1-"]])
def test_without_a_project_the_groups_are_named(place: Path, groups: list[str]) -> None:
    with pytest.raises(NotFound) as caught:
        _project(place, *groups)
    assert ", ".join(["ada", *groups]) in str(caught.value)


def test_several_projects_are_listed_and_one_is_chosen(place: Path) -> None:
    with pytest.raises(CesError, match=r"there are several: p1, p2\. choose one with --project"):
        _project(place, "tre-p1", "p2")
    assert _project(place, "tre-p1", "p2", wanted="p2") == "safe_data/p2"
    assert _project(place, "tre-p1", "p2", CES_PROJECT="p1") == "safe_data/p1"
    assert _project(place, "tre-p1", "p2", wanted="p2", CES_PROJECT="p1") == "safe_data/p2"


@pytest.mark.parametrize("wanted", ["p2", "nothing"])
def test_a_project_of_others_is_refused(place: Path, wanted: str) -> None:
    with pytest.raises(CesError, match=rf"could not use project '{wanted}'.*projects here: p1"):
        _project(place, "p1", wanted=wanted)


@pytest.mark.parametrize("wanted", ["../other", "/etc", ".", "..", "p1/x", "p1/"])
def test_a_project_is_a_name_and_no_path(place: Path, wanted: str) -> None:
    with pytest.raises(InvalidValue, match="a name, not a path"):
        _project(place, "p1", wanted=wanted)


def test_a_safe_data_of_the_users_own_comes_before_projects_and_after_a_choice(place: Path) -> None:
    (place / "home/ada/safe_data").mkdir()
    assert _project(place, "p1") == "home/ada/safe_data"
    assert _project(place) == "home/ada/safe_data"
    assert _project(place, "p1", wanted="p1") == "safe_data/p1"


@pytest.mark.parametrize("access", ["rw", "ro"])
def test_the_access_to_project_data_is_the_policys(place: Path, access: str) -> None:
    mount = safe_data_mount(Directories(), ada_of(place, "p1"), policy_of(place, access))
    assert mount == Mount(f"{place}/safe_data/p1", "/safe_data", access)
    asked = Directories(read_only=True)
    assert safe_data_mount(asked, ada_of(place, "p1"), policy_of(place, access)).access == "ro"


def test_a_safe_data_that_the_caller_names_must_lie_below_the_policys_roots(place: Path) -> None:
    ada, policy = ada_of(place), policy_of(place)
    named = Directories(safe_data=f"{place}/safe_data/p2")
    assert safe_data_mount(named, ada, policy).source == f"{place}/safe_data/p2"
    with pytest.raises(RefusedByPolicy):
        safe_data_mount(Directories(safe_data=f"{place}/other"), ada, policy)


# --- what may be mounted ---


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("~", "home/ada"),
        ("~/x", "home/ada/x"),
        ("{place}/home/ada/x", "home/ada/x"),
        ("{place}/home/ada/../ada/x", "home/ada/x"),
        ("{place}/other/../safe_data/p1", "safe_data/p1"),
        ("{place}/safe_data", "safe_data"),
        ("relative/x", "home/ada/relative/x"),
    ],
)
def test_a_directory_below_a_root_may_be_used(
    place: Path, monkeypatch: pytest.MonkeyPatch, path: str, real: str
) -> None:
    monkeypatch.chdir(place / "home/ada")
    found = allowed_directory(path.format(place=place), "x", ada_of(place), policy_of(place))
    assert found == f"{place}/{real}"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc",
        "{place}/other",
        "{place}/home",
        "{place}/home/ada-too",
        "{place}/home/ada/../eve",
        "{place}/safe_datax",
        "~eve",
        "~/../eve",
        "../eve",
    ],
)
def test_a_directory_elsewhere_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(RefusedByPolicy, match="outside what may be mounted"):
        allowed_directory(path.format(place=place), "x", ada_of(place), policy_of(place))


def test_a_link_counts_as_where_it_leads(place: Path) -> None:
    ada, policy = ada_of(place), policy_of(place)
    (place / "home/ada/out").symlink_to(place / "other")
    (place / "other/in").symlink_to(place / "home/ada")
    with pytest.raises(RefusedByPolicy):
        allowed_directory(f"{place}/home/ada/out/x", "x", ada, policy)
    assert allowed_directory(f"{place}/other/in", "x", ada, policy) == f"{place}/home/ada"


def test_a_site_without_roots_lets_nothing_be_mounted(place: Path) -> None:
    policy = Policy(mount_roots=())
    with pytest.raises(RefusedByPolicy):
        allowed_directory(f"{place}/home/ada", "x", ada_of(place), policy)


def test_a_root_directory_as_root_lets_everything_be_mounted(place: Path) -> None:
    found = allowed_directory("/etc", "x", ada_of(place), Policy(mount_roots=("/",)))
    assert found == os.path.realpath("/etc")


def test_a_home_in_data_that_may_only_be_read_is_no_home_of_a_run(place: Path) -> None:
    """``$HOME`` may be any directory of the user's: one in a project's data, too."""
    (place / "safe_data/p1/mine").mkdir()
    moved = replace(ada_of(place, "p1"), home=f"{place}/safe_data/p1/mine")
    check_home_directory(moved, policy_of(place))
    with pytest.raises(RefusedByPolicy, match="containers may only read there"):
        check_home_directory(moved, policy_of(place, "ro"))
    check_home_directory(ada_of(place, "p1"), policy_of(place, "ro"))


@pytest.mark.parametrize("name", ["a:/mnt", "a\rb"])
def test_no_name_of_a_home_is_two_paths_to_an_engine(place: Path, name: str) -> None:
    home = place / "home/ada" / name
    home.mkdir(parents=True)
    with pytest.raises(InvalidValue, match="it contains a c"):
        check_home_directory(replace(ada_of(place), home=str(home)), policy_of(place))


def test_a_mount_is_resolved_must_be_there_and_is_read_only_where_the_data_are(place: Path) -> None:
    ada, data = ada_of(place), f"{place}/safe_data"
    (place / "home/ada/link").symlink_to(place / "safe_data/p1")
    mount = Mount(f"{place}/home/ada/link", "/mnt")
    assert allowed_mount(mount, ada, policy_of(place)) == Mount(f"{data}/p1", "/mnt", "rw")
    assert allowed_mount(mount, ada, policy_of(place, "ro")) == Mount(f"{data}/p1", "/mnt", "ro")
    home = Mount(f"{place}/home/ada", "/mnt")
    assert allowed_mount(home, ada, policy_of(place, "ro")).access == "rw"
    with pytest.raises(NotFound, match="it does not exist"):
        allowed_mount(Mount(f"{place}/home/ada/none", "/mnt"), ada, policy_of(place))


def test_directories_are_chosen_by_option_then_variable_then_left_to_us(place: Path) -> None:
    ada = ada_of(place, CES_SCRATCH=f"{place}/home/ada/v", EMPTY="")
    policy = policy_of(place)

    def chosen(wanted: str | None, variable: str) -> str | None:
        return chosen_directory(wanted, variable, "scratch", ada, policy)

    assert chosen("~/w", "CES_SCRATCH") == f"{place}/home/ada/w"
    assert chosen(None, "CES_SCRATCH") == f"{place}/home/ada/v"
    assert chosen(None, "EMPTY") is None
    assert chosen(None, "NONE") is None
    with pytest.raises(RefusedByPolicy):
        chosen("/etc", "NONE")


# --- what a researcher tries ---


def test_a_safe_data_in_the_home_leads_to_nothing_that_may_not_be_mounted(place: Path) -> None:
    ada, own = ada_of(place), place / "home/ada/safe_data"
    own.symlink_to("/")
    with pytest.raises(RefusedByPolicy, match="outside what may be mounted"):
        safe_data_mount(Directories(), ada, policy_of(place))
    own.unlink()
    own.symlink_to(place / "safe_data/p1")
    policy = replace(policy_of(place), mount_roots=("~",))
    assert safe_data_mount(Directories(), ada, policy).source == f"{place}/safe_data/p1"


@pytest.mark.parametrize(
    "path", ["safe_data/p1", "safe_data/p1/new", "other", "home/ada/safe_data"]
)
@pytest.mark.parametrize("variable", ["", "CES_SCRATCH"])
def test_data_that_may_only_be_read_are_no_place_to_write(
    place: Path, path: str, variable: str
) -> None:
    (place / "safe_data/p4").symlink_to(place / "other")
    path = f"{place}/{path}"
    ada = ada_of(place, **({variable: path} if variable else {}))
    policy = replace(policy_of(place, "ro"), mount_roots=("/",))
    with pytest.raises(RefusedByPolicy, match="may only read"):
        chosen_directory(None if variable else path, variable, "scratch", ada, policy)
    os.makedirs(path, exist_ok=True)
    assert allowed_mount(Mount(path, "/mnt"), ada, policy).access == "ro"


def test_nothing_is_mounted_around_data_that_may_only_be_read(place: Path) -> None:
    ada = ada_of(place)
    policy = replace(policy_of(place, "ro"), mount_roots=("/",))
    for access in ("ro", "rw"):
        with pytest.raises(RefusedByPolicy, match=r"in it is .*/safe_data"):
            allowed_mount(Mount(str(place), "/mnt", access), ada, policy)


@pytest.mark.parametrize("whole", ["home/ada", "other"])
def test_nothing_is_mounted_around_data_that_lie_elsewhere(place: Path, whole: str) -> None:
    (place / "home/ada/safe_data").mkdir()
    (place / "other/p4").mkdir()
    (place / "safe_data/p4").symlink_to(place / "other/p4")
    ada, policy = ada_of(place), replace(policy_of(place, "ro"), mount_roots=("/",))
    with pytest.raises(RefusedByPolicy, match=r"in it is .*/(safe_data|p4), where"):
        allowed_mount(Mount(f"{place}/{whole}", "/mnt"), ada, policy)
    (place / whole / "part").mkdir()
    assert allowed_mount(Mount(f"{place}/{whole}/part", "/mnt"), ada, policy).access == "rw"
    assert allowed_mount(Mount(f"{place}/safe_data", "/mnt"), ada, policy).access == "ro"


def test_what_is_mounted_below_data_that_may_only_be_read_is_read_only_too(place: Path) -> None:
    data = place / "safe_data/p1"
    for name in ("big", "in a/b", "\u00e4"):
        (data / name).mkdir(parents=True)
    points = ["/", str(data), f"{data}1", f"{data}/gone", f"{data}/big", f"{data}/big"]
    points += [f"{data}/in\\040a/b", f"{data}/\u00e4"]
    table = place / "mountinfo"
    table.write_text("".join(f"36 35 98:0 / {point} rw - ext4 /dev/x rw\n" for point in points))
    found = list(mounted_below(Mount(str(data), "/safe_data", "ro"), str(table)))
    names = ("big", "in a/b", "\u00e4")
    assert found == [Mount(f"{data}/{name}", f"/safe_data/{name}", "ro") for name in names]
    assert list(mounted_below(Mount(str(data), "/safe_data"), str(table))) == []


def test_new_outputs_are_not_made_in_data_that_may_only_be_read(place: Path) -> None:
    ada = replace(ada_of(place), home=f"{place}/safe_data/p1", entered=f"{place}/home/ada")
    with pytest.raises(RefusedByPolicy, match="may only read"):
        chosen_directory(None, "CES_SCRATCH", "scratch", ada, policy_of(place, "ro"))


@pytest.mark.parametrize("path", ["home/ada", "home", "home/ada/link", "elsewhere"])
def test_no_mount_brings_the_home_that_no_container_may_have(place: Path, path: str) -> None:
    (place / "home/ada/link").symlink_to(place / "home/ada")
    (place / "elsewhere").mkdir()
    ada = replace(ada_of(place), home=f"{place}/elsewhere", entered=f"{place}/home/ada")
    policy = replace(policy_of(place), mount_roots=("/",), home="never")
    with pytest.raises(RefusedByPolicy, match="mount the home directory"):
        allowed_directory(f"{place}/{path}", "x", ada, policy)
    (place / "home/ada/part").mkdir()
    assert allowed_directory(f"{place}/home/ada/part", "x", ada, policy)


def test_the_home_among_the_roots_is_the_accounts_whatever_the_environment_says(
    place: Path,
) -> None:
    ada = replace(ada_of(place), home=f"{place}/other", entered=f"{place}/home/ada")
    with pytest.raises(RefusedByPolicy, match="outside what may be mounted"):
        allowed_directory("~/x", "x", ada, policy_of(place))
    assert allowed_directory(f"{place}/home/ada/x", "x", ada, policy_of(place))
