# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a user have the session that engines need? No I/O."""

from __future__ import annotations

from ..system.cgroup import WANTED
from ..system.host.session import Session
from ..typed import Iterator
from ..values.policy import Policy
from .limits import not_enforced, promised
from .look import Look, Told, engines_with

_FILES = 1024
_PROCESSES = 200
"""What a container with a few threads needs, and the engine around it."""


def tell_runtime(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether there is a runtime directory."""
    if not found.runtime:
        cure = f"runs: loginctl enable-linger {found.user}"
        if found.on_demand:
            cure = f"lists {found.user} in podman_users, or sees in the system log why none starts"
        yield Told(
            "fault",
            f"there is no /run/user/{found.uid} that is {found.user}'s: {found.user} has no session"
            " on this host, and no command here can run a container",
            f"the administrator {cure}",
            "podman",
        )


def tell_named(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether the environment names that directory."""
    if found.runtime and found.named != found.runtime:
        said = f"is {found.named}" if found.named else "is not set"
        yield Told(
            "note",
            f"XDG_RUNTIME_DIR {said}, and the session's directory is {found.runtime}: the ces"
            " commands find it, and podman by itself keeps its state elsewhere",
            f"export XDG_RUNTIME_DIR={found.runtime} before you call podman yourself",
        )


def tell_bus(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether podman can ask systemd for a cgroup."""
    if not found.runtime or found.bus or found.uid == 0:
        return
    for engine in engines_with("user_bus", policy):
        yield Told(
            "warning",
            f"there is no message bus in {found.runtime}: {engine} cannot ask systemd for a cgroup,"
            " so that limits of containers do not hold",
            "the administrator installs dbus-user-session and restarts the session"
            f" (systemctl restart user@{found.uid})",
            "podman",
        )


def tell_locks(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether podman can open its locks: where all may make files, another user can be first."""
    if found.locks_of not in (-1, found.uid) and "podman" in policy.runners:
        yield Told(
            "fault",
            f"{found.locks} belongs to uid {found.locks_of}, and not to {found.user}: podman cannot"
            " open its locks, and starts nothing",
            f"the administrator asks that user what it is for, and runs: rm {found.locks}",
        )


def tell_lingering(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether the session stays without a login."""
    if found.systemd and found.uid != 0 and not (found.lingers or found.on_demand):
        yield Told(
            "warning",
            f"systemd keeps no session for {found.user} when nobody is logged in: containers end"
            " with the last login, and jobs, cron and the portal cannot run any",
            f"the administrator runs: loginctl enable-linger {found.user}",
            "podman",
        )


def tell_limits(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether the session has what the host limits containers by; what the host lacks is told."""
    wanted = promised(policy) if found.in_job or "podman" not in policy.runners else WANTED
    missing = [name for name in wanted if name in found.offered - found.limiting.controllers]
    # without a session nothing can be limited, which is told already
    if missing and (found.runtime or found.in_job):
        role, cure = "slurm", "the administrator sets them in Slurm's slurm.conf and cgroup.conf"
        if not found.in_job:
            role, cure = "podman", (
                "the administrator applies the role podman: it delegates the controllers; then"
                f" restarts the session: systemctl restart user@{found.uid} (it ends what runs in"
                " it)"
            )
        yield not_enforced(missing, found.limiting.reason, policy, cure, role)


def tell_steering(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether the user's variables change what engines do."""
    if found.steering:
        yield Told(
            "note",
            f"your environment sets {', '.join(found.steering)}: podman and apptainer that you call"
            " yourself behave otherwise than the ces commands, which put most of them aside",
            "unset what is not meant (look into ~/.profile and ~/.bashrc)",
        )


def tell_ulimits(found: Session, policy: Policy) -> Iterator[Told]:
    """Whether the session may have enough files and processes."""
    for what, most, least in (
        ("open files (ulimit -Hn)", found.files, _FILES),
        ("processes (ulimit -u)", found.processes, _PROCESSES),
    ):
        if 0 <= most < least:
            yield Told(
                "warning",
                f"you may have {most} {what}: engines fail in odd ways below {least}",
                "the administrator raises it in /etc/security/limits.d, or Slurm's"
                " PropagateResourceLimits brings it from where the job was submitted",
            )


LOOKS = (
    Look("runtime_directory", "the user has a session", tell_runtime),
    Look("runtime_named", "XDG_RUNTIME_DIR names the session's directory", tell_named),
    Look("user_bus", "the session has a message bus", tell_bus),
    Look("podman_locks", "podman's locks are the user's own", tell_locks),
    Look("lingering", "there is a session when nobody is logged in", tell_lingering),
    Look("limits", "limits of containers are enforced", tell_limits),
    Look("environment", "no variable changes what engines do", tell_steering),
    Look("ulimits", "the session may have enough files and processes", tell_ulimits),
)
"""In the order in which causes come before their effects. A new check is a new row."""
