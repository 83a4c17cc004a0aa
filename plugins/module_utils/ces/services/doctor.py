# SPDX-License-Identifier: GPL-3.0-or-later
"""Can this host, and a user on it, run containers under every engine that the site allows?

Each subject is looked at by a child that has become the user: it sees what the user sees, a file
server that hangs holds up nothing else, and what fails is a finding itself.
"""

from __future__ import annotations

import os
import pwd

from ..checks.look import Look, findings_of
from ..dataclass import dataclass, field, replace
from ..errors import CesError, NotFound
from ..shown import shown
from ..system.account import Account
from ..system.host.as_user import MEMORY, Looking, end_all
from ..system.policyfile import POLICY_FILE, load_policy
from ..system.process import Process, SystemProcess
from ..system.signals import StopSignals
from ..typed import Any, Callable, Collection, Iterator, Mapping, Sequence
from ..values.finding import Finding, worst
from ..values.policy import Policy

_MEMORY = 16 * MEMORY
"""Of children that start programs: those written in Go reserve gigabytes, and use little."""
_KEPT = ("LANG", "TZ", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
"""Variables that root's environment and a user's have alike."""
_TEXT_MAX = 2000
"""Characters of what a finding says; a user may have written it."""


@dataclass(frozen=True)
class Given:
    """What a role gives that the host does not say, or not yet.

    :param policy: what counts in place of the same in the site's policy.
    :param storage_root: where users' storage will be, or ''.
    :param job_options: words that srun needs there.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    storage_root: str = ""
    job_options: Sequence[str] = ()


NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class Around:
    """A user's place, as the user's own process has it.

    :param policy_error: why ``policy`` is the built-in one, or ''.
    """

    account: Account
    policy: Policy
    policy_error: str
    process: Process
    given: Given = NOTHING_GIVEN


Parts = tuple[Sequence[Look], Callable[[Around], object]]
"""The rows of a table, and what finds the facts that they get."""


@dataclass(frozen=True)
class Subject:
    """What is looked at in one go.

    :param parts: its rows and facts; they are loaded when they are needed.
    :param personal: it concerns one user's things, which root has not.
    :param alike: it is the same for all ordinary users.
    :param starts: it starts engines' programs.
    :param seconds: until when it must have answered: programs are slow on a busy host.
    :param largest: bytes of a file that it may write; None for little.
    """

    name: str
    parts: Callable[[], Parts]
    personal: bool = True
    alike: bool = False
    starts: bool = False
    seconds: float = 15.0
    largest: int | None = None

    def begin(
        self,
        user: pwd.struct_passwd,
        names: Collection[str] | None = None,
        given: Given = NOTHING_GIVEN,
    ) -> Looking:
        """Start looking, as the user.

        :param names: of the rows; None for all.
        """
        looks, find = self.parts()
        looks = [row for row in looks if names is None or row.name in names]
        memory = _MEMORY if self.starts else MEMORY
        look = _look(looks, find, user, lambda: _around(given))
        return Looking(user, look, self.seconds, memory, self.largest)


@dataclass(frozen=True)
class Diagnosis:
    """What was found of one user on this host.

    :param findings: of all checks, in their order.
    """

    user: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """The gravest finding's."""
        return worst(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        findings = [finding.as_dict() for finding in self.findings]
        return {"user": self.user, "level": self.level, "findings": findings}


def diagnose(
    name: str | None = None, canary: bool = False, signals: StopSignals | None = None
) -> Diagnosis:
    """Look at this host as a user has it. Nothing is changed.

    :param name: of the user; None for ourselves. Root may look at everybody.
    :param canary: run a container under each engine, too.
    :param signals: a noted stop signal ends it.
    :raises Interrupted: a signal did.
    :raises NotFound: there is no such user.
    :raises CesError: we may not look at that user.
    """
    user = user_named(name)
    subjects = [*SUBJECTS, CANARY] if canary else SUBJECTS
    mine = [one for one in subjects if user.pw_uid != 0 or not one.personal]
    found = list(_found(mine, user, signals))
    if user.pw_uid == 0:
        said = "what is a user's own was not looked at: containers are not run by root here"
        if canary:
            said = f"no container was run, and {said}"
        found.append(Finding("user", "note", said, "name a user with --user"))
    return Diagnosis(user.pw_name, tuple(found))


def _found(
    subjects: Sequence[Subject], user: pwd.struct_passwd, signals: StopSignals | None
) -> Iterator[Finding]:
    """What is found of all subjects, which are looked at side by side."""
    begun: list[Looking] = []
    try:
        for subject in subjects:
            begun.append(subject.begin(user))
        for subject, looking in zip(subjects, begun):
            yield from answered(subject.name, looking.answer(signals))
    finally:
        end_all(begun)


def user_named(name: str | None) -> pwd.struct_passwd:
    """The user of that name, None for ourselves, if we may look at them.

    :raises CesError: we may not, or there is no such user.
    """
    try:
        user = pwd.getpwuid(os.geteuid()) if name is None else pwd.getpwnam(name)
    except (KeyError, ValueError):
        who = f"uid {os.geteuid()}" if name is None else f"the user {name!r}"
        raise NotFound(f"look at {who}", said="there is no such account here") from None
    if os.geteuid() not in (0, user.pw_uid):
        raise CesError(
            f"look at {name}", said="only root may look at another user", hint="use sudo"
        )
    return user


# --- in the child ---


def _look(
    looks: Sequence[Look],
    find: Callable[[Around], object],
    user: pwd.struct_passwd,
    around: Callable[[], Around],
) -> Callable[[], dict[str, Any]]:
    """What the child does: it answers with findings, or with why there are none."""
    other = os.getuid() != user.pw_uid

    def look() -> dict[str, Any]:
        if other:
            enter(user)
        try:
            here = around()
            found = findings_of(looks, find(here), here.policy)
            return {"findings": [one.as_dict() for one in found]}
        except PermissionError as error:
            return {"closed": str(error)}
        except Exception as error:  # whatever it is, the other subjects are looked at
            return {"failed": f"{type(error).__name__}: {error}"}

    return look


def enter(user: pwd.struct_passwd) -> None:
    """Have an environment as the user's own, and no directory of ours.

    The host's proxies are the user's, too; one with a password may be root's alone.
    """
    os.chdir("/")
    kept = {name: os.environ[name] for name in _KEPT if "@" not in os.environ.get(name, "@")}
    os.environ.clear()
    os.environ.update(
        kept,
        HOME=user.pw_dir,
        USER=user.pw_name,
        LOGNAME=user.pw_name,
        PATH="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        XDG_RUNTIME_DIR=f"/run/user/{user.pw_uid}",
    )


def _around(given: Given) -> Around:
    account = Account.current()
    try:
        policy, error = load_policy(), ""
    except CesError as failure:
        policy, error = Policy(origin=POLICY_FILE), str(failure)
    policy = replace(policy, **given.policy)
    process = SystemProcess(account.lasting_environ)
    return Around(account, policy, error, process, given)


def answered(name: str, answer: dict[str, Any]) -> list[Finding]:
    """The findings of a subject of that name; the process that answered was the user's."""
    try:
        if "findings" in answer:
            return [_finding(raw) for raw in answer["findings"]]
    except (CesError, KeyError, TypeError):
        answer = {"failed": "its answer is no list of findings"}
    if "closed" in answer:
        said = f"not looked at: {answer['closed']}"
        return [Finding(name, "note", _short(said), "root sees it (--user)")]
    said = f"could not be looked at: {answer.get('failed') or answer.get('unreadable')}"
    return [Finding(name, "fault", _short(said), "the administrator looks into it")]


def _finding(raw: dict[str, Any]) -> Finding:
    parts = ("check", "level", "said", "cure", "role")
    return Finding(**{part: _short(str(raw[part])) for part in parts})


def _short(text: str) -> str:
    return shown(text[:_TEXT_MAX])


# --- the subjects ---


def _policy() -> Parts:
    from ..checks.site import OF_ALL
    from ..system.host.site import look_at_policy

    return OF_ALL, lambda here: look_at_policy(here.policy, here.policy_error)


def _isolation() -> Parts:
    from ..checks.isolation import LOOKS
    from ..system.host.isolation import look_at_isolation

    return LOOKS, lambda here: look_at_isolation(here.account.uid, here.process)


def _programs() -> Parts:
    from ..checks.programs import LOOKS
    from ..engines.table import known_runners
    from ..system.host.programs import look_at_programs

    def find(here: Around) -> object:
        known = {name: runner.programs for name, runner in known_runners().items()}
        return look_at_programs(here.account, here.policy, here.process, known)

    return LOOKS, find


def _session() -> Parts:
    from ..checks.session import LOOKS
    from ..system.host.session import look_at_session

    return LOOKS, lambda here: look_at_session(here.account)


def _ids() -> Parts:
    from ..checks.idmap import LOOKS
    from ..system.host.idmap import look_at_ids
    from ..system.subids import SubidHost

    def find(here: Around) -> object:
        user = pwd.getpwuid(here.account.uid)
        return look_at_ids(user, here.account.runtime_base_if_any, SubidHost())

    return LOOKS, find


def _places() -> Parts:
    from ..checks.places import LOOKS
    from ..engines.table import known_runners
    from ..system.host.places import look_at_places

    def find(here: Around) -> object:
        of_engines: dict[str, str] = {}
        layered: list[str] = []
        for runner in known_runners(here.policy.runners).values():
            of_engines.update(runner.places()(here.account, ""))
            layered += [kept.name for kept in runner.traits().kept if kept.layered]
        return look_at_places(here.account, here.process, of_engines, layered)

    return LOOKS, find


def _configuration() -> Parts:
    from ..checks.configuration import LOOKS
    from ..system.host.configuration import look_at_configuration

    def find(here: Around) -> object:
        return look_at_configuration(
            here.account, here.policy, storage_root=here.given.storage_root
        )

    return LOOKS, find


def _site() -> Parts:
    from ..checks.site import LOOKS
    from ..system.host.site import look_at_site

    return LOOKS, lambda here: look_at_site(here.account, here.policy)


def _registries() -> Parts:
    from ..checks.registries import LOOKS
    from ..system.host.registries import greetings_of, hosts_of

    return LOOKS, lambda here: greetings_of(hosts_of(here.policy), here.account.environ)


def _cluster() -> Parts:
    from ..checks.cluster import LOOKS
    from ..system.host.cluster import look_at_cluster

    return LOOKS, lambda here: look_at_cluster(here.process, here.account.lasting_environ["PATH"])


def _gpu() -> Parts:
    from ..checks.gpu import LOOKS
    from ..system.host.gpu import look_at_gpus

    return LOOKS, lambda here: look_at_gpus(here.account, here.process)


def _canary() -> Parts:
    from ..checks.canary import LOOKS
    from .canary import run_canaries

    def find(here: Around) -> object:
        return run_canaries(here.account, here.policy)

    return LOOKS, find


def _jobs() -> Parts:
    from ..checks.jobs import LOOKS
    from .job_canary import run_jobs

    return LOOKS, lambda here: run_jobs(here.account, here.process, here.given.job_options)


SUBJECTS: Sequence[Subject] = (
    Subject("policy", _policy, personal=False, alike=True),
    Subject("isolation", _isolation, personal=False, alike=True, starts=True),
    Subject("programs", _programs, personal=False, alike=True, starts=True),
    Subject("session", _session),
    Subject("subids", _ids),
    Subject("places", _places, starts=True),
    Subject("configuration", _configuration),
    Subject("site", _site),
    Subject("registries", _registries, personal=False, alike=True, starts=True),
    Subject("slurm", _cluster, personal=False, alike=True, starts=True),
    Subject("gpu", _gpu, personal=False, starts=True),
)
"""In the order in which causes come before their effects. A new subject is a new row."""
CANARY = Subject("canary", _canary, starts=True, seconds=120.0, largest=256 << 20)
"""What changes something for a moment, and so is looked at when asked for."""
JOBS = Subject("jobs", _jobs, starts=True, seconds=300.0, largest=256 << 20)
"""The same in jobs of Slurm on this node, which roles ask for."""
