# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI bundles, run by crun without a daemon: how each thing is said. No I/O.

crun(1), skopeo(1), umoci(1). What is in a bundle says config.py.
"""

from __future__ import annotations

import os.path

from ...dataclass import dataclass
from ...errors import EXIT_OURS, CesError, InvalidValue
from ...json_text import loads
from ...typed import Any, Sequence
from ...values.certificate import CERTIFICATE_ERRORS
from ...values.command import Command
from ...values.options import Option
from ...values.resources import Resources
from .. import own_files
from ..command import FREE_SPACE, IMAGE_ERRORS, REJECTED, Launch, exec_refused
from ..run_options import OF_A_RUN

_ID = r"\d{1,9}(:\d{1,9})?"

OPTIONS = (
    Option("--volume", "-v", meaning="volume"),
    Option("--mount", meaning="mount"),
    Option("--env", "-e", meaning="env"),
    Option("--workdir", "-w"),
    Option("--user", "-u", values=(_ID,), form="numbers, 1000 or 1000:1000"),
    Option("--entrypoint"),
    Option("--hostname", "-h"),
    Option("--shm-size", values=(r"\d{1,15}[bkmgBKMG]?",), form="an amount, 512m or 2g"),
    Option("--read-only", flag=True),
    Option("--rm", flag=True, meaning="own"),
    *OF_A_RUN,
)
"""What researchers may pass: there is no engine that would read them, so what is not here cannot
be had."""

ERRORS = (
    *own_files.ERRORS,
    # the kernel says so, "no space" included, where it lets users make no namespaces
    ("clone: ", "the administrator enables user namespaces (role oci)"),
    ("unshare", "the administrator enables user namespaces (role oci)"),
    ("no space left on device", FREE_SPACE),
    ("disk quota exceeded", FREE_SPACE),
    ("executable file", "the image has no such program: check the arguments and --entrypoint"),
    *IMAGE_ERRORS,
    (
        "`: not a directory",
        "the image has a file where a directory is to be mounted, or the other way round: mount it"
        " elsewhere, or ask the image's maker",
    ),
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
    *CERTIFICATE_ERRORS,
    ("unknown authority", "the administrator gives the registry's ca to the host's trust store"),
    *REJECTED,
)
"""(part of the message in lower case, what to do next), looked through in this order."""


@dataclass(frozen=True)
class Chosen:
    """What the words of options came to; None where the image says."""

    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    hostname: str | None = None
    shm_size: str = "64m"
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
        ),
        role="oci",
    )


def unpack(layout: str, rootfs: str) -> Command:
    """Make the image's files, all of them the user's."""
    return Command(
        ("umoci", "raw", "unpack", "--rootless", f"--image={layout}:image", rootfs), role="oci"
    )


def container_id(run_id: int) -> str:
    """What crun calls the container of a run: for this user, unmistakable."""
    return f"ces-run-{run_id}"


def check(options: Sequence[str], resources: Resources) -> None:
    """Refuse what no bundle can have.

    :raises CesError: saying what.
    """
    chosen(options)
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
        ),
        role="oci",
    )


def remove(cid_file: str) -> Command:
    """Make sure that nothing of the container is left, running or not."""
    private = os.path.dirname(cid_file)
    name = f"ces-{os.path.basename(private)}"
    return Command(("crun", f"--root={_state(private)}", "delete", "--force", name), role="oci")


def complaint(rc: int, _stdout: str, stderr: str) -> tuple[int, str] | None:
    """Exit status and what crun says went wrong; None if it was the container that failed.

    crun's own messages come last, from its log.
    """
    refused = exec_refused(stderr) if rc == 1 else None
    if refused is not None:
        return refused
    last = stderr.rpartition("\n{")[2] if "\n{" in stderr else stderr.removeprefix("{")
    if rc != 1 or not last.startswith('"msg"'):
        return None
    try:
        said = str(loads("{" + last.splitlines()[0])["msg"])
    except (ValueError, KeyError):
        return None
    if (
        "not executable" in said
        or "not a regular file" in said
        or "Exec format error" in said
        or "open executable" in said
    ):
        return 126, said
    no_program = "executable file" in said or "cannot find `" in said
    return (127 if no_program else EXIT_OURS), said


def chosen(words: Sequence[str]) -> Chosen:
    """Read the words that the allow-list has let through.

    :raises InvalidValue: a word that a site allows and no bundle can have.
    """
    known = {
        **{f"--{name}": name for name in ("workdir", "user", "entrypoint", "hostname")},
        "--shm-size": "shm_size",
        "--read-only": "read_only",
    }
    found: dict[str, Any] = {}
    for word in words:
        name, _equals, value = word.partition("=")
        if name not in known:
            raise InvalidValue(
                "an option of oci", word, "there is no engine that would read it", "leave it out"
            )
        found[known[name]] = value != "false" if name == "--read-only" else value
    workdir = found.get("workdir", "/")
    if not workdir.startswith("/"):
        raise InvalidValue("--workdir", workdir, "the path is not absolute")
    return Chosen(**found)


def _state(private: str) -> str:
    return f"{os.path.dirname(private)}/crun"
