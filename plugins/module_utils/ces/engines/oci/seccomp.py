# SPDX-License-Identifier: GPL-3.0-or-later
"""Which system calls a container may make: podman's profile, as OCI runtimes read it. No I/O.

``seccomp.json`` of containers-common says what holds for every architecture and every set of
capabilities; a runtime takes the one that applies
(https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp).
"""

from __future__ import annotations

from ...typed import Any, Mapping

PROFILE = "/usr/share/containers/seccomp.json"
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}


def for_container(profile: Mapping[str, Any], machine: str) -> dict[str, Any] | None:
    """The part of a profile for containers without any capability on this machine; None if it has
    none for it.
    """
    if machine not in _MACHINES:
        return None
    name, architecture = _MACHINES[machine]
    found: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    if "defaultErrnoRet" in profile:
        found["defaultErrnoRet"] = profile["defaultErrnoRet"]
    families = {
        entry["architecture"]: entry.get("subArchitectures") or []
        for entry in profile.get("archMap") or ()
    }
    found["architectures"] = [architecture, *families.get(architecture, ())]
    found["syscalls"] = [_rule(rule) for rule in profile["syscalls"] if _applies(rule, name)]
    return found


def _applies(rule: Mapping[str, Any], machine: str) -> bool:
    needs, spares = rule.get("includes") or {}, rule.get("excludes") or {}
    if needs.get("caps") or machine in (spares.get("arches") or ()):
        return False
    return not needs.get("arches") or machine in needs["arches"]


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = rule.get("names") or [rule["name"]]
    found: dict[str, Any] = {"names": names, "action": rule["action"]}
    if "errnoRet" in rule:
        found["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        known = ("index", "value", "valueTwo", "op")
        found["args"] = [{key: arg[key] for key in known if key in arg} for arg in rule["args"]]
    return found
