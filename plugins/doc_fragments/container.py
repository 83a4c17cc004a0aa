# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options of whatever gives a container its image and its data."""

from __future__ import annotations


class ModuleDocFragment:
    """A container's image and data."""

    DOCUMENTATION = r"""
options:
  project:
    description:
      - The project whose data are mounted at C(/safe_data); needed when the user belongs to
        several.
    type: str
  read_only:
    description:
      - Mount C(/safe_data) read-only, whatever the policy allows.
    type: bool
    default: false
  pull:
    description:
      - When to pull the image first.
    type: str
    choices: [missing, always, never]
    default: missing
"""
