# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what the site's policy names there for a user? No I/O."""

from __future__ import annotations

from ..system.host.site import PolicyFile, Site
from ..typed import Iterator
from ..values.policy import Policy
from .look import Look, Told


def tell_policy(found: PolicyFile, policy: Policy) -> Iterator[Told]:
    """Whether the policy can be read."""
    if found.error:
        yield Told(
            "fault",
            f"{policy.origin} cannot be used ({found.error}): no command here runs or pulls"
            " anything. What follows goes by the built-in policy",
            "the administrator corrects it, or applies the role ces_tools",
            "ces_tools",
        )
    elif not found.there:
        yield Told(
            "warning",
            f"there is no {policy.origin}: the built-in policy holds, which allows no registry",
            "the administrator applies the role ces_tools",
            "ces_tools",
        )


def tell_data(found: Site, policy: Policy) -> Iterator[Told]:
    """Whether a run gets project data."""
    if found.no_data and len(found.projects) > 1:
        yield Told(
            "note",
            f"{found.user} has several projects ({', '.join(found.projects)}): a run has to name"
            " one",
            "use --project NAME, or set CES_PROJECT",
        )
    elif found.no_data:
        yield Told(
            "fault",
            f"a run of {found.user} gets no /safe_data, and so does not start: {found.no_data}",
            found.data_cure,
        )


def tell_stores(found: Site, policy: Policy) -> Iterator[Told]:
    """Whether stores for all users can be read."""
    for store in found.stores:
        yield Told(
            "warning",
            f"{policy.origin} names {store} as a store of images, and {found.user} cannot read it:"
            " images that are there are pulled again",
            f"the administrator makes it, with mode 0755 or for the users' group ({store})",
            "ces_tools",
        )


def tell_unmade(found: Site, policy: Policy) -> Iterator[Told]:
    """Whether the roles know this user."""
    for directory, role in found.unmade.items():
        yield Told(
            "warning",
            f"there is no {directory}: engines put {found.user}'s files into the home directory,"
            " which may be a network file system",
            f"the administrator adds {found.user} to ces_users and applies the role {role}",
            role,
        )


def tell_audit(found: PolicyFile, policy: Policy) -> Iterator[Told]:
    """Whether the audit reaches somebody."""
    if policy.audit_syslog and not found.audited:
        yield Told(
            "warning",
            "nobody listens at /dev/log: that runs and pulls took place is noted nowhere",
            "the administrator starts systemd-journald or another syslog",
        )


def tell_dead(found: Site, policy: Policy) -> Iterator[Told]:
    """Whether dead runs wait to be swept."""
    if found.dead:
        numbers = ", ".join(map(str, found.dead[:10]))
        yield Told(
            "note",
            f"the process of {len(found.dead)} runs died ({numbers}): their containers and"
            " scratch directories may be there still",
            "run ces-clean",
        )


def tell_damaged(found: Site, policy: Policy) -> Iterator[Told]:
    """Whether records can be read."""
    if found.damaged:
        numbers = ", ".join(map(str, found.damaged[:10]))
        yield Told(
            "warning",
            f"the records of the runs {numbers} cannot be read: what they left is not cleared away",
            "look into ~/.local/state/ces/runs/NUMBER, remove what is left, and then"
            " ~/.local/state/ces/active/NUMBER",
        )


OF_ALL = (
    Look("policy", "the site's policy can be read", tell_policy),
    Look("audit", "what is audited is heard", tell_audit),
)
"""What is the same for all users."""
LOOKS = (
    Look("safe_data", "a run gets project data", tell_data),
    Look("image_stores", "stores for all users can be read", tell_stores),
    Look("user_directories", "the user's directories were made", tell_unmade),
    Look("dead_runs", "no dead run has left something", tell_dead),
    Look("records", "all records can be read", tell_damaged),
)
"""In the order in which causes come before their effects. A new check is a new row."""
