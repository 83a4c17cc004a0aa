# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's files on disk: made readable for all, looked into without leaving them."""

from __future__ import annotations

import errno
import os
import stat

from ..blocks import suppress
from ..typed import Any, Iterable, Iterator
from ..values.bundle import LEVELS_MAX, user_in
from .files import TEXT_MAX

PLACES = ("hosts", "resolv.conf")
"""Files in ``/etc`` that say how names of hosts are looked up."""
_LINKS_MAX = 40
"""Links on one way that are followed: as many as the kernel follows."""
_PATH_MAX = 4096
"""Bytes; no path of Linux is as long (limits.h)."""
_FOR_ALL, _FOR_ALL_TO_ENTER = 0o644, 0o755


def settle_rootfs(rootfs: str) -> int:
    """Let all read and only the owner write, and nobody gain rights by it; returns its size.

    :raises OSError: something is not ours.
    """
    _make_places(rootfs)
    size = 0
    os.chmod(rootfs, _settled(os.lstat(rootfs)))
    for entry in _everything(rootfs):
        status = entry.stat(follow_symlinks=False)
        size += status.st_blocks * 512
        if not entry.is_symlink():
            mode = _settled(status)
            if mode != stat.S_IMODE(status.st_mode):
                os.chmod(entry.path, mode)
    return size


def _make_places(rootfs: str) -> None:
    """Files over which a container's own are mounted: whoever runs it may not be able to make them.

    A link there would lead to a place of whoever built the image.
    """
    etc = f"{rootfs}/etc"
    if not os.path.lexists(etc):
        os.mkdir(etc)
    if os.path.islink(etc) or not os.path.isdir(etc):
        return
    os.chmod(etc, 0o755)  # noqa: S103  as everything will be
    for name in PLACES:
        if os.path.islink(f"{etc}/{name}"):
            os.unlink(f"{etc}/{name}")
        if not os.path.lexists(f"{etc}/{name}"):
            with open(f"{etc}/{name}", "x", encoding="ascii"):
                pass


def _everything(directory: str) -> Iterator[os.DirEntry[str]]:
    """All below a directory, however deep; a directory comes before it is opened itself."""
    unopened = [directory]
    while unopened:
        with os.scandir(unopened.pop()) as entries:
            for entry in list(entries):
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    unopened.append(entry.path)


def _settled(status: os.stat_result) -> int:
    # In a store for all, setuid and setgid would be the owner's rights, and who can write in a file
    # or directory changes what others run: that is the owner alone, whatever the image says.
    mode = stat.S_IMODE(status.st_mode) & 0o755
    executable = stat.S_ISDIR(status.st_mode) or mode & 0o111
    return mode | (_FOR_ALL_TO_ENTER if executable else _FOR_ALL)


def user_of_image(rootfs: str, image: dict[str, Any]) -> tuple[int, int, str] | None:
    """The ids and the home of the user that an image's configuration names, see :func:`ids_in`."""
    config = image.get("config") or {}
    return ids_in(rootfs, str(config.get("User") or ""), str(config.get("WorkingDir") or "/"))


def ids_in(rootfs: str, user: str, cwd: str) -> tuple[int, int, str] | None:
    """The ids and the home of a user, by an image's own files; None if they do not have it.

    :param cwd: where the container starts.
    """
    return user_in(user, text_in(rootfs, "etc/passwd"), text_in(rootfs, "etc/group"), cwd)


def make_directories(rootfs: str, paths: Iterable[str]) -> None:
    """Make the directories of an image that are not in it, as podman does for each container.

    What else is in the way stays: then the container has no such directory.

    :raises OSError: a path is longer than paths can be, or by links there are too many.
    """
    left = LEVELS_MAX
    for path in paths:
        parts = _inside(rootfs, path)
        left -= len(parts)
        if left < 0:
            raise OSError(f"it names more than {LEVELS_MAX} directories to be made")
        for count in range(1, len(parts) + 1):
            place = "/".join((rootfs, *parts[:count]))
            with suppress(FileExistsError, NotADirectoryError):
                os.mkdir(place)
                os.chmod(place, _FOR_ALL_TO_ENTER)


def _inside(rootfs: str, path: str) -> list[str]:
    """The parts of a path, with the image's links followed as they lead in a container.

    :raises OSError: it is longer than paths can be, or becomes so by the links.
    """
    found: list[str] = []
    ahead = _parts(path)
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del found[-1:]
        elif part not in ("", "."):
            found.append(part)
            place = "/".join((rootfs, *found))
            _check_length(place)
            target = _target(place)
            if target:
                links += 1
                if links > _LINKS_MAX:
                    return []
                found = [] if target.startswith("/") else found[:-1]
                ahead.extend(_parts(target))
    return found


def _parts(path: str) -> list[str]:
    """The names in a path, the last one first."""
    _check_length(path)
    return path.split("/")[::-1]


def _check_length(path: str) -> None:
    if len(path) >= _PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), f"{path[:80]}...")


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def text_in(rootfs: str, path: str) -> str:
    """Text of a file of the image, empty if there is none; no link leads out of the image."""
    try:
        *parents, name = _inside(rootfs, path) or [""]
    except OSError:
        return ""
    descriptor = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parents:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            below = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    # as engines read it: a line ends with a line feed alone
    with open(file, encoding="utf-8", errors="replace", newline="\n") as stream:
        return stream.read(TEXT_MAX) if stat.S_ISREG(os.fstat(file).st_mode) else ""
