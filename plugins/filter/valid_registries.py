# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a site's list of registries into the form that the commands and podman both understand."""

from __future__ import annotations

DOCUMENTATION = r"""
name: valid_registries
short_description: A site's registries, as the commands and podman both understand them
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Returns the entries in one form. A final slash of a prefix goes, since podman would take it for
    a part of the name and would accept no image.
  - Fails where the C(ces) commands would refuse an entry, and names it.
options:
  _input:
    description: The entries, each with C(prefix); C(rewrite), C(sign_in) and C(ca) may follow.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: tre.ces.valid_policy
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Tell which images podman would accept
  ansible.builtin.debug:
    msg: "{{ [{'prefix': 'registry.example.org/project/'}] | tre.ces.valid_registries }}"
"""

RETURN = r"""
_value:
  description: The entries. One without C(rewrite) or C(ca) has no such key.
  type: list
  elements: dict
"""

import json
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy


def valid_registries(registries: Any) -> list[dict[str, Any]]:
    """The entries in one form.

    :raises AnsibleFilterError: the commands would refuse an entry.
    """
    # plain JSON, without what Ansible knows of a value; an empty value is none
    given = json.loads(json.dumps(registries))
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise AnsibleFilterError("the registries must be a list of entries with a prefix each")
    entries = [
        {key: value for key, value in entry.items() if key == "prefix" or value} for entry in given
    ]
    known = [{key: value for key, value in entry.items() if key != "ca"} for entry in entries]
    try:
        policy = Policy.from_dict({"registries": known}, "the site's list of registries")
    except CesError as error:
        raise AnsibleFilterError(f"{error.tried}: {error.said}") from error
    return [one_form(entry, right) for entry, right in zip(entries, policy.registries)]


def one_form(entry: dict[str, Any], right: Any) -> dict[str, Any]:
    """An entry with what the policy made of its names."""
    rewrite = {"rewrite": right.rewrite} if right.rewrite else {}
    return {**entry, "prefix": right.prefix, **rewrite}


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"valid_registries": valid_registries}
