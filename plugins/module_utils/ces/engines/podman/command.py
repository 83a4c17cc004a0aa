# SPDX-License-Identifier: GPL-3.0-or-later
"""Rootless podman: how each thing is said (podman(1), versions 4.3 to 5.x). No I/O."""

from __future__ import annotations

from ...errors import EXIT_OURS
from ...typed import Mapping
from ...values.certificate import CERTIFICATE_ERRORS
from ...values.command import Command
from ...values.mounts import Mount
from ...values.options import Option
from .. import own_files
from ..command import (
    FILE_IN_PLACE,
    FREE_SPACE,
    IMAGE_ERRORS,
    NO_WORKDIR,
    REJECTED,
    STOP_GRACE,
    Launch,
    bind,
    exec_refused,
)
from ..run_options import OF_A_RUN
from .messages import ERROR

RUN_LABEL = "ces.run"

OPTIONS = (
    Option("--volume", "-v", meaning="volume"),
    Option("--mount", meaning="mount or tmpfs"),
    Option("--env", "-e", meaning="env"),
    Option("--workdir", "-w"),
    Option("--user", "-u"),
    Option("--entrypoint"),
    Option("--hostname", "-h"),
    Option("--shm-size"),
    Option("--tmpfs"),
    Option("--ulimit"),
    Option("--stop-signal"),
    Option(
        "--tz",
        values=("local", r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*"),
        form="local, or a time zone's name, Europe/London",
    ),
    Option("--umask"),
    Option("--cap-drop"),
    Option(
        "--userns",
        values=(r"keep-id(:[ug]id=\d+(,[ug]id=\d+)?)?", "host", "nomap"),
        form="keep-id, keep-id:uid=NUMBER,gid=NUMBER, host, nomap",
    ),
    Option("--init", flag=True),
    Option("--read-only", flag=True),
    Option("--http-proxy", flag=True),
    Option("--rm", flag=True, meaning="own"),
    *OF_A_RUN,
)
"""What researchers may pass. Absent, because each would open the host, hide a limit or undo the
contract: --privileged, --cap-add, --security-opt, --pid, --ipc, --uts, --cgroups, --volumes-from,
--annotation, --runtime, --label, ..."""

_NO_PLACE = ("crun: creating `/", "crun: openat2 `")
"""What crun says of a place for a mount that is a link to nowhere, new and old (1.8)."""
_NO_MOUNT = (
    *_NO_PLACE,
    *(f"crun: {doing} `" for doing in ("mount", "mkdir", "chdir to", "error creating directory")),
    *(
        "crun: the target `",
        "creating /etc/mtab",
        'workdir "',
        " workdir: mkdir",
        "for copy up into",
    ),
)
"""What crun says of directories and mounts; podman may take it for a program that is not there."""
ERRORS = (
    *own_files.ERRORS,
    ("is already in use", "choose another name with -n, or stop that container with ces-stop"),
    ("no space left on device", FREE_SPACE),
    ("cannot find UID/GID", "the administrator adds a subordinate id range (role subid)"),
    (
        "includes the user",
        "your subordinate ids hold your own id: the administrator removes that line and runs role"
        " subid",
    ),
    (
        "_map failed: invalid argument",
        "your subordinate ids have an id twice, or your own: the administrator runs role subid",
    ),
    *(
        (
            program,
            "the administrator installs uidmap with its setuid bits and gives this user a range"
            " (roles podman, subid)",
        )
        for program in ("newuidmap", "newgidmap")
    ),
    (
        "runtime static files",
        "podman cannot write where your storage is to be: the administrator runs role"
        " container_storage, or you correct your own storage.conf",
    ),
    (
        "database configuration mismatch",
        "the storage was moved: the administrator runs role container_storage",
    ),
    *IMAGE_ERRORS,
    *(
        (
            part,
            "the image has a link there that leads nowhere: ask its maker for a directory, or use"
            " the runner oci or apptainer",
        )
        for part in _NO_PLACE
    ),
    *((part, NO_WORKDIR) for part in ('workdir "', " workdir: mkdir")),
    *(
        (part, FILE_IN_PLACE)
        for part in (
            *("`: not a directory", "exists and it is not a directory", "invalid: not a directory"),
            *("creating /etc/mtab", "for copy up into"),
        )
    ),
    *(
        (part, "the image has no such program: check the arguments and --entrypoint")
        for part in ("executable file", "cannot find `")
    ),
    (
        "no matching entries in",
        "the image's own lists of users and groups lack it: put numbers into an option file"
        " (--user=0), or ask its maker",
    ),
    *(
        (
            part,
            "that number is beyond your range of subordinate ids: put --user=0 into an option file,"
            " or use the runner oci",
        )
        for part in ("cannot setresuid", "cannot setresgid", "uids and gids must be in range")
    ),
    ("image not known", "the image is no more in your storage: run it again, and it is pulled"),
    *(
        (part, "it is none here: put --stop-signal=SIGTERM into an option file")
        for part in ("invalid signal", "stop signal cannot be")
    ),
    (
        "convert image expose",
        "a port that the image exposes is none: use the runner oci or apptainer, or ask its maker",
    ),
    (
        "env fields from image",
        "a variable of the image has no name: use the runner oci or apptainer, or ask its maker",
    ),
    (
        "potentially insufficient uids or gids",
        "files of the image have owners beyond your range of subordinate ids: use the runner oci or"
        " apptainer, to which all files are yours, or ask the image's maker",
    ),
    (
        "unpacking failed (error: exit status 1; output: no such file or directory)",
        "podman cannot make a hard link to a file of another layer: use the runner oci or"
        " apptainer, or ask the image's maker to put both into one layer",
    ),
    ("setrlimit", "your own limit is lower: ulimit -H -a shows what --ulimit can ask for"),
    (
        "unresolvable CDI device",
        "podman does not look where the CDI specification is: the administrator sets cdi_spec_dirs"
        " in containers.conf (role gpu)",
    ),
    (
        "controller `",
        "this kernel cannot enforce the limit: leave -m and -c out, or see the role podman",
    ),
    ("unauthorized", "check the user name and the token, and that they may read this project"),
    (
        "authentication required",
        "check the user name and the token, and that they may read this project",
    ),
    ("manifest unknown", "the registry has no such tag: check the image's name and tag"),
    ("no such host", "the registry's name is unknown here: check it, or ask for a mirror"),
    ("connection refused", "the registry does not answer: try later, or tell the administrator"),
    *CERTIFICATE_ERRORS,
    (
        "certificate signed by unknown authority",
        "the administrator gives the registry's ca to role podman",
    ),
    *REJECTED,
)
"""(part of podman's message, what to do next), looked through in this order."""


_IMAGE = (
    '{"id":{{json .ID}},"digest":{{json .Digest}},"digests":{{json .RepoDigests}},'
    '"names":{{json .RepoTags}},"size":{{json .Size}},"created":{{json .Created}},'
    '"architecture":{{json .Architecture}},"os":{{json .Os}},'
    '"volumes":{{if .Config}}{{len .Config.Volumes}}{{else}}0{{end}}}'
)


def image_lookup(image: str) -> Command:
    """What is known of an image in storage, as JSON; exits with 125 if it is not there."""
    return Command(("podman", "image", "inspect", "--format", _IMAGE, image), role="podman")


_KEPT = (
    '{"said":{"architecture":{{json .Architecture}},"os":{{json .Os}},"config":{{json .Config}}},'
    '"driver":{{json .GraphDriver}}}'
)


def image_kept(image: str) -> Command:
    """What an image in storage says of itself, and where its files are, as JSON."""
    return Command(("podman", "image", "inspect", "--format", _KEPT, image), role="podman")


def image_list() -> Command:
    """Every image in storage, as JSON."""
    return Command(("podman", "images", "--format", "json"), role="podman")


def image_remove(image: str) -> Command:
    """Remove an image's name, and the image with its last name."""
    return Command(("podman", "rmi", image), role="podman")


def storage() -> Command:
    """The file in which containers/storage lists this user's images."""
    path = "{{.Store.GraphRoot}}/{{.Store.GraphDriverName}}-images/images.json"
    return Command(("podman", "info", "--format", path), role="podman")


def temporary() -> Command:
    """The directory in which podman keeps what it is fetching (image_copy_tmp_dir)."""
    return Command(("podman", "info", "--format", "{{.Store.ImageCopyTmpDir}}"), role="podman")


def hint(message: str) -> str:
    """What to do about what podman said."""
    low = message.lower()
    return next((cure for part, cure in ERRORS if part.lower() in low), "")


def delete(path: str) -> Command:
    """Remove a directory in which subordinate ids own files."""
    return Command(("podman", "unshare", "rm", "-rf", "--", path), role="podman")


def pull(image: str, authfile: str | None, temporary_files: str | None = None) -> Command:
    """Fetch an image; credentials are in the auth file."""
    return Command(
        (
            "podman",
            "pull",
            *((f"--authfile={authfile}",) if authfile else ()),
            image,
        ),
        env={} if temporary_files is None else {"TMPDIR": temporary_files},
        role="podman",
    )


def run(launch: Launch) -> Command:
    """``podman run`` for one container.

    ``keep-groups`` keeps the user's supplementary groups, without which project data that only a
    group may read is denied (crun only). Signals do not pass through podman: we stop the container,
    and :func:`kill` sends it what is no request to stop. (podman stops passing on for good after a
    signal that comes while the container starts.)
    The variables that name a proxy may hold a password: a container gets them if it was asked for.
    A mounts.conf, of the user's own too, would put whatever it names into every container.
    An image's HEALTHCHECK would be run by the user's systemd, outside of the run and of its job.
    For an image whose program is called as systemd is, podman would make the cgroups writable: in a
    job that is the host's whole tree, with the limits of all of the user's containers.
    The container writes to our pipes itself (``passthrough``). podman's default would copy each
    line of output, which may hold data, into the system's journal, and costs nine seconds a
    megabyte; and what passes through podman's monitor may be lost where a host is busy.
    In a Slurm job podman itself is told to stop as well: it passes that on instead of ending with
    what the container still says.
    podman's monitor writes an empty file ``oom`` where it starts if memory runs out: not in the
    directory that the user is in.
    podman and what it starts to clear away collect garbage less often (``GOGC``): that is a tenth
    of their time, for 3 MB more.
    """
    return Command(
        (
            "podman",
            "run",
            "--rm",
            "--pull=never",
            f"--sig-proxy={'true' if launch.in_job else 'false'}",
            "--log-driver=passthrough",
            "--group-add=keep-groups",
            "--http-proxy=false",
            "--default-mounts-file=/dev/null",
            "--no-healthcheck",
            "--systemd=false",
            f"--name={launch.name}",
            f"--label={RUN_LABEL}={launch.run_id}",
            f"--cidfile={launch.cid_file}",
            f"--conmon-pidfile={launch.monitor_file}",
            f"--env-file={launch.env_file}",
            f"--network={launch.network}",
            f"--cgroups={_cgroups(launch)}",
            *_limits(launch),
            *(f"--mount={bind(mount)}" for mount in launch.mounts),
            *(_home(launch.home) if launch.home else ()),
            *launch.options,
            "--",
            launch.image,
            *launch.args,
        ),
        env={
            "GOGC": "400",
            **({launch.override_by: launch.override_file} if launch.override_by else {}),
        },
        role="podman",
        directory="/",
    )


def stop(cid_file: str) -> Command:
    """End the container gently, and not gently after the grace period."""
    return Command(
        ("podman", "stop", "--ignore", f"--time={STOP_GRACE}", f"--cidfile={cid_file}"),
        role="podman",
    )


def kill(cid_file: str, number: int) -> Command:
    """Send a signal to the container's first process."""
    return Command(("podman", "kill", f"--signal={number}", f"--cidfile={cid_file}"), role="podman")


def remove(cid_file: str) -> Command:
    """Make sure that nothing of the container is left, running or not."""
    return Command(
        ("podman", "rm", "--force", "--ignore", "--time=0", f"--cidfile={cid_file}"), role="podman"
    )


def exists(name: str) -> Command:
    """Whether there is a container of that name, running or not; status 0 if so."""
    return Command(("podman", "container", "exists", name), role="podman")


def _cgroups(launch: Launch) -> str:
    """Which cgroups podman makes. To make the container's own takes it a quarter of its time.

    The container's own holds its limits, those on processes that podman sets too. podman's monitor
    needs none. In a Slurm job it would be the user's session's, where neither the job's limits nor
    ``scancel`` reach; on a host without controllers for users it would limit nothing. A PID
    namespace is what ends all of a container's processes with its first one.
    """
    return "no-conmon" if launch.limitable and not launch.in_job else "disabled"


def _limits(launch: Launch) -> list[str]:
    resources = launch.resources
    return [
        *([f"--cpus={resources.cpus:g}"] if resources.cpus is not None else []),
        # swap would let a container double its limit
        *(
            [f"--memory={resources.memory}b", f"--memory-swap={resources.memory}b"]
            if resources.memory is not None
            else []
        ),
        *(f"--device={device}" for device in (launch.gpus.devices if launch.gpus else ())),
    ]


def _home(home: str) -> tuple[str, ...]:
    return f"--mount={bind(Mount(home, home))}", f"--env=HOME={home}"


def environment(values: Mapping[str, str]) -> str:
    """The text of an env file: podman takes values as they are."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


def complaint(rc: int, _stdout: str, stderr: str) -> tuple[int, str] | None:
    """Exit status and what podman says went wrong; None if it was the container that failed.

    The container's own 125 to 127 come without a message of podman's. What the image's program is
    refused for once the container is there, the runtime alone says, and podman ends with 1.
    """
    refused = exec_refused(stderr) if rc == 1 else None
    if refused is not None:
        return refused
    said = [line.removeprefix(ERROR) for line in stderr.splitlines() if line.startswith(ERROR)]
    if rc not in (125, 126, 127) or not said:
        return None
    no_mount = any(part in said[-1] for part in _NO_MOUNT)
    return EXIT_OURS if no_mount else rc, said[-1]
