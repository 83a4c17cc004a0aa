# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse a policy that the commands would not understand, before it is on any host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: valid_policy
short_description: A policy of containers' runs, if the commands would understand it
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Returns the policy as it is. Fails where the C(ces) commands would refuse it, and names the key.
  - The controller asks the same code that is installed with the commands, so no host is asked.
options:
  _input:
    description: The policy, by the keys that C(/etc/ces/policy.json) has.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the policy
  ansible.builtin.copy:
    content: "{{ site_policy | tre.ces.valid_policy | to_nice_json }}"
    dest: /etc/ces/policy.json
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The policy.
  type: dict
"""

import json
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import runner_named
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy


def valid_policy(policy: Any) -> Any:
    """The policy itself.

    :raises AnsibleFilterError: the commands would refuse it.
    """
    # as the commands see it: plain JSON, without what Ansible knows of a value
    plain = json.loads(json.dumps(policy))
    try:
        _check_runners(plain)
        Policy.from_dict(plain, "/etc/ces/policy.json")
    except CesError as error:
        raise AnsibleFilterError(str(error)) from error
    return plain


def _check_runners(policy: Any) -> None:
    """Refuse an engine that has no runner; of what is no list of names the policy itself speaks.

    :raises CesError: naming the engine, and what to write instead.
    """
    named = policy.get("runners") if isinstance(policy, dict) else None
    for name in named if isinstance(named, list) else ():
        if isinstance(name, str) and name:
            runner_named(name)


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"valid_policy": valid_policy}
