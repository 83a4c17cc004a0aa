# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a switch that may be given as text, as on a command line or in an INI inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: switch
short_description: Whether a switch is on, also where it is given as text
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Values of C(-e NAME=false) and of INI inventories are texts, and the text C(false) is true to
    Jinja. This filter reads every form that an option of type C(bool) may have, C(y) and C(n) too,
    which P(ansible.builtin.bool#filter) takes for false.
  - Fails where the value is neither on nor off.
positional: name
options:
  _input:
    description: The switch.
    type: raw
    required: true
  name:
    description: What the message of a refusal calls it.
    type: str
    default: the switch
"""

EXAMPLES = r"""
- name: Tell whether it is on
  ansible.builtin.debug:
    msg: "{{ 'no' | tre.ces.switch }}"
"""

RETURN = r"""
_value:
  description: Whether it is on.
  type: bool
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean


def switch(value: Any, name: str = "the switch") -> bool:
    """Whether it is on.

    :raises AnsibleFilterError: it is neither on nor off.
    """
    try:
        return bool(boolean(value))
    except TypeError:
        raise AnsibleFilterError(
            f"{name} is {value!r}, which is neither on nor off. Write true or false."
        ) from None


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"switch": switch}
