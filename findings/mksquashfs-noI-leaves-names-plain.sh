#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Software   squashfs-tools 4.5.1 (1:4.5.1-1 of Debian 12): mksquashfs
# Behaviour  By its manual page the option -noI leaves the inode table uncompressed. The table of directories, for which
#            there is no option, stays uncompressed with it, too. So all names, kinds, sizes and modes of such a file
#            system can be read without a library for its compression, and only the files' contents need that.
# Seen       the name of a directory's entry is in the file system as it is with -noI, and not without; a line of a
#            file is in neither
# Source     squashfs-tools 4.5.1, mksquashfs.c: write_dir() hands noI to mangle() for the directory table
#
# Needs apt-get (Debian 12) and dpkg-deb. Ends with 0 when mksquashfs behaves as described.

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get -qq download squashfs-tools=1:4.5.1-1 liblzo2-2=2.10-2 2>/dev/null
for package in ./*.deb; do dpkg-deb --extract "$package" programs; done
export LD_LIBRARY_PATH=$work/programs/usr/lib/x86_64-linux-gnu:$work/programs/lib/x86_64-linux-gnu

# enough entries that a table is worth compressing
mkdir tree
for number in $(seq 200); do touch "tree/a-name-that-is-compressed-well-$number"; done
for number in $(seq 200); do echo "line $number of a file"; done >tree/file

for options in '' -noI; do
    # shellcheck disable=SC2086  # no option is no word
    programs/usr/bin/mksquashfs tree image -comp zstd -noappend -quiet -no-progress $options
    for text in a-name-that-is-compressed-well-155 'line 155 of a file'; do
        if grep --quiet --text --fixed-strings "$text" image; then there=plain; else there=compressed; fi
        echo "${options:-usual}: $text: $there"
    done
done >seen
cat seen
diff - seen <<'SEEN'
usual: a-name-that-is-compressed-well-155: compressed
usual: line 155 of a file: compressed
-noI: a-name-that-is-compressed-well-155: plain
-noI: line 155 of a file: compressed
SEEN
