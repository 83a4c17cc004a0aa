#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_bundle
short_description: Make an OCI bundle of an image, without root and without a daemon
version_added: 0.1.0
author: The tre.ces contributors (@tre-ces)
description:
  - Makes a directory that OCI runtimes run, and Slurm with C(srun --container) and
    C(sbatch --container). It holds a C(config.json) and an empty root, and refers to the unpacked
    image, which is pulled first if need be, is kept by digest, and serves any number of bundles.
  - The container's root is read-only; C(/tmp), C(/var/tmp) and C(/run) are memory. Many can run the
    same bundle at once.
  - The bundle is for the task's user alone, so use C(become_user). It is made anew when what it
    would hold has changed.
  - Hosts that run it must see the unpacked image under the same path, by C(bundle_dir) of the
    policy on a shared filesystem or else by O(copy=true).
  - The registries, networks and directories that are allowed are the back-end's policy, as for
    M(tre.ces.ces_run).
extends_documentation_fragment:
  - tre.ces.attributes
  - tre.ces.attributes.action_group
  - tre.ces.credentials
  - tre.ces.container
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  image:
    description:
      - The image, C(registry.example.org/project/image:tag), or with C(@sha256:...) to name exact
        content.
    type: str
    required: true
  path:
    description:
      - The bundle's directory. Something of that name which is no bundle of ours is never replaced.
    type: path
    required: true
  copy:
    description:
      - Put a copy of the image's files into the bundle, for hosts that do not see the store of
        images.
    type: bool
    default: false
  args:
    description:
      - Arguments of the container, in place of the image's C(CMD). Slurm puts its own command in
        place of all.
    type: list
    elements: str
    default: []
  env:
    description:
      - Variables of the container. They are in the bundle's C(config.json), which only the user can
        read.
    type: dict
    default: {}
  outputs:
    description:
      - Directory for C(/safe_outputs); made if it is missing. Without it none is mounted.
    type: path
  scratch:
    description:
      - Directory for C(/scratch); made if it is missing, never removed. Without it none is mounted.
    type: path
  network:
    description:
      - Network of the container, if the policy allows it; by default the policy's. Bundles have
        V(none) or V(host).
    type: str
    choices: [none, pasta, slirp4netns, bridge, host]
seealso:
  - module: tre.ces.ces_run
  - module: tre.ces.ces_pull
"""

EXAMPLES = r"""
- name: Have a bundle for Slurm jobs of alice
  tre.ces.oci_bundle:
    image: registry.example.org/project/analysis:2.1
    path: ~/analysis.bundle
    outputs: ~/analysis-outputs
    username: alice
    password: "{{ registry_token }}"
  become: true
  become_user: alice

- name: Run it on two nodes
  ansible.builtin.command:
    argv: [srun, --nodes=2, --container=/home/alice/analysis.bundle, /usr/bin/analysis]
  become: true
  become_user: alice
  changed_when: true
"""

RETURN = r"""
path:
  description: The bundle's directory.
  returned: success
  type: str
  sample: /home/alice/analysis.bundle
image:
  description: The image; V(none) for its C(digest) and C(id) in check mode, if it would be pulled.
  returned: success
  type: dict
  sample:
    reference: registry.example.org/project/analysis:2.1
    registry: registry.example.org
    path: project/analysis
    tag: "2.1"
    digest: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    id: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
rootfs:
  description: The image's files.
  returned: when the image is there
  type: str
  sample: /srv/bundles/digests/sha256-5f70bf18/rootfs
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ces.services.make_bundle import Made, make_bundle
from ..module_utils.ces.services.session import session
from ..module_utils.ces.values.image import ImageRef
from ..module_utils.ces.values.runoptions import arguments
from ..module_utils.ces.values.spec import RunSpec
from ..module_utils.door import (
    CREDENTIALS,
    CREDENTIALS_RULES,
    answer,
    image_result,
    run_spec,
    system_for,
)


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    spec = run_spec(ImageRef.parse(params["image"]), "oci", params, bundle=True)
    system = system_for(module)
    with session(system, change=not module.check_mode):
        made = make_bundle(spec, params["path"], system, params["copy"], module.check_mode)
    return result(spec, made, params["copy"])


def result(spec: RunSpec, made: Made, copy: bool) -> dict[str, Any]:
    image = made.image
    digest, image_id = (image.digest, image.id) if image else (None, None)
    found = {
        "changed": made.changed,
        "path": made.path,
        "image": image_result(spec.image, digest, image_id),
        "diff": {"before": {"image": made.before}, "after": {"image": made.after}},
    }
    if image is not None:
        found["rootfs"] = f"{made.path if copy else image.file}/rootfs"
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments(bundle=True),
            "path": {"type": "path", "required": True},
            "copy": {"type": "bool", "default": False},
            **CREDENTIALS,
        },
        supports_check_mode=True,
        **CREDENTIALS_RULES,
    )
    answer(module, work)


if __name__ == "__main__":
    main()
