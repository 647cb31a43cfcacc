#!/bin/bash
# tarball.sh TREE FILE: an archive of an installed tree, the same bytes for the same tree. It is unpacked with
# tar -C /usr/local --strip-components=1 -xzf FILE, or used where it is unpacked.
set -eu
set -o pipefail

tree=$1
file=$2
repository=$(dirname "$0")/..
name=$(basename "$file" .tar.gz)

install -d "$tree/share/doc/image-create"
install -m 644 "$repository/README.md" "$tree/share/doc/image-create/README.md"
for license in "$repository"/LICENSE*; do
    [ ! -e "$license" ] || install -m 644 "$license" "$tree/share/doc/image-create/"
done
tar --create --directory "$tree" --transform "s,^\.,$name," --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@${SOURCE_DATE_EPOCH:-946684800}" . | gzip -9n >"$file"
echo "$file"
