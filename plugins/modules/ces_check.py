#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_check
short_description: Say whether a container image will work on a back-end
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - Looks at an image's manifest and configuration in its registry, and at what matters for it on
    the back-end. Nothing is fetched, unless O(pull=true).
  - Says for each container engine that the site allows whether the image works there, works with
    warnings, or will not work, with the reasons and what to do.
  - An image that will not work is no failure of the task. RV(works) says it, for an assertion. So
    is one that its registry has not, or does not give to this user. The task fails where the image
    cannot be looked at, when the registry does not answer for example.
  - What is in an image's files is seen with O(pull=true) alone. Without it, files that are missing,
    damaged or for another processor are found by a run.
  - Runs as the user who will run the container, so use C(become_user).
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
  - tre.ces.credentials
attributes:
  check_mode:
    support: full
    details:
      - With O(pull=true) nothing is fetched. The files of an image that is there are looked at.
  diff_mode:
    support: N/A
    details:
      - There is no state but the image that O(pull=true) fetches.
options:
  image:
    description:
      - The image, C(registry.example.org/project/image:tag), with C(@sha256:...) instead of or
        after the tag to name exact content; or the absolute path of an image file (SIF) on the
        back-end.
    type: str
    required: true
  runner:
    description:
      - Look at this container engine alone. By default all that the policy allows are looked at,
        and the policy's default one counts for RV(works).
    type: str
    choices: [podman, apptainer, oci]
  pull:
    description:
      - Look into the image's files, too. Its programs may be for another processor, or lack the
        shell, the interpreter or the loader that they need; files may be where directories are to
        be mounted; and so on.
      - The container engine that counts for RV(works) fetches the image, unless it has it, and
        keeps it, so that a run finds it there. C(ces-rm) removes it.
      - An image that it has is looked at as it is there, as a run takes it. The registry is not
        asked.
      - An image that cannot work by its manifest and configuration is not fetched.
    type: bool
    default: false
  elsewhere:
    description:
      - Another host of the site will run the image, a node of a cluster for example. Nothing of
        this host is looked at but its policy and its processor, and no engine has to be here.
      - Excludes O(pull=true).
    type: bool
    default: false
    version_added: 0.2.0
seealso:
  - module: tre.ces.ces_pull
  - module: tre.ces.ces_run
"""

EXAMPLES = r"""
- name: Look at the analysis image before a night's work depends on it
  tre.ces.ces_check:
    image: registry.example.org/project/analysis:2.1
    authfile: ~/registry-auth.json
  become: true
  become_user: alice
  register: image

- name: Refuse to go on with an image that will not work
  ansible.builtin.assert:
    that: image.works
    fail_msg: "{{ image.runners[image.runner].reason }}"

- name: Fetch the image for tonight's runs, and see that its programs can be started here
  tre.ces.ces_check:
    image: registry.example.org/project/analysis:2.1
    authfile: ~/registry-auth.json
    pull: true
  become: true
  become_user: alice
  register: image
"""

RETURN = r"""
works:
  description: Whether nothing was found that keeps the image from running under RV(runner).
  returned: success
  type: bool
  sample: true
runner:
  description: The container engine that counts.
  returned: success
  type: str
  sample: podman
image:
  description: The image.
  returned: success
  type: str
  sample: registry.example.org/project/analysis:2.1
source:
  description: What is asked for at which registry, which is another name where the site has a
    mirror. Empty for an image file, and for an image that the site does not allow.
  returned: success
  type: str
  sample: mirror.example.org/project/analysis:2.1
digest:
  description: The registry's digest; empty where it is not known.
  returned: success
  type: str
  sample: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
platform:
  description: What the image is for; empty where it is not known.
  returned: success
  type: str
  sample: linux/amd64
size:
  description: Bytes that a pull transfers; V(none) where that is not known.
  returned: success
  type: int
  sample: 48234496
pulled:
  description: Whether the image was fetched by O(pull=true), or would be in check mode.
  returned: success
  type: bool
  sample: false
runners:
  description:
    - By the name of a container engine what is to be expected under it.
    - Each has C(verdict), which is V(works), V(works with warnings) or V(will not work); C(reason),
      the gravest finding; and C(findings), a list.
    - Each finding has C(check), what was looked at; C(level), which is V(ok), V(note), V(warning)
      or V(fault); C(said), what was found; C(cure), who mends it and how; and C(role), the role
      that mends it, if one does.
  returned: success
  type: dict
  sample:
    podman:
      verdict: works with warnings
      reason: "it runs as the user '1000', who is not you: it may not write to /safe_outputs and
        /scratch. put --user=0 into an option file, or use the runner oci or apptainer"
      findings:
        - check: user
          level: warning
          said: "it runs as the user '1000', who is not you: it may not write to /safe_outputs and
            /scratch"
          cure: put --user=0 into an option file, or use the runner oci or apptainer
          role: ""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.services.check import Checked, check_for_here
from ..module_utils.ces.services.check_inside import check_inside
from ..module_utils.ces.services.session import session
from ..module_utils.ces.system.signals import StopSignals
from ..module_utils.ces.system.system import System
from ..module_utils.ces.values.image import parse_image
from ..module_utils.ces.values.spec import CheckSpec
from ..module_utils.door import (
    CREDENTIALS,
    CREDENTIALS_RULES,
    RUNNER,
    answer,
    credentials,
    system_for,
)


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    image = parse_image(params["image"], "/")
    spec = CheckSpec(image, params["runner"], credentials(params), params["elsewhere"])
    system = system_for(module)
    checked = with_files(spec, system, module) if params["pull"] else without(spec, system)
    return {"changed": checked.pulled, **checked.as_dict()}


def without(spec: CheckSpec, system: System) -> Checked:
    with StopSignals() as signals:
        system.process.signals = signals
        return check_for_here(spec, system)


def with_files(spec: CheckSpec, system: System, module: AnsibleModule) -> Checked:
    with session(system, change=not module.check_mode):
        return check_inside(spec, system, check_only=module.check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "pull": {"type": "bool", "default": False},
            "elsewhere": {"type": "bool", "default": False},
            **RUNNER,
            **CREDENTIALS,
        },
        supports_check_mode=True,
        **CREDENTIALS_RULES,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
