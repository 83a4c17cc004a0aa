# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report of what was proved of several hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verification
short_description: One report of what M(tre.ces.ces_verify) returned for several hosts
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Puts together what the module returned for each host, and marks the hosts for which it returned
    nothing, or could not be run. Words that look like a token are taken out.
positional: now
options:
  _input:
    description: What the module returned, by the name of the host in the inventory.
    type: dict
    required: true
  now:
    description: When the report is made.
    type: str
    required: true
seealso:
  - plugin: tre.ces.verification_page
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Tell what failed
  ansible.builtin.debug:
    msg: "{{ ({'backend1': verified} | tre.ces.verification('2026-01-31T12:00:00Z')).failures }}"
"""

RETURN = r"""
_value:
  description:
    - C(made), C(collection) (its version), C(counts) of all hosts, C(failures) (one sentence each)
      and C(hosts), each with C(name), C(state) and what the module returned.
  type: dict
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.tre.ces.plugins.module_utils.ces.shown import shown, without_tokens
from ansible_collections.tre.ces.plugins.module_utils.ces.values.proof import OUTCOMES

COLLECTION = Path(__file__).resolve().parents[2]
KEPT = (
    *("host", "began", "ended", "people", "chosen", "engines", "versions", "policy"),
    *("counts", "proofs", "findings"),
)
"""Of what the module returns: nothing else comes into the report."""


def verification(results: dict[str, Any], now: str) -> dict[str, Any]:
    """The report of all hosts, in the order of their names."""
    # without what Ansible knows of a value
    plain = json.loads(json.dumps(results, default=str))
    hosts = [_host(name, plain[name]) for name in sorted(plain)]
    counts = dict.fromkeys(OUTCOMES.values(), 0)
    for host in hosts:
        for outcome, count in host.get("counts", {}).items():
            counts[outcome] += count
    return {
        "made": now,
        "collection": _version(),
        "counts": counts,
        "failures": [sentence for host in hosts for sentence in _failures(host)],
        "hosts": hosts,
    }


def _host(name: str, result: dict[str, Any]) -> dict[str, Any]:
    if "proofs" in result:
        kept = {key: result[key] for key in KEPT}
        return {"name": name, "state": "verified", "said": "", **_clean(kept)}
    if result.get("unreachable"):
        state, said = "not reached", result.get("msg", "")
    elif result:
        state, said = "not verified", result.get("msg", "")
    else:
        state, said = "not verified", "an earlier task of the play failed on it"
    return {"name": name, "state": state, "said": _clean(str(said))}


def _failures(host: dict[str, Any]) -> Iterator[str]:
    if host["state"] != "verified":
        yield f"{host['name']}: {host['state']}: {host['said']}"
    for proof in host.get("proofs", ()):
        if proof["outcome"] == "failed":
            about = ", ".join(filter(None, (proof["user"], proof["engine"], proof["place"])))
            yield f"{host['name']}: {proof['what']} ({about}): {proof['said']}. {proof['cure']}"


def _clean(value: Any) -> Any:
    """The same without words that look like tokens, and on one line."""
    if isinstance(value, str):
        return without_tokens(shown(value))
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        # a hash is no token
        return {key: item if key == "sha256" else _clean(item) for key, item in value.items()}
    return value


def _version() -> str:
    """The collection's, from what an installed one or a checkout has."""
    try:
        text = (COLLECTION / "MANIFEST.json").read_text(encoding="utf-8")
        return str(json.loads(text)["collection_info"]["version"])
    except FileNotFoundError:
        text = (COLLECTION / "galaxy.yml").read_text(encoding="utf-8")
        found = re.search(r"^version: *(\S+)", text, re.MULTILINE)
        return found[1] if found else "unknown"


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"verification": verification}
