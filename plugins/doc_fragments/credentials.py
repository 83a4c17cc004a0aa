# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options by which modules sign in to a registry."""

from __future__ import annotations


class ModuleDocFragment:
    """Credentials for a registry."""

    DOCUMENTATION = r"""
options:
  username:
    description:
      - User name at the registry; needs O(password).
      - Without it and without O(authfile) the user's stored credentials are used (C(podman
        login)), else none.
    type: str
  password:
    description:
      - Password or token of O(username).
      - It is written to a file that only the user can read, in memory, and is gone when the task
        ends. It never
        appears in a process list, in a log or in what the task returns.
      - For a task with both C(async) and C(become_user) give O(authfile) instead. Of such a task
        Ansible itself leaves the arguments behind, in a file below C(/var/tmp) of the back-end that
        only root and the user can read.
    type: str
  authfile:
    description:
      - A file on the back-end with credentials, as C(containers-auth.json(5)) describes.
    type: path
"""
