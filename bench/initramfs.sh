#!/bin/bash
# Makes and edits initramfs images with image-create and with the usual tools, one after the other, and compares the times.
#
# Usage: bench/initramfs.sh IMAGE_CREATE
#
# Build: a Debian with its generic kernel; the drivers are those that update-initramfs chooses, the compression is zstd's, at its own default level and at
# the one of initramfs-tools.
# Edit: the installer's initrd.gz of test data with three more programs and fifty more modules, written with zstd -3.
set -eu
set -o pipefail

die() {
    echo "initramfs.sh: $*" >&2
    exit 1
}

[ -x "${1:-}" ] || die "give the path of image-create"
[ "$(id -u)" -eq 0 ] || die "this needs root: a system is bootstrapped"
ours=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
keep=$here/../target/bench
mkdir -p "$keep"
tree=$(cd "$keep" && pwd)/initramfs-tree
scratch=$(mktemp -d "$keep/initramfs.XXXXXX")
trap 'umount -R "$tree/proc" "$tree/dev" "$tree/sys" 2>/dev/null || :; rm -rf "$scratch"' EXIT

if [ ! -e "$tree/done" ]; then
    rm -rf "$tree"
    # INITRD=No: nobody generates an initramfs while the kernel is installed.
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    INITRD=No mmdebstrap --quiet --variant=minbase --include=linux-image-amd64,initramfs-tools,dracut-core,busybox,zstd,lvm2,udev,kmod \
        "$release" "$tree"
    touch "$tree/done"
fi
kernel=$(basename "$(echo "$tree"/lib/modules/*)")
for dir in proc dev sys; do
    mount --rbind "/$dir" "$tree/$dir"
    mount --make-rslave "$tree/$dir"
done

# Runs a command; its seconds are in $took.
timed() {
    local begun
    begun=$(date +%s.%N)
    "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; die "$1 failed"; }
    took=$(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }')
}

# Runs image-create; the most memory that it held is in $peak, in MiB.
measured() {
    timed /usr/bin/time -o "$scratch/peak" -f %M "$ours" "$@"
    peak=$(($(tail -n 1 "$scratch/peak") / 1024))
}

row() {
    printf '%-40s %8s s  %5s MiB  %5s modules%s\n' "$1" "$took" \
        "$(($(stat -c %s "$2") / 1048576))" "$("$ours" initramfs list "$2" | grep -c '\.ko')" "${3:-}"
}

ratio() {
    awk -v what="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%s: %.1f times faster\n", what, a / b }'
}

echo "kernel $kernel, $(nproc) processors"
# What initramfs-tools puts there besides.
programs='"udevadm", "kmod", "blkid", "dmsetup", "/lib/systemd/systemd-udevd"'

# Builds with each generator at one level of zstd. Whatever the generator, the compressor alone takes its share.
builds() {
    local level=$1 theirs dracut build
    printf 'COMPRESS=zstd\nCOMPRESSLEVEL=%s\n' "$level" >"$tree/etc/initramfs-tools/conf.d/bench"
    timed chroot "$tree" mkinitramfs -o /boot/bench.img "$kernel"
    theirs=$took
    row "mkinitramfs (as update-initramfs runs it)" "$tree/boot/bench.img"
    timed chroot "$tree" dracut --force --no-hostonly --compress "zstd -$level -T0" /boot/dracut.img "$kernel"
    dracut=$took
    row "dracut --no-hostonly" "$tree/boot/dracut.img"
    "$ours" initramfs list "$tree/boot/bench.img" | sed -n 's,.*/\([^/]*\)\.ko.*,"\1",p' | sort -u | paste -sd, >"$scratch/names"
    echo "{\"modules\": [$(cat "$scratch/names")], \"optional-programs\": [$programs]}" >"$scratch/spec.json"
    measured initramfs build --root "$tree" --kernel "$kernel" --spec "$scratch/spec.json" --compress "zstd:$level" -o "$scratch/ours.img"
    build=$took
    row "image-create initramfs build" "$scratch/ours.img" "  $peak MiB of memory"
    zstd -dqf "$scratch/ours.img" -o "$scratch/ours.cpio"
    timed zstd -q -f "-$level" -T0 "$scratch/ours.cpio" -o "$scratch/ours.zst"
    echo "of these, zstd -$level alone: $took s"
    ratio "against mkinitramfs at zstd -$level" "$theirs" "$build"
    ratio "against dracut at zstd -$level" "$dracut" "$build"
}
builds 3
builds 9

base=$(find "$here/../target/test-data" -name initrd.gz -path '*/text/*' | head -n 1)
[ -n "$base" ] || die "no initrd.gz in target/test-data: run make setup-test"
mapfile -t names < <(find "$tree/lib/modules/$kernel/kernel/drivers/net/ethernet" -name '*.ko*' -printf '%f\n' | sed 's/\.ko.*//' | sort | head -n 50)

# What somebody does by hand.
pipeline() (
    mkdir "$scratch/root"
    cd "$scratch/root"
    zcat "$base" | cpio --quiet -idm
    for program in /usr/sbin/dmsetup /usr/bin/lsblk /usr/sbin/blkid; do
        install -D "$tree$program" ".$program"
        chroot "$tree" ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p ".$(dirname "$library")"
            cp -L "$tree$library" ".$library"
        done
    done
    mkdir -p "lib/modules/$kernel"
    chroot "$tree" modprobe -S "$kernel" -a --show-depends "${names[@]}" | awk '{ print $2 }' | sort -u | while read -r file; do
        install -D -m 644 "$tree$file" ".$file"
    done
    cp "$tree/lib/modules/$kernel/"modules.{builtin,order} "lib/modules/$kernel/"
    depmod -b . "$kernel"
    find . | cpio --quiet -o -H newc | zstd -q -3 -T0 -o "$scratch/pipeline.img"
)
timed pipeline
by_hand=$took
row "zcat, cpio, cp, depmod, cpio, zstd" "$scratch/pipeline.img"
measured initramfs edit "$base" -o "$scratch/edited.img" --root "$tree" --program dmsetup --program lsblk --program blkid \
    --modules "$kernel:$(IFS=,; echo "${names[*]}")" --compress zstd:3
row "image-create initramfs edit" "$scratch/edited.img" "  $peak MiB of memory"
ratio "edit" "$by_hand" "$took"
