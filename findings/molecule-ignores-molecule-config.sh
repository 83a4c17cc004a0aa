#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   molecule 26.10.0 with ansible-core 2.19.14 (Python package index)
# Behaviour  Settings for all scenarios are read from .config/molecule/config.yml of the git repository, and inside a
#            collection from extensions/molecule/config.yml. A molecule/config.yml beside the scenarios, where one would
#            look for them, is ignored without a word: scenarios run with molecule's own settings.
# Seen       the sequence of `molecule matrix test` is molecule's own with molecule/config.yml, and the one that was
#            asked for when the same file is .config/molecule/config.yml
# Source     molecule, src/molecule/shell.py, LOCAL_CONFIG_SEARCH and the help of --base-config
#
# Needs python3 (3.11 to 3.13) with venv, git, and a Python package index. Ends with 0 when molecule behaves as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work MOLECULE_EPHEMERAL_DIRECTORY=$work/state

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check molecule==26.10.0 ansible-core==2.19.14
export PATH=$work/venv/bin:$PATH

mkdir -p "$work/site/molecule/default"
cd "$work/site"
git init --quiet
printf 'driver: {name: default}\nplatforms: [{name: here}]\n' >molecule/default/molecule.yml
printf -- '- hosts: all\n' >molecule/default/converge.yml
printf 'scenario: {test_sequence: [converge]}\n' >molecule/config.yml

# the steps of `molecule test`, in their order
sequence() { molecule matrix test | sed -nE 's/\x1b\[[0-9;]*m//g; s/^ +[├└]─ ([a-z_]+).*/\1/p'; }

beside=$(sequence | xargs)
mkdir -p .config/molecule
mv molecule/config.yml .config/molecule/config.yml
hidden=$(sequence | xargs)

echo "with molecule/config.yml:         $beside"
echo "with .config/molecule/config.yml: $hidden"
[[ $hidden == converge ]] || { echo "molecule reads its settings elsewhere now" >&2 && exit 1; }
[[ $beside == *create*destroy* ]] || { echo "molecule reads molecule/config.yml now" >&2 && exit 1; }
