#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   apptainer 1.4.5-2 (Debian unstable), Linux on amd64, as an ordinary user
# Behaviour  Linux starts a program with up to 2 MiB of words and variables (a quarter of the stack's limit of 8 MiB).
#            apptainer does not start a container whose variables come to half of that: its launcher hands a configuration
#            to its starter, in which the container's environment is, and 1048448 bytes is the most that it can be. The message
#            names neither variables nor environment. Variables that do not go into the container (--containall) do not count.
#            The manual pages name no limit. So an image, or an env file, that runs under podman may not start under apptainer.
# Seen       9 variables of 100,000 bytes: no such message; 11, and 11 that stay outside (no message):
#            FATAL:   while executing starter: while initializing starter command: while copying engine configuration: engine
#            configuration too big > 1048448
# Source     execve(2), "Limits on size of arguments and environment"; apptainer-exec(1)
#
# Needs root, mmdebstrap and a mirror of Debian unstable. Ends with 0 when apptainer behaves as described. No container is
# started: in a chroot the kernel gives nobody a user namespace, which apptainer asks for after its configuration was taken.

set -euo pipefail

VERSION=1.4.5-2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# shellcheck disable=SC2016 # apt expands them
mirror=$(apt-get indextargets --format '$(SITE) $(ORIGIN)' 'Created-By: Packages' | awk '$2 == "Debian" { print $1; exit }')
mmdebstrap --quiet --variant=extract --include="apptainer=$VERSION,dash,coreutils" --skip=check/qemu \
    --aptopt='Acquire::Check-Valid-Until "false"' unstable root "deb $mirror unstable main"
mkdir -p root/{dev,proc,sys,tmp,home/ada/box/bin}
chmod 755 root
chown 1000:1000 root/home/ada
printf 'root:x:0:0::/:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n' >>root/etc/passwd
printf 'root:x:0:\nada:x:1000:\n' >>root/etc/group
for name in bin sbin lib lib64; do [[ -e root/$name ]] || ln -s "usr/$name" "root/$name"; done

# said NAME COUNT: what apptainer says where COUNT variables have that name's beginning
# shellcheck disable=SC2016 # the shell in it expands them
said() {
    unshare --mount sh -c '
        mount -t proc proc root/proc && mount --rbind /dev root/dev && mount --rbind /sys root/sys &&
        exec env -i HOME=/home/ada PATH=/usr/bin:/usr/sbin \
            "$(command -v chroot)" --userspec=1000:1000 root /usr/bin/dash -c "$@"
    ' sh '
        value=$(head -c 100000 /dev/zero | tr "\0" x)
        for number in $(seq "$1"); do export "$0$number=$value"; done
        /usr/bin/env true && echo "Linux starts a program"
        apptainer exec --containall /home/ada/box true 2>&1
    ' "$@" || true
}

few=$(said APPTAINERENV_V 9)
many=$(said APPTAINERENV_V 11)
outside=$(said V 11)
printf '%s\n' "$few" "$many" "$outside"
for one in "$few" "$many" "$outside"; do grep -q 'Linux starts a program' <<<"$one"; done
grep -q 'engine configuration too big > 1048448' <<<"$many"
if grep -q 'too big' <<<"$few$outside"; then exit 1; fi
grep -q 'user namespace' <<<"$few"
grep -q 'user namespace' <<<"$outside"
