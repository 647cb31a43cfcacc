#!/bin/bash
# Installs cargo-deb, which makes Debian packages from Cargo.toml, unless it is there.
set -eu
set -o pipefail

if cargo deb --version >/dev/null 2>&1; then
    exit 0
fi
# Not for the target of this repository's settings: a tool for this machine.
cd /
cargo install --locked cargo-deb
