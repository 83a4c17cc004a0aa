# SPDX-License-Identifier: GPL-3.0-or-later
"""Can images be fetched from where the site allows them? No I/O."""

from __future__ import annotations

from ..system.host.registries import Greeting
from ..typed import Iterator, Sequence
from ..values.certificate import OTHER_NAME, OUT_OF_TIME
from ..values.policy import Policy
from .look import Look, Told

SKEW = 300.0
"""Seconds: tokens of registries are valid for that long, and certificates from a moment on."""
_UNTRUSTED = "certificate is not trusted"
_OTHER_CAUSES = (
    ("not yet valid", OUT_OF_TIME),
    ("has expired", OUT_OF_TIME),
    ("mismatch", OTHER_NAME),
)
"""What OpenSSL says of a certificate whose authority is not the matter, and the cure."""


def tell_allowed(found: Sequence[Greeting], policy: Policy) -> Iterator[Told]:
    """Whether there is any."""
    if not policy.registries:
        yield Told(
            "warning",
            f"{policy.origin} allows no registry: no image can be pulled",
            "the administrator lists the site's registries (ces_registries_allowed)",
            "ces_tools",
        )


def tell_answering(found: Sequence[Greeting], policy: Policy) -> Iterator[Told]:
    """Whether each of them answers as a registry does."""
    for one in found:
        by = f" by the proxy {one.proxy}" if one.proxy else ""
        if one.said and _UNTRUSTED not in one.said:
            yield Told(
                "fault",
                f"registry {one.host}{by}: {one.said}: no image of it can be pulled",
                one.cure,
            )
        elif one.status and not one.greets:
            yield Told(
                "fault",
                f"registry {one.host}{by} answers with HTTP {one.status} to /v2/, as no registry"
                " does: no image of it can be pulled",
                "the administrator corrects the registry's name in the policy, or its server",
                "ces_tools",
            )


def tell_trusted(found: Sequence[Greeting], policy: Policy) -> Iterator[Told]:
    """Whether their certificates are trusted."""
    for one in found:
        if _UNTRUSTED in one.said:
            cure = next((cure for words, cure in _OTHER_CAUSES if words in one.said), "")
            yield Told(
                "fault",
                f"registry {one.host}: {one.said}: no image of it can be pulled",
                cure or one.cure,
                "" if cure else "podman",
            )


def tell_clock(found: Sequence[Greeting], policy: Policy) -> Iterator[Told]:
    """Whether this host's clock is right."""
    for one in found:
        if one.ahead is not None and abs(one.ahead) > SKEW:
            way = "behind" if one.ahead > 0 else "ahead of"
            yield Told(
                "warning",
                f"this host's clock is {abs(one.ahead):.0f} s {way} that of {one.host}: tokens and"
                " certificates are refused, and jobs of Slurm may be, too",
                "the administrator sets the clock, and has it kept (timedatectl set-ntp true)",
            )
            return


LOOKS = (
    Look("registries_allowed", "the site allows registries", tell_allowed),
    Look("registries_answering", "all of them answer", tell_answering),
    Look("registries_trusted", "their certificates are trusted", tell_trusted),
    Look("clock", "this host's clock is right", tell_clock),
)
"""In the order in which causes come before their effects. A new check is a new row."""
