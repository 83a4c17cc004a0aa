# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of a SIF file: whether it is one, for which processor, what its image says of itself.

Format: https://github.com/apptainer/sif (pkg/sif/sif.go): 32 bytes of launch script, magic
``SIF_MAGIC`` and NUL, three bytes of version, three of architecture; how many descriptors of the
file's objects there are, and where. A descriptor is 585 bytes, numbers are little endian.
"""

from __future__ import annotations

import os

from ..blocks import contextmanager
from ..errors import CesError
from ..json_text import loads
from ..typed import TYPE_CHECKING, Any, Iterator, Sequence
from ..values.image_config import CONFIG_MAX, check_image
from ..values.inside import BLOCKED, DANGLING, NOTHING, UNSEEN
from ..values.platform import architecture_of, unlike
from .files import explained, regular
from .squashfs import Squashfs
from .tree import Unseen, find

if TYPE_CHECKING:
    from typing import BinaryIO


_MAGIC_AT = 32
_MAGIC = b"SIF_MAGIC\0"
_ARCHITECTURE_AT = _MAGIC_AT + len(_MAGIC) + 3
_ARCHITECTURES = {
    b"01": "386",
    b"02": "amd64",
    b"03": "arm",
    b"04": "arm64",
    b"05": "ppc64",
    b"06": "ppc64le",
    b"09": "mips64",
    b"11": "s390x",
    b"12": "riscv64",
}
_TOTAL_AT, _DESCRIPTORS_AT = 88, 96
_DESCRIPTOR = 585
_USED_AT, _OFFSET_AT, _SIZE_AT, _NAME_AT, _EXTRA_AT = 4, 17, 25, 73, 201
_OBJECTS_MAX = 256
_PARTITION = 0x4004
_SQUASHFS, _PRIMARY = 1, 2
_CONFIG = b"oci-config.json"
"""The object in which apptainer keeps the configuration of an image that came from a registry."""


def sif_architecture(path: str) -> str:
    """The architecture that a SIF file is for, as registries spell it; empty if it does not say.

    :raises CesError: the file cannot be read, or is no SIF.
    """
    with explained(f"read the image file {path}"), open(path, "rb", opener=regular) as stream:
        head = stream.read(_ARCHITECTURE_AT + 2)
    if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        raise CesError(
            f"run the image file {path}",
            said="it is no SIF file",
            hint="ces-pull apptainer makes one from an image in a registry",
        )
    return _ARCHITECTURES.get(head[_ARCHITECTURE_AT:], "")


def sif_config(path: str) -> dict[str, Any] | None:
    """The ``config`` of the image that a SIF file was made of; None if it was made of none.

    :raises CesError: the file cannot be read, or what it holds is of no known form.
    """
    with explained(f"read the image file {path}"), open(path, "rb", opener=regular) as stream:
        for entry in _objects(stream):
            if entry[_NAME_AT:_EXTRA_AT].rstrip(b"\0") == _CONFIG:
                stream.seek(_number(entry, _OFFSET_AT))
                return _parsed(stream.read(min(_number(entry, _SIZE_AT), CONFIG_MAX)), path)
    return None


def sif_image(path: str) -> dict[str, Any] | None:
    """What a registry would say of the image that a SIF file was made of; None if of none.

    :raises CesError: as :func:`sif_config`.
    """
    about = {"architecture": sif_architecture(path), "os": "linux"}
    config = sif_config(path)
    return None if config is None else {**about, "config": config}


def sif_lacks(path: str, directories: Sequence[str]) -> tuple[str, ...] | None:
    """Those of the directories of which a SIF file has nothing; None if that cannot be seen."""
    try:
        with sif_files(path) as files:
            found = {name: find(files, name).kind for name in directories}
    except Unseen:
        return None
    if UNSEEN in found.values():
        return None
    return tuple(name for name, kind in found.items() if kind in (NOTHING, DANGLING, BLOCKED))


@contextmanager
def sif_files(path: str) -> Iterator[Squashfs]:
    """The files in a SIF file.

    :raises Unseen: it has none of a form that we read.
    :raises CesError: the file cannot be read.
    """
    with explained(f"read the image file {path}"), open(path, "rb", opener=regular) as stream:
        for entry in _objects(stream):
            kind = (_number(entry, _EXTRA_AT, 4), _number(entry, _EXTRA_AT + 4, 4))
            if _number(entry, 0, 4) == _PARTITION and kind == (_SQUASHFS, _PRIMARY):
                yield Squashfs(stream, _number(entry, _OFFSET_AT))
                return
        raise Unseen("it has no file system of a known form")


def _objects(stream: BinaryIO) -> Iterator[bytes]:
    """The descriptors of a file's objects."""
    head = stream.read(_DESCRIPTORS_AT + 8)
    stream.seek(_number(head, _DESCRIPTORS_AT))
    table = stream.read(min(_number(head, _TOTAL_AT), _OBJECTS_MAX) * _DESCRIPTOR)
    entries = (table[at : at + _DESCRIPTOR] for at in range(0, len(table), _DESCRIPTOR))
    return (entry for entry in entries if entry[_USED_AT : _USED_AT + 1] == b"\1")


def _number(data: bytes, place: int, size: int = 8) -> int:
    # what is negative would be no place in a file
    return int.from_bytes(data[place : place + size], "little") & 0x7FFF_FFFF_FFFF_FFFF


def _parsed(data: bytes, path: str) -> dict[str, Any]:
    try:
        config = loads(data.decode("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
        check_image({"config": config})
    except (ValueError, RecursionError) as error:
        raise CesError(
            f"read the image file {path}",
            said=f"what it says of its image is of no known form ({error})",
            hint="ask the image's maker; or the file is damaged: ces-rm it and pull it again",
        ) from None
    return config


def check_architecture(tried: str, architecture: str) -> None:
    """Refuse an image for another processor.

    :param tried: what is refused then.
    :raises CesError: it is for another one.
    """
    wrong = unlike(architecture, architecture_of(os.uname().machine))
    if wrong is not None:
        raise CesError(tried, said=wrong[0], hint=wrong[1])
