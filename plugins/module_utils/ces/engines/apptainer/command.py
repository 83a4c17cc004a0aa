# SPDX-License-Identifier: GPL-3.0-or-later
"""Unprivileged apptainer: how each thing is said (apptainer-run(1), from 1.3 on). No I/O.

Its containers are ordinary processes below its own: a signal to its process group reaches them.
"""

from __future__ import annotations

from ...errors import EXIT_OURS
from ...typed import TYPE_CHECKING, Iterable, Mapping, Sequence
from ...values.certificate import CERTIFICATE_ERRORS
from ...values.command import Command
from ...values.containers_conf import PATH
from ...values.mounts import Mount
from ...values.options import Option
from ...values.words import is_shell_name
from .. import own_files
from ..command import (
    CGROUPS,
    FILE_IN_PLACE,
    FREE_SPACE,
    IMAGE_ERRORS,
    NO_CWD,
    NO_INTERPRETER,
    Launch,
    bind,
    quoted,
    words_of,
)

if TYPE_CHECKING:
    from ...values.bundle import ImageConfig
    from ...values.gpus import Gpus

OPTIONS = (
    Option("--bind", "-B", meaning="bind"),
    Option("--mount", meaning="mount"),
    Option("--env", meaning="env"),
    Option("--cwd", "--pwd"),
    Option("--hostname"),
    Option("--no-mount"),
    Option("--scratch", "-S"),
    Option("--app"),
    Option("--cleanenv", "-e", flag=True, meaning="own"),
    Option("--contain", "-c", flag=True, meaning="own"),
    Option("--containall", "-C", flag=True, meaning="own"),
    Option("--no-home", flag=True, meaning="own"),
    Option("--pid", "-p", flag=True, meaning="own"),
    Option("--ipc", "-i", flag=True, meaning="own"),
    Option("--writable-tmpfs", flag=True, meaning="own"),
    Option("--network", meaning="network"),
    Option("--cpus", meaning="cpus"),
    Option("--memory", meaning="memory"),
    Option("--nv", flag=True, meaning="gpu"),
    Option("--rocm", flag=True, meaning="gpu"),
)
"""What researchers may pass. Absent, because each would open the host, hide a limit or undo the
contract: --home, --workdir, --overlay, --writable, --add-caps, --keep-privs, --security, --dns,
--no-init and --compat (signals would be lost), --net, --device, --apply-cgroups, --env-file,
--docker-login; and --fakeroot, whose root has every capability over mounts that are to be
read-only."""

ERRORS = (
    *own_files.ERRORS,
    ("no space left on device", FREE_SPACE),
    ("disk quota exceeded", FREE_SPACE),
    ("user namespace", "the administrator enables user namespaces (role apptainer)"),
    ("dbus_session_bus_address", "the administrator enables lingering (role podman or apptainer)"),
    ("cgroups", "this kernel cannot enforce the limit: leave -m and -c out, or see role podman"),
    ("failed to set working directory", NO_CWD),
    ("mount source", "a directory that is to be mounted is not there"),
    ("is not supported!", "the administrator sets sif_compression to gzip in policy.json"),
    ("squashfs image", "the image's file is damaged: ces-rm it and pull it again"),
    ("unsquashfs", "the administrator installs what apptainer opens images with (role apptainer)"),
    # before "fuse", which is a part of it
    ("connection refused", "the registry does not answer: try later, or tell the administrator"),
    ("open /dev/fuse: permission", "the administrator opens /dev/fuse to all users (mode 0666)"),
    ("fuse", "the administrator installs what apptainer mounts images with (role apptainer)"),
    ("image format not recognized", "the file is no image that apptainer can run"),
    ("architecture", "the image is for another processor architecture"),
    *IMAGE_ERRORS,
    (
        "failed to make environment files",
        "its /etc/hosts or /etc/resolv.conf is no file but a directory, or a link that leads"
        " nowhere: use the runner oci, or ask the image's maker",
    ),
    (
        "failed to make environment dirs",
        "the image has a file where apptainer needs a directory: use the runner oci, or ask the"
        " image's maker",
    ),
    (": not a directory", FILE_IN_PLACE),
    ("unauthorized", "check the user name and the token, and that they may read this project"),
    ("manifest unknown", "the registry has no such tag: check the image's name and tag"),
    ("no such host", "the registry's name is unknown here: check it, or ask for a mirror"),
    *CERTIFICATE_ERRORS,
    ("unknown authority", "the administrator gives the registry's ca to the host's trust store"),
    ("a shared library is likely missing", NO_INTERPRETER),
    ("fork/exec ", NO_INTERPRETER),
    ("executable file not found", "the image has no such program: check the arguments"),
    ("stat /", "the image has no such program: check the arguments"),
    ("image targets ", "the image is for another processor architecture"),
)
"""(part of apptainer's message in lower case, what to do next), looked through in this order."""

RESERVED = ("HOME", "UID", "EUID", "GID", "PREPEND_PATH", "APPEND_PATH")
"""Variables that apptainer drops or takes for something else (tried with 1.4.5)."""

_SWITCHES = {
    "nvidia.com/gpu": ("--nv", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    "amd.com/gpu": ("--rocm", "ROCR_VISIBLE_DEVICES"),
}
"""By kind of GPU: the switch for a host without a CDI specification, and the variables that say to
libraries which GPUs to take."""
_PROXIES = tuple(
    spelled
    for kind in ("all", "ftp", "http", "https", "no")
    for spelled in (f"{kind}_proxy", f"{kind}_proxy".upper())
)
_COVERED = ("/tmp/", "/var/tmp/")  # noqa: S108  in the container
_KERNELS_OWN = ("/proc/", "/sys/", "/dev/")
_FAILED = 255
_FATAL = "FATAL:   "
_NO_NAMESPACE = "Failed to create user namespace"
_PROGRAM = "the image's program: "
_OF_PROGRAM = ("permission denied", "is a directory")
"""Messages that are about the image's program, and do not say so."""
_STATUS = (
    ("stat /", "", 127),
    ('"', ": executable file not found in $PATH", 127),
    ("exec ", ": a shared library is likely missing in the image", 127),
    ("exec ", ": no such file or directory", 127),
    ("exec ", ": exec format error", 126),
    ("image targets ", "", 126),
    (_PROGRAM, "", 126),
)
"""By how a message about the image's program begins and ends: exit status, as podman has it."""
_UNPACKING_ROOT = (
    "--no-privs",
    "--add-caps=CAP_CHOWN,CAP_DAC_OVERRIDE,CAP_FOWNER,CAP_FSETID,CAP_MKNOD,CAP_SETFCAP",
    f"--mount={bind(Mount('/proc/sys', '/proc/sys', 'ro'))}",
)
"""For root: no capabilities but those that apptainer needs to unpack an image."""
_NOTHING_TO_RUN = "There is no runscript defined for this container"


def hint(message: str) -> str:
    """What to do about what apptainer said."""
    low = message.lower()
    return next((cure for part, cure in ERRORS if part in low), "")


def version() -> Command:
    """Which apptainer this is: ``apptainer version 1.4.5``."""
    return Command(("apptainer", "--version"), role="apptainer")


def pull(
    file: str,
    source: str,
    authfile: str | None,
    env: Mapping[str, str],
    packing: Sequence[str] = (),
) -> Command:
    """Fetch an image and convert it into a file.

    ``apptainer pull`` does the same, and cannot be told how to pack the file. The cache is left
    out: it would hold every image a second time.

    :param env: credentials for versions before 1.4, which know no auth file, and the registry's own
        certificates, which one of its two HTTP clients would not find.
    :param packing: more options, as ``images/packing.py`` has them.
    """
    given = (f"--authfile={authfile}",) if authfile else ()
    argv = ("apptainer", "build", "--disable-cache", *packing, *given, file, f"docker://{source}")
    return Command(argv, env=env, role="apptainer")


def enclosed(
    command: Command, root: str, mounts: Iterable[Mount], privileged: bool = False
) -> Command:
    """A command of apptainer's in a container that has nothing of the host but these mounts.

    :param root: the directory that is the container's ``/``.
    :param privileged: root runs it, who has to be kept from the kernel's settings as well.
    """
    return Command(
        (
            "apptainer",
            "--silent",
            "exec",
            "--containall",
            "--no-eval",
            "--no-mount=sys,hostfs,bind-paths",
            *(_UNPACKING_ROOT if privileged else ()),
            *(f"--mount={bind(mount)}" for mount in mounts),
            root,
            *command.argv,
        ),
        env={f"APPTAINERENV_{name}": value for name, value in command.env.items()},
        role="apptainer",
    )


def is_closed(message: str) -> bool:
    """Whether apptainer could not pull an image because it closes its files to their owner."""
    return "/rootfs" in message and "permission denied" in message


def run(launch: Launch) -> Command:
    """``apptainer`` for one container, with nothing of the host but what is mounted.

    Apptainer makes a shell script of what an image says of itself: the script expands values, loses
    all of them for one backquote, and prints them where the image has no program. So we tell
    apptainer what the image says, and let it ``exec`` that. It ``run``s only what is from no
    registry.
    Without a network namespace the host's network would be the container's: ``none`` is the only
    other one that users may have. The host's /sys is the container's, too. Apptainer would pass on
    the variables that name a proxy, which may hold a password. An env file would be read by a
    shell; these variables, with ``--no-eval``, arrive byte for byte.
    """
    libraries = launch.gpus.libraries if launch.gpus else ()
    config = launch.config
    return Command(
        (
            "apptainer",
            "--silent",
            "exec" if config else "run",
            "--containall",
            "--no-eval",
            "--writable-tmpfs",
            *(("--net", "--network=none") if launch.network == "none" else ()),
            *((f"--home={launch.home}",) if launch.home else ()),
            *_limits(launch),
            f"--mount={bind(Mount(CGROUPS, CGROUPS, 'ro'))}",
            *(f"--mount={bind(mount)}" for mount in (*launch.mounts, *_gpu_mounts(launch.gpus))),
            *(_places(launch, config) if config else ()),
            *launch.options,
            launch.image,
            *(_program(launch, config) if config else launch.args),
        ),
        env={
            **{f"APPTAINERENV_{name}": value for name, value in _environment(launch).items()},
            **({"APPTAINER_CONTAINLIBS": ",".join(libraries)} if libraries else {}),
        },
        without=_PROXIES,
        role="apptainer",
    )


def complaint(rc: int, stdout: str, stderr: str) -> tuple[int, str] | None:
    """Exit status and what apptainer says went wrong; None if it was the container that failed."""
    if rc == 0 and stdout.strip() == _NOTHING_TO_RUN:
        return EXIT_OURS, "the image does not say what to run: it has no ENTRYPOINT and no CMD"
    if rc == 1 and _NO_NAMESPACE in stderr:
        return EXIT_OURS, stderr[stderr.index(_NO_NAMESPACE) :].splitlines()[0]
    said = [line for line in stderr.splitlines() if line.startswith(_FATAL)]
    if rc != _FAILED or not said:
        return None
    message = said[-1].removeprefix(_FATAL).strip()
    if message in _OF_PROGRAM:
        message = f"{_PROGRAM}{message}"
    known = (
        rc for begin, end, rc in _STATUS if message.startswith(begin) and message.endswith(end)
    )
    return next(known, EXIT_OURS), message


def _places(launch: Launch, config: ImageConfig) -> list[str]:
    """Where the program starts; and the directories that podman would make for it.

    Apptainer covers the image's directories for temporary files with empty ones: not where the
    image starts there, or has its program or data there.
    """
    named = (config.cwd, *config.volumes, *_program(launch, config)[:1])
    used = (path for path in named if path not in config.lacks)
    return [
        *(["--no-mount=tmp"] if any(path.startswith(_COVERED) for path in used) else []),
        *(f"--scratch={quoted(path)}" for path in _made(launch) if "," not in path),
        *(f"--mount={bind(mount)}" for mount in own_places(launch)),
        *([f"--cwd={config.cwd}"] if config.cwd else []),
    ]


def own_places(launch: Launch) -> tuple[Mount, ...]:
    """Missing directories that ``--scratch`` would split at a comma: the run's own lie there."""
    paths = (path for path in _made(launch) if "," in path)
    return tuple(Mount(f"{launch.private}/place-{n}", path) for n, path in enumerate(paths))


def _made(launch: Launch) -> list[str]:
    """The directories that the image names and has not, but for what is mounted there anyway."""
    config = launch.config
    if config is None:
        return []
    taken = (*(f"{mount.target}/" for mount in launch.mounts), *_KERNELS_OWN)
    named = dict.fromkeys((config.cwd, *config.volumes))
    return [path for path in named if path in config.lacks and not f"{path}/".startswith(taken)]


def _program(launch: Launch, config: ImageConfig) -> tuple[str, ...]:
    return words_of(launch.image, config.entrypoint, launch.args or config.cmd)


def _environment(launch: Launch) -> Mapping[str, str]:
    return {**_of_image(launch.config), **_of_gpus(launch.gpus), **launch.env}


def _of_image(config: ImageConfig | None) -> Mapping[str, str]:
    if config is None:
        return {}
    values = {"PATH": PATH, **config.variables}
    return {n: v for n, v in values.items() if is_shell_name(n) and n not in RESERVED}


def _of_gpus(gpus: Gpus | None) -> Mapping[str, str]:
    if gpus is None:
        return {}
    if gpus.edits is not None:
        given = (entry.partition("=") for entry in gpus.edits.env)
        return {name: value for name, _equals, value in given}
    # its switch gives every GPU of the host: libraries take these
    names = ",".join(gpus.names)
    return dict.fromkeys(_SWITCHES[gpus.kind][1:], names) if names else {}


def _limits(launch: Launch) -> list[str]:
    resources = launch.resources
    memory = [f"--memory={resources.memory}", f"--memory-swap={resources.memory}"]
    return [
        *([f"--cpus={resources.cpus:g}"] if resources.cpus is not None else []),
        *(memory if resources.memory is not None else []),
        *([_SWITCHES[launch.gpus.kind][0]] if launch.gpus and launch.gpus.edits is None else []),
    ]


def _gpu_mounts(gpus: Gpus | None) -> list[Mount]:
    """What CDI puts into a container, which apptainer before 1.5 does not read.

    Libraries go where it has those of its own switch ``--nv``, on the container's search path.
    """
    if gpus is None or gpus.edits is None:
        return []
    others = [mount for mount in gpus.edits.mounts if mount not in gpus.libraries_mounted]
    return [
        *(Mount(node.host, node.path) for node in gpus.edits.nodes),
        *(Mount(mount.host, mount.path, "ro") for mount in others),
    ]
