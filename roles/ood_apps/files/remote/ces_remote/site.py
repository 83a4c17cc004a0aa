# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site says of a back-end that does not share the portal's homes: CLUSTER.json."""

from __future__ import annotations

import os
import pwd
import re

from ces.dataclass import dataclass, fields
from ces.errors import CesError, InvalidValue, NotFound
from ces.system.files import read_json
from ces.typed import Any

DIRECTORY = "/etc/ces/remote"
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*\Z")
_CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


@dataclass(frozen=True)
class Site:
    """One back-end. Sizes are in MiB, times in seconds.

    :param host: where sbatch is, by ssh.
    :param base: the directory there that stands for the portal's home: ``~``, ``/work/{user}``.
    :param slurm_bin: where Slurm's commands are there, if not on the PATH.
    :param known_hosts: a file with the host keys that the administrator vouches for.
    :param identity: the users' key, if ssh would not find it.
    :param submit_limit: how large a job's directory may be.
    :param session_limit: how much a job may have written into its directory to be brought back.
    :param log_limit: of a longer log, the last so many are brought back.
    :param outputs_limit: outputs up to this size are brought back; 0 leaves them there.
    :param one_shot: files that a job reads and removes first thing: on one side at a time, and on
        none when the job is over.
    :param live: small files that are brought while the job runs.
    :param record: the link in the job's directory that leads to the record of its run.
    :param remove: remove the job's directory there when all of it has been brought back.
    :param patience: how long a status query may wait for what an ended job wrote.
    :param hold: how long an ended job may count as undetermined while that cannot be had.
    :param keep: how long it is tried after that.
    """

    cluster: str
    host: str
    port: int = 22
    base: str = "~"
    slurm_bin: str = ""
    known_hosts: str = ""
    identity: str = ""
    submit_limit: int = 100
    submit_files: int = 10000
    session_limit: int = 100
    log_limit: int = 20
    outputs_limit: int = 1024
    outputs_files: int = 100000
    one_shot: tuple[str, ...] = (
        "registry-token",
        "options.txt",
        "environment.txt",
        "arguments.txt",
    )
    live: tuple[str, ...] = ("connection.yml", "progress")
    record: str = "run"
    remove: bool = False
    connect_timeout: int = 5
    timeout: int = 20
    patience: int = 8
    hold: int = 600
    keep: int = 7 * 86400

    def __post_init__(self) -> None:
        if not _CLUSTER.match(self.cluster):
            raise InvalidValue(
                "cluster", self.cluster, "it has other characters than letters, digits and _.-"
            )
        if not _HOST.match(self.host):
            raise InvalidValue("host", self.host, "it is no name of a host")
        for name in (*self.one_shot, *self.live, self.record):
            if "/" in name or name in ("", ".", ".."):
                raise InvalidValue("name of a file", name, "it is no name in a job's directory")


def read_site(cluster: str, directory: str = DIRECTORY) -> Site:
    """The back-end of that name.

    :raises CesError: there is none, or its file is wrong.
    """
    if not _CLUSTER.match(cluster):
        raise InvalidValue(
            "cluster", cluster, "it has other characters than letters, digits and _.-"
        )
    path = f"{directory}/{cluster}.json"
    try:
        return from_dict(read_json(path, "the settings of a back-end"), path)
    except NotFound:
        raise CesError(
            f"find the back-end {cluster}",
            said=f"there is no {path}",
            hint=f"known are: {', '.join(clusters(directory)) or 'none'}",
        ) from None


def settings_of(path: str) -> int:
    """Check a file before it becomes a back-end's.

    :raises CesError: it cannot be that.
    """
    from_dict(read_json(path, "the settings of a back-end"), path)
    return 0


def from_dict(raw: Any, path: str) -> Site:
    """Check types and names."""
    if not isinstance(raw, dict):
        raise InvalidValue("settings of a back-end", path, "it is no JSON object")
    known = {item.name: item for item in fields(Site)}
    given: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            raise InvalidValue("setting", key, f"{path} has it, and there is none of that name")
        default = _DEFAULTS.get(key, "")
        wanted = list if isinstance(default, tuple) else type(default)
        # a truth value would do for a number
        if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool):
            raise InvalidValue(key, value, f"{path}: it must be {_WORDS[wanted]}")
        given[key] = tuple(str(item) for item in value) if wanted is list else value
    for key in ("cluster", "host"):
        if key not in given:
            raise InvalidValue("settings of a back-end", path, f"{key} is missing")
    return Site(**given)


_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list"}
_DEFAULTS = {name: getattr(Site("x", "x"), name) for name in (item.name for item in fields(Site))}


def clusters(directory: str = DIRECTORY) -> list[str]:
    """Names of the back-ends that have settings here."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name[:-5] for name in names if name.endswith(".json"))


def home() -> str:
    """The user's home directory on this side."""
    return os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir


def user() -> str:
    """The user's name, which is the same on the other side."""
    return pwd.getpwuid(os.getuid()).pw_name
