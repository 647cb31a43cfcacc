#!/bin/bash
# Installs the packages that the given list files name, as far as they are missing.
# Usage: install-packages.sh LIST...
set -eu
set -o pipefail

die() {
    echo "install-packages.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and sudo is not installed; as root, run: $*"
    fi
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@" | sort -u)
if ! command -v apt-get >/dev/null; then
    die "only Debian and its relatives are set up by this script; install what matches these packages by hand: ${wanted//$'\n'/ }"
fi

missing=()
for package in $wanted; do
    installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
    echo "packages: all there"
    exit 0
fi

echo "packages: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
as_root "${apt[@]}" update

# QEMU's emulator and its tools must be of one version, but a machine may come with newer tools than its suites
# have an emulator for. Then the tools go back to the emulator's version.
if [[ " ${missing[*]} " == *" qemu-system-x86 "* ]] && installed qemu-utils; then
    version=$(apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate: //p')
    if [ "$(dpkg-query -W -f '${Version}' qemu-utils)" != "$version" ]; then
        missing+=("qemu-system-x86=$version" "qemu-utils=$version")
    fi
fi
as_root "${apt[@]}" install -y --no-install-recommends --allow-downgrades "${missing[@]}" </dev/null
