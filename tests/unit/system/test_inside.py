# SPDX-License-Identifier: GPL-3.0-or-later
"""A look into an image's files: its programs and what they need, places, owners, CUDA."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system import inside as module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.inside import look_inside
from ansible_collections.tre.ces.plugins.module_utils.ces.system.layers import layers
from ansible_collections.tre.ces.plugins.module_utils.ces.values.bundle import ImageConfig
from ansible_collections.tre.ces.plugins.module_utils.ces.values.inside import (
    DANGLING,
    DIRECTORY,
    ELF,
    FILE,
    NOTHING,
    SCRIPT,
    UNKNOWN,
    UNSEEN,
    Inside,
    Program,
    Strangers,
)

Owned = Callable[[int, int], bool]


def elf(loader: str = "", machine: int = 62) -> bytes:
    """A program, with the head of its list of parts behind it."""
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, int(bool(loader)), 0, 0, 0
    )
    size = len(loader) + 1
    part = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, size, size, 1) + loader.encode() + b"\0"
    return head + (part if loader else b"")


class Place:
    """An image in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, content: bytes | str = b"", mode: int = 0o755) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def look(self, *words: str, owned: Owned | None = None, **config: Any) -> Inside:
        said = {"Entrypoint": list(words), **config}
        with layers([str(self.root)]) as tree:
            return look_inside(tree, ImageConfig.from_image({"config": said}), words, owned)

    def program(self, *words: str, **config: Any) -> Program:
        found = self.look(*words, **config).program
        assert found is not None
        return found


@pytest.fixture
def image(tmp_path: Path) -> Place:
    """An image with a shell and a program with a loader."""
    place = Place(tmp_path / "image")
    place.put("/lib/ld.so", elf())
    place.put("/bin/busybox", elf("/lib/ld.so"))
    place.link("/bin/sh", "busybox")
    place.link("/usr/bin", "../bin")
    return place


def chain(program: Program) -> list[tuple[str, str, str]]:
    return [(one.word, one.kind, one.form) for one in program.chain]


@pytest.mark.parametrize("word", ["sh", "/bin/sh", "/usr/bin/sh", "./bin/sh", "bin/../bin/sh"])
def test_a_program_is_found_as_linux_finds_it(image: Place, word: str) -> None:
    program = image.program(word)
    assert (program.kind, program.executable, program.processor) == (FILE, True, "amd64")
    assert chain(program) == [(word, FILE, ELF), ("/lib/ld.so", FILE, ELF)]


def test_a_program_is_looked_for_in_the_images_path(image: Place) -> None:
    image.put("/opt/a/tool", "x", 0o644)
    image.put("/opt/b/tool", elf())
    path = {"Env": ["PATH=/none:/opt/a:opt/b:"]}
    assert image.program("tool", **path).path == "/opt/b/tool"
    assert image.program("tool").path == "PATH"
    # what nobody may execute is told if there is nothing else
    only = image.program("tool", Env=["PATH=/opt/a"])
    assert (only.path, only.kind, only.executable) == ("/opt/a/tool", FILE, False)
    assert image.program("./tool", WorkingDir="/opt/b").kind == FILE


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("#!/bin/sh\n", ["/bin/sh", "/lib/ld.so"]),
        ("#! \t/bin/sh -e -u\n", ["/bin/sh", "/lib/ld.so"]),
        ("#!/bin/sh", ["/bin/sh", "/lib/ld.so"]),
        ("#!/bin/sh\r\n", ["/bin/sh\r"]),
        ("#!/bin/none\n", ["/bin/none"]),
        ("#!bin/sh\n", ["bin/sh", "/lib/ld.so"]),
        ("#!/bin/env sh\n", ["/bin/env", "sh", "/lib/ld.so"]),
        ("#!/bin/env -S sh -e\n", ["/bin/env", "sh", "/lib/ld.so"]),
        ("#!/bin/env sh -e\n", ["/bin/env", "sh -e"]),
        ("#!/bin/env -i sh\n", ["/bin/env", "/lib/ld.so"]),
        ("#!/bin/env A=1 sh\n", ["/bin/env", "/lib/ld.so"]),
        ("#!/begin\n", ["/begin"] * 6),
    ],
)
def test_a_script_is_executed_by_what_its_first_line_names(
    image: Place, text: str, asked: list[str]
) -> None:
    image.link("/bin/env", "busybox")
    image.put("/begin", text)
    program = image.program("/begin")
    assert program.form == SCRIPT
    assert [one.word for one in program.chain][1:] == asked


@pytest.mark.parametrize(
    "text", ["", "echo\n", "#!\n", "#! \n", "\x7fEL", "\xef\xbb\xbf#!/bin/sh\n"]
)
def test_what_is_neither_program_nor_script_is_told(image: Place, text: str) -> None:
    image.put("/begin", text.encode("latin-1"))
    assert (image.program("/begin").form, image.program("/begin").next) == (UNKNOWN, None)


def test_a_program_whose_loader_is_itself_ends(image: Place) -> None:
    image.put("/begin", elf("/begin"))
    assert len(list(image.program("/begin").chain)) < 10


def test_scripts_that_ask_for_each_other_by_path_end_soon(image: Place) -> None:
    image.link("/bin/env", "busybox")
    directories = [f"/p{number}" for number in range(100)]
    for directory in directories:
        image.put(f"{directory}/a", "#!/bin/env a\n", 0o755)
    program = image.program("a", Env=[f"PATH={':'.join(directories)}"])
    assert len(list(program.chain)) < 20


def test_a_damaged_program_is_for_its_processor_all_the_same(image: Place) -> None:
    image.put("/begin", elf("/lib/ld.so", machine=183)[:60])
    program = image.program("/begin")
    assert (program.form, program.processor, program.next) == (ELF, "arm64", None)


def test_the_word_behind_an_entry_point_may_be_a_program(image: Place) -> None:
    image.put("/bin/psql", elf(machine=183))
    with layers([str(image.root)]) as tree:
        config = ImageConfig(entrypoint=("/bin/sh",), cmd=("/bin/psql", "x"))
        found = look_inside(tree, config, ("/bin/sh", "/bin/psql", "x"))
        assert found.command is not None and found.command.processor == "arm64"
        assert look_inside(tree, config, ()).program is None


def test_places_and_the_working_directory_are_what_they_lead_to(image: Place) -> None:
    image.put("/scratch", "x")
    image.link("/safe_data", "/none")
    (image.root / "work").mkdir()
    found = image.look("/bin/sh", WorkingDir="/work")
    assert found.places == {"/safe_data": DANGLING, "/safe_outputs": NOTHING, "/scratch": FILE}
    assert found.start == DIRECTORY
    assert image.look("/bin/sh", WorkingDir="/none").start == NOTHING


def test_files_of_others_are_counted_and_the_first_is_named(image: Place) -> None:
    assert image.look("/bin/sh").strangers is None
    assert image.look("/bin/sh", owned=lambda _uid, _gid: True).strangers == Strangers()
    own = (os.geteuid(), (image.root / "bin").stat().st_gid)
    found = image.look("/bin/sh", owned=lambda _uid, _gid: False)
    assert found.strangers is not None
    assert (found.strangers.count, found.strangers.path.count("/")) == (7, 1)
    assert (found.strangers.uid, found.strangers.gid) == own


def test_cuda_is_known_by_its_libraries(image: Place) -> None:
    image.put("/usr/local/cuda-12.4/lib64/libcudart.so.12.4.127")
    image.link("/usr/local/cuda-12.4/lib64/libcudart.so.12", "libcudart.so.12.4.127")
    image.put("/opt/torch/libcudart-d0da41ae.so.11.0")
    image.put("/opt/libcudart.so.9x")
    image.put("/opt/notlibcudart.so.8")
    found = image.look("/bin/sh")
    assert (set(found.cuda), found.forward) == ({"12.4.127", "12", "11.0"}, False)
    image.put("/usr/local/cuda/compat/libcuda.so.550.54.15")
    assert image.look("/bin/sh").forward


def test_what_takes_too_long_is_left_alone(image: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", -1.0)
    found = image.look("/bin/sh")
    assert found.partly and found.program is not None and found.program.form == ELF


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_only_others_may_read_is_unseen(image: Place) -> None:
    image.put("/begin", "#!/bin/sh\n", 0o111)
    program = image.program("/begin")
    assert (program.kind, program.executable, program.form) == (FILE, True, UNSEEN)
