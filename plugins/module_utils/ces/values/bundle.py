# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container is made of: what the image says of itself, its files, the user."""

from __future__ import annotations

from ..dataclass import asdict, dataclass, fields
from ..errors import CesError
from ..typed import Any, Mapping
from .image_config import are_texts, id_in, is_count, is_text, user_and_group

LEVELS_MAX = 1000
"""Directories that are made for an image that names them; images of people name a dozen."""


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself, with its user looked up in its own files.

    :param cwd: its working directory.
    :param uid: what its user is in the container, likewise ``gid``; 0 where it names none.
    :param home: that user's home directory in the image.
    :param size: bytes that it takes on disk.
    :param volumes: directories that a container can write to, whatever it may not write to.
    :param stop_signal: the signal that ends its program gently, as the image spells it.
    :param lacks: those of these directories that are not among its files.
    :param unknown_user: its user, if its own files do not say which number that is.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    home: str = "/"
    architecture: str = ""
    os: str = "linux"
    size: int = 0
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    lacks: tuple[str, ...] = ()
    unknown_user: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether it does not say what to run."""
        return not (any(self.entrypoint) or self.cmd)

    @property
    def levels(self) -> int:
        """How many directories it names, with those above them."""
        return sum(path.count("/") for path in (self.cwd, *self.volumes) if path != "/")

    def check_levels(self, tried: str) -> None:
        """Refuse one for which we would make directories for minutes.

        :raises CesError: it names too many.
        """
        if self.levels > LEVELS_MAX:
            raise CesError(
                tried,
                said=f"its WORKDIR and VOLUMEs name {self.levels} directories, and at most"
                f" {LEVELS_MAX} are made",
                hint="ask its maker for fewer",
            )

    def check_user(self, tried: str) -> None:
        """Refuse to start it as its own user, if nobody knows which number that is.

        :raises CesError: naming the user, and what to do.
        """
        if self.unknown_user:
            raise CesError(
                tried,
                said=f"its user {self.unknown_user!r:.80} is not in its own /etc/passwd and"
                " /etc/group",
                hint="put numbers into an option file of ces-run (--user=0), or ask its maker",
            )

    @property
    def variables(self) -> dict[str, str]:
        """Its environment; of two entries of one name the last one counts, as podman has it."""
        return {name: value for name, _equals, value in (e.partition("=") for e in self.env)}

    def as_dict(self) -> dict[str, Any]:
        """For keeping beside the files."""
        return asdict(self)

    def as_image(self) -> dict[str, Any]:
        """As a registry has it, but for what is not kept: names, labels and ports."""
        user = self.unknown_user or (f"{self.uid}:{self.gid}" if self.uid or self.gid else "")
        config = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Env": list(self.env),
            "WorkingDir": self.cwd,
            "User": user,
            "Volumes": {path: {} for path in self.volumes},
            "StopSignal": self.stop_signal,
        }
        return {"architecture": self.architecture, "os": self.os, "config": config}

    @classmethod
    def from_dict(cls, raw: object, origin: str) -> ImageConfig:
        """What :meth:`as_dict` gave, by way of JSON.

        :raises CesError: it is something else.
        """
        try:
            if not isinstance(raw, dict):
                raise TypeError("it is no JSON object")
            # a newer version of ours may have kept more
            known = {field.name for field in fields(cls)}
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in raw.items()
                if key in known
            }
            _check_kinds(values, cls())
            return cls(**values)
        except TypeError as error:
            raise CesError(
                f"read {origin}", said=str(error), hint="pull the image again with --force"
            ) from None

    @classmethod
    def from_image(
        cls, raw: Mapping[str, Any], ids: tuple[int, int, str] | None = (0, 0, "/"), size: int = 0
    ) -> ImageConfig:
        """From an image's configuration, as the OCI image specification has it.

        :param ids: the user and group that its ``User`` stands for, and the user's home; None if
            its files do not say.
        """
        config = raw.get("config") or {}
        uid, gid, home = ids or (0, 0, "/")
        return cls(
            entrypoint=_words(config.get("Entrypoint")),
            cmd=_words(config.get("Cmd")),
            env=_words(config.get("Env")),
            cwd=(*_places([config.get("WorkingDir") or "/"]), "/")[0],
            uid=uid,
            gid=gid,
            home=home,
            architecture=str(raw.get("architecture", "")),
            os=str(raw.get("os", "linux")),
            size=size,
            volumes=_places(config.get("Volumes")),
            stop_signal=str(config.get("StopSignal") or ""),
            unknown_user="" if ids else str(config.get("User") or ""),
        )


@dataclass(frozen=True)
class Ground:
    """Where a container's root is put together.

    :param rootfs: the image's files, which are never changed.
    :param root: an empty directory for the container's root.
    :param names: what lies in the image's own root; ``links`` are the symbolic links there.
    :param layers: directory for what the container writes, on a disk; None for a read-only root.
    :param etc: files that lie in the container's ``/etc``: name and path on the back-end.
    :param temporary: directories of the image that are memory in a container with such a root.
    :param volumes: directories of the image that are memory with a copy of what they hold.
    """

    rootfs: str
    root: str
    names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    layers: str | None = None
    etc: tuple[tuple[str, str], ...] = ()
    temporary: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Owner:
    """Who the container is to the kernel: the user alone, and none of their subordinate ids."""

    uid: int
    gid: int


def user_in(text: str, passwd: str, group: str, cwd: str = "/") -> tuple[int, int, str] | None:
    """The ids and the home of an image's ``User`` (``name``, ``uid``, either with ``:group``).

    :param passwd: text of the image's own file, likewise ``group``.
    :param cwd: the image's working directory: the home of a number that has no other, as podman
        has it.
    :returns: None if the files do not have the name.
    """
    user, named_group = user_and_group(text)
    user = user or "0"
    number = id_in(user)
    entry = next((row for row in _rows(passwd, 7) if _is(row, user, number)), None)
    uid = id_in(entry[2]) if entry and number is None else number
    gid: int | None = (id_in(entry[3]) if entry else None) or 0
    if named_group:
        found = next((row for row in _rows(group, 4) if row[0] == named_group), None)
        number = id_in(named_group)
        gid = id_in(found[2]) if found and number is None else number
    if uid is None or gid is None:
        return None
    nowhere = cwd if text and entry is None else "/"
    return uid, gid, (entry[5] if entry and entry[5].startswith("/") else nowhere)


def _is(row: list[str], name: str, number: int | None) -> bool:
    """Whether a row is that user's; what is a number is never taken for a name."""
    return row[0] == name if number is None else id_in(row[2]) == number


def _check_kinds(values: Mapping[str, Any], example: ImageConfig) -> None:
    """Refuse a value of another kind than the example's: in a store for all, others write these.

    :raises TypeError: naming it.
    """
    for name, value in values.items():
        fits = _KINDS.get(type(getattr(example, name, None)))
        if fits is not None and not fits(value):
            raise TypeError(f"{name} is {value!r:.80}")


_KINDS = {tuple: are_texts, str: is_text, int: is_count}


def _rows(text: str, fields: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.split("\n"))
    return [row for row in rows if len(row) >= fields and id_in(row[2]) is not None]


def _places(raw: object) -> tuple[str, ...]:
    """Directories by their shortest names; what is none is left out."""
    named = raw if isinstance(raw, (dict, list)) else ()
    parts = [[part for part in str(name).split("/") if part not in ("", ".")] for name in named]
    return tuple(sorted({f"/{'/'.join(path)}" for path in parts if path and ".." not in path}))


def _words(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return (raw,)
    return tuple(str(word) for word in raw) if isinstance(raw, (list, tuple)) else ()
