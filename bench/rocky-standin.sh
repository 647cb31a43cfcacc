#!/bin/bash
# Measures Rocky Linux on a machine that reaches no mirror of it: the stand-in for its repositories made from nothing, the
# image vm rocky-minimal built from it, and the image booted under emulation to a login prompt. Needs root.
# Usage: rocky-standin.sh BINARY
set -eu
set -o pipefail

binary=$(realpath "$1")
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work/home DIB_IMAGE_CACHE=$work/cache
mkdir -p "$HOME" "$here/target/bench"

# timed NAME COMMAND...: runs it with its output in target/bench/NAME.log, and prints how long it took.
timed() {
    local name=$1 start end
    shift
    start=$(date +%s.%N)
    "$@" >"$here/target/bench/rocky-$name.log" 2>&1 || {
        echo "$name failed, see target/bench/rocky-$name.log" >&2
        exit 1
    }
    end=$(date +%s.%N)
    awk -v name="$name" -v from="$start" -v to="$end" 'BEGIN { printf "%-20s %8.1f s\n", name, to - from }'
}

echo "load: $(cut -d ' ' -f 1-3 /proc/loadavg)"
timed stand-in "$here/tests/rocky-standin/build.py" "$work/standin"
mirror=$work/standin/mirror
export DIB_ROCKY_MIRROR=file://$mirror DIB_ROCKY_GPG_KEY=$mirror/RPM-GPG-KEY-Rocky-9
cd "$work"
timed image "$binary" -o image vm rocky-minimal
timed image-again "$binary" -o image vm rocky-minimal
timed boot "$binary" boot image.qcow2 --accel tcg --timeout 600 --expect 'login: '
du -b image.qcow2 | awk '{ printf "%-20s %8.1f MiB\n", "qcow2", $1 / 1048576 }'
