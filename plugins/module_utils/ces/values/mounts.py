# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of the back-end that a container sees."""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import InvalidValue

SAFE_DATA = "/safe_data"
SAFE_OUTPUTS = "/safe_outputs"
SCRATCH = "/scratch"
CONTRACT = (SAFE_DATA, SAFE_OUTPUTS, SCRATCH)
_NOT_FOR_MOUNTS = ("/proc", "/sys", "/dev", "/run", "/etc")
_UNSPEAKABLE = "\r\0"
"""Characters that engines' ``--mount`` cannot carry, not in quotes either."""
_QUOTED = """--mount 'type=bind,"src=/a,b",dst=/x'"""
_FORM = f"write type=bind,src=,dst=[,ro]; a part with a comma in double quotes: {_QUOTED}"
_ACCESS = {"": "rw", "rw": "rw", "ro": "ro", "z": "rw", "Z": "rw", "readonly": "ro"}


@dataclass(frozen=True)
class Mount:
    """One directory or file: ``source`` on the back-end, ``target`` in the container.

    :param access: ``rw`` or ``ro``.
    :raises InvalidValue: a path is not absolute, or cannot be passed to an engine.
    """

    source: str
    target: str
    access: str = "rw"

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            if not path.startswith("/"):
                raise InvalidValue("a mount", path, "the path is not absolute")
            if any(char in path for char in _UNSPEAKABLE):
                raise InvalidValue(
                    "a mount", path, "it contains a carriage return or a NUL", "rename it"
                )
            if ".." in path.split("/"):
                raise InvalidValue("a mount", path, "it contains '..'")
        if self.access not in ("rw", "ro"):
            raise InvalidValue("a mount's access", self.access, "it is neither rw nor ro")

    def as_dict(self) -> dict[str, str]:
        """For records and results."""
        return {"source": self.source, "target": self.target, "access": self.access}


def parse_volume(text: str) -> Mount:
    """A mount as ``-v SOURCE:TARGET[:ro|rw|z|Z]`` has it.

    :raises InvalidValue: no such form, a named volume, or a target that must stay the engine's own.
    """
    source, target, access, *rest = (*text.split(":"), "", "")
    words = [word for word in access.split(",") if word]
    unknown = [word for word in words if word not in _ACCESS]
    if rest[2:] or unknown or not target:
        raise InvalidValue("a volume", text, "it is not SOURCE:TARGET or SOURCE:TARGET:ro")
    return extra_mount(source, target, "ro" if "ro" in map(_ACCESS.get, words) else "rw", text)


def parse_binds(text: str) -> tuple[Mount, ...]:
    """Mounts as apptainer's ``--bind SOURCE[:TARGET[:ro|rw]][,...]`` has them."""
    mounts = []
    for part in text.split(","):
        source, target, access, *rest = (*part.split(":"), "", "")
        if rest[2:] or access not in ("", "ro", "rw"):
            raise InvalidValue(
                "a bind",
                part,
                "it is not SOURCE, SOURCE:TARGET or SOURCE:TARGET:ro",
                f"where a path has a comma write {_QUOTED}",
            )
        mounts.append(extra_mount(source, target or source, access or "rw", part))
    return tuple(mounts)


def parse_mount(text: str) -> Mount:
    """A mount as ``--mount type=bind,src=SOURCE,dst=TARGET[,ro]`` has it."""
    keys = {
        "src": "source",
        "source": "source",
        "dst": "target",
        "destination": "target",
        "target": "target",
    }
    found = {"type": "bind", "access": "rw"}
    for part in _parts(text):
        key, _equals, value = part.partition("=")
        if key in keys:
            found[keys[key]] = value
        elif key in ("ro", "readonly") and value in ("", "true", "false"):
            found["access"] = "rw" if value == "false" else "ro"
        elif key == "type":
            found["type"] = value
        else:
            raise InvalidValue("a mount", text, f"{part!r} is not understood", _FORM)
    if found["type"] != "bind" or "source" not in found or "target" not in found:
        raise InvalidValue(
            "a mount",
            text,
            "it is no bind mount with src= and dst=",
            "memory as a directory: --mount type=tmpfs,dst= of podman, --scratch of apptainer",
        )
    return extra_mount(found["source"], found["target"], found["access"], text)


def parse_tmpfs(text: str) -> str:
    """``--mount type=tmpfs,dst=TARGET[,tmpfs-size=SIZE][,tmpfs-mode=MODE]`` as ``--tmpfs`` has it.

    Empty where it is another mount.

    :raises InvalidValue: a target that must stay what it is.
    """
    parts = dict(part.partition("=")[::2] for part in _parts(text))
    if parts.pop("type", "") != "tmpfs":
        return ""
    targets = [parts.pop(key) for key in ("dst", "destination", "target") if key in parts]
    options = [
        f"{key.removeprefix('tmpfs-')}={parts.pop(key)}"
        for key in ("tmpfs-size", "tmpfs-mode")
        if key in parts
    ]
    if len(targets) != 1 or parts:
        raise InvalidValue(
            "a mount", text, "it is no tmpfs with dst=", "write type=tmpfs,dst=[,tmpfs-size=]"
        )
    target = Mount("/", _tidy(targets[0])).target
    kernel = ("/proc", "/sys", "/dev")
    if (
        any(char in target for char in ":,")
        or target == "/"
        or any(_same_or_above(path, target) for path in kernel)
    ):
        raise InvalidValue("a mount", text, f"{target} belongs to the system")
    if any(_same_or_above(target, path) for path in CONTRACT):
        raise InvalidValue("a mount", text, f"{target} in the container is taken")
    return ":".join((target, ",".join(options))) if options else target


def _parts(text: str) -> list[str]:
    """What stands between commas; where commas or quotes are in a part, quotes are around it."""
    import csv

    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidValue("a mount", text, str(error), _FORM) from None


def extra_mount(source: str, target: str, access: str, text: str) -> Mount:
    """A mount that a researcher adds: it must hide no directory of the contract or the system."""
    if not source.startswith("/"):
        raise InvalidValue(
            "a volume",
            text,
            "the source is not an absolute path",
            f"named volumes are not offered; where a path has a comma write {_QUOTED}",
        )
    mount = Mount(_tidy(source), _tidy(target), access)
    taken = (*CONTRACT, *_NOT_FOR_MOUNTS)
    if mount.target == "/" or any(_same_or_above(mount.target, path) for path in taken):
        raise InvalidValue(
            "a volume", text, f"{mount.target} in the container is taken", "mount it elsewhere"
        )
    if any(mount.target.startswith(f"{path}/") for path in ("/proc", "/sys", "/dev")):
        raise InvalidValue(
            "a volume", text, f"{mount.target} belongs to the kernel", "mount it elsewhere"
        )
    return mount


def _tidy(path: str) -> str:
    """The path without what engines pass over and comparisons would not: ``//``, ``/./``."""
    if not path.startswith("/"):
        return path
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _same_or_above(path: str, other: str) -> bool:
    return other == path or other.startswith(f"{path}/")
