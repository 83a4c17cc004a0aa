#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   ansible-core 2.19.14 (Python package index)
# Behaviour  A role's meta/argument_specs.yml checks what it is given and converts nothing, unlike the arguments of a
#            module. `-e flag=false` is text. The check of `type: bool` accepts it, and in the role a template takes it
#            for true. `-e count=7` passes `type: int` and stays text: count + 1 is an error.
# Seen       "flag is on" for -e flag=false, "flag is off" for -e '{"flag": false}'; "count is str"
# Source     ansible-core, lib/ansible/plugins/action/validate_argument_spec.py: run() throws away the validated
#            parameters, which are the converted ones
#
# Needs python3 (3.11 to 3.13) with venv, and a Python package index. Ends with 0 when ansible-core behaves as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work ANSIBLE_NOCOLOR=1

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ansible-core==2.19.14
cd "$work"

mkdir -p roles/switch/meta roles/switch/tasks
cat >roles/switch/meta/argument_specs.yml <<'YAML'
argument_specs:
  main:
    options:
      flag: {type: bool, required: true}
      count: {type: int, default: 1}
YAML
cat >roles/switch/tasks/main.yml <<'YAML'
- name: Say what has arrived
  ansible.builtin.debug:
    msg: "flag is {{ 'on' if flag else 'off' }}, count is {{ (count | default(1)) | type_debug }}"
YAML
printf -- '- hosts: localhost\n  connection: local\n  gather_facts: false\n  roles: [switch]\n' >site.yml

arrived() { venv/bin/ansible-playbook -i localhost, site.yml "$@" | grep -o 'flag is [a-z]*, count is [a-z]*'; }

text=$(arrived -e flag=false -e count=7)
true_types=$(arrived -e '{"flag": false, "count": 7}')
if venv/bin/ansible-playbook -i localhost, site.yml -e flag=maybe >refused; then
    echo "a value that is no truth value is accepted now" >&2
    exit 1
fi

echo "-e flag=false -e count=7:          $text"
echo "-e '{\"flag\": false, \"count\": 7}': $true_types"
echo "-e flag=maybe:                     $(grep -o "argument 'flag' is of type.*bool[^.]*" refused | head -n 1)"
[[ $true_types == 'flag is off, count is int' ]] || { echo "the playbook is wrong" >&2 && exit 1; }
[[ $text == 'flag is on, count is '*str* ]] || { echo "ansible-core converts a role's arguments now" >&2 && exit 1; }
