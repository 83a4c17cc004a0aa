#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   umoci 0.4.7+ds-3+b7 (Debian 12; `umoci unpack --rootless`)
# Behaviour  A directory that an image declares as a volume (VOLUME) is an empty tmpfs in the bundle: the runtime
#            mounts it over the files that the image has there. podman and docker copy those files into the volume
#            that they make, so the same image has its files there under them. umoci says nothing of it.
# Seen       {"destination": "/data", "type": "tmpfs", ...}, while rootfs/data/file has the image's text
# Source     umoci, oci/config/convert/runtime.go, MutateRuntimeSpec: a tmpfs for each of Config.Volumes; OCI image-spec,
#            conversion.md, Config.Volumes: an implementation may fill the mount with what the image has there
#
# Needs apt-get (Debian 12), dpkg-deb and python3. Ends with 0 when umoci behaves as described.

set -euo pipefail

VERSION=0.4.7+ds-3+b7
work=$(mktemp -d)
trap 'chmod -R u+rwX "$work" && rm -rf "$work"' EXIT
cd "$work"

apt-get -qq download "umoci=$VERSION" 2>/dev/null
dpkg-deb --extract umoci_*.deb package
umoci() { "$work/package/usr/bin/umoci" "$@"; }

# an image with a file in /data, and /data as a volume
umoci init --layout image
umoci new --image image:1
umoci unpack --rootless --image image:1 first
mkdir first/rootfs/data
echo 'from the image' >first/rootfs/data/file
umoci repack --image image:1 first
umoci config --image image:1 --config.volume /data

umoci unpack --rootless --image image:1 bundle
echo "in the image: $(cat bundle/rootfs/data/file)"
python3 - <<'PYTHON'
import json

mounts = json.load(open("bundle/config.json"))["mounts"]
(volume,) = [mount for mount in mounts if mount["destination"] == "/data"]
print("in the bundle:", json.dumps(volume))
assert volume["type"] == "tmpfs", "umoci makes something else of a volume now"
PYTHON
