#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   tini 0.19.0-1+b3 (Debian 12), beside catatonit 0.1.7-1+b2 and dumb-init 1.2.5-2; Linux
# Behaviour  Who wants to know whether a container's first process handles a signal reads SigBlk and SigCgt in
#            /proc/PID/status. For tini both are empty: it looks like a program that the signal would end. tini waits
#            with sigtimedwait(2), and while a process waits so, the kernel shows the signals that it waits for as not
#            blocked. The signal reaches tini, and tini hands it on. Of the same signal catatonit shows that it is blocked.
#            dumb-init shows it in one of the two as well.
# Seen       tini: SIGUSR1 neither blocked nor caught, and the child got it; catatonit, dumb-init: blocked or caught
# Source     Linux, kernel/signal.c, do_sigtimedwait(): what is waited for is taken out of current->blocked, and kept in
#            real_blocked, which /proc does not show; tini, src/tini.c, wait_and_forward_signal()
#
# Needs apt-get (Debian 12) and dpkg-deb. Ends with 0 when they behave as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get -qq download tini=0.19.0-1+b3 catatonit=0.1.7-1+b2 dumb-init=1.2.5-2 2>/dev/null
for package in *.deb; do
    dpkg-deb --extract "$package" programs
done

# shellcheck disable=SC2016 # the child's own shell expands it
child='trap "echo got it >$0.got; exit" USR1; echo >$0.ready; while :; do sleep 0.1; done'

# whether bit 9, SIGUSR1, is in a mask of /proc/PID/status
in_mask() { (((0x$(sed -n "s/^$2:\t//p" "/proc/$1/status") >> 9) & 1)); }

look() {
    local name=$1 pid said=neither
    shift
    "$@" sh -c "$child" "$work/$name" &
    pid=$!
    while [ ! -e "$work/$name.ready" ]; do sleep 0.1; done
    sleep 1 # it has started its child, and waits
    if in_mask $pid SigBlk || in_mask $pid SigCgt; then said=shown; fi
    kill -USR1 $pid
    wait $pid || true
    echo "$name: $said, $(cat "$work/$name.got")"
}

look tini programs/usr/bin/tini -s -- >seen
look catatonit "$(find programs -name catatonit -type f -perm -u+x)" -- >>seen
look dumb-init programs/usr/bin/dumb-init -- >>seen
cat seen
diff - seen <<'SEEN'
tini: neither, got it
catatonit: shown, got it
dumb-init: shown, got it
SEEN
