#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_files
short_description: Take back what file_set and file_tree wrote on a host
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Removes the files, links and directories that M(tre.ces.file_set) and M(tre.ces.file_tree) made,
    and brings back each file that M(tre.ces.file_set) replaced or removed, with its owner and mode.
  - A file that somebody changed after it was written is copied first, and a warning says where the
    copy is. A directory in which others have files stays.
  - What is done is taken off the list, so that a call that was interrupted can be made again.
extends_documentation_fragment:
  - tre.ces.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  leave:
    description: Paths that stay as they are. What is known of them stays known.
    type: list
    elements: path
    default: []
  kept:
    description: The directory of the list and of the copies. Must be absolute.
    type: path
    default: /var/lib/tre-ces/replaced
seealso:
  - module: tre.ces.file_set
  - module: tre.ces.file_tree
"""

EXAMPLES = r"""
- name: Take back what the roles wrote
  tre.ces.restore_files:
"""

RETURN = r"""
removed:
  description: Paths that were removed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/ces/policy.json, /usr/local/lib/tre-ces, /etc/ces]
restored:
  description: Files that are as they were before the roles came, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/containers/policy.json]
kept:
  description: Files that somebody changed after they were written, each with its copy.
  returned: success
  type: dict
  sample:
    /etc/ces/policy.json: /var/lib/tre-ces/replaced/etc/ces/policy.json.6c0ec5b6aa7d
left:
  description: Paths that stay, each with the reason.
  returned: success
  type: dict
  sample:
    /etc/containers/certs.d: registry.example.org is in it
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.errors import CesError
from ..module_utils.ces.system.host.applied_files import AppliedFiles
from ..module_utils.ces.system.host.kept_files import KeptFiles
from ..module_utils.ces.system.host.noted import alone_with
from ..module_utils.ces.system.host.restored import Restoring


def work(module: AnsibleModule) -> dict[str, Any]:
    files = KeptFiles(module.params["kept"], module.check_mode)
    # programs have to read whatever comes again
    AppliedFiles(module.params["kept"], module.check_mode).forget()
    done = Restoring(files, module.check_mode, module.params["leave"]).run()
    will = "would be" if module.check_mode else "is"
    for path, copy in done.kept.items():
        module.warn(f"{path} was changed after it was written. What it said {will} kept in {copy}.")
    return {
        "changed": bool(done.removed or done.restored),
        "removed": done.removed,
        "restored": done.restored,
        "kept": done.kept,
        "left": done.left,
        "diff": done.diff,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "leave": {"type": "list", "elements": "path", "default": []},
            "kept": {"type": "path", "default": "/var/lib/tre-ces/replaced"},
        },
        supports_check_mode=True,
    )
    if not os.path.isabs(module.params["kept"]):
        module.fail_json(msg=f"kept: {module.params['kept']} is not an absolute path.")
    try:
        kept = module.params["kept"]
        # where there are no lists there is nothing to take back
        with alone_with(kept, module.check_mode or not os.path.isdir(kept)):
            result = work(module)
        module.exit_json(**result)
    except CesError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"take back what was written: {error.filename or ''}: {error.strerror or error}"
        )


if __name__ == "__main__":
    main()
