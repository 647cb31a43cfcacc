#!/bin/bash
# Says what to do when cargo is missing or too old for this package.
set -eu
set -o pipefail

cd "$(dirname "$0")/../.."
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    echo "cargo is not installed: install Rust $wanted or newer with your distribution's packages or rustup" >&2
    exit 1
fi
found=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "cargo is $found, and this package needs Rust $wanted or newer" >&2
    exit 1
fi
