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

# Runs apt-get with the indexes of another component of Debian's archive; they are fetched where the machine's own
# sources fetch theirs.
from_component() {
    local component=$1 place=$dir/.apt
    shift
    local own=(-o Dir::Etc::sourcelist="$place/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$place/lists" -o Dir::Cache="$place/cache" -o APT::Sandbox::User=root)
    mkdir -p "$place/lists" "$place/cache"
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg by=
    [ ! -e "$keys" ] || by="[signed-by=$keys] "
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Component: main' 'Origin: Debian' |
        sort -u | sed "s,.*,deb $by& $component," > "$place/sources.list"
    apt-get -q "${own[@]}" update
    apt-get -q "${own[@]}" "$@"
    rm -rf "$place"
}

updated=0
mapfile -t packages < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")
for line in "${packages[@]}"; do
    read -r package component <<< "$line"
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
    if [ -n "$component" ]; then
        (cd "$dir/.download" && from_component "$component" download "$name")
    else
        (cd "$dir/.download" && apt-get -q -o APT::Sandbox::User=root download "${name:?no package for $package}")
    fi
    dpkg-deb -x "$dir"/.download/*.deb "$dir/$package"
    rm -rf "$dir/.download"
    touch "$dir/$package/.complete"
done
