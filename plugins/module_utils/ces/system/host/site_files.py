# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site wrote into files of /etc/containers that roles have to write whole."""

from __future__ import annotations

from ...json_text import loads
from ...typed import Any, Iterator
from ...values.containers_conf import read_settings
from ..files import read_if_there

STORAGE = "/etc/containers/storage.conf"
POLICY = "/etc/containers/policy.json"
_UNSIGNED = ("insecureAcceptAnything", "reject")


def storage_settings(file: str = STORAGE) -> dict[str, str]:
    """The settings of a storage.conf, by section and key; the values are texts of TOML."""
    return {setting.key: setting.value for setting in read_settings(read_if_there(file), file)}


def demanded_signatures(file: str = POLICY) -> list[str]:
    """The images for which a policy.json demands a signature: ``r.example.org/x (signedBy)``."""
    text = read_if_there(file)
    try:
        policy: Any = loads(text) if text.strip() else {}
        return list(_demands(policy))
    except (ValueError, AttributeError, TypeError):
        return [f"something that cannot be read ({file} is no policy)"]


def _demands(policy: dict[str, Any]) -> Iterator[str]:
    scopes = {"everything else": policy.get("default") or []}
    for transport, requirements in (policy.get("transports") or {}).items():
        for scope, wanted in requirements.items():
            scopes[scope or f"all of {transport}"] = wanted
    for scope, wanted in scopes.items():
        kinds = [str(demand.get("type")) for demand in wanted]
        signed = [kind for kind in kinds if kind not in _UNSIGNED]
        if signed:
            yield f"{scope} ({', '.join(signed)})"
