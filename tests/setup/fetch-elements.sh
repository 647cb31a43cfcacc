#!/bin/bash
# Fetches the element trees of other projects that tests build with, at pinned versions, and unpacks each into DIR/NAME.
# A line of the list: NAME VERSION wheel|sdist. Nothing is installed, and nothing of it is run here.
# Usage: fetch-elements.sh LIST DIR
set -eu
set -o pipefail

list=$1
dir=$2
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

while read -r name version kind; do
    place=$dir/$name-$version
    [ -e "$place/.complete" ] && continue
    echo "test data: $name $version"
    rm -rf "$place" "$dir/.download"
    mkdir -p "$place" "$dir/.download"
    case $kind in
        wheel) form=(--only-binary :all:) ;;
        # The metadata of a source archive are made by its own set-up code, which has to be allowed its build tools.
        sdist) form=(--no-binary :all:) ;;
        *) echo "fetch-elements.sh: $name: $kind is neither wheel nor sdist" >&2 && exit 1 ;;
    esac
    python3 -m pip download --quiet --disable-pip-version-check --no-deps "${form[@]}" -d "$dir/.download" "$name==$version" </dev/null
    case $kind in
        # Unlike unzip's Python relative, unzip keeps execute bits: elements are their hooks' modes.
        wheel) unzip -q "$dir"/.download/*.whl -d "$place" ;;
        sdist) tar -xf "$dir"/.download/*.tar.gz -C "$place" --strip-components=1 --no-same-owner ;;
    esac
    rm -rf "$dir/.download"
    touch "$place/.complete"
done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")
