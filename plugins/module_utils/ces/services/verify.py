# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a host: every user under every engine, a pull, jobs; and what ces-doctor finds of it."""

from __future__ import annotations

import hashlib
import os
import pwd

from ..blocks import suppress
from ..dataclass import asdict, dataclass, field
from ..engines.table import known_runners
from ..errors import CesError
from ..shown import shown
from ..system.files import read_if_there
from ..system.gpu import kinds_here
from ..system.host.admitted import kept_out
from ..system.host.small_root import files_of
from ..system.policyfile import load_policy
from ..system.process import Streams, SystemProcess
from ..system.system import System
from ..typed import Any, Callable, Iterator, Sequence
from ..values.command import Command
from ..values.finding import Finding
from ..values.image import ImageRef
from ..values.policy import Policy
from ..values.proof import Proof, counted
from ..values.record import utc_now
from ..values.spec import Credentials, PullSpec
from .doctor import diagnose, user_named
from .errands import Errand, run_errands
from .images import store_of
from .prove import prove_engine, prove_gpus
from .pull import pull_image
from .session import session
from .verify_jobs import gpu_errands, job_errands, slurm_version
from .verify_portal import Cluster, nobody_for, portal_errands

_PULL_SECONDS = 1800.0
_PULL_LARGEST = 1 << 50
_PATIENT = Streams(timeout=5.0)
_VERSION_MAX = 200
"""Characters of what a program says of its version."""


@dataclass(frozen=True)
class Wanted:
    """What is to be proved.

    :param users: names of all users of the host; ``sample``: of how many of them, 0 for all.
    :param image: an image that is pulled; None for no pull.
    :param slurm: jobs are submitted from this host, if it has Slurm's commands.
    :param containers: this host runs containers; a portal does not.
    :param clusters: those to which this host, a portal, submits jobs.
    """

    users: Sequence[str]
    sample: int = 0
    image: ImageRef | None = None
    credentials: Credentials = Credentials()
    slurm: bool = True
    containers: bool = True
    clusters: Sequence[Cluster] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The users whose containers are run: evenly spaced in the sorted list of names."""
        names = sorted(set(self.users))
        if not 0 < self.sample < len(names):
            return tuple(names)
        return tuple(names[index * len(names) // self.sample] for index in range(self.sample))


@dataclass
class Verified:
    """What came of it.

    :param began: UTC, ISO 8601; likewise ``ended``.
    :param people: how many users the host has; ``chosen``: those whose containers were run.
    :param versions: what programs say of their version, by their names.
    :param policy: the file, and the SHA-256 of its content.
    :param findings: ces-doctor's, each with the user that it is of: of the host all, of users for
        whom something failed those that are not well.
    """

    host: str
    began: str
    ended: str = ""
    people: int = 0
    chosen: Sequence[str] = ()
    engines: Sequence[str] = ()
    versions: dict[str, str] = field(default_factory=dict)
    policy: dict[str, str] = field(default_factory=dict)
    proofs: list[Proof] = field(default_factory=list)
    findings: list[dict[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        proofs = [proof.as_dict() for proof in self.proofs]
        return {**asdict(self), "proofs": proofs, "counts": counted(self.proofs)}


def verify(wanted: Wanted) -> Verified:
    """Prove all that is wanted. Nothing is left, whatever comes of it.

    Root may prove every user's containers, other users their own.
    """
    policy, error = _policy()
    found = Verified(
        host=os.uname().nodename,
        began=utc_now(),
        people=len(set(wanted.users)),
        chosen=wanted.chosen,
        engines=_engines(wanted, policy),
        policy=_fingerprint(policy),
    )
    found.versions = _versions(found.engines)
    found.proofs = [Proof(Finding("policy", "fault", error))] if error else _proofs(wanted, policy)
    found.findings = [*_findings(found.proofs)] if wanted.containers else []
    found.ended = utc_now()
    return found


def planned(wanted: Wanted) -> list[str]:
    """What :func:`verify` would do, one sentence each. Nothing is run."""
    policy, _error = _policy()
    people, strangers = _known(wanted.chosen)
    engines = _engines(wanted, policy)
    errands = portal_errands(people, wanted.clusters)
    if wanted.containers:
        errands = [
            *container_errands(people, engines),
            *_pull_errands(wanted, people, engines),
            *_job_errands(wanted, people, engines),
            *_gpu_errands(wanted, people, engines),
            *errands,
        ]
    return [*(proof.finding.said for proof in strangers), *map(_sentence, errands)]


def _sentence(errand: Errand) -> str:
    under = f" under {errand.engine}" if errand.engine else ""
    job = f"run a Slurm job in {errand.place}"
    what = {
        "pull": f"pull {errand.place}",
        "container": "run a container",
        "gpu": f"use a GPU in a Slurm job on {errand.place}" if errand.place else "use the GPUs",
        "greeting": f"submit a job to {errand.place}",
    }.get(errand.name, job)
    return f"{what} as {errand.user}{under}"


def _proofs(wanted: Wanted, policy: Policy) -> list[Proof]:
    people, strangers = _known(wanted.chosen)
    engines = _engines(wanted, policy)
    proofs = _portal(wanted, people)
    if wanted.containers:
        proofs = [
            *run_errands(container_errands(people, engines)),
            *_pulls(wanted, people, engines),
            *run_errands(_job_errands(wanted, people, engines)),
            *_gpus(wanted, people, engines),
            *proofs,
        ]
    return [*_nobody(wanted), *strangers, *proofs]


def _nobody(wanted: Wanted) -> list[Proof]:
    """That there is no user to prove anything with: a report of nothing would look well."""
    if wanted.users:
        return []
    cure = "name them: verify_users of the role verify, or ces_users in the inventory"
    return [Proof(Finding("container", "warning", "no users are named: nothing was run", cure))]


def _known(users: Sequence[str]) -> tuple[list[str], list[Proof]]:
    """The users who may run containers, and a proof that says why not for each of the others."""
    known: list[pwd.struct_passwd] = []
    strangers: list[Proof] = []
    for name in users:
        try:
            user = user_named(name)
        except CesError as error:
            cure = (
                error.hint or "the administrator makes the account, or corrects the list of users"
            )
            finding = Finding("container", "fault", f"could not {error.tried}: {error.said}", cure)
            strangers.append(Proof(finding, name))
            continue
        if user.pw_uid == 0 and os.geteuid() == 0:
            said = "containers are not run by root here"
            strangers.append(Proof(Finding("container", "note", said), name))
        else:
            known.append(user)
    out = kept_out(known)
    for name, reason in out.items():
        said = f"no container was run: the host does not let the user have a session. {reason}"
        strangers.append(Proof(Finding("container", "warning", said), name))
    return [user.pw_name for user in known if user.pw_name not in out], strangers


# --- what is proved: each of these makes errands ---


def container_errands(users: Sequence[str], engines: Sequence[str]) -> list[Errand]:
    """One container for each user under each engine."""
    with suppress(CesError):  # the children find it out themselves, and say so
        files_of("sh", SystemProcess())
    return [
        Errand("container", user, _container(engine), engine)
        for user in users
        for engine in engines
    ]


def _container(engine: str) -> Callable[[], Iterator[Finding]]:
    return lambda: prove_engine(engine, System.here())


def _pulls(wanted: Wanted, users: Sequence[str], engines: Sequence[str]) -> list[Proof]:
    if wanted.image is None:
        said = "no image was named: whether the registry gives one is not known"
        return [Proof(Finding("pull", "note", said, "name one (verify_image)"))]
    return run_errands(_pull_errands(wanted, users, engines))


def _pull_errands(wanted: Wanted, users: Sequence[str], engines: Sequence[str]) -> list[Errand]:
    """The first user pulls the image under each engine."""
    image = wanted.image
    if image is None:
        return []

    def work(engine: str) -> Callable[[], Iterator[Finding]]:
        return lambda: _pull(PullSpec(image, engine, wanted.credentials))

    return [
        Errand("pull", user, work(engine), engine, str(image), _PULL_SECONDS, _PULL_LARGEST)
        for user in users[:1]
        for engine in engines
    ]


def _pull(spec: PullSpec) -> Iterator[Finding]:
    """Pull an image, and remove it if it was not there before."""
    try:
        system = System.here()
        with session(system):
            store = store_of(spec.runner, system)
            before = store.find(spec.image)
            pulled = pull_image(spec, system, check_only=before is not None)
            if before is None:
                store.remove(spec.image)
    except CesError as error:
        yield Finding("pull", "fault", f"could not {error.tried}: {error.said}", error.hint)
        return
    if before is None:
        yield Finding("pull", "ok", f"pulled, verified and removed again: {pulled.digest}")
    elif pulled.changed:
        said = f"storage has an older image of that name; the registry's is {pulled.digest}"
        yield Finding("pull", "note", said, "pull it, or name an image that nobody has here")
    else:
        said = f"the user has the image already; the registry answered: {pulled.digest}"
        yield Finding("pull", "note", said, "name an image that nobody has here")


def _job_errands(wanted: Wanted, users: Sequence[str], engines: Sequence[str]) -> list[Errand]:
    return [*job_errands(users, engines, SystemProcess())] if wanted.slurm and users else []


def _gpus(wanted: Wanted, users: Sequence[str], engines: Sequence[str]) -> list[Proof]:
    errands = _gpu_errands(wanted, users, engines)
    if not errands:
        said = "there is no GPU here that is looked at: of a cluster, jobs show them"
        return [Proof(Finding("gpu", "note", said))]
    return run_errands(errands)


def _gpu_errands(wanted: Wanted, users: Sequence[str], engines: Sequence[str]) -> list[Errand]:
    """The first user's container with a GPU: in a job on each node, or here where no Slurm is."""
    process = SystemProcess()
    slurm = slurm_version(process)
    if not users or (slurm and not wanted.slurm):
        return []
    if slurm:
        return [*gpu_errands(users, engines, process)]
    if not kinds_here():
        return []
    return [Errand("gpu", users[0], _with_gpu(engine), engine) for engine in engines]


def _with_gpu(engine: str) -> Callable[[], Iterator[Finding]]:
    return lambda: prove_gpus(engine, System.here())


def _portal(wanted: Wanted, users: Sequence[str]) -> list[Proof]:
    nobody = [
        Proof(Finding("greeting", "note", "none of the users may use it"), place=f"cluster {name}")
        for name in nobody_for(users, wanted.clusters)
    ]
    return [*run_errands(portal_errands(users, wanted.clusters)), *nobody, *_forms(wanted)]


def _forms(wanted: Wanted) -> list[Proof]:
    """That a portal's jobs say nothing of its pages."""
    said = "the portal's web server and forms were not tried"
    cure = "log in to the portal as a user, and launch Greetings"
    return [Proof(Finding("forms", "note", said, cure))] if wanted.clusters else []


# --- what is told besides ---


def _policy() -> tuple[Policy, str]:
    """The site's policy; the built-in one, and why, where that cannot be used."""
    try:
        return load_policy(), ""
    except CesError as error:
        return Policy(), str(error)


def _engines(wanted: Wanted, policy: Policy) -> list[str]:
    return [*known_runners(policy.runners)] if wanted.containers else []


def _fingerprint(policy: Policy) -> dict[str, str]:
    text = read_if_there(policy.origin)
    return {"file": policy.origin, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _versions(engines: Sequence[str]) -> dict[str, str]:
    uname, process = os.uname(), SystemProcess()
    system = [
        line.partition("=")[2].strip('"')
        for line in read_if_there("/etc/os-release").splitlines()
        if line.startswith("PRETTY_NAME=")
    ]
    found = {"system": (system or [""])[0], "kernel": f"{uname.release} {uname.machine}"}
    programs = [name for one in known_runners(engines).values() for name in one.programs]
    for program in dict.fromkeys(programs):
        try:
            done = process.run(Command((program, "--version")), _PATIENT)
        except CesError:
            found[program] = "not installed"
            continue
        said = (done.stdout or done.stderr).strip().partition("\n")[0]
        found[program] = shown(said)[:_VERSION_MAX]
    slurm = slurm_version(process)
    return {**found, **({"slurm": slurm} if slurm else {})}


def _findings(proofs: Sequence[Proof]) -> Iterator[dict[str, str]]:
    """ces-doctor's: of the host all; of users for whom something failed those that are not well."""
    ill = [proof.user for proof in proofs if proof.outcome == "failed" and proof.user]
    for name in ["", *dict.fromkeys(ill)]:
        try:
            diagnosis = diagnose(name or None)
        except CesError:  # there is no such user: a proof says so
            continue
        for one in diagnosis.findings:
            if not name or one.level not in ("ok", "note"):
                yield {"user": name, **one.as_dict()}
