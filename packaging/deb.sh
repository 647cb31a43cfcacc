#!/bin/bash
# deb.sh TREE DIRECTORY: the Debian package of an installed tree, which Cargo.toml names as target/dist/tree.
set -eu
set -o pipefail

tree=$1
directory=$2
repository=$(dirname "$0")/..

# cargo-deb reads the tree where Cargo.toml says that it is.
[ "$tree" -ef "$repository/target/dist/tree" ]
host=$(rustc -vV | sed -n 's/^host: //p')
cargo deb --manifest-path "$repository/Cargo.toml" --target "$host" --no-build --no-strip --locked --output "$directory/"
