# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that researchers add: read strictly, and never over what the container must keep."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import (
    CONTRACT,
    Mount,
    parse_mount,
    parse_volume,
)

VOLUMES = {
    "/a:/b": ("/a", "/b", "rw"),
    "/a:/b:": ("/a", "/b", "rw"),
    "/a:/b:rw": ("/a", "/b", "rw"),
    "/a:/b:ro": ("/a", "/b", "ro"),
    "/a:/b:readonly": ("/a", "/b", "ro"),
    "/a:/b:z": ("/a", "/b", "rw"),
    "/a:/b:Z,ro": ("/a", "/b", "ro"),
    "/a:/b:ro,rw": ("/a", "/b", "ro"),
    "/a/:/b/": ("/a", "/b", "rw"),
    "//a//b:/./c//d/.": ("/a/b", "/c/d", "rw"),
    "/home/ada l/x y:/mnt/x y": ("/home/ada l/x y", "/mnt/x y", "rw"),
    "/a:/etc/app": ("/a", "/etc/app", "rw"),
    "/a:/run/app": ("/a", "/run/app", "rw"),
    "/a:/safe_data/extra": ("/a", "/safe_data/extra", "rw"),
    "/a:/scratches": ("/a", "/scratches", "rw"),
    "/:/host": ("/", "/host", "rw"),
}

NO_VOLUMES = {
    "": "not SOURCE:TARGET",
    "/a": "not SOURCE:TARGET",
    "/a:": "not SOURCE:TARGET",
    ":": "not SOURCE:TARGET",
    ":/b": "not an absolute path",
    "a:/b": "not an absolute path",
    "./a:/b": "not an absolute path",
    "~/a:/b": "not an absolute path",
    "volume:/b": "named volumes are not offered",
    "/a:b": "not absolute",
    "/a:/b:x": "not SOURCE:TARGET",
    "/a:/b:exec": "not SOURCE:TARGET",
    "/a:/b:O": "not SOURCE:TARGET",
    "/a:/b:U": "not SOURCE:TARGET",
    "/a:/b:ro:rw": "not SOURCE:TARGET",
    "/a:/b:rshared": "not SOURCE:TARGET",
    "/a:/b\r/c": "a carriage return",
    "/a\0:/b": "a NUL",
    "/a/../b:/c": "'..'",
    "/a:/b/../c": "'..'",
    "/a:/": "is taken",
    "/a://": "is taken",
    "/a:/.": "is taken",
    **{f"/a:{path}": "is taken" for path in (*CONTRACT, "/proc", "/sys", "/dev", "/run", "/etc")},
    "/a:/safe_data/": "is taken",
    "/a://safe_data": "is taken",
    "/a:/./safe_outputs": "is taken",
    "/a:/scratch/.": "is taken",
    "/a:/proc/sys": "belongs to the kernel",
    "/a:/sys/fs/cgroup": "belongs to the kernel",
    "/a:/dev/null": "belongs to the kernel",
    "/a://dev//shm": "belongs to the kernel",
    "/a:/./proc/1": "belongs to the kernel",
}

MOUNTS = {
    "type=bind,src=/a,dst=/b": ("/a", "/b", "rw"),
    "src=/a,dst=/b": ("/a", "/b", "rw"),
    "type=bind,source=/a,destination=/b,ro": ("/a", "/b", "ro"),
    "type=bind,source=/a,target=/b,readonly": ("/a", "/b", "ro"),
    "type=bind,src=/a,dst=/b,ro=true": ("/a", "/b", "ro"),
    "type=bind,src=/a,dst=/b,readonly=false": ("/a", "/b", "rw"),
    "dst=/b,src=/a=b c,type=bind": ("/a=b c", "/b", "rw"),
    'type=bind,"src=/a,ro","dst=/b ""c"""': ("/a,ro", '/b "c"', "rw"),
    'type=bind,src=/a"b,dst=/b:c': ('/a"b', "/b:c", "rw"),
}

NO_MOUNTS = [
    "",
    "/a:/b",
    "type=bind",
    "type=bind,src=/a",
    "type=bind,dst=/b",
    "type=bind,src=,dst=/b",
    "type=bind,src=/a,dst=",
    "type=bind,src=a,dst=/b",
    "type=volume,src=/a,dst=/b",
    "type=tmpfs,dst=/b",
    "type=devpts,dst=/dev/pts",
    "type=image,src=x,dst=/b",
    "type=bind,src=/a,dst=/b,ro=maybe",
    "type=bind,src=/a,dst=/b,bind-propagation=shared",
    "type=bind,src=/a,dst=/b,U=true",
    "type=bind,src=/a,dst=/b,idmap",
    "type=bind,src=/a,dst=/b,",
    "type=bind,src=/a,dst=/safe_data",
    "type=bind,src=/a,dst=//proc",
    'type=bind,src=/a,"dst=/b',
    'type=bind,src=/a,"dst=/b"x',
    "TYPE=bind,src=/a,dst=/b",
]


def _parts(mount: Mount) -> tuple[str, ...]:
    return mount.source, mount.target, mount.access


@pytest.mark.parametrize(("text", "parts"), VOLUMES.items())
def test_a_volume_is_read(text: str, parts: tuple[str, ...]) -> None:
    assert _parts(parse_volume(text)) == parts


@pytest.mark.parametrize(("text", "reason"), NO_VOLUMES.items())
def test_what_is_no_volume_or_takes_a_place_that_is_taken_is_refused(
    text: str, reason: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_volume(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("text", "parts"), MOUNTS.items())
def test_a_bind_mount_is_read(text: str, parts: tuple[str, ...]) -> None:
    assert _parts(parse_mount(text)) == parts


@pytest.mark.parametrize("text", NO_MOUNTS)
def test_any_other_mount_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_mount(text)


@pytest.mark.parametrize(
    "parts",
    [
        ("a", "/b", "rw"),
        ("/a", "b", "rw"),
        ("", "/b", "rw"),
        ("/a", "/b", "RO"),
        ("/a", "/b", ""),
        ("/a\r", "/b", "rw"),
        ("/a\0", "/b", "rw"),
        ("/a/..", "/b", "rw"),
    ],
)
def test_a_mount_that_no_engine_could_be_told_cannot_be_made(parts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue):
        Mount(*parts)


def test_a_mount_is_recorded_as_it_is() -> None:
    assert Mount("/a", "/b", "ro").as_dict() == {"source": "/a", "target": "/b", "access": "ro"}


@given(st.text("/.:,=abrow", max_size=20) | st.text(max_size=10), st.booleans())
def test_no_volume_lies_over_a_directory_of_the_contract_or_of_the_kernel(
    text: str, prefixed: bool
) -> None:
    try:
        mount = parse_volume(f"/a:{text}" if prefixed else text)
    except InvalidValue:
        return
    place = "/" + posixpath.normpath(mount.target).lstrip("/")
    assert mount.target == place
    assert not any(f"{taken}/".startswith(place.rstrip("/") + "/") for taken in CONTRACT)
    assert not place.startswith(("/proc", "/sys/", "/dev/"))
