#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   ansible-core 2.19.14 (Python package index), on Linux
# Behaviour  Ansible sends a module with its module_utils as one zip file, which lies in a directory of mode 0700, and Python
#            imports from it as long as the module runs. If such a module forks, becomes another user, and then comes to an
#            import statement for a part that was not loaded before, the import raises PermissionError for the zip file.
#            That is no ImportError, so that a fallback for a missing part does not catch it. A function that imports when
#            it is called works as root, and fails with a user's rights. A program whose modules are files that all may
#            read has no such difference. Everything must be loaded before the change of user.
# Seen       root: late; nobody: PermissionError: [Errno 13] Permission denied: '/tmp/ansible_look_payload_.../ansible_look_payload.zip'
# Source     lib/ansible/executor/module_common.py of that version writes the archive; "Developing modules" of the documentation
#            says that module_utils are imported from a zip file, and not who may read it
#
# Needs root, python3 with venv, and the package index. Ends with 0 when ansible-core behaves as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work ANSIBLE_NOCOLOR=1

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ansible-core==2.19.14
cd "$work"

mkdir library module_utils
cat >module_utils/early.py <<'PYTHON'
import os
import pwd


def look_as(name):
    """What a function says that imports a part when it is called, in a process of that user."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setuid(pwd.getpwnam(name).pw_uid)
        try:
            from ansible.module_utils.late import NAME as said
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    return os.read(reader, 1000).decode()
PYTHON
echo 'NAME = "late"' >module_utils/late.py
cat >library/look.py <<'PYTHON'
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.early import look_as

module = AnsibleModule({})
module.exit_json(said={f"as {name}": look_as(name) for name in ("root", "nobody")})
PYTHON
cat >look.yml <<'YAML'
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - look:
      register: looked
    - debug:
        msg: "root: {{ looked.said['as root'] }}; nobody: {{ looked.said['as nobody'] }}"
YAML

venv/bin/ansible-playbook look.yml 2>/dev/null | tee said
grep -q '"\?msg"\?: "\?root: late; nobody: PermissionError' said
