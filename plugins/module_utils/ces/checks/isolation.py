# SPDX-License-Identifier: GPL-3.0-or-later
"""Can users of this host make what containers are made of? No I/O."""

from __future__ import annotations

from ..engines.table import known_runners
from ..system.cgroup import WANTED
from ..system.host.isolation import Isolation
from ..typed import Iterator
from ..values.policy import Policy
from .limits import not_enforced
from .look import Look, Told, engines_with

_FUSE = "the administrator loads the module fuse (modprobe fuse) and gives /dev/fuse mode 0666"
_BOOT = "the administrator boots with systemd.unified_cgroup_hierarchy=1"
_KEYS_LEFT = 10
"""Each container takes one of the kernel's keys while it runs."""


def tell_user_namespaces(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether users may make user namespaces at all."""
    for name in ("user.max_user_namespaces", "kernel.unprivileged_userns_clone"):
        if host.settings.get(name) == 0:
            yield Told(
                "fault",
                f"{name} is 0{_set_in(host, name)}: users cannot make user namespaces, so no"
                " engine starts a container",
                "the administrator removes the setting and restarts the host",
                "podman",
            )


def tell_net_namespaces(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether users may make network namespaces."""
    name = "user.max_net_namespaces"
    if host.settings.get(name) == 0:
        yield Told(
            "fault",
            f"{name} is 0{_set_in(host, name)} (apptainer's guide recommends it): podman cannot"
            " start a container, and no engine can start one without a network",
            "the administrator removes the setting and restarts the host",
            "podman",
        )


def tell_apparmor(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether AppArmor lets the engines make user namespaces."""
    if not host.restricted:
        return
    for engine, runner in known_runners(policy.runners).items():
        parts = runner.traits().profiles
        if parts and not any(part in profile for profile in host.profiles for part in parts):
            yield Told(
                "fault",
                f"AppArmor lets only programs with a profile make user namespaces, and {engine} has"
                " none: it cannot start a container",
                f"the administrator applies the role {engine}: it writes the profile",
                engine,
            )


def tell_trial(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether namespaces could really be made."""
    if host.refused:
        yield Told(
            "fault",
            "namespaces with a /proc of their own cannot be made here, so no engine starts a"
            f" container ({host.refused:.200})",
            "if this host is a container itself, its administrator lets it nest containers;"
            " otherwise look for a security module (dmesg)",
        )


def tell_mappers(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether podman can map subordinate ids."""
    for said in host.mappers:
        for engine in engines_with("subordinate_ids", policy):
            yield Told(
                "fault",
                f"{said}: {engine} cannot map a user's ids, and starts no container",
                "the administrator installs the package uidmap (shadow-utils) anew",
                engine,
            )


def tell_cgroups(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether the tree of cgroups is one that crun takes."""
    if host.cgroups == "hybrid":
        yield Told("fault", "cgroup v1 and v2 are side by side here: crun refuses that", _BOOT)
    elif host.cgroups == "v1":
        yield not_enforced(WANTED, "this host has cgroup v1", policy, _BOOT)


def tell_controllers(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether it has what limits containers."""
    missing = [name for name in WANTED if name not in host.controllers]
    if host.cgroups == "v2" and missing:
        why, cure = (
            "cgroup v2 has no such controllers here",
            "without controllers mounted elsewhere",
        )
        yield not_enforced(missing, why, policy, f"{_BOOT}, and {cure}")


def tell_fuse(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether users can mount images."""
    if host.fuse:
        needing = engines_with("fuse", policy)
        for engine, runner in needing.items():
            yield Told("fault", f"{host.fuse}: {runner.traits().fuse}", _FUSE, engine)
        if not needing:
            unused = "podman cannot use fuse-overlayfs where the kernel's overlay does not work"
            yield Told("note", f"{host.fuse}: {unused}", _FUSE)


def tell_hidden(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether processes of others are hidden."""
    if host.hidden:
        yield Told(
            "note",
            f"/proc hides the processes of other users (hidepid={host.hidden}): an administrator"
            " without root does not see whose containers run; your own are not concerned",
        )


def tell_keys(host: Isolation, policy: Policy) -> Iterator[Told]:
    """Whether the user may have more of the kernel's keys."""
    used, most = host.keys
    if most and most - used < _KEYS_LEFT:
        yield Told(
            "fault" if used >= most else "warning",
            f"you have {used} of {most} kernel keys, and each container takes one: the next ones"
            ' end with "create keyring: Disk quota exceeded"',
            "stop containers that are not needed, or the administrator raises kernel.keys.maxkeys",
        )


def _set_in(host: Isolation, name: str) -> str:
    files = ", ".join(host.files.get(name, ()))
    return f" (set in {files})" if files else ""


LOOKS = (
    Look("user_namespaces", "users may make user namespaces", tell_user_namespaces),
    Look("net_namespaces", "users may make network namespaces", tell_net_namespaces),
    Look("apparmor", "AppArmor lets the engines make user namespaces", tell_apparmor),
    Look("namespaces_made", "namespaces could be made", tell_trial),
    Look("id_mappers", "newuidmap and newgidmap may map ids", tell_mappers),
    Look("cgroup_version", "this host has cgroup v2 alone", tell_cgroups),
    Look("controllers", "cgroup v2 has all controllers", tell_controllers),
    Look("fuse", "users may mount by /dev/fuse", tell_fuse),
    Look("hidden_processes", "/proc hides nothing", tell_hidden),
    Look("kernel_keys", "there are kernel keys for more containers", tell_keys),
)
"""In the order in which causes come before their effects. A new check is a new row."""
