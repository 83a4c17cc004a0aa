#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Make a directory hold exactly what an archive holds
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Installs many files in one task. A file that is as the archive has it is left alone, another is
    replaced in one step, and one that the archive does not have is removed.
  - Files and directories belong to root.
  - With O(keep_days) a program that runs from the directory goes on with the files that it began
    with.
extends_documentation_fragment:
  - tre.ces.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Names the paths that change, not what is in them.
options:
  path:
    description: The directory. Must be absolute.
    type: path
    required: true
  archive:
    description: A tar archive in base64. Owners in it do not count, modes of files do.
    type: str
    required: true
  exact:
    description:
      - Directories below O(path), relative to it, that hold nothing but the files of the archive.
        V(.) is O(path) itself.
    type: list
    elements: str
    default: [.]
  absent:
    description: Directories below O(path), relative to it, that are removed.
    type: list
    elements: str
    default: []
  groups:
    description:
      - For directories of the archive, relative to O(path), the group whose members alone may enter
        them (mode C(0750)). All others have mode C(0755).
    type: dict
    default: {}
  links:
    description:
      - Symbolic links to make, from the link's path to what it leads to, relative to O(path).
      - Other links in the same directories that lead into O(path) are removed.
    type: dict
    default: {}
  links_below:
    description:
      - For directories of the archive, relative to O(path), another directory in which each file of
        theirs gets a symbolic link, at the same place.
    type: dict
    default: {}
  keep_days:
    description:
      - Days for which an earlier content of the directory stays, for programs that still run from
        it.
      - With it O(path) is a symbolic link to a directory below V(PATH.d) that is named for its
        content, and a new content takes the place of another in one step. A directory that was
        there before goes below V(PATH.d), too.
      - V(0) keeps nothing, and changes files where they are.
    type: int
    default: 0
  apply:
    description:
      - Program and arguments that have the system take up the directory. It runs unless it is known
        to have succeeded with this content before, so that the next run makes up for one that was
        interrupted. A program that is named by a path and is not there has nothing to do.
    type: list
    elements: str
    default: []
  byte_code:
    description:
      - Whether Python sources are compiled for the Python that runs this module, where their byte
        code is missing or older (PEP 552).
    type: bool
    default: false
  kept:
    description:
      - Directory of the list of what roles wrote, by which M(tre.ces.restore_files) takes it back.
        Must be absolute.
    type: path
    default: /var/lib/tre-ces/replaced
seealso:
  - module: tre.ces.file_set
  - module: tre.ces.restore_files
"""

EXAMPLES = r"""
- name: Install the commands
  tre.ces.file_tree:
    path: /usr/local/lib/example
    archive: "{{ lookup('ansible.builtin.pipe', 'tar -cC files . | base64 --wrap=0') }}"
    links: {/usr/local/bin/example: launcher}
    keep_days: 30
"""

RETURN = r"""
changed_paths:
  description: What was brought in line, or would be.
  returned: success
  type: list
  elements: str
  sample: [/usr/local/lib/example/launcher, /usr/local/lib/example/old (stale)]
applied:
  description: Whether O(apply) ran, or would.
  returned: success
  type: bool
"""

import base64
import binascii
import grp
import hashlib
import io
import os
import py_compile
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.apply_files import Applying, apply_files
from ..module_utils.byte_code import compile_file, compiled, is_compiled
from ..module_utils.ces.errors import CesError
from ..module_utils.ces.system.host.applied_files import AppliedFiles
from ..module_utils.ces.system.host.kept_files import KeptFiles
from ..module_utils.ces.system.host.noted import alone_with

Change = tuple[str, Callable[[], None]]
"""What differs, and how to mend it."""
Tree = dict[str, tuple[bytes, int]]
"""Content and mode of each file, by its name below the directory."""


def wanted(archive: str) -> Tree:
    """The files of the archive."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as tar:
        streams = ((member, tar.extractfile(member)) for member in tar.getmembers())
        return {member.name: (stream.read(), member.mode) for member, stream in streams if stream}


def changes(tree: Tree, asked: dict[str, Any]) -> Iterator[Change]:
    """All that is not as it should be, in the order in which it is mended."""
    root = Path(asked["path"])
    place = place_of(root, tree, asked["keep_days"])
    now = Path(os.path.realpath(root))
    if place in (root, now):
        yield from file_changes(place, root, tree, asked)
    else:
        # what differs is named, and the other directory has it as it should be
        for what, _mend in [*file_changes(now, root, tree, asked)]:
            yield what, nothing
        yield f"{root} (link)", partial(exchange, root, place, tree, asked)
    yield from outlived(root, {place, now}, asked["keep_days"])
    yield from link_changes(root, links(root, list(tree), asked))


def nothing() -> None:
    """What is mended by another change."""


def place_of(root: Path, tree: Tree, keep_days: int) -> Path:
    """Where the files are to be: in a directory that is named for them if earlier ones are kept."""
    if not keep_days:
        return root
    return versions_of(Path(os.path.realpath(root.parent), root.name)) / digest_of(tree)[:16]


def digest_of(tree: Tree) -> str:
    return hashlib.sha256(repr(sorted(tree.items())).encode()).hexdigest()


def versions_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.d")


def file_changes(place: Path, shown: Path, tree: Tree, asked: dict[str, Any]) -> Iterator[Change]:
    """What differs in a directory.

    :param shown: what the directory is called in what is told.
    """
    above = directories(list(tree), itself="." in asked["exact"])
    for name in above:
        group = asked["groups"].get(name, "")
        mode, gid = (0o750, grp.getgrnam(group).gr_gid) if group else (0o755, 0)
        path = place / name
        if path.is_symlink() or not path.is_dir() or not right(path, mode, gid):
            yield str(shown / name), partial(make, path, mode, gid)
    for name, (content, mode) in tree.items():
        if not same(place / name, content, mode):
            yield str(shown / name), partial(write, place / name, content, mode)
    sources = [name for name in tree if name.endswith(".py")] if asked["byte_code"] else []
    for name in sources:
        if not is_compiled(place / name):
            yield f"{shown / name} (byte code)", partial(compile_file, place / name)
    kept = {place / name for name in (*tree, *above)}
    kept |= {compiled(place / name) for name in sources}
    for path, why, mend in removals(place, kept | {path.parent for path in kept}, asked):
        yield f"{shown / path.relative_to(place)} ({why})", mend


def exchange(root: Path, place: Path, tree: Tree, asked: dict[str, Any]) -> None:
    """Make the files in their own directory, and have the link lead there."""
    make(place.parent, 0o755, 0)
    for _what, mend in file_changes(place, place, tree, asked):
        mend()
    before = Path(os.path.realpath(root))
    if root.is_dir() and not root.is_symlink():
        before = place.with_name(f"before-{time.time():.0f}")
        root.rename(before)
    link(root, place)
    if before.is_dir():
        os.utime(before)  # its days begin


def outlived(root: Path, used: set[Path], keep_days: int) -> Iterator[Change]:
    """Contents whose days are over."""
    versions = versions_of(root)
    if not keep_days or not versions.is_dir():
        return
    since = time.time() - keep_days * 24 * 3600
    for path in sorted(versions.iterdir()):
        if Path(os.path.realpath(path)) not in used and path.lstat().st_mtime < since:
            yield f"{path} (no longer kept)", partial(remove, path)


def directories(names: list[str], itself: bool) -> list[str]:
    """All that are above the files, the upper ones first.

    :param itself: with the directory that is above all, as ``.``.
    """
    found = {str(parent) for name in names for parent in Path(name).parents}
    return sorted(found if itself else found - {"."})


def links(root: Path, names: list[str], asked: dict[str, Any]) -> dict[Path, Path]:
    """All links that are wanted, and what each one leads to."""
    found = {Path(path): root / to for path, to in asked["links"].items()}
    for directory, place in asked["links_below"].items():
        inside = (name for name in names if name.startswith(f"{directory}/"))
        found.update(
            {Path(place, Path(name).relative_to(directory)): root / name for name in inside}
        )
    return found


def right(path: Path, mode: int, gid: int = 0) -> bool:
    status = path.lstat()
    return (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, gid, mode)


def same(file: Path, content: bytes, mode: int) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    return right(file, mode) and file.read_bytes() == content


def make(directory: Path, mode: int, gid: int) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        directory.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    os.chown(directory, 0, gid)
    os.chmod(directory, mode)


def write(file: Path, content: bytes, mode: int) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chown(temporary, 0, 0)
        os.chmod(temporary, mode)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def removals(
    root: Path, kept: set[Path], asked: dict[str, Any]
) -> Iterator[tuple[Path, str, Callable[[], None]]]:
    """Files of earlier versions, and byte code whose source is gone or that another Python made.

    Each with why it goes, and how.
    """
    for name in asked["exact"]:
        # what is in a directory comes before it
        for path in sorted((root / name).rglob("*"), reverse=True):
            if path not in kept:
                yield path, "stale", partial(remove, path)
    for name in asked["absent"]:
        if (root / name).is_dir():
            yield root / name, "not wanted", partial(remove, root / name)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def link_changes(root: Path, links: dict[Path, Path]) -> Iterator[Change]:
    ours = {
        path: Path(os.readlink(path))
        for parent in sorted({path.parent for path in links})
        if parent.is_dir()
        for path in parent.iterdir()
        if path.is_symlink() and Path(os.readlink(path)).is_relative_to(root)
    }
    for path, target in links.items():
        if ours.get(path) != target:
            yield str(path), partial(link, path, target)
    for path in sorted(set(ours).difference(links)):
        yield f"{path} (stale)", path.unlink


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    temporary = path.with_name(f".new-{path.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)


def note(files: KeptFiles, tree: Tree, asked: dict[str, Any]) -> None:
    """Put on the list of what roles wrote what this module is about to make."""
    root = Path(asked["path"])
    trees = [root, versions_of(root)] if asked["keep_days"] else [root]
    if "." not in asked["exact"]:
        # others have files there, too
        trees = [root / name for name in asked["exact"]]
    made = dict.fromkeys(links(root, list(tree), asked), "link")
    made.update(dict.fromkeys(trees, "tree"))
    for path, kind in made.items():
        files.note_missing_above(str(path))
        files.note_made(str(path), kind)
    files.save()


def work(module: AnsibleModule) -> dict[str, Any]:
    # a hardened umask does not count: users run what is installed
    os.umask(0o022)
    asked, tree = module.params, wanted(module.params["archive"])
    note(KeptFiles(asked["kept"], module.check_mode), tree, asked)
    programs = AppliedFiles(asked["kept"], module.check_mode)
    found: list[str] = []
    for what, mend in changes(tree, asked):
        if asked["apply"] and not found:
            programs.change([asked["path"]])
        found.append(what)
        if not module.check_mode:
            mend()
    diff = {"before": "", "after": "".join(f"{what}\n" for what in found)}
    content = digest_of(tree)
    files = [Applying(asked["path"], content, tuple(asked["apply"]))] if asked["apply"] else []
    applied = bool(apply_files(module, programs, files))
    return {
        "changed": bool(found) or applied,
        "changed_paths": found,
        "applied": applied,
        "diff": diff,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            # hundreds of kilobytes: not for the system's log
            "archive": {"type": "str", "required": True, "no_log": True},
            "exact": {"type": "list", "elements": "str", "default": ["."]},
            "absent": {"type": "list", "elements": "str", "default": []},
            "groups": {"type": "dict", "default": {}},
            "links": {"type": "dict", "default": {}},
            "links_below": {"type": "dict", "default": {}},
            "keep_days": {"type": "int", "default": 0},
            "apply": {"type": "list", "elements": "str", "default": []},
            "byte_code": {"type": "bool", "default": False},
            "kept": {"type": "path", "default": "/var/lib/tre-ces/replaced"},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    for name in ("path", "kept"):
        if not os.path.isabs(module.params[name]):
            module.fail_json(msg=f"{name}: {module.params[name]} is not absolute.")
    if module.params["keep_days"] < 0:
        module.fail_json(msg=f"keep_days: {module.params['keep_days']} is less than 0.")
    try:
        with alone_with(module.params["kept"], module.check_mode):
            result = work(module)
        module.exit_json(**result)
    except CesError as error:
        module.fail_json(msg=str(error))
    except (
        OSError,
        KeyError,
        tarfile.TarError,
        binascii.Error,
        py_compile.PyCompileError,
    ) as error:
        module.fail_json(msg=f"install the files below {path}: {error}")


if __name__ == "__main__":
    main()
