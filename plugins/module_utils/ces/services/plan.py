# SPDX-License-Identifier: GPL-3.0-or-later
"""Settle what a run will be: what can be refused is refused here, and nothing is changed."""

from __future__ import annotations

from ..dataclass import dataclass, replace
from ..errors import CesError, InvalidValue, RefusedByPolicy
from ..runners.command import Launch
from ..runners.table import Runner, runner_named
from ..system.cgroup import Limiting
from ..system.directories import allowed_mount, chosen_directory, safe_data_mount
from ..system.system import System
from ..typed import TYPE_CHECKING, Any, Mapping, Sequence
from ..values.image import ImageRef
from ..values.mounts import SAFE_OUTPUTS, SCRATCH, Mount
from ..values.options import Given, allowed_options, read_options
from ..values.policy import OptionChanges, Policy
from ..values.quantities import cpu_count, duration_seconds, memory_bytes
from ..values.resources import Resources
from ..values.spec import RunSpec
from ..values.words import check_env

if TYPE_CHECKING:
    from ..values.gpus import Gpus

_UNSEEN = (
    "there is no CDI specification here: libraries take the GPUs of this run alone, but the device"
    " files of the others are in the container too (the administrator: role gpu)"
)


@dataclass(frozen=True)
class Plan:
    """A run that may take place.

    :param wanted: what the container was to have; ``enforced``: what this kernel can hold it to.
    :param outputs: the directory the caller chose, or None for a new one; likewise ``scratch``.
    :param timeout: seconds, or None.
    :param warnings: what the caller should know before it runs.
    :param in_job: it runs in a Slurm job.
    :param limitable: this host can limit what the user's containers take.
    :param gpus: the GPUs that the container gets; None for none, or if another host will know.
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
    gpus: Gpus | None = None

    def outputs_for(self, run_id: int, home: str) -> str:
        """Where outputs go."""
        return self.outputs or f"{home}/outputs-{run_id}"

    def scratch_for(self, run_id: int, home: str) -> str:
        """Where scratch is."""
        return self.scratch or f"{home}/scratch-{run_id}"

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
    if isinstance(spec.image, ImageRef):
        policy.registry_for(spec.image)
    if spec.home:
        policy.check_home()
    network = policy.check_network(spec.network)
    if network not in runner.networks:
        raise InvalidValue(
            f"a network of {spec.runner}", network, f"it is none of {', '.join(runner.networks)}"
        )
    wanted = Resources(
        cpus=policy.cpus.settle(cpu_count(spec.cpus), "cpus"),
        memory=_whole(policy.memory.settle(memory_bytes(spec.memory), "memory")),
        gpu=spec.gpu,
    )
    if runner.check is not None:
        runner.check(given.words, wanted)
    enforced, warnings = (
        (wanted, ()) if elsewhere else enforceable(wanted, system.limiting, policy.limits)
    )
    gpus = _gpus(spec, runner, system) if spec.gpu and not elsewhere else None
    if gpus is not None and gpus.edits is None and gpus.names:
        warnings += (_UNSEEN,)
    chosen = spec.directories
    extra = tuple(allowed_mount(mount, account, policy) for mount in given.mounts)
    _no_target_twice(extra)
    return Plan(
        spec=spec,
        runner=runner,
        network=network,
        wanted=wanted,
        enforced=enforced,
        safe_data=safe_data_mount(chosen, account, policy),
        extra=extra,
        outputs=chosen_directory(chosen.outputs, "CES_SAFE_OUTPUTS", "outputs", account, policy),
        scratch=chosen_directory(chosen.scratch, "CES_SCRATCH", "scratch", account, policy),
        env=_environment({**spec.env, **dict(given.env)}, runner),
        options=given.words,
        timeout=duration_seconds(spec.timeout),
        warnings=warnings,
        in_job=system.allocation is not None and not elsewhere,
        limitable=elsewhere or bool(system.limiting.controllers),
        gpus=gpus,
    )


def _gpus(spec: RunSpec, runner: Runner, system: System) -> Gpus:
    """The GPUs that the container gets."""
    # no other run loads what has to do with them
    from ..system.gpu import gpus_for

    return gpus_for(spec.gpus, system, runner)


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
        raise CesError(
            f"use the runner {name}",
            said=f"{runner.engine} is not installed on this host",
            hint=f"the administrator installs it with the role {runner.role}",
        )
    return runner


def _options(spec: RunSpec, runner: Runner, policy: Policy) -> Given:
    changes = policy.options.get(spec.runner, OptionChanges())
    allowed = allowed_options(runner.options, changes.allow, changes.deny)
    return read_options(spec.options, allowed, spec.runner)


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
    for name in runner.reserved:
        if name in values:
            raise InvalidValue(
                f"a variable of a container under {runner.engine}",
                name,
                f"{runner.engine} keeps that name for itself",
                "use another name, or set it in the container",
            )
    return check_env(values)


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
