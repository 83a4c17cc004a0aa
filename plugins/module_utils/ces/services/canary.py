# SPDX-License-Identifier: GPL-3.0-or-later
"""Really run a container under each engine, as a run of the user would, and without a registry.

The image is the host's own shell. What the engine is told comes from the same functions as a run's.
"""

from __future__ import annotations

import os
import time

from ..engines.command import Launch
from ..engines.runner import Runner
from ..engines.table import known_runners
from ..errors import CesError
from ..system.account import Account
from ..system.cgroup import limiting_for
from ..system.files import private_directory, read_if_there, write_new
from ..system.host.small_root import SHELL, make_root
from ..system.process import Process, Streams
from ..system.records import Records
from ..system.system import System
from ..typed import Iterator
from ..values.finding import Finding
from ..values.mounts import SAFE_OUTPUTS, Mount
from ..values.policy import Policy
from ..values.resources import Resources
from .host_shell import place_of_images
from .images import store_of

_SECONDS = 30.0
_CURE = "mend what else is found; if there is nothing, tell the administrator"
_WORDS = "written by the container"
_SCRIPT = f"echo {_WORDS} > {SAFE_OUTPUTS}/proof"


def canary_findings(account: Account, policy: Policy, process: Process) -> Iterator[Finding]:
    """What each engine that the site allows made of it. Nothing is left."""
    system = System(
        account=account,
        policy=policy,
        process=process,
        records=Records(account.state),
        limiting=limiting_for(account.uid),
        host=os.uname().nodename,
    )
    for runner in known_runners(policy.runners).values():
        yield _one(runner, system)


def _one(runner: Runner, system: System) -> Finding:
    check, name = f"canary_{runner.name}", runner.name
    begin = time.monotonic()
    try:
        with place_of_images(system.account, "doctor") as work:
            said = _run(runner, work, system)
    except CesError as error:
        said = str(error)
    except OSError as error:
        said = f"{error.filename or 'a file'}: {error.strerror or error}"
    if said:
        cure = runner.hint(said) or _CURE
        said = f"a container with {name} does not do its work: {said}"
        return Finding(check, "fault", said, cure, name)
    took = time.monotonic() - begin
    return Finding(check, "ok", f"a container with {name} did its work in {took:.1f} s")


def _run(runner: Runner, work: str, system: System) -> str:
    """Run the container; what went wrong, or ''."""
    launch, process = _launch(work), system.process
    for path in (launch.private, launch.image, launch.mounts[0].source):
        private_directory(path)
    make_root(launch.image, process)
    store = store_of(runner.name, system)
    if runner.environment is not None:
        write_new(launch.env_file, runner.environment({}))
    store.lend_directory(launch)
    launch = store.as_image(launch)
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
