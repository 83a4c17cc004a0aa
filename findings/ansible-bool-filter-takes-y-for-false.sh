#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   ansible-core 2.19.14 (Python package index)
# Behaviour  ansible-core has two lists of words for true. The check of a role's arguments, and the arguments of a module,
#            take `y` and `t` for true. The filter `bool`, which a role needs for a value that came as text, takes both
#            for false, with a deprecation warning and no error. So `-e flag=y` passes `type: bool`, a module that gets
#            it does the thing, and a task below `when: flag | bool` is skipped.
# Seen       flag=y: "filter says False, module says True"; flag=yes: True and True
# Source     ansible-core, lib/ansible/module_utils/parsing/convert_bool.py, BOOLEANS_TRUE, beside
#            lib/ansible/plugins/filter/core.py, to_bool()
#
# Needs python3 (3.11 to 3.13) with venv, and a Python package index. Ends with 0 when ansible-core behaves as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work ANSIBLE_NOCOLOR=1 ANSIBLE_DEPRECATION_WARNINGS=0

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ansible-core==2.19.14
cd "$work"

mkdir -p roles/switch/meta roles/switch/tasks library
cat >roles/switch/meta/argument_specs.yml <<'YAML'
argument_specs:
  main:
    options:
      flag: {type: bool, required: true}
YAML
cat >library/read_flag.py <<'PYTHON'
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"flag": {"type": "bool"}})
module.exit_json(said=module.params["flag"])
PYTHON
cat >roles/switch/tasks/main.yml <<'YAML'
- name: Give the value to a module
  read_flag:
    flag: "{{ flag }}"
  register: module
- name: Say what both make of it
  ansible.builtin.debug:
    msg: "filter says {{ flag | bool }}, module says {{ module.said }}"
YAML
printf -- '- hosts: localhost\n  connection: local\n  gather_facts: false\n  roles: [switch]\n' >site.yml

said() {
    venv/bin/ansible-playbook -i localhost, -e "ansible_python_interpreter=$work/venv/bin/python" -e "flag=$1" site.yml |
        grep -o 'filter says [A-Za-z]*, module says [A-Za-z]*'
}

for word in yes y t; do echo "flag=$word: $(said "$word")"; done | tee seen
diff - seen <<'SEEN'
flag=yes: filter says True, module says True
flag=y: filter says False, module says True
flag=t: filter says False, module says True
SEEN
