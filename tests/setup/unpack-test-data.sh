#!/bin/bash
# Downloads the packages that a list file names and unpacks each into DIR/NAME, without installing anything.
# A package without files of its own (linux-image-cloud-amd64) stands for the one of its name that it depends on.
# Usage: unpack-test-data.sh LIST DIR
set -eu
set -o pipefail

list=$1
dir=$2
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The newest kernel package that a metapackage depends on; any other package is itself.
real_name() {
    case $1 in
        linux-image-cloud-*) apt-cache depends --important "$1" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1 ;;
        *) echo "$1" ;;
    esac
}

updated=0
mapfile -t packages < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")
for package in "${packages[@]}"; do
    if [ -e "$dir/$package/.complete" ]; then
        continue
    fi
    echo "test data: $package"
    if [ "$updated" -eq 0 ] && [ "$(id -u)" -eq 0 ]; then
        apt-get -q update
        updated=1
    fi
    rm -rf "${dir:?}/$package" "$dir/.download"
    mkdir -p "$dir/$package" "$dir/.download"
    name=$(real_name "$package")
    # Root's downloads are made as root: the user _apt may not be able to write here.
    (cd "$dir/.download" && apt-get -q -o APT::Sandbox::User=root download "${name:?no package for $package}")
    dpkg-deb -x "$dir"/.download/*.deb "$dir/$package"
    rm -rf "$dir/.download"
    touch "$dir/$package/.complete"
done
