# SPDX-License-Identifier: GPL-3.0-or-later
"""What do an image's files mean for a run? A table of its own: most checks look into no image.

As in image.py; cures are taken from the engine's own table, by its message.
"""

from __future__ import annotations

from ..engines.command import FREE_SPACE
from ..engines.ways import RANGE
from ..typed import Iterator
from ..values.finding import Finding
from ..values.inside import (
    BLOCKED,
    DANGLING,
    DIRECTORY,
    FILE,
    NOTHING,
    SCRIPT,
    UNKNOWN,
    UNSEEN,
    Inside,
    Program,
)
from ..values.mounts import CONTRACT
from ..values.platform import is_run_by
from ..values.quantities import spell_bytes
from . import cuda
from .facts import MAKER, Engine, Host, Image, Opened
from .look import Look, Told, findings_of

_ENTRY = f"{MAKER}, or name another program (--entrypoint in an option file)"
_START = f"name another directory (--workdir or --cwd in an option file), or {MAKER}"
_IS = {
    NOTHING: "is not among its files",
    DANGLING: "is a link that leads nowhere",
    BLOCKED: "is below what is no directory",
    DIRECTORY: "is a directory",
    FILE: "is a file",
}
_NO_LIBRARY = "missing dynamic library"
"""What an engine says where a program's loader or a script's interpreter is missing."""
_KERNELS_OWN = ("/proc/", "/sys/", "/dev/")


def file_findings(image: Image, host: Host, engine: Engine) -> tuple[Finding, ...]:
    """What all checks find in an image's files for one engine."""
    if engine.opened is None or engine.refusal is not None:
        return ()
    rows = ROWS if engine.opened.inside is not None else ROWS[:1]
    return tuple(findings_of(rows, image, host, engine))


def look_at_pull(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its files are here to be looked at, and what became of them."""
    opened, own = _opened(engine), _opened(engine).by == engine.name
    if own and opened.refusal is not None:
        yield Told("fault", opened.refusal.said, opened.refusal.hint or MAKER)
        return
    if own and opened.pulled:
        yield Told(
            "note",
            f"{engine.name} has pulled it: it stays in {opened.place}, and a run finds it there",
            f"ces-rm {engine.name} {image.name} removes it",
        )
    if opened.unseen:
        yield Told("note", f"its files were not looked at: {opened.unseen}")
    elif opened.would:
        yield Told("note", f"{opened.by} would pull it, and then its files are looked at")
    elif opened.inside is not None and opened.inside.partly:
        yield Told("note", "it has too many files: not all of them were looked at")
    elif not own and engine.here is None:
        yield Told("ok", f"its files were looked at where {opened.by} keeps them")


def look_at_executable(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether what a run starts is there, and can be executed."""
    inside = _inside(engine)
    program, hint = inside.program, engine.runner.hint
    if program is None or _is_covered(program.path):
        return
    what = f"its program {program.word!r:.80}"
    if program.kind == UNSEEN:
        yield Told("note", f"{what} lies where only another user of the image may look")
    elif program.path == "PATH":
        yield Told("fault", f"{what} is in no directory of its PATH", _ENTRY)
    elif program.kind != FILE:
        cure = hint("not a regular file") if program.kind == DIRECTORY else _ENTRY
        yield Told("fault", f"{what} {_IS.get(program.kind, 'is no file')}", cure or _ENTRY)
    elif not program.executable:
        yield Told("fault", f"{what} may be executed by nobody", hint("not executable"))
    elif program.form == UNKNOWN and not (engine.ways.by_shell and inside.shell.kind == FILE):
        yield Told(
            "fault",
            f"{what} is neither a program nor a script with a first line like #!/bin/sh",
            hint("exec format error"),
        )
    elif program.form == UNSEEN:
        yield Told("note", f"{what} can be read by its owner alone: it was not looked into")


def look_at_processor(_image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its programs are for this host's processor."""
    inside = _inside(engine)
    here = host.architecture
    told: set[str] = set()
    for level, program in _programs(inside):
        # what a program for another processor needs is for that one, too
        foreign = (o for o in program.chain if o.processor and not is_run_by(o.processor, here))
        one = next(foreign, None)
        if one is not None and one.path not in told:
            told.add(one.path)
            yield Told(
                level,
                f"{one.path!r:.80} is for {one.processor}, and this host is {here}",
                f"ask for a variant of the image for linux/{here}",
            )


def look_at_interpreter(_image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether what its programs need to be started is there: loaders, scripts' interpreters."""
    inside = _inside(engine)
    told: set[str] = set()
    for level, program in _programs(inside):
        for one in program.chain:
            needed = one.next
            if needed is None or needed.kind == UNSEEN or needed.word in told:
                continue
            if needed.kind != FILE or not needed.executable:
                told.add(needed.word)
                yield Told(level, _lacking(one, needed), engine.runner.hint(_NO_LIBRARY))


def _lacking(one: Program, needed: Program) -> str:
    kind = "script" if one.form == SCRIPT else "program"
    asks = "names the interpreter" if one.form == SCRIPT else "needs"
    there = "is in no directory of its PATH" if needed.path == "PATH" else _IS.get(needed.kind, "")
    if needed.kind == FILE:
        there = "may be executed by nobody"
    return f"its {kind} {one.path!r:.80} {asks} {needed.word!r:.80}, which {there or 'is no file'}"


def look_at_shell(_image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether it has a shell."""
    inside = _inside(engine)
    shell, program = inside.shell, inside.program
    used = program is not None and any(one.path == shell.path for one in program.chain)
    if used or shell.kind == UNSEEN:
        return
    if shell.kind != FILE or not shell.executable:
        yield Told(
            "note",
            f"it has no shell ({shell.path} {_IS.get(shell.kind, 'is no file')}): lines of shell,"
            " and scripts, cannot be run in it",
        )


def look_at_places(_image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether directories can be mounted where a run has them."""
    hint = engine.runner.hint
    for path, kind in _inside(engine).places.items():
        if kind in engine.ways.no_mount_on:
            cure = hint("crun: creating `/") if kind == DANGLING else hint("`: not a directory")
            yield Told(
                "fault",
                f"its {path} {_IS.get(kind, 'is no directory')}, and a run mounts a directory"
                " there",
                cure or MAKER,
            )
        elif kind not in (NOTHING, DIRECTORY, UNSEEN):
            yield Told(
                "note",
                f"its {path} {_IS.get(kind, 'is no directory')}: your directory is in its place",
            )


def look_at_start(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the directory in which it starts is there."""
    cwd, kind = image.config.cwd, _inside(engine).start
    if _is_covered(cwd) or f"{cwd}/".startswith(_KERNELS_OWN):
        return
    if kind in engine.ways.no_start_in:
        there = _IS.get(kind, "is no directory")
        yield Told("fault", f"its WORKDIR {cwd!r:.80} {there}", _START)
    elif kind not in (DIRECTORY, UNSEEN):
        yield Told("note", f"its WORKDIR {cwd!r:.80} is not among its files: a run makes it")


def look_at_owners(_image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether a container can have the owners of its files."""
    strangers = _inside(engine).strangers
    if _opened(engine).by != engine.name:
        if engine.ways.user == RANGE and engine.here is None:
            yield Told(
                "note",
                f"only a pull by {engine.name} shows whether your ids include its files' owners",
            )
        return
    if strangers is None or not strangers.count:
        return
    yield Told(
        "warning",
        f"{strangers.count} of its files belong to ids that are not among yours, the first is"
        f" {strangers.path!r:.80} of {strangers.uid}:{strangers.gid}: in a container they are"
        " nobody's",
        "if your subordinate ids were changed, pull it again (ces-pull --force); else use the"
        " runner oci or apptainer, to which all files are yours",
        "subid",
    )


def look_at_unpacked(_image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether there is room beside it, where the engine keeps it."""
    opened = _opened(engine)
    if opened.by != engine.name:
        return
    full = [one for one in engine.spaces if one.usual and one.free < opened.size]
    for space in full[:1]:
        yield Told(
            "warning",
            f"it takes {spell_bytes(opened.size)}, and {space.path} has {spell_bytes(space.free)}"
            " free: a new version of it would not fit beside it",
            f"{FREE_SPACE}; or the administrator gives these directories more",
            "container_storage",
        )


def look_at_cuda(_image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the host's driver does for the CUDA that is in it."""
    inside = _inside(engine)
    version = cuda.newest(inside.cuda)
    if not version:
        return
    oldest = cuda.oldest_driver(version)
    if not host.driver:
        yield Told(
            "note",
            f"it has CUDA {version}, and this host has no NVIDIA driver: its programs find no GPU"
            " here",
        )
    elif oldest and not inside.forward and cuda.numbers(host.driver) < cuda.numbers(oldest):
        yield Told(
            "warning",
            f"it has CUDA {version}, which needs NVIDIA's driver {oldest} or newer, and this host"
            f" has {host.driver}: its programs cannot use a GPU here",
            "ask for a variant of the image for an older CUDA, or the administrator installs a"
            " newer driver",
            "gpu",
        )


def _opened(engine: Engine) -> Opened:
    return engine.opened or Opened(engine.name)


def _inside(engine: Engine) -> Inside:
    """What was seen; rows that ask are for engines of which something was."""
    found = _opened(engine).inside
    if found is None:
        raise ValueError(f"nothing was seen for {engine.name}")
    return found


def _programs(inside: Inside) -> Iterator[tuple[str, Program]]:
    """What may be executed, and how grave it is if it cannot be."""
    if inside.program is not None and not _is_covered(inside.program.path):
        yield "fault", inside.program
    for program in (inside.command, inside.shell):
        if program is not None and program.kind == FILE and program.executable:
            yield "warning", program


def _is_covered(path: str) -> bool:
    """Whether a directory of the user's is mounted there, or above."""
    return any(f"{path}/".startswith(f"{place}/") for place in CONTRACT)


ROWS = (
    Look("pull", "its files are here: nothing was fetched", look_at_pull),
    Look("executable", "its program is there and can be executed", look_at_executable),
    Look("processor", "its programs are for this host's processor", look_at_processor),
    Look("interpreter", "what its programs need to be started is there", look_at_interpreter),
    Look("shell", "it has a shell", look_at_shell),
    Look("places", "directories can be mounted where a run has them", look_at_places),
    Look("start", "the directory in which it starts is there", look_at_start),
    Look("owners", "a container can have the owners of its files", look_at_owners),
    Look("unpacked", "there is room for a new version beside it", look_at_unpacked),
    Look("cuda", "this host's driver does for its CUDA, if it has any", look_at_cuda),
)
"""In the order in which causes come before their effects. A new check is a new row."""
