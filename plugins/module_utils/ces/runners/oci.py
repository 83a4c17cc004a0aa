# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI bundles, run by crun without a daemon: how each thing is said. No I/O.

crun(1), and https://github.com/opencontainers/runtime-spec/blob/main/config.md. Images come by
skopeo(1) and umoci(1).
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterator, Mapping, Sequence

from ..dataclass import dataclass
from ..errors import EXIT_OURS, CesError, InvalidValue
from ..typed import Any
from ..values.bundle import Ground, ImageConfig, Owner
from ..values.mounts import Mount
from ..values.options import Option
from ..values.resources import Resources
from .command import Command, Launch

_ID = r"\d{1,9}(:\d{1,9})?"

OPTIONS = (
    Option("--volume", "-v", meaning="volume"),
    Option("--mount", meaning="mount"),
    Option("--env", "-e", meaning="env"),
    Option("--workdir", "-w"),
    Option("--user", "-u", values=(_ID,)),
    Option("--entrypoint"),
    Option("--hostname", "-h"),
    Option("--read-only", flag=True),
    Option("--rm", flag=True, meaning="own"),
)
"""What researchers may pass: there is no engine that would read them, so what is not here cannot
be had."""

ERRORS = (
    ("no space left on device", "free some space: ces-images lists images, ces-rm removes one"),
    ("disk quota exceeded", "free some space: ces-images lists images, ces-rm removes one"),
    ("executable file", "the image has no such program: check the arguments and --entrypoint"),
    ("exec format error", "the image is for another processor architecture"),
    (
        "mount `overlay`",
        "nothing can be laid over the image's files where your images are: try --read-only, or the"
        " administrator puts them on a local disk (role container_storage)",
    ),
    ("uid_map", "the administrator enables user namespaces (role oci)"),
    ("user namespace", "the administrator enables user namespaces (role oci)"),
    ("sd-bus", "the administrator enables lingering (role podman)"),
    ("systemd", "the administrator enables lingering (role podman)"),
    ("cgroup", "this kernel cannot enforce the limit: leave -m and -c out, or see role podman"),
    ("unsupported", "the image is of a form that umoci does not know: ask its maker for gzip"),
    ("unauthorized", "check the user name and the token, and that they may read this project"),
    (
        "authentication required",
        "check the user name and the token, and that they may read this project",
    ),
    ("manifest unknown", "the registry has no such tag: check the image's name and tag"),
    ("no such host", "the registry's name is unknown here: check it, or ask for a mirror"),
    ("connection refused", "the registry does not answer: try later, or tell the administrator"),
    ("unknown authority", "the administrator gives the registry's ca to the host's trust store"),
    (
        "is rejected by policy",
        "containers' policy.json forbids this registry; the role podman writes it",
    ),
)
"""(part of the message in lower case, what to do next), looked through in this order."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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


@dataclass(frozen=True)
class _Chosen:
    """What the words of options came to."""

    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    hostname: str | None = None
    read_only: bool = False


def hint(message: str) -> str:
    """What to do about what crun, skopeo or umoci said."""
    low = message.lower()
    return next((cure for part, cure in ERRORS if part in low), "")


def copy(source: str, layout: str, temporary: str, authfile: str | None) -> Command:
    """Fetch an image into a directory with an OCI image layout; signatures do not fit into one."""
    return Command(
        (
            "skopeo",
            f"--tmpdir={temporary}",
            "copy",
            "--remove-signatures",
            "--dest-compress-format=gzip",
            *((f"--authfile={authfile}",) if authfile else ()),
            f"docker://{source}",
            f"oci:{layout}:image",
        )
    )


def unpack(layout: str, rootfs: str) -> Command:
    """Make the image's files, all of them the user's."""
    return Command(("umoci", "raw", "unpack", "--rootless", f"--image={layout}:image", rootfs))


def container_id(run_id: int) -> str:
    """What crun calls the container of a run: for this user, unmistakable."""
    return f"ces-run-{run_id}"


def check(options: Sequence[str], resources: Resources) -> None:
    """Refuse what no bundle can have.

    :raises CesError: saying what.
    """
    _chosen(options)
    if resources.gpu:
        raise CesError(
            "give a container of the runner oci the GPU",
            said="only engines that know GPUs can",
            hint="use podman or apptainer",
        )


def run(launch: Launch) -> Command:
    """``crun run`` for the bundle in the run's own directory.

    All runs of a user share crun's directory, where it keeps the compiled system call filter. It
    makes a cgroup only where there is something to be limited.
    """
    limited = launch.resources.limited
    return Command(
        (
            "crun",
            f"--root={_state(launch.private)}",
            "--systemd-cgroup" if limited else "--cgroup-manager=disabled",
            f"--log=file:{launch.aside_file}",
            "--log-format=json",
            "run",
            f"--bundle={launch.private}",
            container_id(launch.run_id),
        )
    )


def remove(cid_file: str) -> Command:
    """Make sure that nothing of the container is left, running or not."""
    private = os.path.dirname(cid_file)
    name = f"ces-{os.path.basename(private)}"
    return Command(("crun", f"--root={_state(private)}", "delete", "--force", name))


def complaint(rc: int, _stdout: str, stderr: str) -> tuple[int, str] | None:
    """Exit status and what crun says went wrong; None if it was the container that failed.

    crun's own messages come last, from its log.
    """
    last = stderr.rpartition("\n{")[2] if "\n{" in stderr else stderr.removeprefix("{")
    if rc != 1 or not last.startswith('"msg"'):
        return None
    try:
        said = str(json.loads("{" + last.splitlines()[0])["msg"])
    except (ValueError, KeyError):
        return None
    if "not executable" in said or "Exec format error" in said or "open executable" in said:
        return 126, said
    return (127 if "executable file" in said else EXIT_OURS), said


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

    :raises CesError: there is nothing to run, or a word that no JSON can carry.
    """
    chosen = _chosen(launch.options)
    uid, gid = _ids(chosen, image)
    hostname = chosen.hostname or launch.name
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
            "args": _command(launch, image, chosen),
            "env": _environment(launch, image, hostname),
            "cwd": chosen.workdir or image.cwd,
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": ground.root, "readonly": ground.layers is None},
        "hostname": hostname[:63],
        "mounts": list(_mounts(launch, ground)),
        "annotations": {"run.oci.keep_original_groups": "1"},
        "linux": linux,
    }


def read_only(options: Sequence[str]) -> bool:
    """Whether the container's root is to be read-only."""
    return _chosen(options).read_only


def _chosen(words: Sequence[str]) -> _Chosen:
    known = {
        **{f"--{name}": name for name in ("workdir", "user", "entrypoint", "hostname")},
        "--read-only": "read_only",
    }
    found: dict[str, Any] = {}
    for word in words:
        name, _equals, value = word.partition("=")
        if name not in known:
            raise InvalidValue(
                "an option of oci", word, "there is no engine that would read it", "leave it out"
            )
        found[known[name]] = True if name == "--read-only" else value
    workdir = found.get("workdir", "/")
    if not workdir.startswith("/"):
        raise InvalidValue("--workdir", workdir, "the path is not absolute")
    return _Chosen(**found)


def _ids(chosen: _Chosen, image: ImageConfig) -> tuple[int, int]:
    if chosen.user is None:
        return image.uid, image.gid
    user, _colon, group = chosen.user.partition(":")
    return int(user), int(group or 0)


def _command(launch: Launch, image: ImageConfig, chosen: _Chosen) -> list[str]:
    """As podman has it: arguments replace CMD, and so does another entry point."""
    entrypoint = image.entrypoint if chosen.entrypoint is None else (chosen.entrypoint,)
    default = image.cmd if chosen.entrypoint is None else ()
    words = [*filter(None, entrypoint), *(launch.args or default)]
    if not words:
        raise CesError(
            f"run {launch.image}",
            said="the image does not say what to run: it has no ENTRYPOINT and no CMD",
            hint="give arguments",
        )
    for word in words:
        _check_text("an argument", word)
    return words


def _environment(launch: Launch, image: ImageConfig, hostname: str) -> list[str]:
    values = {"PATH": _PATH, "HOSTNAME": hostname, "HOME": launch.home or image.home}
    values.update(entry.partition("=")[::2] for entry in image.env)
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
    return ("user", "mount", "pid", "ipc", "uts", *network)


def _mounts(launch: Launch, ground: Ground) -> Iterator[dict[str, Any]]:
    yield from _root_mounts(ground)
    yield _file_system("/proc", "proc", ["nosuid", "noexec", "nodev"])
    yield _file_system("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"])
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    yield _file_system("/dev/pts", "devpts", terminals)
    memory = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]
    yield _file_system("/dev/shm", "tmpfs", memory)  # noqa: S108  in the container
    yield _file_system("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"])
    if launch.network == "none":
        yield _file_system("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"])
    else:  # a sysfs shows a network namespace, which must be one's own
        yield _bind("/sys", "/sys", "nosuid", "noexec", "nodev", "ro")
    for path in ground.temporary:
        yield _file_system(path, "tmpfs", ["nosuid", "nodev", "mode=1777"])
    for name, source in ground.etc:
        yield _bind(source, f"/etc/{name}", "nosuid", "nodev", "ro")
    home = (Mount(launch.home, launch.home),) if launch.home else ()
    for mount in (*launch.mounts, *home):
        yield _bind(mount.source, mount.target, "nosuid", "nodev", mount.access)


def _root_mounts(ground: Ground) -> Iterator[dict[str, Any]]:
    """The image's own directories, each with a layer over it that takes what is written.

    A runtime cannot mount a file system at ``/`` itself for an ordinary user (crun 1.8 to 1.21).
    """
    for name in ground.directories:
        below = f"{ground.rootfs}/{name}"
        if ground.layers is None:
            yield _bind(below, f"/{name}", "nodev", "ro")
            continue
        parts = {
            "lowerdir": below,
            "upperdir": f"{ground.layers}/upper/{name}",
            "workdir": f"{ground.layers}/work/{name}",
        }
        for path in parts.values():
            if any(char in path for char in _UNSPEAKABLE):
                raise InvalidValue("a directory of images", path, f"one of {_UNSPEAKABLE} is in it")
        options = [*(f"{key}={path}" for key, path in parts.items()), "userxattr"]
        yield _file_system(f"/{name}", "overlay", options)
    for name in ground.files:
        yield _bind(f"{ground.rootfs}/{name}", f"/{name}", "nodev", "ro")


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


def _state(private: str) -> str:
    return f"{os.path.dirname(private)}/crun"
