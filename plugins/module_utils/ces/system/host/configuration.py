# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of containers' configuration that count for a user, and what is wrong with them."""

from __future__ import annotations

import os
import stat

from ...dataclass import dataclass
from ...errors import CesError
from ...typed import Iterator, Mapping
from ...values.containers_conf import Setting, breaking, words_in
from ...values.image_acceptance import Acceptance
from ...values.policy import Policy
from ..account import OWN_STORAGE, Account
from ..containers_conf import (
    configuration_files,
    odd_files,
    registries_files,
    settings_of,
    toml_errors,
)
from ..files import read_json
from ..podman_places import podman_storage
from .podman_databases import contradictions
from .site_files import STORAGE

_POLICY = "containers/policy.json"
_REGISTRIES = "containers/registries.conf"
_LEFT = ".local/share/containers/storage"


@dataclass(frozen=True)
class Configuration:
    """One user's.

    :param own_storage: the user's own storage.conf where the site has one, too, or ''.
    :param own_registries: the user's own registries.conf, or ''.
    :param policy_file: the policy.json that podman and skopeo read, or '' where there is none.
    :param own_policy: that file is the user's own.
    :param policy_error: why it cannot be used, or ''.
    :param rejected: what the site's policy allows and that file rejects.
    :param signed: what is accepted with a signature alone.
    :param broken: settings of containers.conf that break what a run promises.
    :param runtime: the program that starts containers, as containers.conf has it; '' if unset.
    :param search: registries in which a short name is looked for.
    :param misread: what podman cannot read of files of registries.conf, a sentence each.
    :param open_files: files with credentials that others may read.
    :param left: storage that podman does not use any more, or ''.
    :param contradictions: what podman's databases record otherwise.
    """

    user: str
    own_storage: str = ""
    own_registries: str = ""
    policy_file: str = ""
    own_policy: bool = False
    policy_error: str = ""
    rejected: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    runtime: str = ""
    search: tuple[str, ...] = ()
    misread: tuple[str, ...] = ()
    open_files: tuple[str, ...] = ()
    left: str = ""
    contradictions: tuple[str, ...] = ()


def look_at_configuration(
    account: Account, policy: Policy, root: str = "", storage_root: str = ""
) -> Configuration:
    """Find it out, as the user.

    :param root: of the host's own files, for tests.
    :param storage_root: the directory below which a role is about to put all users' storage, each
        below its uid; '' where the host is provisioned.
    """
    settings = list(settings_of(configuration_files(account, root)))
    own_storage = _if_file(f"{account.home}/{OWN_STORAGE}")
    file = policy_file(account, root)
    own_policy = file and not file.startswith(f"{root}/etc/")
    acceptance, error = acceptance_in(file)
    places = [place for entry in policy.registries for place in (entry.prefix, entry.rewrite)]
    named = [place for place in dict.fromkeys(places) if place]
    planned = f"{storage_root}/{account.uid}/storage" if storage_root else ""
    graph_root = planned or podman_storage(account, root)
    left = f"{account.home}/{_LEFT}"
    return Configuration(
        user=account.name,
        own_storage=own_storage if planned or os.path.exists(f"{root}{STORAGE}") else "",
        own_registries=_if_file(f"{account.home}/.config/{_REGISTRIES}"),
        policy_file=file,
        own_policy=bool(own_policy),
        policy_error=error,
        rejected=tuple(place for place in named if acceptance.of(place) == "reject"),
        signed=tuple(place for place in named if acceptance.of(place) == "signed"),
        broken=tuple(str(setting) for setting in breaking(settings)),
        runtime=_last(settings, "engine.runtime"),
        search=_search(account, root),
        misread=(
            *toml_errors(registries_files(account, root)),
            *odd_files((*configuration_files(account, root), f"{account.home}/{OWN_STORAGE}")),
        ),
        open_files=tuple(_open_files(account)),
        left=left if os.path.isdir(left) and graph_root != left else "",
        contradictions=(
            tuple(contradictions(graph_root, account.uid))
            if account.uid != 0 and not own_storage
            else ()
        ),
    )


def policy_file(account: Account, root: str = "") -> str:
    """The policy.json that podman and skopeo read, or '' where there is none.

    :param root: of the host, for tests.
    """
    own = _if_file(f"{account.home}/.config/{_POLICY}")
    return own or _if_file(f"{root}/etc/{_POLICY}")


def _if_file(path: str) -> str:
    return path if os.path.isfile(path) else ""


def acceptance_in(file: str) -> tuple[Acceptance, str]:
    """What a policy.json accepts, or why it cannot be used."""
    if not file:
        return Acceptance({}), ""
    try:
        return Acceptance.from_dict(read_json(file, "the policy of images"), file), ""
    except CesError as error:
        return Acceptance({}), error.said or str(error)


def _last(settings: list[Setting], key: str) -> str:
    found = [one.value for one in settings if one.key == key]
    return (words_in(found[-1]) or [""])[0] if found else ""


def _search(account: Account, root: str) -> tuple[str, ...]:
    key = "unqualified-search-registries"
    found = [one.value for one in settings_of(registries_files(account, root)) if one.key == key]
    return tuple(words_in(found[-1])) if found else ()


def _open_files(account: Account) -> Iterator[str]:
    """Files in which engines keep credentials (containers-auth.json(5)) that others may read."""
    for path in credential_files(account.environ, account.home):
        try:
            status = os.stat(path)
        except OSError:
            continue
        others = stat.S_IMODE(status.st_mode) & 0o077
        if stat.S_ISREG(status.st_mode) and others and status.st_size > len('{"auths":{}}'):
            yield path


def credential_files(environ: Mapping[str, str], home: str) -> Iterator[str]:
    """Where they are looked for."""
    if environ.get("REGISTRY_AUTH_FILE"):
        yield environ["REGISTRY_AUTH_FILE"]
    yield f"{home}/.config/containers/auth.json"
    yield f"{home}/.docker/config.json"
    yield f"{home}/.apptainer/docker-config.json"
