# SPDX-License-Identifier: GPL-3.0-or-later
"""Really run a container under each engine, as a run of the user would, and without a registry.

The image is the host's own shell. What the engine is told comes from the same functions as a run's.
"""

from __future__ import annotations

import os
import time

from ..blocks import contextmanager
from ..dataclass import replace
from ..engines.command import Launch
from ..engines.oci.images.root import bundle_for_run
from ..engines.roles import ROLE_OF
from ..engines.table import RUNNERS, Runner
from ..errors import CesError
from ..system.account import Account
from ..system.files import explained, private_directory, read_if_there, remove_tree, write_new
from ..system.host.small_root import SHELL, make_root
from ..system.process import Process, Streams
from ..typed import Callable, Iterator, Mapping
from ..values.bundle import ImageConfig
from ..values.finding import Finding
from ..values.mounts import SAFE_OUTPUTS, Mount
from ..values.policy import Policy
from ..values.resources import Resources

_SECONDS = 30.0
_CURE = "mend what else is found; if there is nothing, tell the administrator"
_WORDS = "written by the container"
_SCRIPT = f"echo {_WORDS} > {SAFE_OUTPUTS}/proof"


def canary_findings(account: Account, policy: Policy, process: Process) -> Iterator[Finding]:
    """What each engine that the site allows made of it. Nothing is left."""
    for name in policy.runners:
        if name in RUNNERS:
            yield _one(name, account, process)


def _one(name: str, account: Account, process: Process) -> Finding:
    check, runner = f"canary_{name}", RUNNERS[name]
    begin = time.monotonic()
    try:
        with _place(account) as work:
            said = _run(name, runner, work, account, process)
    except CesError as error:
        said = str(error)
    except OSError as error:
        said = f"{error.filename or 'a file'}: {error.strerror or error}"
    if said:
        cure = runner.hint(said) or _CURE
        said = f"a container with {name} does not do its work: {said}"
        return Finding(check, "fault", said, cure, ROLE_OF[runner.engine])
    took = time.monotonic() - begin
    return Finding(check, "ok", f"a container with {name} did its work in {took:.1f} s")


@contextmanager
def _place(account: Account) -> Iterator[str]:
    """A directory where the user's images are, which is removed at the end."""
    data = account.engine_environ.get("XDG_DATA_HOME") or f"{account.home}/.local/share"
    work = private_directory(f"{data}/ces/doctor-{os.getpid()}")
    try:
        yield work
    finally:
        remove_tree(work)


def _run(name: str, runner: Runner, work: str, account: Account, process: Process) -> str:
    """Run the container; what went wrong, or ''."""
    launch = _launch(work)
    for path in (launch.private, launch.image, launch.mounts[0].source):
        private_directory(path)
    make_root(launch.image, process)
    launch = _PREPARED[name](launch, account)
    try:
        done = process.run(runner.run(launch), Streams(timeout=_SECONDS))
    finally:
        if runner.remove is not None:
            process.run(runner.remove(launch.cid_file))
    if done.stopped_by:
        return f"it did not end within {_SECONDS:g} s"
    proof = read_if_there(f"{launch.mounts[0].source}/proof").strip()
    if done.ok and proof:
        return "" if proof == _WORDS else "what it wrote is not what arrived"
    said = (done.stderr or done.stdout or read_if_there(launch.aside_file)).strip()
    return said[-400:] or f"{runner.engine} ended with {done.rc}, and no word"


def _launch(work: str) -> Launch:
    number = os.getpid()
    return Launch(
        image=f"{work}/image",
        run_id=number,
        name=f"ces-doctor-{number}",
        mounts=(Mount(f"{work}/outputs", SAFE_OUTPUTS),),
        resources=Resources(),
        network="none",
        private=f"{work}/run-{number}",
        args=(SHELL, "-c", _SCRIPT),
        in_job="SLURM_JOB_ID" in os.environ,
    )


def _for_podman(launch: Launch, _account: Account) -> Launch:
    write_new(launch.env_file, "")
    # a directory in place of an image, with a layer over it (:O) as images have, and whatever
    # labels SELinux would want of it
    options = ("--security-opt=label=disable", "--rootfs")
    return replace(launch, options=options, image=f"{launch.image}:O")


def _for_apptainer(launch: Launch, _account: Account) -> Launch:
    return replace(launch, config=ImageConfig())


def _for_oci(launch: Launch, account: Account) -> Launch:
    room = private_directory(f"{launch.private}.room")
    text = bundle_for_run(launch, ImageConfig(), launch.image, room, account)
    with explained("write the container's configuration"):
        write_new(f"{launch.private}/config.json", text)
    return launch


_PREPARED: Mapping[str, Callable[[Launch, Account], Launch]] = {
    "podman": _for_podman,
    "apptainer": _for_apptainer,
    "oci": _for_oci,
}
"""What each engine needs beside the launch itself. A new engine is a new row."""
