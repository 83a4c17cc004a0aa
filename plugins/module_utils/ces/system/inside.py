# SPDX-License-Identifier: GPL-3.0-or-later
"""A look into an image's files: will its program be executed, and what is in the way of a run?"""

from __future__ import annotations

import re
import time

from ..dataclass import replace
from ..typed import Callable, Sequence
from ..values.bundle import ImageConfig
from ..values.containers_conf import PATH
from ..values.elf import HEAD, Elf
from ..values.inside import (
    DANGLING,
    ELF,
    FILE,
    LINK,
    NOTHING,
    SCRIPT,
    UNKNOWN,
    UNSEEN,
    Inside,
    Program,
    Strangers,
)
from ..values.mounts import CONTRACT
from .tree import Entry, Tree, Unseen, everything, find

SHELL = "/bin/sh"
_PATIENCE = 10.0
"""Seconds for all files together; the programs are looked at before."""
_SEARCHED_MAX = 100
"""Directories of a PATH; people have a dozen."""
_LINE = 256
"""Bytes of a script's first line that Linux reads (BINPRM_BUF_SIZE)."""
_CHAIN_MAX = 5
"""Scripts whose interpreters are scripts: Linux follows four."""
_NAME_MAX = 4096
"""Bytes of a loader's name (PATH_MAX)."""
_CUDA = re.compile(r"libcudart(?:-[0-9a-f]+)?\.so\.([0-9]+(?:\.[0-9]+)*)")
_CUDA_MAX = 20
_FORWARD = re.compile(r".*/compat/libcuda\.so\.[0-9.]+")

Owned = Callable[[int, int], bool]
"""Whether a container can have files of this user and this group, by their numbers on the host."""


def look_inside(
    tree: Tree, config: ImageConfig, words: Sequence[str], owned: Owned | None = None
) -> Inside:
    """Look at what a run needs of an image's files, then at all of them for a while.

    :param words: what a run without arguments starts; none where the image does not say.
    :param owned: None for an engine to which all files are the user's.
    """
    look = _Look(tree, config)
    behind = words[len(config.entrypoint) :] if any(config.entrypoint) else ()
    found = Inside(
        program=look.program(words[0]) if words and words[0] else None,
        command=look.program(behind[0]) if behind and behind[0] else None,
        shell=look.program(SHELL),
        places={path: find(tree, path).kind for path in CONTRACT},
        start=find(tree, config.cwd).kind,
    )
    return _with_all_files(found, tree, owned if tree.owned else None)


class _Look:
    """At the programs of an image."""

    def __init__(self, tree: Tree, config: ImageConfig) -> None:
        self._tree, self._cwd = tree, config.cwd
        self._path = config.variables.get("PATH") or PATH

    def program(self, word: str, depth: int = 0) -> Program:
        """A program that is named as a shell names it, and what is executed in its place."""
        if "/" in word:
            return self._whole(*self._place(word, word), depth)
        hidden: tuple[Program, Entry | None] = (Program(word, "PATH", NOTHING), None)
        for directory in self._path.split(":")[:_SEARCHED_MAX]:
            found = self._place(word, f"{directory or '.'}/{word}")
            program = found[0]
            if program.kind == UNSEEN or (program.kind == FILE and program.executable):
                return self._whole(*found, depth)
            if hidden[0].kind == NOTHING and program.kind in (FILE, DANGLING):
                hidden = found
        return self._whole(*hidden, depth)

    def _place(self, word: str, path: str) -> tuple[Program, Entry | None]:
        """What is at a path, which is not read yet: of a PATH one alone is."""
        path = path if path.startswith("/") else f"{self._cwd.rstrip('/')}/{path}"
        found = find(self._tree, path)
        program = Program(word, path, found.kind)
        if found.kind != FILE or found.entry is None:
            return program, None
        try:
            return replace(program, executable=self._tree.executable(found.entry)), found.entry
        except Unseen:
            return program, None

    def _whole(self, program: Program, file: Entry | None, depth: int) -> Program:
        if file is None or depth > _CHAIN_MAX:
            return program
        try:
            return self._read(program, file, depth)
        except Unseen:
            return program

    def _read(self, program: Program, file: Entry, depth: int) -> Program:
        """A program whose head was read, with what is executed in its place.

        :raises Unseen: it cannot be read.
        """
        head = self._tree.read(file, 0, _LINE)
        elf = Elf.parse(head[:HEAD])
        if elf is not None:
            loader = self._loader(elf, file)
            below = self._whole(*self._place(loader, loader), depth + 1) if loader else None
            return replace(program, form=ELF, processor=elf.processor, next=below)
        named = _first_line(head)
        if not named:
            return replace(program, form=UNKNOWN)
        return replace(program, form=SCRIPT, next=self._interpreter(named, depth + 1))

    def _interpreter(self, named: Sequence[str], depth: int) -> Program:
        """What a script's first line names; ``env`` looks its word up in PATH."""
        found, file = self._place(named[0], named[0])
        asked = _asked_of_env(named)
        if file is not None and asked and depth <= _CHAIN_MAX:
            return replace(found, form=ELF, next=self.program(asked, depth + 1))
        return self._whole(found, file, depth)

    def _loader(self, elf: Elf, file: Entry) -> str:
        """The loader that it names; nothing where it names none, or that cannot be read."""
        try:
            place = elf.loader(self._tree.read(file, elf.table, elf.count * elf.entry))
            name = self._tree.read(file, place[0], min(place[1], _NAME_MAX)) if place else b""
        except Unseen:
            return ""
        return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _first_line(head: bytes) -> list[str]:
    """The words of a script's first line: the interpreter, and all behind it as one word.

    Nothing where Linux takes it for no script.
    """
    if not head.startswith(b"#!"):
        return []
    line = head[2:].partition(b"\n")[0].partition(b"\0")[0].strip(b" \t")
    name, *rest = re.split(rb"[ \t]+", line, maxsplit=1)
    words = [name, *rest] if name else []
    return [word.decode("utf-8", "surrogateescape") for word in words]


def _asked_of_env(named: Sequence[str]) -> str:
    """The program that a line like ``#!/usr/bin/env python3`` asks for; empty for another line."""
    if not named[0].endswith("/env") or len(named) < 2:
        return ""
    words = named[1].split()
    split = words[:1] in (["-S"], ["--split-string"])
    # without -S all of it is one word, and options that are not known may mean anything
    word = (words[1:2] or [""])[0] if split else named[1]
    return "" if word.startswith("-") or "=" in word else word


def _with_all_files(found: Inside, tree: Tree, owned: Owned | None) -> Inside:
    """The same with what is known only when all files were looked at."""
    end = time.monotonic() + _PATIENCE
    strange, count = Strangers(), 0
    versions: set[str] = set()
    forward = partly = False
    try:
        for path, entry in everything(tree):
            if time.monotonic() > end:
                raise Unseen("it takes too long")
            if owned is not None and not owned(entry.uid, entry.gid):
                count += 1
                strange = strange if strange.count else Strangers(1, path, entry.uid, entry.gid)
            if ".so." in path and entry.kind in (FILE, LINK):
                version = _CUDA.fullmatch(path.rpartition("/")[2])
                if version and len(versions) < _CUDA_MAX:
                    versions.add(version[1])
                forward = forward or _FORWARD.fullmatch(path) is not None
    except Unseen:
        partly = True
    strangers = None if owned is None else replace(strange, count=count)
    return replace(
        found,
        strangers=strangers,
        cuda=tuple(sorted(versions)),
        forward=forward,
        partly=partly,
    )
