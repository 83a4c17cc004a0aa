# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs us, and where this user's things are."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from ..dataclass import dataclass
from ..errors import CesError, NotFound
from ..typed import Iterator, Mapping
from .files import private_directory, read_json
from .owners import refuse_other_owner

LOCAL_DIRECTORIES = (
    ("APPTAINER_CACHEDIR", "/etc/ces/apptainer.json", "cache"),
    ("APPTAINER_TMPDIR", "/etc/ces/apptainer.json", "tmp"),
    # there engines note which registry has which layers, in a database, and nothing else moves that
    ("XDG_DATA_HOME", "/etc/ces/container_storage.json", "data"),
)
"""Variable, the file in which a role says where each user's directories are, and which of them."""
_STEERING_PODMAN = ("CONTAINER_HOST", "CONTAINER_CONNECTION", "PODMAN_USERNS")
"""Another podman would do it, which reads a configuration of its own; or with other namespaces."""
SIGNED = 1 << 31
"""From this uid on engines that count with signed numbers have a negative one."""
_NO_SESSION = "the administrator runs: loginctl enable-linger {} (role podman)"
_NOT_LISTED = "the administrator lists {} in podman_users, or looks into the system log"
ON_DEMAND = "/run/tre-ces/session"
"""Where sessions are made on demand (podman_lingering), systemd listens here for who needs one."""
OWN_STORAGE = ".config/containers/storage.conf"
"""A user's own file, which may leave the place of images to ``XDG_DATA_HOME``."""


@dataclass(frozen=True)
class Account:
    """A user of this back-end.

    :param home: where this user's things are now: ``$HOME``, which the user chooses.
    :param groups: names of all the user's groups.
    :param environ: the environment we were started with.
    :param entered: the home that the account has (passwd(5)), which the site chooses.
    """

    name: str
    uid: int
    home: str
    groups: tuple[str, ...]
    environ: Mapping[str, str]
    entered: str = ""

    @property
    def homes(self) -> tuple[str, str]:
        """The account's home, and ``$HOME``."""
        return self.entered or self.home, self.home

    @classmethod
    def current(cls) -> Account:
        """The user of this process; home is ``$HOME`` if that is theirs, else the account's."""
        uid = os.geteuid()
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise CesError(f"find user {uid}", said="there is no such account here") from None
        home = os.environ.get("HOME") or entry.pw_dir
        # `sudo` and `become` may keep another user's HOME
        if not _belongs_to(home, uid):
            home = entry.pw_dir
        return cls(entry.pw_name, uid, home, _group_names(), dict(os.environ), entry.pw_dir)

    @property
    def state(self) -> str:
        """Directory of what must outlive a run: records, numbers."""
        base = self.environ.get("XDG_STATE_HOME", "")
        return f"{base}/ces" if base.startswith("/") else f"{self.home}/.local/state/ces"

    @property
    def runtime_base_if_any(self) -> str:
        """As :attr:`runtime_base`; '' where the user has no session here."""
        try:
            return self.runtime_base
        except CesError:
            return ""

    @property
    def runtime_base(self) -> str:
        """The session's own directory, ``/run/user/UID``.

        Where sessions are made on demand, one is made, and lasts until this process ends.

        :raises CesError: there is none, because the user has no session here.
        """
        usual = f"/run/user/{self.uid}"
        why_none = self._hold_session(usual) if os.path.exists(ON_DEMAND) and self.uid else ""
        named = self.environ.get("XDG_RUNTIME_DIR", "")
        for path in (named, usual):
            if path.startswith("/") and _belongs_to(path, self.uid):
                return path
        raise CesError(
            f"find the runtime directory of {self.name}",
            said=f"there is no {usual}: "
            + (why_none or "the user has no login session on this host"),
            hint=_NOT_LISTED.format(self.name) if why_none else _NO_SESSION.format(self.name),
        )

    def _hold_session(self, usual: str) -> str:
        """Have a session until this process ends; why there is none, or nothing.

        The prolog of a Slurm job has seen to the job's.
        """
        if self.in_job and _belongs_to(usual, self.uid):
            return ""
        from .held_session import hold_session

        return hold_session(self.uid, ON_DEMAND)

    @property
    def in_job(self) -> bool:
        """Whether our variables are those of a Slurm job on a node.

        A shell of salloc on a login node has no node's name.
        """
        return {"SLURM_JOB_ID", "SLURMD_NODENAME"} <= self.environ.keys()

    @property
    def runtime(self) -> str:
        """Directory (0700, in memory) of what must not outlive a run: secrets, ids, locks.

        It may not be there yet: who writes in it, or believes what it says, calls
        :meth:`make_runtime`.

        :raises CesError: the user has no session here.
        """
        return f"{self.runtime_base}/ces"

    def make_runtime(self) -> str:
        """Make the directory :attr:`runtime` if it is missing; returns its path.

        :raises CesError: it belongs to another user, or the user has no session here.
        """
        return private_directory(self.runtime)

    def private_for(self, run_id: int) -> str:
        """A run's own directory, which the run makes and removes."""
        return f"{self.runtime}/run-{run_id}"

    @property
    def engine_environ(self) -> dict[str, str]:
        """The environment of engines: ours, with the session found for jobs, sudo and become.

        It is found out once: that takes four files to read.
        """
        known: dict[str, dict[str, str]] = self.__dict__
        if "_engine_environ" not in known:
            known["_engine_environ"] = self._find_engine_environ()
        return known["_engine_environ"]

    def _find_engine_environ(self) -> dict[str, str]:
        self.refuse_what_is_anothers()
        runtime = self.runtime_base
        environ = {**self.lasting_environ, "XDG_RUNTIME_DIR": runtime}
        # another user's session bus would be refused
        if (
            self.environ.get("XDG_RUNTIME_DIR") != runtime
            or "DBUS_SESSION_BUS_ADDRESS" not in environ
        ):
            environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
            if os.path.exists(f"{runtime}/bus"):
                environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={runtime}/bus"
        return environ

    @property
    def lasting_environ(self) -> dict[str, str]:
        """Of the environment of engines, what holds without a session."""
        environ = {n: v for n, v in self.environ.items() if not steers_engines(n)}
        environ["HOME"] = self.home
        environ.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
        for variable, directory in self._local_directories():
            environ.setdefault(variable, directory)
        return environ

    def has_program(self, name: str) -> bool:
        """Whether a program of that name is on the engines' PATH."""
        return self.program(name) is not None

    def program(self, name: str) -> str | None:
        """Where on the engines' PATH a program of that name is, if it is there."""
        directories = self.engine_environ["PATH"].split(":")
        places = (f"{path or '.'}/{name}" for path in directories)
        return next((p for p in places if os.access(p, os.X_OK) and not os.path.isdir(p)), None)

    def missing(self, tried: str, program: str, role: str) -> CesError:
        """The error for a program that is not on the engines' PATH.

        :param role: the one that installs it.
        """
        from .missing import missing

        return missing(tried, program, self.engine_environ["PATH"], role)

    def refuse_what_is_anothers(self) -> None:
        """Leave alone directories that were made for somebody else who had our uid.

        :raises CesError: they were.
        """
        for _variable, file, _name in LOCAL_DIRECTORIES:
            refuse_other_owner(self._root_named_in(file), self.uid, self.name)

    def _root_named_in(self, file: str) -> str:
        """The directory that holds what all users have, as a role has written it, or ''."""
        known: dict[str, str] = self.__dict__.setdefault("_roots", {})
        if file not in known:
            try:
                known[file] = str(read_json(file, "the place of engines' files")["storage_root"])
            except (NotFound, KeyError, TypeError):
                known[file] = ""
        return known[file]

    def _local_directories(self) -> Iterator[tuple[str, str]]:
        """Where the roles put engines' caches and temporary files, off network filesystems."""
        for variable, file, name in LOCAL_DIRECTORIES:
            if variable == "XDG_DATA_HOME" and os.path.exists(f"{self.home}/{OWN_STORAGE}"):
                continue
            root = self._root_named_in(file)
            directory = f"{root}/{self.uid}/{name}"
            if root and _belongs_to(directory, self.uid):
                yield variable, directory

    @property
    def variables(self) -> dict[str, str]:
        """What ``${NAME}`` in files can be; the account's own facts win over the environment."""
        return {
            **self.environ,
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "UID": str(self.uid),
        }


def steers_engines(name: str) -> bool:
    """Whether a variable changes what an engine mounts or allows, beside what we tell it."""
    if name in ("APPTAINER_CACHEDIR", "APPTAINER_TMPDIR"):
        return False
    return name.startswith(("APPTAINER", "SINGULARITY")) or name in _STEERING_PODMAN


def _belongs_to(path: str, uid: int) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid


def _group_names() -> tuple[str, ...]:
    names = []
    for gid in sorted({os.getegid(), *os.getgroups()}):
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:  # a group without a name cannot name a project
            continue
    return tuple(names)
