# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody asks for: a pull, a run. The same values whichever door they came through."""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..errors import InvalidValue
from ..patterns import matches
from ..typed import Any, Mapping, Sequence
from .image import Image, ImageRef
from .quantities import Amount, cpu_count, duration_seconds, memory_bytes
from .words import check_env, encoded

PULL_MODES = ("missing", "always", "never")
CONTAINER_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,127}"
_ARG_MAX = 128 * 1024
"""Linux refuses a single argument of 128 KiB or more (MAX_ARG_STRLEN)."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """Who is asking the registry: a user with a secret, or an auth file; neither is anonymous.

    :param authfile: path of a containers-auth.json(5).
    :param identity_token: a secret that stands for user and password, as Azure gives it.
    :param unused: what an auth file has for the registry, if nobody here can use it.
    """

    username: str = ""
    password: str = ""
    authfile: str | None = None
    identity_token: str = ""
    unused: str = ""

    def __post_init__(self) -> None:
        if self.username and not (self.password or self.identity_token):
            raise InvalidValue("a registry user", self.username, "there is no password for it")
        if self.password and not self.username:
            raise InvalidValue("a registry password", "******", "there is no user name for it")
        if ":" in self.username or any(ord(char) < 32 for char in self.username):
            raise InvalidValue(
                "a registry user", self.username, "it contains ':' or control characters"
            )
        if self.username and self.authfile:
            raise InvalidValue(
                "credentials", self.username, "give a user and password, or an auth file"
            )

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, authfile={self.authfile!r})"

    @property
    def given(self) -> bool:
        """Whether a user and a secret were given."""
        return bool(self.username or self.identity_token)


@dataclass(frozen=True)
class PullSpec:
    """Fetch an image if the registry's digest differs from the one in storage.

    :param force: pull even if it does not.
    """

    image: ImageRef
    runner: str
    credentials: Credentials = Credentials()
    force: bool = False


@dataclass(frozen=True)
class CheckSpec:
    """Say whether an image will work here.

    :param runner: the engine that counts; None for the site's default, beside all others.
    :param elsewhere: another host of the site is meant, of whose state nothing is known here.
    """

    image: Image
    runner: str | None = None
    credentials: Credentials = Credentials()
    elsewhere: bool = False


@dataclass(frozen=True)
class Directories:
    """The directories a caller chose; None leaves the choice to the rules.

    :param read_only: ``/safe_data`` is not to be written, whatever the policy allows.
    """

    project: str | None = None
    read_only: bool = False
    safe_data: str | None = None
    outputs: str | None = None
    scratch: str | None = None


@dataclass(frozen=True)
class RunSpec:
    """Run one container.

    Amounts are as people write them ("4GiB", "1h30m") or numbers: memory in GiB, cpus, timeout in
    seconds; they are settled against the policy when the run is planned.

    :param env: variables of the container; values never reach an argument list.
    :param options: words for the engine, read against the policy's allow-list.
    :param gpus: how many GPUs of those that it may use; None for all of them, if ``gpu``.
    :param home: mount the user's home as well.
    :param pull: ``missing``, ``always`` or ``never``.
    :param record_link: absolute path of a symbolic link to make to the record's directory.
    :raises InvalidValue: anything that can be seen to be wrong without looking at the machine.
    """

    image: Image
    runner: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Sequence[str] = ()
    cpus: Amount = None
    memory: Amount = None
    gpu: bool = False
    gpus: int | None = None
    home: bool = False
    name: str | None = None
    network: str | None = None
    directories: Directories = Directories()
    timeout: Amount = None
    pull: str = "missing"
    credentials: Credentials = Credentials()
    record_link: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not matches(CONTAINER_NAME, self.name):
            raise InvalidValue(
                "a container name",
                self.name,
                "it is not 1 to 128 letters, digits, '_', '.', '-', the first a letter or digit",
            )
        if self.gpus is not None and (self.gpus < 1 or not self.gpu):
            raise InvalidValue("a number of GPUs", self.gpus, "it is not 1 or more")
        if self.pull not in PULL_MODES:
            raise InvalidValue("pull", self.pull, f"it is none of {', '.join(PULL_MODES)}")
        for arg in self.args:
            raw = encoded(arg)
            if raw is None or b"\0" in raw or len(raw) >= _ARG_MAX:
                raise InvalidValue(
                    "an argument", f"{arg[:20]}...", "it holds a NUL or is 128 KiB or longer"
                )
        check_env(self.env)
        memory_bytes(self.memory)
        cpu_count(self.cpus)
        duration_seconds(self.timeout)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> RunSpec:
        """A run by its options' fields, ``directories.project`` for example; None is not given."""
        whole: dict[str, Any] = {}
        chosen: dict[str, Any] = {}
        for name, value in given.items():
            owner, _dot, part = name.rpartition(".")
            if value is not None:
                (chosen if owner else whole)[part] = value
        return cls(**whole, directories=Directories(**chosen))
