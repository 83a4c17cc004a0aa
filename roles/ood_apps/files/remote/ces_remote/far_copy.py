# SPDX-License-Identifier: GPL-3.0-or-later
"""The far side's copying: a job's directory comes with its submission, and goes back at its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import sys
import tarfile

from ces_remote import far, tree
from ces_remote.protocol import SUMMARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

    from ces_remote.far import Answer, Request, Verb

RECORD = re.compile(r"/ces/runs/[0-9]+\Z")
"""Where a link to a record of a run may lead."""
OUTPUTS = re.compile(r"outputs-[A-Za-z0-9._-]+\Z")
"""Names of directories of outputs below the home directory that are brought back."""


def submit(request: Request, stdin: IO[bytes]) -> Answer:
    """Take the script and the directory, and give both to sbatch."""
    far.hold_arrivals(request, alone=False)
    script = stdin.read(request["script"])
    directory = far.session(request)
    new = not os.path.lexists(directory)
    try:
        since = receive(directory, stdin)
        here, there = request["directory"], directory
        answer = far.call(
            request,
            [moved(word, here, there) for word in request["argv"]],
            script.replace(os.fsencode(here), os.fsencode(there)),
            directory=directory,
            environment=request["environment"],
        )
    except BaseException:
        undo(directory, new, request)
        raise
    if answer["rc"] != 0:
        undo(directory, new, request)
    return {**answer, "there": there, "since": since, "new": new}


def receive(directory: str, stream: IO[bytes]) -> int:
    """Write what comes below ``directory``; answers the time of its last change, in ns."""
    os.makedirs(os.path.dirname(directory), 0o700, exist_ok=True)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        tree.remove_temporary(directory)
    try:
        with tree.reading(stream) as tar:
            refused = tree.unpack(tar, lambda prefix, parts: directory)
    except tarfile.TarError as error:
        raise ValueError(f"the job's directory did not arrive whole: {error}") from error
    if refused:
        raise ValueError(f"{directory}/{refused[0]} is in the way: remove it there")
    # the file server's clock: it dates what the job writes too
    changed = [entry.status.st_ctime_ns for entry in tree.walk(directory)]
    return max([os.stat(directory).st_ctime_ns, *changed])


def undo(directory: str, new: bool, request: Request) -> None:
    """Nothing was submitted: nothing of it stays."""
    far.remove_one_shot(directory, request["one_shot"])
    if new:
        shutil.rmtree(directory, ignore_errors=True)


def moved(word: str, here: str, there: str) -> str:
    """A word of sbatch's arguments that names the directory or what is in it."""
    option, equals, value = word.partition("=")
    if word == here or word.startswith(f"{here}/"):
        return there + word[len(here) :]
    if option.startswith("-") and (value == here or value.startswith(f"{here}/")):
        return option + equals + there + value[len(here) :]
    return word


# --- at the job's end ---------------------------------------------------------------------------


def fetch(request: Request, stdin: IO[bytes]) -> Answer | None:
    """What the job wrote: its directory, the record of its run, its outputs, and a summary."""
    directory = far.session(request)
    if not os.path.isdir(directory):
        return {"gone": directory}
    far.remove_one_shot(directory, request["one_shot"])
    far.reply({})
    with tree.writing(sys.stdout.buffer) as tar:
        summary: dict[str, Any] = {"left": [], "log_cut": 0, "unread": 0}
        pack_session(tar, directory, request, summary)
        record = linked_record(directory, request["record"])
        if record:
            tree.add_file(tar, f"record/{request['record']}/output.log", f"{record}/output.log")
            tree.add_file(tar, f"record/{request['record']}/run.json", f"{record}/run.json")
            pack_outputs(tar, record, request, summary)
        add_text(tar, SUMMARY, json.dumps(summary))
    return None


def pack_session(tar: tarfile.TarFile, directory: str, request: Request, summary: Any) -> None:
    most, since, log = request["session_limit"], request["since"], request["log"]

    def written(entry: tree.Entry) -> bool:
        """By the job; and the log has a rule of its own."""
        return bool(entry.status.st_ctime_ns > since and entry.name != log)

    found = tree.measure(directory, written)
    if found.size <= most:
        summary["unread"] += tree.pack(tar, directory, "session", written)
    else:
        summary["left"].append([directory, found.size, most])
    if log:
        with contextlib.suppress(OSError):
            size = os.stat(f"{directory}/{log}", follow_symlinks=False).st_size
            summary["log_cut"] = max(0, size - request["log_limit"])
            tree.add_file(tar, f"session/{log}", f"{directory}/{log}", last=request["log_limit"])


def linked_record(directory: str, name: str) -> str:
    """Where the job's link to the record of its run leads; only a record counts."""
    link = f"{directory}/{name}"
    target = os.path.realpath(link)
    own = os.path.islink(link) and bool(RECORD.search(target)) and os.path.isdir(target)
    return target if own and os.stat(target).st_uid == os.getuid() else ""


def pack_outputs(tar: tarfile.TarFile, record: str, request: Request, summary: Any) -> None:
    path = outputs_of(record, far.base(request))
    if not path:
        return
    found, most = tree.measure(path), request["outputs_limit"]
    if found.size <= most and found.files <= request["outputs_files"]:
        summary["unread"] += tree.pack(tar, path, f"outputs/{os.path.basename(path)}")
    elif found.files:
        summary["left"].append([path, found.size, most])


def outputs_of(record: str, home: str) -> str:
    """The directory that the record names, if it is one below the home that runs make."""
    descriptor = far.below(record, "run.json")
    if descriptor is None:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        try:
            path = str(json.loads(stream.read(1 << 20))["outputs"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return ""
    parent, name = os.path.split(path)
    if os.path.realpath(parent) != os.path.realpath(home) or not OUTPUTS.match(name):
        return ""
    try:
        return path if stat.S_ISDIR(os.lstat(path).st_mode) else ""
    except OSError:
        return ""


def add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    import io

    raw = text.encode("utf-8", "surrogateescape")
    header = tarfile.TarInfo(name)
    header.size = len(raw)
    tar.addfile(header, io.BytesIO(raw))


def remove(request: Request, stdin: IO[bytes]) -> Answer:
    """The directory of a job whose every file has been brought back."""
    shutil.rmtree(far.session(request), ignore_errors=True)
    return {}


VERBS: dict[str, Verb] = {
    "submit": submit,
    "fetch": fetch,
    "remove": remove,
}
