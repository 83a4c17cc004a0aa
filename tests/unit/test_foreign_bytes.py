# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever others wrote is read, or refused with an error of ours: no traceback, and soon.

Each reader gets what it knows with something else in a place, and anything at all. What
registries, image configurations, auth files, squashfs and YAML may hold is fuzzed beside their
other tests.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.apptainer import (
    command as apptainer,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci import command as oci
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.podman import command as podman
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.podman.messages import messages
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import limiting_for
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.mounts import mounts
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.podman_databases import (
    contradictions,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.oci_layout import image_in_layout
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import Records
from ansible_collections.tre.ces.plugins.module_utils.ces.system.rootfs import text_in
from ansible_collections.tre.ces.plugins.module_utils.ces.system.sif import (
    sif_architecture,
    sif_config,
    sif_lacks,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals
from ansible_collections.tre.ces.plugins.module_utils.ces.system.slurm import NoAnswer, Slurm
from ansible_collections.tre.ces.plugins.module_utils.ces.values.bundle import (
    ImageConfig,
    user_in,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.cdi import devices_of, parse_spec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.containers_conf import (
    breaking,
    overriding,
    read_settings,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image_config import check_image
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import (
    RunRecord,
    utc_form,
)

SECONDS = 2.0
"""Of the processor, within which every reader has to be done: the machine may be busy."""
ODD = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "9" * 5000,
        "1e999",
        "\0",
        "\n",
        "\u00b2",
        "\ud800",
        "../..",
        "/",
        "%s",
        "[" * 99,
    ]
)
TEXT = st.text(max_size=40) | ODD
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)


def soon(read: Callable[[], Any]) -> Any:
    """What a reader answers; None where it refuses with an error of ours."""
    begin = time.process_time()
    try:
        return read()
    except CesError as error:
        assert str(error).isprintable()
        return None
    finally:
        assert time.process_time() - begin < SECONDS


def varied(example: Any) -> st.SearchStrategy[Any]:
    """An example with something else in one of its places."""

    def put(value: Any, choice: int, other: Any) -> Any:
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        if not items:
            return other
        key, inner = items[choice % len(items)]
        changed = other
        if isinstance(inner, (dict, list)) and choice // len(items) % 2:
            changed = put(inner, choice // 7, other)
        pairs = {**dict(items), key: changed}
        return pairs if isinstance(value, dict) else [*pairs.values()]

    return st.builds(put, st.just(example), st.integers(0, 9999), JSON) | JSON


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


IMAGE = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-31T12:00:00+01:00",
    "config": {
        "Entrypoint": ["/bin/app"],
        "Cmd": ["a"],
        "Env": ["A=b"],
        "WorkingDir": "/work",
        "User": "app:app",
        "Volumes": {"/data": {}},
        "StopSignal": "SIGINT",
    },
}


@given(varied(IMAGE), TEXT, TEXT)
def test_an_images_configuration(raw: object, passwd: str, group: str) -> None:
    def read() -> None:
        try:
            image = check_image(raw)
        except ValueError:
            return
        config = ImageConfig.from_image(image)
        ImageConfig.from_dict(json.loads(json.dumps(config.as_dict())), "kept")
        user_in(str((image.get("config") or {}).get("User") or ""), passwd, group, config.cwd)
        utc_form(str(image.get("created")))

    soon(read)


@given(varied(IMAGE), varied({"manifests": [{"digest": "sha256:0"}]}), varied({"config": {}}))
def test_an_images_layout(
    place: Path,
    image: object,
    index: object,
    manifest: (
        dict[str, Any]
        | list[dict[str, Any] | list[dict[str, Any] | list[list[str | None] | str | None]]]
        | None
    ),
) -> None:
    layout = place / "layout"
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    if isinstance(manifest, dict):
        manifest["config"] = {"digest": "sha256:1"}
    files = {"index.json": index, "blobs/sha256/0": manifest, "blobs/sha256/1": image}
    for name, value in files.items():
        (layout / name).write_text(json.dumps(value))
    soon(lambda: image_in_layout(str(layout)))


@given(st.binary(max_size=300))
def test_a_file_of_an_image(place: Path, content: bytes) -> None:
    (place / "rootfs/etc").mkdir(parents=True, exist_ok=True)
    (place / "rootfs/etc/passwd").write_bytes(content)
    text = soon(lambda: text_in(str(place / "rootfs"), "etc/passwd"))
    soon(lambda: user_in("app:app", text, text))


RECORD = RunRecord(7, command=["podman"], mounts=[{"source": "/"}], warnings=["x"]).as_dict()


@given(varied(RECORD))
def test_a_record(place: Path, raw: object) -> None:
    records = Records(str(place / "state"))
    (place / "state/runs/7").mkdir(parents=True, exist_ok=True)
    (place / "state/runs/7/run.json").write_text(json.dumps(raw))
    (record,) = soon(lambda: list(records.newest()))
    assert record.run_id == 7
    assert record.runner.isprintable or record.scratch.startswith
    assert json.dumps(record.as_dict())


SQUASHFS = struct.pack("<IIIIIHHHHHHQQQQQQQQ", *[0x73717368, *[1] * 18])
HEAD = b"\0" * 32 + b"SIF_MAGIC\x0001\x0002\0" + b"\0" * 39 + struct.pack("<QQ", 2, 104)


@given(st.integers(0, 900), st.binary(max_size=64), st.integers(0, 2**64 - 1))
def test_an_image_file(place: Path, at: int, content: bytes, number: int) -> None:
    entry = struct.pack("<IB", 0x4004, 1) + b"\0" * 12 + struct.pack("<QQ", number, number)
    entry = entry.ljust(585, b"\1") + b"\5\0\0\0\1" + b"\0" * 12 + struct.pack("<QQ", 200, 900)
    entry = (entry + b"\0" * 40 + b"oci-config.json").ljust(1170, b"\0")
    raw = bytearray(HEAD + entry + SQUASHFS)
    raw[at : at + len(content)] = content
    file = place / "image.sif"
    file.write_bytes(raw)
    for read in (sif_architecture, sif_config, lambda path: sif_lacks(path, ("/a/b",))):
        soon(partial(read, str(file)))


@given(st.integers(0, 8300), st.binary(max_size=200), st.binary(max_size=2000))
def test_podmans_databases(place: Path, at: int, content: bytes, whole: bytes) -> None:
    page = struct.pack("<QHHI", 0, 4, 1, 0) + b"\0" * 4 + b"\x19\xda\x0c\xed"[::-1]
    raw = bytearray((page.ljust(4096, b"\0")) * 3)
    raw[at : at + len(content)] = content
    (place / "graph/libpod").mkdir(parents=True, exist_ok=True)
    (place / "graph/libpod/bolt_state.db").write_bytes(raw)
    (place / "graph/db.sql").write_bytes(b"SQLite format 3\0" + whole)
    soon(lambda: list(contradictions(str(place / "graph"), 1000)))


WORDS = st.sampled_from(
    [
        *(
            "[containers]",
            "volumes",
            "=",
            "[",
            "]",
            '"',
            "'",
            "\\",
            "#",
            "\n",
            "{append=true}",
            "{",
        ),
        *("hooks_dir", "annotations", "userns", ",", '"""', "engine", "}", ".", "\ufeff", " "),
    ]
)


@given(st.lists(WORDS | TEXT, max_size=30).map("".join))
def test_a_containers_conf(text: str) -> None:
    broken = soon(lambda: breaking(read_settings(text, "own")))
    soon(lambda: overriding(broken, read_settings(text, "beside")))
    # what we put against it breaks nothing itself
    assert breaking(read_settings(soon(lambda: overriding(broken)), "ours")) == ()


CDI = {
    "cdiVersion": "0.5.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}],
    "containerEdits": {
        "env": ["A=b"],
        "mounts": [{"hostPath": "/lib", "containerPath": "/lib", "options": ["ro"]}],
        "hooks": [{"hookName": "createContainer", "path": "/bin/x", "args": ["x"]}],
    },
}


@given(varied(CDI))
def test_a_specification_of_devices(raw: object) -> None:
    spec = soon(lambda: parse_spec(raw, "file"))
    if spec is not None:
        soon(lambda: (devices_of(spec), spec.driver))


class Answers:
    """Slurm's programs, which all say one thing."""

    signals: StopSignals | None = None

    def __init__(self, rc: int, out: str, err: str) -> None:
        self._finished = Finished(("slurm",), rc, out, err)

    def run(self, _command: Command, _streams: Streams | None = None) -> Finished:
        return self._finished

    def told_to_stop(self) -> str:
        return ""


ROWS = st.sampled_from(
    ["JobId=1 JobState=", "RUNNING", "|", "\n", "1_3", "1-02:03:04", "4096K", "..K", "batch* ", " "]
)


@given(st.integers(0, 1), st.lists(ROWS | TEXT, max_size=20).map("".join), TEXT)
def test_slurms_answers(rc: int, out: str, err: str) -> None:
    slurm = Slurm(Answers(rc, out, err))
    for ask in (
        lambda: slurm.queue(["1"]),
        lambda: slurm.show("1"),
        lambda: slurm.accounted("1"),
        lambda: slurm.time_left("1"),
        lambda: slurm.longest("batch"),
        lambda: slurm.cancel("1"),
    ):
        soon(ask)
    assert issubclass(NoAnswer, CesError)


SAID = st.sampled_from(
    [
        *('{"msg":"exec container process ', '"}', "\n", "Error: ", "FATAL:   ", "{", "[" * 3000),
        *("time=x level=error msg=", '"', "No such file", "Failed to create user namespace", " "),
    ]
)


@given(st.sampled_from([0, 1, 125, 126, 127, 255]), st.lists(SAID | TEXT, max_size=12).map("".join))
def test_an_engines_last_words(rc: int, said: str) -> None:
    for engine in (podman, apptainer, oci):
        soon(partial(engine.complaint, rc, said, said))
        soon(partial(engine.hint, said))
    soon(lambda: messages(said))


LINE = "36 35 98:0 /mnt1 {} rw,noatime master:1 - {} /dev/root rw,errors=continue\n"


@given(
    st.lists(
        st.tuples(
            st.text("a\u00e9/.-\r\v\x1c\x85\u00a0\u2028").map("/{}".format),
            st.sampled_from(["ext4", "fuse.x"]),
        )
    )
)
def test_the_kernels_table_of_mounts(place: Path, entries: list[tuple[str, ...]]) -> None:
    """The kernel writes spaces, tabs, line feeds and backslashes as numbers, and nothing else."""
    file = place / "mountinfo"
    file.write_text("".join(LINE.format(point, kind) for point, kind in entries), "utf-8")
    assert [there.point for there in soon(lambda: list(mounts(str(file))))] == [
        point for point, _kind in entries
    ]


@given(st.binary(max_size=80), TEXT, TEXT)
def test_files_of_cgroups(place: Path, content: bytes, job: str, end: str) -> None:
    directory = place / "cgroup"
    directory.mkdir(exist_ok=True)
    for name in ("memory.max", "cpuset.cpus", "memory.events", "cgroup.controllers"):
        (directory / name).write_bytes(content)
    environ = {"SLURM_JOB_ID": job, "SLURMD_NODENAME": "n", "SLURM_JOB_END_TIME": end}
    soon(lambda: allocation.Allocation.of(environ, str(place)))
    soon(lambda: limiting_for(os.geteuid() or 1, str(directory)))
