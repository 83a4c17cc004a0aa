#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   shadow-utils 4.13 (passwd 1:4.13+dfsg1-1+deb12u2 of Debian 12): useradd and userdel
# Behaviour  Who comments a line of /etc/subuid out expects it to count as little as a line that is gone. For useradd it
#            counts: "#carol:100000:65536" is the range of an account named "#carol", and no new account gets an id of it.
#            Without that line the range of an account that was removed goes to the very next account, with all files
#            that belong to its ids.
# Seen       with the line commented out eve gets 165536; without it eve gets 100000, which were carol's
# Source     shadow, lib/subordinateio.c: subordinate_parse() knows no comments, and find_free_range() goes through all entries
#
# Needs apt-get (Debian 12), dpkg-deb and user namespaces (unshare). Ends with 0 when they behave as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get -qq download passwd=1:4.13+dfsg1-1+deb12u2 2>/dev/null
dpkg-deb --extract passwd_*.deb programs
programs=$work/programs/usr/sbin

# a host's files, as far as the two programs need them; nothing of this host is touched
new_host() {
    mkdir -p "$1/etc"
    echo 'root:x:0:0::/:/bin/sh' >"$1/etc/passwd"
    echo 'root:x:0:' >"$1/etc/group"
    touch "$1"/etc/{shadow,gshadow,subuid,subgid}
    printf '%s\n' 'UID_MIN 1000' 'UID_MAX 60000' 'GID_MIN 1000' 'GID_MAX 60000' 'USERGROUPS_ENAB yes' \
        'SUB_UID_MIN 100000' 'SUB_UID_MAX 600100000' 'SUB_UID_COUNT 65536' \
        'SUB_GID_MIN 100000' 'SUB_GID_MAX 600100000' 'SUB_GID_COUNT 65536' >"$1/etc/login.defs"
}

as_root() { unshare --user --map-root-user "$@"; }

for host in gone commented; do
    new_host "$work/$host"
    as_root "$programs/useradd" --prefix "$work/$host" carol
    line=$(cat "$work/$host/etc/subuid")
    as_root "$programs/userdel" --prefix "$work/$host" carol
    if [ $host = commented ]; then echo "#$line" >"$work/$host/etc/subuid"; fi
    as_root "$programs/useradd" --prefix "$work/$host" eve
    sed "s/^/$host: /" "$work/$host/etc/subuid"
done >seen
cat seen
diff - seen <<'SEEN'
gone: eve:100000:65536
commented: #carol:100000:65536
commented: eve:165536:65536
SEEN
