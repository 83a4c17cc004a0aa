#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   podman 5.8.6+ds1-3 (Debian unstable), as an ordinary user; not 5.8.2 as its makers release it, whose library
#            (containers/storage) is older than Debian's. podman 6 has the newer one.
# Behaviour  A site's storage.conf with both graphroot (for root) and rootless_storage_path (for everybody else), which
#            podman 4.3 and 5.4 read as that, has another meaning: graphroot and runroot hold for ordinary users too, whose
#            podman then fails, since the directory is root's. The release notes and Debian's NEWS do not say so; the manual
#            page has the new way, graphroot in a file in storage.rootless.conf.d, which older versions do not read. An empty
#            value there takes away what storage.conf says. With the three files that the role container_storage writes users' and
#            root's storage are in their places under 4.3.1, 5.4.2 and 5.8.6.
# Seen       warning msg="Both rootless_storage_path and graphroot are set, using graphroot setting only, ..."
#            Error: creating runtime static files directory "/var/lib/containers/storage/libpod": ... permission denied
# Source     containers-storage.conf(5) of that version, rootless_storage_path ("Deprecated"), FILES; of earlier versions:
#            "This field can be used if administrators need to change the storage location for all users"
#
# Needs root, mmdebstrap and a mirror of Debian unstable. Ends with 0 when podman behaves as described.

set -euo pipefail

VERSION=5.8.6+ds1-3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# shellcheck disable=SC2016 # apt expands them
mirror=$(apt-get indextargets --format '$(SITE) $(ORIGIN)' 'Created-By: Packages' | awk '$2 == "Debian" { print $1; exit }')
mmdebstrap --quiet --variant=extract --include="podman=$VERSION" --skip=check/qemu \
    --aptopt='Acquire::Check-Valid-Until "false"' unstable root "deb $mirror unstable main"

# a user with a session and a home, and a directory for the storage of each user
mkdir -p root/{dev,proc,sys,run/user/1000,home/ada,srv/storage,tmp,var/tmp,etc/containers}
chmod 1777 root/tmp root/var/tmp
chown 1000:1000 root/run/user/1000 root/home/ada root/srv/storage
chmod 755 root
echo 'ada:x:1000:1000::/home/ada:/bin/sh' >>root/etc/passwd
for name in bin sbin lib lib64; do [[ -e root/$name ]] || ln -s "usr/$name" "root/$name"; done
cat >root/etc/containers/storage.conf <<'CONF'
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
rootless_storage_path = "/srv/storage/$UID"
CONF

# mounts of a namespace of its own, which end with it
# shellcheck disable=SC2016
unshare --mount sh -c '
    mount -t proc proc root/proc && mount --rbind /dev root/dev && mount --rbind /sys root/sys &&
    exec env -i HOME=/home/ada PATH=/usr/bin XDG_RUNTIME_DIR=/run/user/1000 \
        "$(command -v chroot)" --userspec=1000:1000 root /usr/bin/podman info
' >said 2>&1 && { echo "podman works with both settings now" && exit 1; }

cat said
grep -q 'using graphroot setting only' said
grep -q 'directory "/var/lib/containers/storage/libpod".*permission denied' said
