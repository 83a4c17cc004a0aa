# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a directory hold exactly what an archive holds, byte-compiled, and link to it.

Runs on the back-end: ``python3 install_tree.py compare|install DIRECTORY PREFIX NAME...`` with the
archive (tar in base64) on standard input. NAMEs are the links to DIRECTORY/launcher in PREFIX/bin;
each file below DIRECTORY/share gets a link at its place below PREFIX/share. Prints, as a JSON list,
what differs from the archive (compare), or what was brought in line with it (install). Each file is
replaced in one step, so that a command that starts meanwhile finds whole files.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import py_compile
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

Change = tuple[str, Callable[[], None]]
"""What differs, and how to mend it."""


def wanted(archive: bytes) -> dict[str, tuple[bytes, int]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        streams = ((member, tar.extractfile(member)) for member in tar.getmembers())
        return {member.name: (stream.read(), member.mode) for member, stream in streams if stream}


def same(file: Path, content: bytes, mode: int) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    status = file.stat()
    right = (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, mode)
    return right and file.read_bytes() == content


def write(file: Path, content: bytes, mode: int) -> None:
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.chown(temporary, 0, 0)
    os.chmod(temporary, mode)
    os.replace(temporary, file)


def compiled(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def is_compiled(source: Path) -> bool:
    """Whether this Python's byte code is there and made from this source (see PEP 552)."""
    try:
        header = compiled(source).read_bytes()[:16]
        status = source.stat()
    except OSError:
        return False
    times = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    recorded = (int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little"))
    return header[:4] == importlib.util.MAGIC_NUMBER and recorded == times


def compile_file(source: Path) -> None:
    py_compile.compile(str(source), doraise=True)


def stale(directory: Path, names: set[str]) -> Iterator[Path]:
    """Files of earlier versions, and byte code whose source is gone or that another Python made."""
    kept = {directory / name for name in names}
    kept |= {compiled(file) for file in kept if file.suffix == ".py"}
    for path in sorted(directory.rglob("*")):
        if path not in kept and (path.is_symlink() or not path.is_dir()):
            yield path


def remove(file: Path) -> None:
    file.unlink()
    for parent in file.parents:
        if any(parent.iterdir()):
            break
        parent.rmdir()


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    temporary = path.with_name(f".new-{path.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)


def changes(directory: Path, archive: bytes, prefix: Path, names: list[str]) -> Iterator[Change]:
    """Everything that is not as the archive has it, in the order in which it is mended."""
    links = {prefix / "bin" / name: directory / "launcher" for name in names}
    shared = [name for name in wanted(archive) if name.startswith("share/")]
    links |= {prefix / name: directory / name for name in shared}
    completion = Path("share/bash-completion/completions")
    # bash looks for a command's completion by the command's name
    links |= {prefix / completion / name: directory / completion / "ces" for name in names}
    yield from tree_changes(directory, archive)
    yield from link_changes(directory, links)


def tree_changes(directory: Path, archive: bytes) -> Iterator[Change]:
    tree = wanted(archive)
    for name, (content, mode) in tree.items():
        file = directory / name
        if not same(file, content, mode):
            yield str(file), partial(write, file, content, mode)
    for name in tree:
        source = directory / name
        if source.suffix == ".py" and not is_compiled(source):
            yield f"{source} (byte code)", partial(compile_file, source)
    for path in stale(directory, set(tree)):
        yield f"{path} (stale)", partial(remove, path)


def link_changes(directory: Path, links: dict[Path, Path]) -> Iterator[Change]:
    ours = {
        path: Path(os.readlink(path))
        for parent in sorted({path.parent for path in links})
        if parent.is_dir()
        for path in parent.iterdir()
        if path.is_symlink() and Path(os.readlink(path)).is_relative_to(directory)
    }
    for path, target in links.items():
        if ours.get(path) != target:
            yield str(path), partial(link, path, target)
    for path in sorted(set(ours).difference(links)):
        yield f"{path} (stale)", path.unlink


def main(action: str, directory: Path, prefix: Path, names: list[str]) -> None:
    os.umask(0o022)
    found = []
    for what, mend in changes(directory, base64.b64decode(sys.stdin.read()), prefix, names):
        found.append(what)
        if action == "install":
            mend()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
