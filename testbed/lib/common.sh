# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034  # the programs that source it use them
#
# What every program of the test bed shares: paths, progress lines with timings, errors. Sourced, never run.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$TOP/build
VENV=$BUILD/venv
COLLECTIONS=$BUILD/collections
CACHE=$BUILD/cache

# One checkout can have several sets of hosts side by side: TESTBED=NAME gives tre-ces-NAME-debian13 and so on.
INSTANCE=${TESTBED:-}
PREFIX=tre-ces${INSTANCE:+-$INSTANCE}
STATE=$BUILD/testbed/${INSTANCE:-default}
INVENTORY=$STATE/inventory
SSH_KEY=$BUILD/testbed/id_ed25519

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step "what is done" COMMAND... : one line when it starts, the time when it ends, the output only if it fails.
# The command runs in a shell of its own that ends at the first error, which bash would not do after "||" or "if".
step() {
    local what=$1 log begin=$SECONDS status
    shift
    log=$(mktemp)
    printf '  %s ... ' "$what"
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        printf '%ds\n' $((SECONDS - begin))
    else
        printf 'FAILED (status %d) after %ds: %s\n' "$status" $((SECONDS - begin)) "$*"
        tail -n 40 "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}

# A fingerprint of files and words: the key under which something made from them is kept.
fingerprint() { sha256sum | cut -c1-16; }
