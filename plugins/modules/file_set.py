#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Bring a set of files and directories to a state, in one task
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Does for many files what M(ansible.builtin.copy), M(ansible.builtin.template) and
    M(ansible.builtin.file) do for one each. A task costs a start of Python on the host; this module
    costs one for all files.
  - Each file is replaced in one step, so that a program reads the old text or the new one.
  - In check mode it tells what would change, also below directories that are not there yet.
  - A file that somebody else wrote, or changed since this module wrote it, is copied before it is
    replaced or removed, and a warning says where the copy is.
  - What must follow a change (O(files[].apply)) is known beyond the task. If a run is interrupted
    in between, the next one makes up for it.
  - Render templates with P(ansible.builtin.template#lookup).
extends_documentation_fragment:
  - tre.ces.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  files:
    description:
      - The files and directories, in the order in which they are made.
      - Directories above them that are missing are made, with mode C(0755), for root.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it is. Must be absolute.
        type: path
        required: true
      state:
        description:
          - V(file) is a file with O(files[].content), V(directory) a directory. V(absent) removes
            what is there, a directory with all that is in it.
          - V(unmanaged) leaves alone whatever is there.
        type: str
        choices: [file, directory, absent, unmanaged]
        default: file
      content:
        description:
          - Text of the file. Anything but a text is written as JSON, with sorted keys.
          - Needed where O(files[].state=file).
        type: raw
      mode:
        description: Permissions, in octal, as a text. C(0644), and C(0755) for a directory.
        type: str
      owner:
        description: User that it belongs to.
        type: str
        default: root
      group:
        description: Group that it belongs to.
        type: str
        default: root
      validate:
        description:
          - Program and arguments that must succeed before the file is put in place. C(%s) stands
            for the new file. Not called in check mode.
        type: list
        elements: str
        default: []
      apply:
        description:
          - Program and arguments that have the system take up the file. It runs after all files are
            in place, once for all files that name it, and for files that are removed, too.
          - It runs unless it is known to have succeeded with this content before. A program that is
            named by a path and is not there has nothing to do.
        type: list
        elements: str
        default: []
      stale:
        description: Run O(files[].apply) in any case. What runs is known to differ from the file.
        type: bool
        default: false
  kept:
    description:
      - Directory for the copies, which only root can enter. It also has lists of what this module
        wrote, by which M(tre.ces.restore_files) takes it back, and of what was applied. Must be
        absolute.
    type: path
    default: /var/lib/tre-ces/replaced
seealso:
  - module: ansible.builtin.template
  - module: tre.ces.restore_files
"""

EXAMPLES = r"""
- name: Configure the container tools
  tre.ces.file_set:
    files:
      - path: /etc/containers
        state: directory
      - path: /etc/containers/storage.conf
        content: "{{ lookup('ansible.builtin.template', 'storage.conf.j2') }}"
      - path: /etc/ces/container_storage.json
        content: {storage_root: /var/lib/tre-ces/containers}

- name: Set a value of the kernel's, now and at boot
  tre.ces.file_set:
    files:
      - path: /etc/sysctl.d/90-site.conf
        content: "user.max_user_namespaces = 28633\n"
        apply: [sysctl, --load=/etc/sysctl.d/90-site.conf]
"""

RETURN = r"""
changed_paths:
  description: Paths of the set that were changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/containers/storage.conf]
applied:
  description: Paths of the set for which O(files[].apply) ran, or would.
  returned: success
  type: list
  elements: str
  sample: []
kept:
  description: Files of others that were replaced or removed, each with its copy, or would be.
  returned: success
  type: dict
  sample:
    /etc/containers/policy.json: /var/lib/tre-ces/replaced/etc/containers/policy.json.6c0ec5b6aa7d
"""

import json
import os
import shutil
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.apply_files import Applying, apply_files
from ..module_utils.ces.errors import CesError
from ..module_utils.ces.system.host.applied_files import AppliedFiles
from ..module_utils.ces.system.host.kept_files import OWN, KeptFiles
from ..module_utils.ces.system.host.noted import alone_with

DEFAULT_MODES = {"file": "0644", "directory": "0755"}
Change = dict[str, Any]
"""What differs, as a diff has it: ``{"before": ..., "after": ...}``; empty where nothing does."""


def work(module: AnsibleModule) -> dict[str, Any]:
    changed, diff, kept = [], [], {}
    files = KeptFiles(module.params["kept"], module.check_mode)
    programs = AppliedFiles(module.params["kept"], module.check_mode)
    programs.change(outdated(module.params["files"]))
    for entry in module.params["files"]:
        if copy := keep(files, entry):
            kept[entry["path"]] = copy
    # before anything changes: who is stopped then knows what was there
    files.save()
    for entry in module.params["files"]:
        change = STATES[entry["state"]](module, entry)
        if change:
            changed.append(entry["path"])
            diff.append({"before_header": entry["path"], "after_header": entry["path"], **change})
    will = "would be" if module.check_mode else "is"
    for path, copy in kept.items():
        whom = "somebody else, or an earlier version," if path.startswith(OWN) else "somebody else"
        module.warn(f"{path} was written by {whom} before. What it said {will} kept in {copy}.")
    applied = apply_files(module, programs, applying(module.params["files"]))
    return {
        "changed": bool(changed or applied),
        "changed_paths": changed,
        "applied": applied,
        "diff": diff,
        "kept": kept,
    }


def applying(entries: list[dict[str, Any]]) -> list[Applying]:
    """The files that a program takes up."""
    return [
        Applying(entry["path"], wanted_text(entry), tuple(entry["apply"]))
        for entry in entries
        if entry["apply"] and entry["state"] in ("file", "absent")
    ]


def outdated(entries: list[dict[str, Any]]) -> list[str]:
    """The files that a program takes up anew, whatever it had before."""
    stale = {entry["path"] for entry in entries if entry["stale"]}
    return [
        one.path
        for one in applying(entries)
        if one.path in stale or (not os.path.isdir(one.path) and read(one.path) != one.content)
    ]


def wanted_text(entry: dict[str, Any]) -> str | None:
    return text_of(entry["content"]) if entry["state"] == "file" else None


def keep(files: KeptFiles, entry: dict[str, Any]) -> str | None:
    """Note what we make, and keep what others wrote, where it gives way; the path of the copy."""
    path, state = entry["path"], entry["state"]
    if state in ("file", "directory"):
        files.note_missing_above(path)
    if state == "directory" and not os.path.lexists(path):
        files.note_made(path, "directory")
    if state not in ("file", "absent") or os.path.isdir(path):
        return None
    before, after = read(path), wanted_text(entry)
    if before == after:
        if after is not None:
            files.note_as_ours(path, after)
        return None
    copy = None if before is None else files.keep(path, before)
    files.note(path, after, copy)
    return copy


def bring_file(module: AnsibleModule, entry: dict[str, Any]) -> Change:
    path, wanted = entry["path"], text_of(entry["content"])
    if os.path.isdir(path):
        module.fail_json(msg=f"write {path}: it is a directory. Remove it, or choose another name.")
    before = read(path)
    change: Change = {} if before == wanted else {"before": before or "", "after": wanted}
    if change and not module.check_mode:
        make_parents(path)
        replace(module, entry, wanted)
    return change or attributes(module, entry, path)


def bring_directory(module: AnsibleModule, entry: dict[str, Any]) -> Change:
    path = entry["path"]
    if not os.path.isdir(path):
        if os.path.lexists(path):
            module.fail_json(msg=f"make the directory {path}: there is a file of that name.")
        if not module.check_mode:
            make_parents(path)
            os.mkdir(path, 0o700)
            attributes(module, entry, path)
        return {"before": "absent\n", "after": "directory\n"}
    return attributes(module, entry, path)


def bring_absence(module: AnsibleModule, entry: dict[str, Any]) -> Change:
    path = entry["path"]
    if not os.path.lexists(path):
        return {}
    link = os.path.islink(path)
    directory = os.path.isdir(path) and not link
    before = "link\n" if link else "directory\n" if directory else read(path) or ""
    if not module.check_mode:
        if directory:
            shutil.rmtree(path)
        else:
            os.unlink(path)
    return {"before": before, "after": ""}


def leave(_module: AnsibleModule, _entry: dict[str, Any]) -> Change:
    return {}


STATES = {
    "file": bring_file,
    "directory": bring_directory,
    "absent": bring_absence,
    "unmanaged": leave,
}


def text_of(content: Any) -> str:
    """The text itself, or JSON for anything else."""
    if isinstance(content, str):
        return content
    return json.dumps(content, indent=4, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: str) -> str | None:
    """What is in a file; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def make_parents(path: str) -> None:
    """Make the directories above a path; a hardened umask does not count."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        make_parents(parent)
        os.mkdir(parent)
        os.chmod(parent, 0o755)  # noqa: S103 - directories of a system's configuration are for all


def replace(module: AnsibleModule, entry: dict[str, Any], text: str) -> None:
    """Put a text where the path is. Nobody else can read it before it has its owner and mode."""
    directory, name = os.path.split(entry["path"])
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}.", suffix=".tmp")
    try:
        with os.fdopen(
            handle, "w", encoding="utf-8", errors="surrogateescape", newline=""
        ) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        attributes(module, entry, temporary)
        validate(module, entry, temporary)
        os.replace(temporary, entry["path"])
    except BaseException:
        os.unlink(temporary)
        raise
    # SELinux labels a file by its name
    attributes(module, entry, entry["path"])


def validate(module: AnsibleModule, entry: dict[str, Any], file: str) -> None:
    """Ask the program that knows whether the file is right; end the module if it is not."""
    argv = [word.replace("%s", file) for word in entry["validate"]]
    if not argv:
        return
    rc, stdout, stderr = module.run_command(argv, expand_user_and_vars=False)
    if rc != 0:
        said = (stderr or stdout).strip() or f"status {rc}"
        module.fail_json(msg=f"write {entry['path']}: {argv[0]} refuses it: {said}")


def attributes(module: AnsibleModule, entry: dict[str, Any], path: str) -> Change:
    """Bring owner, group and mode in line, if the path is there."""
    if not os.path.lexists(path):
        return {}
    mode = entry["mode"] or DEFAULT_MODES[entry["state"]]
    wanted = module.load_file_common_arguments({**entry, "path": path, "mode": mode})
    diff: Change = {"before": {}, "after": {}}
    if not module.set_fs_attributes_if_different(wanted, False, diff):
        return {}
    return {name: json.dumps(diff[name], sort_keys=True) + "\n" for name in ("before", "after")}


def main() -> None:
    entry = {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "file"},
        "content": {"type": "raw"},
        "mode": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "validate": {"type": "list", "elements": "str", "default": []},
        "apply": {"type": "list", "elements": "str", "default": []},
        "stale": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": entry,
                "required_if": [("state", "file", ("content",))],
            },
            "kept": {"type": "path", "default": "/var/lib/tre-ces/replaced"},
        },
        supports_check_mode=True,
    )
    for path in (*(given["path"] for given in module.params["files"]), module.params["kept"]):
        if not os.path.isabs(path):
            module.fail_json(msg=f"{path} is not an absolute path.")
    try:
        with alone_with(module.params["kept"], module.check_mode):
            result = work(module)
        module.exit_json(**result)
    except CesError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"write the files: {error.filename or ''}: {error.strerror or error}")


if __name__ == "__main__":
    main()
