#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_pull
short_description: Pull a container image from an allowed registry
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Brings an image into the storage of the task's user, when the digest there differs from the
    registry's.
  - An image that is there already costs one request to the registry and starts no pull.
  - When many tasks pull the same image at once into the same storage, one transfers it and the
    others wait.
  - Which registries are allowed is the back-end's policy, C(/etc/ces/policy.json), which the role
    P(tre.ces.ces_tools#role) writes.
  - Runs as the user who will run the container, so use C(become_user).
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
  - tre.ces.credentials
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  image:
    description:
      - The image, C(registry.example.org/project/image:tag), with C(@sha256:...) instead of or
        after the tag to name exact content. The registry is always named; without tag and digest
        the tag is C(latest).
    type: str
    required: true
  runner:
    description:
      - The container engine whose storage gets the image; by default the one that the policy names.
      - V(apptainer) was called Singularity; where another guide says C(docker), write V(podman).
    type: str
    choices: [podman, apptainer, oci]
  force:
    description:
      - Pull even if storage has the registry's digest.
    type: bool
    default: false
seealso:
  - module: tre.ces.ces_run
  - module: tre.ces.ces_image_info
"""

EXAMPLES = r"""
- name: Have the analysis image in alice's storage
  tre.ces.ces_pull:
    image: registry.example.org/project/analysis:2.1
    username: alice
    password: "{{ registry_token }}"
  become: true
  become_user: alice

- name: Pull exactly this content, with the credentials in a file of the user's
  tre.ces.ces_pull:
    image:
      registry.example.org/project/analysis@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    authfile: ~/registry-auth.json
  become: true
  become_user: alice
"""

RETURN = r"""
image:
  description: The image; its C(digest) is the registry's.
  returned: success
  type: dict
  sample:
    reference: registry.example.org/project/analysis:2.1
    registry: registry.example.org
    path: project/analysis
    tag: "2.1"
    digest: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    id: 8b1b3f0c5a6d4e0f9a7c2d1e3f5b7a9c0d2e4f6a8b0c1d3e5f7a9b1c3d5e7f90
previous_digest:
  description: The digest that storage had under this name before; V(none) if there was no such
    image.
  returned: success
  type: str
  sample: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
cmd:
  description: The command that ran, or in check mode would run. Empty if nothing needs to be done.
  returned: always
  type: list
  elements: str
  sample: [podman, pull, "registry.example.org/project/analysis:2.1"]
rc:
  description: Exit status of the command, when it failed.
  returned: when a command failed
  type: int
  sample: 125
stdout:
  description: The end of what the command wrote, when it failed.
  returned: when a command failed
  type: str
  sample: ""
stderr:
  description: The end of the command's complaints, when it failed.
  returned: when a command failed
  type: str
  sample: "Error: initializing source: reading manifest 9.9: manifest unknown"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.services.pull import Pulled, pull_image
from ..module_utils.ces.services.session import session
from ..module_utils.ces.values.image import ImageRef
from ..module_utils.ces.values.spec import PullSpec
from ..module_utils.door import (
    CREDENTIALS,
    CREDENTIALS_RULES,
    RUNNER,
    answer,
    credentials,
    image_result,
    system_for,
)


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    image = ImageRef.parse(params["image"])
    system = system_for(module)
    runner = params["runner"] or system.policy.default_runner
    spec = PullSpec(image, runner, credentials(params), params["force"])
    with session(system, change=not module.check_mode):
        pulled = pull_image(spec, system, check_only=module.check_mode)
    return result(image, pulled)


def result(image: ImageRef, pulled: Pulled) -> dict[str, Any]:
    image_id = pulled.image.id if pulled.image and not _will_change(pulled) else None
    before = {"digest": pulled.previous}
    return {
        "changed": pulled.changed,
        "image": image_result(image, pulled.digest, image_id),
        "previous_digest": pulled.previous,
        "cmd": list(pulled.cmd),
        "diff": {"before": before, "after": {"digest": pulled.digest}},
    }


def _will_change(pulled: Pulled) -> bool:
    """In check mode storage still has the old image, whose id must not pass for the new one's."""
    return pulled.image is not None and pulled.digest not in {
        text.rpartition("@")[2] for text in pulled.image.digests
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "force": {"type": "bool", "default": False},
            **RUNNER,
            **CREDENTIALS,
        },
        supports_check_mode=True,
        **CREDENTIALS_RULES,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
