#!/bin/bash
# Builds `vm debian-minimal` with diskimage-builder and with image-create, one after the other, and compares the times.
#
# Usage: bench/compare-dib.sh [--runs N] [--only dib|ours] IMAGE_CREATE
#
# Both get the same release and mirror (the ones of this host's apt), an empty home, an empty cache and an empty work
# directory in every run, and write one compressed qcow2. See docs/performance.md for what else matters.
set -eu
set -o pipefail

PEER_VERSION=3.43.0
RUNS=1
ONLY=
here=$(cd "$(dirname "$0")" && pwd)
keep=$here/../target/bench
mkdir -p "$keep"
keep=$(cd "$keep" && pwd)

die() {
    echo "compare-dib.sh: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --runs) RUNS=$2 && shift 2 ;;
        --only) ONLY=$2 && shift 2 ;;
        -*) die "unknown option $1" ;;
        *) break ;;
    esac
done
[ "$ONLY" = dib ] || [ -x "${1:-}" ] || die "give the path of image-create"
[ "$(id -u)" -eq 0 ] || die "this needs root: both programs build as root"
OURS=${1:+$(realpath "$1")}

# The archive that this host's apt uses for a suite.
mirror_of() {
    # shellcheck disable=SC2016  # apt's own placeholders
    apt-get indextargets --format '$(CREATED_BY) $(RELEASE) $(REPO_URI)' \
        | awk -v suite="$1" '$1 == "Packages" && $2 == suite { print $3; exit }'
}

# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
export DIB_RELEASE=${DIB_RELEASE:-$release}
[ -n "$DIB_RELEASE" ] || die "this host has no release name; set DIB_RELEASE"
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-$(mirror_of "$DIB_RELEASE")}
[ -n "$DIB_DISTRIBUTION_MIRROR" ] || die "apt knows no archive for $DIB_RELEASE; set DIB_DISTRIBUTION_MIRROR"
export DIB_DEBIAN_SECURITY_MIRROR=${DIB_DEBIAN_SECURITY_MIRROR:-$(mirror_of "$DIB_RELEASE-security")}

prepare_peer() {
    local venv=$keep/dib-$PEER_VERSION
    if [ ! -x "$venv/bin/disk-image-create" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet "diskimage-builder==$PEER_VERSION"
    fi
    stand_ins "$scratch/bin"
}

# What the peer calls and a host may not have. Without device-mapper in the kernel its kpartx cannot work: partx tells
# the kernel the same partitions, and links stand where the peer looks for them.
stand_ins() {
    mkdir -p "$1"
    if ! command -v sudo >/dev/null; then
        cat > "$1/sudo" <<'SCRIPT'
#!/bin/bash
# Runs its arguments: the caller is root. Knows -E, -H, -n, -u USER and VAR=value.
while [[ ${1:-} == -* ]]; do
    if [ "$1" = -u ]; then shift; fi
    shift
done
exec env "$@"
SCRIPT
    fi
    if ! grep -q device-mapper /proc/misc; then
        cat > "$1/kpartx" <<'SCRIPT'
#!/bin/bash
# kpartx -avs|-uvs|-d DEVICE, with the kernel's own partitions.
set -eu
device=${*: -1}
name=${device#/dev/}
case $1 in
    -d*)
        partx -d "$device" || true
        rm -f /dev/mapper/"$name"p*
        ;;
    *)
        partx -u "$device"
        mkdir -p /dev/mapper
        for node in "$device"p*; do
            ln -sf "$node" "/dev/mapper/${node#/dev/}"
            echo "add map ${node#/dev/}"
        done
        ;;
esac
SCRIPT
        printf '#!/bin/bash\nexit 0\n' > "$1/dmsetup"
    fi
    chmod +x "$1"/*
}

# Runs a command in an empty home and work directory and appends its time to a file: timed NAME COMMAND...
timed() {
    local name=$1 work=$scratch/$1 log=$keep/$1.log start end status=0
    shift
    rm -rf "$work"
    mkdir -p "$work/home" "$work/out"
    sync
    start=$EPOCHREALTIME
    # A mount namespace of its own: whatever a failed build leaves mounted goes with it. No TMPDIR: the peer lets it
    # through to the chroot, where there is no such directory.
    (cd "$work/out" && env -u TMPDIR HOME="$work/home" DIB_IMAGE_CACHE="$work/cache" \
        unshare --mount --propagation private "$@") >"$log" 2>&1 </dev/null || status=$?
    end=$EPOCHREALTIME
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$log" >&2
        die "$name ended with status $status; its log: $log"
    fi
    local seconds size
    seconds=$(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.1f", b - a }')
    size=$(stat -c %s "$work/out/image.qcow2")
    echo "$seconds $size" >> "$scratch/$name.times"
    echo "$name: $seconds s, $((size / 1048576)) MiB (log: $log)"
    rm -rf "$work"
}

# The middle one of a file's times.
median() {
    sort -n "$1" | awk '{ t[NR] = $1 } END { printf "%.1f", t[int((NR + 1) / 2)] }'
}

mapper_was_there=0
[ -e /dev/mapper ] && mapper_was_there=1
scratch=$(mktemp -d)
clean_up() {
    rm -rf "$scratch"
    if [ "$mapper_was_there" -eq 0 ] && [ -d /dev/mapper ]; then
        rmdir --ignore-fail-on-non-empty /dev/mapper
    fi
}
trap clean_up EXIT

echo "machine: $(nproc) processors, $(awk '/MemTotal/ { printf "%d GiB", $2 / 1048576 }' /proc/meminfo), load $(cut -d ' ' -f 1 /proc/loadavg)"
echo "release: $DIB_RELEASE from $DIB_DISTRIBUTION_MIRROR"
[ "$ONLY" = ours ] || prepare_peer
for ((run = 1; run <= RUNS; run++)); do
    [ "$ONLY" = ours ] || timed dib env PATH="$scratch/bin:$PATH" "$keep/dib-$PEER_VERSION/bin/disk-image-create" -o image vm debian-minimal
    [ "$ONLY" = dib ] || timed ours "$OURS" -o image vm debian-minimal
done

printf '\n| program | median of %d, s |\n|---|---|\n' "$RUNS"
[ "$ONLY" = ours ] || printf '| diskimage-builder %s | %s |\n' "$PEER_VERSION" "$(median "$scratch/dib.times")"
[ "$ONLY" = dib ] || printf '| image-create | %s |\n' "$(median "$scratch/ours.times")"
if [ -z "$ONLY" ]; then
    awk -v a="$(median "$scratch/ours.times")" -v b="$(median "$scratch/dib.times")" \
        'BEGIN { printf "\nimage-create takes %.0f %% of the peer'"'"'s time (%.2f times as fast)\n", 100 * a / b, b / a }'
fi
