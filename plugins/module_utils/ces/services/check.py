# SPDX-License-Identifier: GPL-3.0-or-later
"""Will an image work here, before a run or a job waits for it? Nothing is fetched or changed.

A look into its files is in check_inside.py.
"""

from __future__ import annotations

import os

from ..checks.facts import Engine, Host, Image
from ..checks.image import image_findings
from ..dataclass import dataclass, replace
from ..engines.images.store import LocalImage
from ..engines.runner import Runner
from ..engines.table import runner_named
from ..errors import CesError, Damaged, Denied, NotFound, RefusedByPolicy
from ..json_text import loads
from ..system.account import Account
from ..system.authfile import login_for
from ..system.beside import beside
from ..system.containers_conf import registries_files, toml_errors
from ..system.host.configuration import acceptance_in, policy_file
from ..system.proxy import proxy_for
from ..system.sif import sif_image
from ..system.subids import SubidHost
from ..system.system import System
from ..typed import TYPE_CHECKING, Any, Callable, Iterator, Sequence
from ..values.finding import Finding, worst
from ..values.image import Image as ImageOrFile
from ..values.image import ImageFile, ImageRef
from ..values.manifest import Manifest
from ..values.platform import architecture_of
from ..values.policy import AllowedRegistry, Policy
from ..values.spec import CheckSpec, Credentials
from ..values.subids import IdRange, SubidTable
from .images import store_of
from .plan import usable_runner
from .space import spaces_in

if TYPE_CHECKING:
    from ..system.registry import Registry

PATIENCE = 5.0
"""Seconds for the registry's answers: who asks waits at a terminal, and can ask again."""
VERDICTS = {
    "ok": "works",
    "note": "works",
    "warning": "works with warnings",
    "fault": "will not work",
}
"""By the gravest finding."""


@dataclass(frozen=True)
class Verdict:
    """What is to be expected of an image under one engine.

    :param findings: of all checks, in their order.
    """

    runner: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """The gravest finding's."""
        return worst(self.findings)

    @property
    def words(self) -> str:
        """One of ``VERDICTS``."""
        return VERDICTS[self.level]

    @property
    def works(self) -> bool:
        """Whether nothing keeps it from running."""
        return self.level != "fault"

    @property
    def reason(self) -> str:
        """The first of the gravest findings; empty where it works and there is nothing to heed."""
        if self.words == VERDICTS["ok"]:
            return ""
        return next(str(one) for one in self.findings if one.level == self.level)

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        findings = [finding.as_dict() for finding in self.findings]
        return {"verdict": self.words, "reason": self.reason, "findings": findings}


@dataclass(frozen=True)
class Checked:
    """What was found.

    :param runner: the engine that counts.
    :param source: what is asked for at which registry; empty for an image file.
    :param digest: the registry's; empty where it was not asked or has none.
    :param platform: ``linux/amd64``; empty where that is not known.
    :param size: bytes that a pull transfers; None where that is not known.
    :param pulled: the image was fetched to look into its files, or would be.
    """

    image: str
    runner: str
    verdicts: tuple[Verdict, ...]
    source: str = ""
    digest: str = ""
    platform: str = ""
    size: int | None = None
    pulled: bool = False

    @property
    def works(self) -> bool:
        """Whether it works under the engine that counts."""
        return any(one.works for one in self.verdicts if one.runner == self.runner)

    @property
    def others(self) -> list[str]:
        """The other engines under which it works."""
        return [one.runner for one in self.verdicts if one.works and one.runner != self.runner]

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {
            "image": self.image,
            "source": self.source,
            "digest": self.digest,
            "platform": self.platform,
            "size": self.size,
            "runner": self.runner,
            "works": self.works,
            "pulled": self.pulled,
            "runners": {one.runner: one.as_dict() for one in self.verdicts},
        }


def check_for_here(spec: CheckSpec, system: System) -> Checked:
    """Look at an image's manifest and configuration, and at what matters for it on this host.

    :raises CesError: it cannot be looked at: the registry does not answer, say.
    """
    names = names_of(spec, system)
    # the registry and podman take as long as each other
    asked = beside(question(spec, system))
    looks = [look_at_engine(name, spec, system) for name in names]
    image, source = asked()
    host = look_at_host(system, spec.elsewhere)
    engines = [known_by(one, here, spec.image, image) for one, here in looks]
    verdicts = [Verdict(one.name, image_findings(image, host, one)) for one in engines]
    return checked_of(spec, image, verdicts, source)


def names_of(spec: CheckSpec, system: System) -> list[str]:
    """The engines that are looked at; the first one counts.

    :raises InvalidValue: there is no such engine.
    """
    policy = system.policy
    runner = spec.runner or policy.default_runner
    runner_named(runner)
    return [spec.runner] if spec.runner else list(dict.fromkeys((runner, *policy.runners)))


def checked_of(
    spec: CheckSpec, image: Image, verdicts: Sequence[Verdict], source: str = ""
) -> Checked:
    """All that was found; the first verdict is the one that counts."""
    parts, manifest = image.parts, image.manifest
    architecture = parts.get("architecture")
    return Checked(
        image=str(spec.image),
        runner=verdicts[0].runner,
        verdicts=tuple(verdicts),
        source=source,
        digest=manifest.digest if manifest else "",
        platform=f"{parts.get('os') or 'linux':.40}/{architecture:.40}" if architecture else "",
        size=manifest.size if manifest else None,
    )


# --- the image ---


def question(spec: CheckSpec, system: System) -> Callable[[], tuple[Image, str]]:
    """What answers what is known of the image, and what is asked for at its registry."""
    image = spec.image
    if isinstance(image, ImageFile):
        # of an image from no registry nothing else is known
        facts = Image(str(image), raw=sif_image(image.path))
        return lambda: (facts, "")
    if spec.elsewhere and not system.policy.registries:
        raise CesError(
            "tell what another host of the site allows",
            said=f"{system.policy.origin} is not here, or allows no registry",
            hint="the administrator writes ces_registries_allowed for this host, too",
        )
    known = Image(str(image))
    try:
        allowed, unnamed = allowed_for(image, system.policy)
        source = allowed.source(image)
    except RefusedByPolicy as error:
        refused = replace(known, refusal=error, refused_by="policy")
        return lambda: (refused, "")
    known = replace(known, unnamed=unnamed, asked=_way(image, source, system.account))
    # a credential helper is a process, and those are the main thread's to start
    logins = _logins(source, spec, system)
    return lambda: (_by_one_of(logins, known, source, allowed, system), str(source))


def _logins(source: ImageRef, spec: CheckSpec, system: System) -> list[Credentials]:
    """The login that a pull would use; of one on another host, which of two is not known."""
    ways = (True, False) if spec.elsewhere else (True,)
    found = [
        login_for(source, spec.credentials, system.account, system.process, of_session)
        for of_session in ways
    ]
    return found[:1] if found[0] == found[-1] else found


def _by_one_of(
    logins: Sequence[Credentials],
    known: Image,
    source: ImageRef,
    allowed: AllowedRegistry,
    system: System,
) -> Image:
    """What the registry tells with the first login that it accepts."""
    for login in logins:
        image = _in_registry(known, source, allowed, login, system)
        if image.refused_by != "login":
            break
    return image


def _in_registry(
    known: Image, source: ImageRef, allowed: AllowedRegistry, login: Credentials, system: System
) -> Image:
    # half of what is loaded here is for TLS: that takes no time from who asks an engine meanwhile
    from ..system.registry import registry_here

    registry = registry_here(source, login, allowed, system, PATIENCE)
    try:
        manifest = registry.described()
    except NotFound as error:
        return replace(known, refusal=error, refused_by="registry")
    except Denied as error:
        return replace(known, refusal=error, refused_by="login")
    return replace(known, manifest=manifest, raw=_configuration(manifest, registry))


def allowed_for(image: ImageRef, policy: Policy) -> tuple[AllowedRegistry, str]:
    """The policy's entry for an image; and why it has to be named by a digest, if so.

    :raises RefusedByPolicy: the site does not allow its registry.
    """
    try:
        return policy.registry_for(image), ""
    except RefusedByPolicy as error:
        # to look at it, so that its digest can be told
        return replace(policy, require_digest=False).registry_for(image), error.said


def _way(image: ImageRef, source: ImageRef, account: Account) -> tuple[str, ...]:
    """How the registry is reached, where the image's name does not say so."""
    proxy = proxy_for(source.registry, account.environ)
    return (
        *([f"it is fetched from {source}, as the site's policy says"] if source != image else []),
        *([f"{source.registry} is asked by the proxy {proxy}"] if proxy else []),
    )


def _configuration(manifest: Manifest, registry: Registry) -> object:
    """The image's configuration; None where that is no JSON."""
    try:
        return loads(registry.blob(manifest.config).decode("utf-8"))
    except (ValueError, RecursionError):
        return None


# --- the host, and each engine on it ---


def look_at_host(system: System, elsewhere: bool = False) -> Host:
    """What is known of this host and its user; of another host, what the policy says of all."""
    policy = system.policy
    return Host(
        elsewhere=elsewhere,
        architecture=architecture_of(os.uname().machine),
        size_limit=policy.image_size_limit,
        network=policy.network_default,
        networks=policy.networks,
        uids=None if elsewhere else _count("uid", system.account),
        gids=None if elsewhere else _count("gid", system.account),
        words_max=_words_max(),
    )


def _words_max() -> int:
    """Bytes that arguments and variables may have: a quarter of the stack, in bounds (execve(2)).

    A container's program has the limits that we have.
    """
    import resource

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    most = 6 * 1024 * 1024
    return most if stack == resource.RLIM_INFINITY else min(most, max(128 * 1024, stack // 4))


def _count(kind: str, account: Account) -> int | None:
    """How many subordinate ids a user has; None where that is not known."""
    own = subordinate(kind, account)
    return None if own is None else sum(ids.count for ids in own)


def subordinate(kind: str, account: Account) -> tuple[IdRange, ...] | None:
    """A user's subordinate ids; None for root, and where no file says it."""
    host = SubidHost()
    if account.uid == 0 or host.source() != "files":
        return None
    own = SubidTable.parse(host.read(kind)).usable_by(account.name, account.uid)
    return tuple(entry.ids for entry in own)


def look_at_engine(name: str, spec: CheckSpec, system: System) -> tuple[Engine, LocalImage | None]:
    """An engine, and the image of that name that it has; of one elsewhere nobody knows that."""
    image, runner = spec.image, runner_named(name)
    engine = Engine(name, runner, runner.traits().ways)
    if spec.elsewhere:
        return engine, None
    try:
        usable_runner(name, system)
        _have_programs(runner, system.account)
        store = store_of(name, system)
        if isinstance(image, ImageFile):
            store.open_file(image)
            return engine, None
        misread = tuple(_misread(runner, system.account))
        engine = replace(engine, spaces=spaces_in(store.rooms()), misread=misread)
        return engine, store.find(image)
    except Damaged as error:
        return replace(engine, damaged=error.said), None
    except CesError as error:
        return replace(engine, refusal=error), None


def _have_programs(runner: Runner, account: Account) -> None:
    """
    :raises CesError: one is missing that the engine's role installs.
    """
    for program in runner.programs:
        if not account.has_program(program):
            raise account.missing(f"use the runner {runner.name}", program, runner.name)


def known_by(engine: Engine, here: LocalImage | None, name: ImageOrFile, image: Image) -> Engine:
    """The same with the digest of the image that it has: the registry's, if it is one of these."""
    if here is None or isinstance(name, ImageFile):
        return engine
    remote = image.manifest.digest if image.manifest else None
    return replace(engine, here=here.digest_of(name, remote) or here.digest)


def _misread(runner: Runner, account: Account) -> Iterator[str]:
    """What a pull cannot read of the files that say what may be fetched, and from where."""
    traits = runner.traits()
    if traits.registries:
        yield from toml_errors(registries_files(account))
    if traits.accepted:
        file = policy_file(account)
        _acceptance, error = acceptance_in(file)
        if error:
            yield f"{file} cannot be read ({error})"
