# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle's ``config.json``. No I/O.

https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

from ...blocks import suppress
from ...errors import InvalidValue
from ...json_text import loads
from ...typed import Any, Iterator, Mapping
from ...values.bundle import Ground, ImageConfig, Owner
from ...values.containers_conf import PATH
from ...values.image_config import are_texts
from ...values.mounts import Mount
from ...values.resources import Resources
from ..command import CGROUPS, Launch, words_of
from .command import Chosen, chosen

_MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
    *("/proc/timer_stats", "/sys/dev/block", "/sys/devices/virtual/powercap", "/sys/firmware"),
    "/sys/fs/selinux",
)
"""What podman hides too."""
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PERIOD = 100_000
"""Microseconds of which a container gets its share of the processors, the kernel's default."""
_UNSPEAKABLE = ",:\\"
"""Characters that the options of an overlay cannot carry."""


def config(
    launch: Launch,
    image: ImageConfig,
    ground: Ground,
    owner: Owner,
    seccomp: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A bundle's ``config.json``.

    Only the user's own id is in the container, under the number that the image wants: no
    subordinate ids are needed, and all that it writes is the user's. The supplementary groups are
    kept, without which project data that only a group may read is denied (an annotation of crun's).

    :param image: what the image says, with the user that the caller wants.

    :raises CesError: there is nothing to run, or a word that no JSON can carry.
    """
    wanted = chosen(launch.options)
    uid, gid = image.uid, image.gid
    hostname = wanted.hostname or launch.name
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in _namespaces(launch)],
        "uidMappings": [{"containerID": uid, "hostID": owner.uid, "size": 1}],
        "gidMappings": [{"containerID": gid, "hostID": owner.gid, "size": 1}],
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
    }
    if seccomp is not None:
        linux["seccomp"] = seccomp
    if launch.resources.limited:
        linux["resources"] = _limits(launch.resources)
        linux["cgroupsPath"] = f"user.slice:ces:run-{launch.run_id}"
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": uid, "gid": gid},
            "args": _command(launch, image, wanted),
            "env": _environment(launch, image, hostname),
            "cwd": wanted.workdir or image.cwd,
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": ground.root, "readonly": ground.layers is None},
        "hostname": hostname[:63],
        "mounts": list(_mounts(launch, ground, wanted.shm_size)),
        "annotations": {"run.oci.keep_original_groups": "1"},
        "linux": linux,
    }


def _command(launch: Launch, image: ImageConfig, wanted: Chosen) -> list[str]:
    """As podman has it: arguments replace CMD, and so does another entry point."""
    if wanted.entrypoint is None:
        words = words_of(launch.image, image.entrypoint, launch.args or image.cmd)
    else:  # an empty one is none
        words = words_of(launch.image, _entry_point(wanted.entrypoint), launch.args)
    for word in words:
        _check_text("an argument", word)
    return list(words)


def _entry_point(text: str) -> list[str]:
    """Its words, which podman takes as a list in JSON, too."""
    with suppress(ValueError, RecursionError):
        words = loads(text) if text.startswith("[") else None
        if isinstance(words, list) and are_texts(words):
            return words
    return [*filter(None, [text])]


def _environment(launch: Launch, image: ImageConfig, hostname: str) -> list[str]:
    values = {"PATH": PATH, "HOSTNAME": hostname, "HOME": launch.home or image.home}
    values.update(image.variables)
    if launch.home:
        values["HOME"] = launch.home
    values.update(container="oci", **launch.env)
    for name, value in values.items():
        _check_text(f"the variable {name}", value)
    return [f"{name}={value}" for name, value in values.items()]


def _check_text(what: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue(
            what, f"{text[:20]!a}...", "it is not UTF-8, which a bundle must be", "use podman"
        ) from None


def _namespaces(launch: Launch) -> tuple[str, ...]:
    network = ("network",) if launch.network == "none" else ()
    # with a namespace of its own a container sees no path of the host's in /proc/self/cgroup
    return ("user", "mount", "pid", "ipc", "uts", "cgroup", *network)


def _mounts(launch: Launch, ground: Ground, shm_size: str) -> Iterator[dict[str, Any]]:
    yield from _root_mounts(ground)
    yield _file_system("/proc", "proc", ["nosuid", "noexec", "nodev"])
    yield _file_system("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"])
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    yield _file_system("/dev/pts", "devpts", terminals)
    memory = ["nosuid", "noexec", "nodev", "mode=1777", f"size={shm_size.rstrip('bB')}"]
    yield _file_system("/dev/shm", "tmpfs", memory)  # noqa: S108  in the container
    yield _file_system("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"])
    if launch.network == "none":
        yield _file_system("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"])
    else:  # a sysfs shows a network namespace, which must be one's own
        yield _bind("/sys", "/sys", "nosuid", "noexec", "nodev", "ro")
    yield _file_system(CGROUPS, "cgroup", ["nosuid", "noexec", "nodev", "ro"])
    for path in ground.temporary:
        yield _file_system(path, "tmpfs", ["nosuid", "nodev", "mode=1777"])
    for path in ground.volumes:
        yield _file_system(path, "tmpfs", ["nosuid", "nodev", "tmpcopyup"])
    for name, source in ground.etc:
        yield _bind(source, f"/etc/{name}", "nosuid", "nodev", "ro")
    home = (Mount(launch.home, launch.home),) if launch.home else ()
    for mount in (*launch.mounts, *home):
        yield _bind(mount.source, mount.target, "nosuid", "nodev", mount.access)


def _root_mounts(ground: Ground) -> Iterator[dict[str, Any]]:
    """What lies in the image's own root, as mounts: nothing can be mounted at ``/`` itself.

    (An ordinary user's crun, 1.8 to 1.21.) For a root that can be written, all of the image with a
    layer over it goes where /proc will cover it, and is taken from there.
    """
    source, words = ground.rootfs, ("nodev", "ro")
    if ground.layers is not None:
        parts = {
            "lowerdir": ground.rootfs,
            "upperdir": f"{ground.layers}/upper",
            "workdir": f"{ground.layers}/work",
        }
        for path in parts.values():
            if any(char in path for char in _UNSPEAKABLE):
                raise InvalidValue(
                    "a directory of images",
                    path,
                    f"one of {_UNSPEAKABLE} is in it",
                    "put --read-only into an option file, or let XDG_DATA_HOME name another",
                )
        # volatile: what a container leaves there is thrown away, and no disk need have it before
        options = [*(f"{key}={path}" for key, path in parts.items()), "userxattr", "volatile"]
        yield _file_system("/proc", "overlay", options)
        source, words = f"{ground.root}/proc", ("nodev", "rw")
    for name in ground.names:
        _check_text("the name of a file of the image", name)
        yield _bind(f"{source}/{name}", f"/{name}", *words)


def _file_system(target: str, kind: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": options}


def _bind(source: str, target: str, *options: str) -> dict[str, Any]:
    words = ["rbind", "rprivate", *options]
    return {"destination": target, "type": "bind", "source": source, "options": words}


def _limits(resources: Resources) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if resources.cpus is not None:
        limits["cpu"] = {"quota": int(resources.cpus * _PERIOD), "period": _PERIOD}
    if resources.memory is not None:
        # swap would let a container double its limit
        limits["memory"] = {"limit": resources.memory, "swap": resources.memory}
    return limits
