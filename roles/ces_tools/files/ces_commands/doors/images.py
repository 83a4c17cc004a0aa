# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-images``."""

from __future__ import annotations

import json

from ces.errors import CesError, InvalidValue
from ces.services.images import list_images
from ces.services.prune import described, prune_images
from ces.services.session import session
from ces.system.system import System
from ces.values.policy import DAYS_MAX
from ces.values.quantities import spell_bytes

from ces_commands.doors.common import print_table, system_for
from ces_commands.parse import Parsed

_KEEP_DAYS = 30
"""Days for which an image stays that nobody uses, where neither the user nor the site says."""


def main(parsed: Parsed) -> int:
    """List images in storage, or remove those that were not used for long."""
    if not parsed.on("prune") and {"keep_days", "dry_run"} & set(parsed.values):
        raise CesError("list images", said="--keep-days and --dry-run go with --prune")
    system, prune = system_for(parsed), parsed.on("prune")
    # what a dead run needed is needed no more
    with session(system, change=prune and not parsed.on("dry_run")):
        return _prune(parsed, system) if prune else _list(parsed, system)


def _list(parsed: Parsed, system: System) -> int:
    images = [described(image, system) for image in list_images(system)]
    if parsed.on("json"):
        print(json.dumps(images, indent=1))
        return 0
    rows = [
        (
            name,
            image["runner"],
            image["digest"].removeprefix("sha256:")[:12],
            spell_bytes(image["size"]),
            image["created"],
            image["used"] or "-",
        )
        for image in images
        for name in image["names"]
    ]
    print_table(("IMAGE", "RUNNER", "DIGEST", "SIZE", "CREATED", "LAST USED"), sorted(rows))
    return 0


def _days(parsed: Parsed, system: System) -> int:
    """For how many days images stay that nobody uses."""
    text = parsed.text("keep_days")
    if text is None:
        return system.policy.image_keep_days or _KEEP_DAYS
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= DAYS_MAX):
        raise InvalidValue("--keep-days", text, f"it is no whole number of 0 to {DAYS_MAX}")
    return int(text)


def _prune(parsed: Parsed, system: System) -> int:
    """Tell of each image as it goes: each takes a moment."""
    days, only_looks, as_json = _days(parsed, system), parsed.on("dry_run"), parsed.on("json")
    found, freed = [], {}
    for one in prune_images(system, days, check_only=only_looks):
        found.append(one)
        if not one.kept:
            freed[(one.image.runner, one.image.id)] = one.image.size
        if not as_json:
            verdict = f"kept: {one.kept}" if one.kept else "would go" if only_looks else "removed"
            size = spell_bytes(one.image.size)
            print(f"{one.name} ({one.image.runner}, {size}): {verdict}", flush=True)
    if as_json:
        print(json.dumps([one.as_dict() for one in found], indent=1))
        return 0
    room = spell_bytes(sum(freed.values()))
    would = "would go" if only_looks else "removed"
    print(f"not used for {days} days: {len(freed)} {would}, {room} at most")
    return 0
