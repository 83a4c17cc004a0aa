#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ces_image_info
short_description: Tell which container images a user has
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Reads the storage of the task's user. No registry is asked.
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
  - tre.ces.attributes.info
options:
  image:
    description:
      - Tell of this image alone; by default of all. An image that is not there makes an empty list.
    type: str
  runner:
    description:
      - The container engine whose storage is read; by default all that the policy allows.
    type: str
    choices: [podman, apptainer, oci]
seealso:
  - module: tre.ces.ces_pull
"""

EXAMPLES = r"""
- name: See which images alice has
  tre.ces.ces_image_info:
  become: true
  become_user: alice
  register: storage

- name: Refuse to go on without the image
  ansible.builtin.assert:
    that: storage.images | selectattr('names', 'contains',
      'registry.example.org/project/analysis:2.1') | length == 1
"""

RETURN = r"""
images:
  description: The images, by name.
  returned: success
  type: list
  elements: dict
  contains:
    runner:
      description: The container engine it is for.
      type: str
      sample: podman
    file:
      description: The file or directory it is, for engines whose images are such.
      type: str
      sample: /home/alice/.local/share/ces/sif/digests/sha256-5f70bf18.sif
    id:
      description: The image's id in storage.
      type: str
      sample: 8b1b3f0c5a6d4e0f9a7c2d1e3f5b7a9c0d2e4f6a8b0c1d3e5f7a9b1c3d5e7f90
    digest:
      description: Digest of its manifest.
      type: str
      sample: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    digests:
      description: The repositories it came from, each with the digest that the registry knows it
        by.
      type: list
      elements: str
      sample:
        -
          registry.example.org/project/analysis@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    names:
      description: Its names in storage.
      type: list
      elements: str
      sample: ["registry.example.org/project/analysis:2.1"]
    size:
      description: Bytes that it takes, unpacked.
      type: int
      sample: 2097152
    created:
      description: When it was built.
      type: str
      sample: "2026-01-31T12:00:00Z"
    used:
      description:
        - When a run or a pull of this user last used it, in UTC. Null where no use of it is known,
          for example because it was used before this was noted.
      type: str
      sample: "2026-02-28T09:30:00Z"
    architecture:
      description: The processor architecture it is for; empty where the engine's listing does not
        say.
      type: str
      sample: amd64
    os:
      description: The operating system it is for; empty where the engine's listing does not say.
      type: str
      sample: linux
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.engines.images.store import LocalImage
from ..module_utils.ces.services.images import list_images, store_of
from ..module_utils.ces.services.prune import described
from ..module_utils.ces.system.system import System
from ..module_utils.ces.values.image import ImageRef
from ..module_utils.door import RUNNER, answer, system_for


def work(module: AnsibleModule) -> dict[str, Any]:
    system = system_for(module)
    return {
        "changed": False,
        "images": [described(image, system) for image in _images(module.params, system)],
    }


def _images(params: dict[str, Any], system: System) -> list[LocalImage]:
    runner = params["runner"]
    if params["image"] is None:
        return sorted(list_images(system, runner), key=lambda image: (image.names, image.runner))
    image = ImageRef.parse(params["image"])
    runners = [runner] if runner else system.policy.runners
    found = [store_of(name, system).find(image) for name in runners]
    return [image for image in found if image is not None]


def main() -> None:
    module = AnsibleModule(
        argument_spec={"image": {"type": "str"}, **RUNNER}, supports_check_mode=True
    )
    answer(module, work)


if __name__ == "__main__":
    main()
