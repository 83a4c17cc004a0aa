# SPDX-License-Identifier: GPL-3.0-or-later
"""Settle what a run will be: what can be refused is refused here, and nothing is changed."""

from __future__ import annotations

import os

from ..dataclass import dataclass, replace
from ..engines.command import Launch, words_of
from ..engines.runner import Runner
from ..engines.table import runner_named
from ..errors import CesError, InvalidValue, RefusedByPolicy
from ..system.account import SIGNED
from ..system.cgroup import Limiting
from ..system.containers_conf import (
    IN_PLACE,
    OVERRIDE,
    OVERRIDE_SINCE,
    configuration_files,
    settings_of,
    system_files,
)
from ..system.directories import (
    allowed_mount,
    check_home_directory,
    chosen_directory,
    mounted_below,
    safe_data_mount,
)
from ..system.system import System, is_in_job
from ..typed import TYPE_CHECKING, Any, Mapping, Sequence
from ..values.command import Command
from ..values.containers_conf import CGROUP_MANAGER, breaking, overriding
from ..values.image import ImageRef
from ..values.mounts import SAFE_OUTPUTS, SCRATCH, Mount
from ..values.options import Given, allowed_options, read_options
from ..values.policy import AllowedRegistry, OptionChanges, Policy
from ..values.quantities import cpu_count, duration_seconds, memory_bytes, spell_bytes
from ..values.resources import Resources
from ..values.spec import RunSpec
from ..values.words import check_env, is_shell_name

if TYPE_CHECKING:
    from ..system.allocation import Allocation
    from ..values.bundle import ImageConfig
    from ..values.gpus import Gpus

_UNSEEN = (
    "there is no CDI specification here: libraries take the GPUs of this run alone, but the device"
    " files of the others are in the container too (the administrator: role gpu)"
)
_LESS = "the Slurm job has {} of memory, less than the {} asked for here: ask Slurm for it (--mem)"


@dataclass(frozen=True)
class Plan:
    """A run that may take place.

    :param wanted: what the container was to have; ``enforced``: what this kernel can hold it to.
    :param outputs: the directory the caller chose, or None for a new one; likewise ``scratch``.
    :param timeout: seconds, or None.
    :param warnings: what the caller should know before it runs.
    :param in_job: it runs in a Slurm job.
    :param limitable: this host can limit what the user's containers take.
    :param override: the text of the engine's configuration that counts, or nothing.
    :param override_by: the variable that names its file.
    :param config: what the image says of itself, for engines that are told it.
    :param gpus: the GPUs that the container gets; None for none, or if another host will know.
    :param registry: what the policy says of the image's registry; None for an image file.
    """

    spec: RunSpec
    runner: Runner
    network: str
    wanted: Resources
    enforced: Resources
    safe_data: Mount
    extra: tuple[Mount, ...]
    outputs: str | None
    scratch: str | None
    env: Mapping[str, str]
    options: tuple[str, ...]
    timeout: float | None
    warnings: tuple[str, ...]
    in_job: bool = False
    limitable: bool = True
    override: str = ""
    override_by: str = ""
    config: ImageConfig | None = None
    gpus: Gpus | None = None
    registry: AllowedRegistry | None = None

    def outputs_for(self, run_id: int, home: str) -> str:
        """Where outputs go."""
        return self.outputs or f"{home}/outputs-{run_id}"

    def scratch_for(self, run_id: int, home: str) -> str:
        """Where scratch is."""
        return self.scratch or f"{home}/scratch-{run_id}"

    def is_free(self, number: int, home: str) -> bool:
        """Whether no directory of an older, forgotten run has this number."""
        mine = [] if self.outputs else [self.outputs_for(number, home)]
        mine += [] if self.scratch else [self.scratch_for(number, home)]
        return not any(os.path.lexists(path) for path in mine)

    def launch(self, run_id: int, home: str, private: str, image: str) -> Launch:
        """What the engine is told for a run of this number.

        :param private: the run's own 0700 directory for the container's id and its environment.
        :param image: what the engine finds the image by.
        """
        mounts = (
            self.safe_data,
            Mount(self.outputs_for(run_id, home), SAFE_OUTPUTS),
            Mount(self.scratch_for(run_id, home), SCRATCH),
            *self.extra,
        )
        return Launch(
            image=image,
            run_id=run_id,
            name=self.spec.name or f"ces-{run_id}",
            mounts=mounts,
            # in a job its cgroup is what holds; an engine's own would lead out of it
            resources=Resources(gpu=self.enforced.gpu) if self.in_job else self.enforced,
            network=self.network,
            private=private,
            home=home if self.spec.home else None,
            env=self.env,
            options=self.options,
            args=tuple(self.spec.args),
            in_job=self.in_job,
            limitable=self.limitable,
            gpus=self.gpus,
            override_by=self.override_by,
            config=self.config,
        )

    def resources_record(self) -> dict[str, Any]:
        """What records say of the resources: memory in bytes, whether limits hold and by whom."""
        record: dict[str, Any] = {
            "cpus": self.wanted.cpus,
            "memory": self.wanted.memory,
            "gpu": self.wanted.gpu,
            "enforced": self.wanted == self.enforced,
        }
        if self.gpus is not None:
            record["gpus"] = list(self.gpus.devices) or [f"{self.gpus.kind}=all"]
        return {**record, "enforced_by": "slurm"} if self.in_job else record


def plan_run(spec: RunSpec, system: System, elsewhere: bool = False) -> Plan:
    """Hold a run against the policy, the user's rights and what this host can do.

    :param elsewhere: another host will run it: what this one has installed and can limit is no
        matter.
    :raises CesError: it may not or cannot take place; the message says why and what to do.
    """
    policy, account = system.policy, system.account
    runner = usable_runner(spec.runner, system, elsewhere)
    given = _options(spec, runner, policy)
    spec = _with_own_words(spec, given)
    registry = policy.registry_for(spec.image) if isinstance(spec.image, ImageRef) else None
    if spec.home:
        policy.check_home()
        check_home_directory(account, policy)
    network = policy.check_network(spec.network)
    if network not in runner.networks:
        raise InvalidValue(
            f"a network of {spec.runner}", network, f"it is none of {', '.join(runner.networks)}"
        )
    asked = memory_bytes(spec.memory)
    wanted = Resources(
        cpus=policy.cpus.settle(cpu_count(spec.cpus), "cpus"),
        memory=_whole(policy.memory.settle(asked, "memory")),
        gpu=spec.gpu,
    )
    if system.allocation is not None and not elsewhere:
        wanted = _in_job(wanted, system.allocation)
    if runner.check is not None:
        runner.check(given.words, wanted)
    enforced, warnings = (
        (wanted, ()) if elsewhere else enforceable(wanted, system.limiting, policy.limits)
    )
    if asked is not None and wanted.memory is not None and wanted.memory < asked:
        warnings += (_LESS.format(spell_bytes(wanted.memory), spell_bytes(asked)),)
    gpus = _gpus(spec, runner, system) if spec.gpu and not elsewhere else None
    if gpus is not None and gpus.edits is None and gpus.names:
        warnings += (_UNSEEN,)
    override, override_by = "", ""
    if runner.conf and not elsewhere:
        override, override_by, disobeyed = configuration_that_counts(runner, system)
        warnings += disobeyed
    chosen = spec.directories
    extra = tuple(allowed_mount(mount, account, policy) for mount in given.mounts)
    _no_target_twice(extra)
    safe_data = safe_data_mount(chosen, account, policy)
    if not elsewhere:
        extra = tuple(part for m in extra for part in (m, *mounted_below(m)))
        extra = (*mounted_below(safe_data), *extra)
    return Plan(
        spec=spec,
        runner=runner,
        network=network,
        wanted=wanted,
        enforced=enforced,
        safe_data=safe_data,
        extra=extra,
        outputs=chosen_directory(chosen.outputs, "CES_SAFE_OUTPUTS", "outputs", account, policy),
        scratch=chosen_directory(chosen.scratch, "CES_SCRATCH", "scratch", account, policy),
        env=_environment({**spec.env, **dict(given.env)}, runner),
        options=given.words,
        timeout=duration_seconds(spec.timeout),
        warnings=warnings,
        in_job=is_in_job(system.allocation) and not elsewhere,
        limitable=elsewhere or bool(system.limiting.controllers),
        gpus=gpus,
        override=override,
        override_by=override_by,
        registry=registry,
    )


def with_image(plan: Plan, config: ImageConfig | None) -> Plan:
    """The plan, and what its image says of itself.

    :raises CesError: neither the image nor the caller says what to run, or as whom.
    """
    if config is None:
        return plan
    if not any(word.startswith("--entrypoint=") for word in plan.options):
        words_of(str(plan.spec.image), config.entrypoint, plan.spec.args or config.cmd)
    if not any(word.startswith("--user=") for word in plan.options):
        config.check_user(f"run {plan.spec.image}")
    lost = [name for name in config.variables if not _can_have(plan.runner, name)]
    warning = f"{plan.runner.engine} passes over variables of the image: {', '.join(lost):.200}"
    return replace(plan, config=config, warnings=(*plan.warnings, *([warning] if lost else [])))


def configuration_that_counts(runner: Runner, system: System) -> tuple[str, str, tuple[str, ...]]:
    """What has to stand against the site's and the user's containers.conf: see :class:`Plan`."""
    account = system.account
    # the prolog's in a Slurm job; else whatever the user has set
    last = account.environ.get(OVERRIDE, "")
    beside = list(settings_of([last] if last else []))
    broken = breaking([*settings_of(configuration_files(account)), *beside])
    in_job = is_in_job(system.allocation)
    if in_job or not system.limiting.controllers:
        # who makes the cgroups is no matter where they limit nothing; a job's prolog says it
        broken = tuple(setting for setting in broken if not setting.is_for(CGROUP_MANAGER))
    if not broken:
        return "", "", ()
    warnings = tuple(f"{setting}, which does not hold for this run" for setting in broken)
    kept = (CGROUP_MANAGER,) if in_job else ()
    if _reads_override(runner, system):
        return overriding(broken, beside, kept), OVERRIDE, warnings
    # what the site has set stays, as far as it breaks nothing; of the user's own file nothing does
    beside = [*settings_of(system_files()), *beside]
    return overriding(broken, beside, kept, alone=True), IN_PLACE, warnings


def _reads_override(runner: Runner, system: System) -> bool:
    """Whether the engine reads a file of configuration after all others.

    One that does not start for a broken file says so of the run itself.
    """
    from ..system.host.programs import version_in

    finished = system.process.run(Command((runner.engine, "--version")))
    return not finished.ok or version_in(finished.stdout) >= OVERRIDE_SINCE


def _gpus(spec: RunSpec, runner: Runner, system: System) -> Gpus:
    """The GPUs that the container gets."""
    # no other run loads what has to do with them
    from ..system.gpu import gpus_for

    return gpus_for(spec.gpus, system, runner)


def _in_job(wanted: Resources, job: Allocation) -> Resources:
    """What Slurm holds the job to: we set no limits of our own in it."""
    return replace(wanted, cpus=job.cpus or wanted.cpus, memory=job.memory or wanted.memory)


def enforceable(
    wanted: Resources, limiting: Limiting, mode: str
) -> tuple[Resources, tuple[str, ...]]:
    """The limits that this kernel can hold a container to, and a warning for each that it cannot.

    :param mode: the policy's ``limits``: ``if_possible`` warns, ``required`` refuses.
    :raises RefusedByPolicy: a limit cannot be enforced and the policy requires it.
    """
    enforced = wanted
    if wanted.cpus is not None and "cpu" not in limiting.controllers:
        enforced = replace(enforced, cpus=None)
    if wanted.memory is not None and "memory" not in limiting.controllers:
        enforced = replace(enforced, memory=None)
    missing = [
        name for name in ("cpus", "memory") if getattr(enforced, name) != getattr(wanted, name)
    ]
    if not missing:
        return enforced, ()
    what = " and ".join(missing)
    if mode == "required":
        raise RefusedByPolicy(
            f"limit the container's {what}",
            said=limiting.reason,
            hint="this site requires limits: tell the administrator",
        )
    return enforced, (f"limits on {what} are not enforced: {limiting.reason}",)


def usable_runner(name: str, system: System, elsewhere: bool = False) -> Runner:
    """The engine of that name, which the site allows and this host has.

    :param elsewhere: another host must have it.
    :raises CesError: it is not allowed, or not there.
    """
    runner = runner_named(name)
    if name not in system.policy.runners:
        allowed = ", ".join(system.policy.runners)
        raise RefusedByPolicy(f"use the runner {name}", said=f"this site allows: {allowed}")
    if not elsewhere and not system.account.has_program(runner.engine):
        raise system.account.missing(f"use the runner {name}", runner.engine, name)
    if runner.signed_ids and system.account.uid >= SIGNED:
        raise CesError(
            f"use the runner {name}",
            said=f"your uid is {system.account.uid}; {name} takes a uid of 2^31 and more for a"
            " negative number, and its user for root",
            hint="the administrator gives the account a smaller uid",
        )
    return runner


def _options(spec: RunSpec, runner: Runner, policy: Policy) -> Given:
    changes = policy.options.get(spec.runner, OptionChanges())
    allowed = allowed_options(runner.options, changes.allow, changes.deny)
    return read_options(spec.options, allowed, spec.runner, runner.closed)


def _with_own_words(spec: RunSpec, given: Given) -> RunSpec:
    """The run with what its options say in the engine's words.

    :raises InvalidValue: the run says the same thing itself, or the options say it twice.
    """
    said: dict[str, Any] = {}
    for field, value in given.own:
        if getattr(spec, field) not in (None, False, value) or said.get(field, value) != value:
            raise InvalidValue(
                f"an option of {spec.runner}",
                f"{field} {value}",
                f"the run has another {field} already",
                "say it once",
            )
        said[field] = value
    return replace(spec, **said) if said else spec


def _environment(values: Mapping[str, str], runner: Runner) -> Mapping[str, str]:
    for name in values:
        if name in runner.reserved or not _can_have(runner, name):
            raise InvalidValue(
                f"a variable of a container under {runner.engine}",
                name,
                (
                    f"{runner.engine} keeps that name for itself"
                    if name in runner.reserved
                    else f"{runner.engine} passes on only names of letters, digits and _"
                ),
                "use another name, another runner, or set it in the container",
            )
    return check_env(values)


def _can_have(runner: Runner, name: str) -> bool:
    return not runner.shell_names or is_shell_name(name)


def _no_target_twice(mounts: Sequence[Mount]) -> None:
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise InvalidValue(
                "a mount", mount.target, "two mounts have that place in the container"
            )
        seen.add(mount.target)


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)
