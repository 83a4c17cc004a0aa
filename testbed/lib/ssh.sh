# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # the programs that source it use them; they source common.sh before
#
# How hosts of the test bed are reached: a key of its own, and the head of an inventory. Sourced, never run.

SSH_OPTIONS=(-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR)

make_key() {
    local lock
    mkdir -p "$BUILD/testbed"
    # sets of hosts that come up side by side share it
    exec {lock}>"$SSH_KEY.lock"
    flock "$lock"
    [[ -e $SSH_KEY ]] || ssh-keygen -q -t ed25519 -N '' -C tre-ces-testbed -f "$SSH_KEY"
    exec {lock}>&-
}

# inventory_head USER : everything above the groups
inventory_head() {
    printf '# Written by the test bed. What a site would set is in group_vars/ (testbed/group_vars).\n---\nall:\n  vars:\n'
    printf '    ansible_user: %s\n' "$1"
    printf '    ansible_ssh_private_key_file: %s\n' "$SSH_KEY"
    printf '    ansible_ssh_common_args: %s\n' "${SSH_OPTIONS[*]}"
    printf '    ansible_python_interpreter: /usr/bin/python3\n'
    printf '    testbed_instance: "%s"\n' "$INSTANCE"
    printf '    testbed_build: %s\n' "$BUILD"
    printf '    testbed_state: %s\n' "$STATE"
}
