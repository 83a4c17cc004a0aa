# SPDX-License-Identifier: GPL-3.0-or-later
"""Really run a container under each engine, as a run of the user would, and without a registry.

The image is the host's own shell. What the engine is told comes from the same functions as a run's;
how the engine gets the image is in its own directory (``images/trial.py``).
"""

from __future__ import annotations

import os
import time

from ..dataclass import replace
from ..engines.command import Launch
from ..engines.images.trial import IN_IMAGE
from ..engines.runner import Runner
from ..engines.table import known_runners
from ..errors import CesError
from ..system.account import Account
from ..system.cgroup import limiting_for
from ..system.files import private_directory, read_if_there, write_new
from ..system.host.small_root import SHELL, make_root
from ..system.process import Finished, Process, Streams, SystemProcess
from ..system.records import Records
from ..system.system import System
from ..typed import Sequence
from ..values.command import Command
from ..values.mounts import SAFE_OUTPUTS, Mount
from ..values.policy import Policy
from ..values.resources import Resources
from ..values.trial import WORDS, Trial
from .host_shell import place_of_images
from .images import store_of
from .plan import configuration_that_counts

_SECONDS = 30.0
_PATIENT = Streams(timeout=_SECONDS)
_SCRIPT = f"""
{{ echo x > /{IN_IMAGE}; }} 2>/dev/null
{{ echo {WORDS}
  while read -r name uid more; do [ "$name" != Uid: ] || echo "Uid: $uid"; done </proc/self/status
  while read -r inside outside count; do echo "ids: $count"; done </proc/self/uid_map
  while read -r name more; do echo "net: $name"; done </proc/net/dev
}} > {SAFE_OUTPUTS}/proof
"""
"""The shell's own words alone: the image has no other program."""


def run_canaries(
    account: Account, policy: Policy, process: Process | None = None
) -> dict[str, Trial]:
    """What became of one container under each engine that the site allows. Nothing is left.

    :param process: what starts programs; None for one with the user's session, if there is one.
    """
    session = account.runtime_base_if_any
    environ = account.engine_environ if session else account.lasting_environ
    system = System(
        account=account,
        policy=policy,
        process=process or SystemProcess(environ),
        records=Records(account.state),
        limiting=limiting_for(account.uid),
        host=os.uname().nodename,
    )
    return {name: _try(one, system) for name, one in known_runners(policy.runners).items()}


def _try(runner: Runner, system: System) -> Trial:
    begin, uid = time.monotonic(), system.account.uid
    try:
        with place_of_images(system.account, "doctor") as work:
            trial = runner.trial()(_Bench(work, runner, system))
    except CesError as error:
        trial = Trial(uid, str(error))
    except OSError as error:
        trial = Trial(uid, f"{error.filename or 'a file'}: {error.strerror or error}")
    seconds = time.monotonic() - begin
    return replace(trial, seconds=seconds, cure=runner.hint(trial.said) if trial.said else "")


class _Bench:
    """See :class:`ces.engines.images.trial.Bench`."""

    def __init__(self, work: str, runner: Runner, system: System) -> None:
        self.work, self.launch = work, _launch(work)
        self.account, self.policy = system.account, system.policy
        self._runner, self._system = runner, system
        self.environ: dict[str, str] = {}
        self._outputs = self.launch.mounts[0].source
        for path in (self.launch.private, self.launch.image, self._outputs):
            private_directory(path)
        make_root(self.launch.image, system.process)

    def lend(self) -> Launch:
        """Prepare what the engine reads of the directory; returns what it is told."""
        runner, launch, system = self._runner, self.launch, self._system
        if runner.environment is not None:
            write_new(launch.env_file, runner.environment({}))
        if runner.conf:
            text, by, _warnings = configuration_that_counts(runner, system)
            if text:
                write_new(launch.override_file, text)
            launch = replace(launch, override_by=by)
        store = store_of(runner.name, system)
        store.lend_directory(launch)
        return store.as_image(launch)

    def do(self, tried: str, *argv: str) -> Finished:
        """Run a program of the engine that prepares something.

        :raises CesError: it failed.
        """
        return self._system.process.run(Command(argv, self.environ), _PATIENT).check(tried)

    def run(self, launch: Launch, *silent: str) -> tuple[Finished, Trial]:
        """Run the container, and see what it left.

        :param silent: words that the engine is not told, to hear what it has to say.
        """
        command, process = self._runner.run(launch), self._system.process
        argv = tuple(word for word in command.argv if word not in silent)
        command = replace(command, argv=argv, env={**command.env, **self.environ})
        try:
            done = process.run(command, _PATIENT)
        finally:
            if self._runner.remove is not None:
                process.run(self._runner.remove(launch.cid_file))
        return done, self._seen(done, launch)

    def _seen(self, done: Finished, launch: Launch) -> Trial:
        uid, proof = self.account.uid, f"{self._outputs}/proof"
        if done.stopped_by:
            return Trial(uid, f"it did not end within {_SECONDS:g} s")
        lines = read_if_there(proof).splitlines()
        if done.ok and lines:
            return _told(uid, lines, os.stat(proof).st_uid)
        said = (done.stderr or done.stdout or read_if_there(launch.aside_file)).strip()
        words = f"{self._runner.engine} ended with {done.rc}, and no word"
        return Trial(uid, said[-400:] or words)


def _told(uid: int, lines: Sequence[str], owner: int) -> Trial:
    """What the container says of itself, behind its first line."""
    told = [line.partition(": ")[::2] for line in lines[1:]]
    users = [int(value) for name, value in told if name == "Uid" and value.isdigit()]
    # the table has two lines of heading
    nets = tuple(value.partition(":")[0] for name, value in told if name == "net" and ":" in value)
    return Trial(
        uid=uid,
        inside=users[0] if users else None,
        ids=sum(int(value) for name, value in told if name == "ids" and value.isdigit()),
        interfaces=nets,
        written=lines[0],
        owner=owner,
    )


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
