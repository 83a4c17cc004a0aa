# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What every module says of itself."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what it would do without changing the
      back-end.
  diff_mode:
    description: Returns what has changed, or would change, when in diff mode.
  platform:
    description: Operating systems that the module can act on.
    support: full
    platforms: linux
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/tre.ces.ces) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - tre.ces.ces
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module reads and changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module reads and changes nothing.
"""
