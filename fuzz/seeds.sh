#!/bin/bash
# Makes the seeds of the fuzz targets with the reference programs: small images with everything that the format has.
# Needs root (device nodes), cpio, and the compressors.
set -eu
set -o pipefail

cd "$(dirname "$0")/corpus"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/tree/"{bin,dev,lib/modules/1/kernel} "$work/early/kernel/x86/microcode" "$work/more"
echo program > "$work/tree/bin/a"
ln "$work/tree/bin/a" "$work/tree/bin/b"
ln -s ../bin "$work/tree/lib/bin"
mknod "$work/tree/dev/null" c 1 3
mkfifo "$work/tree/dev/pipe"
: > "$work/tree/empty"
seq 300 > "$work/tree/lib/modules/1/kernel/x.ko"
echo microcode > "$work/early/kernel/x86/microcode/GenuineIntel.bin"
echo later > "$work/more/empty"
find "$work" -exec touch -h -d @1600000000 {} +

pack() { (cd "$work/$1" && find . | LC_ALL=C sort | cpio -o --quiet -H "$2" --reproducible); }
pack tree newc > cpio/newc
pack tree crc > cpio/crc
pack early newc > "$work/early.cpio"
pack more newc > "$work/more.cpio"
cp cpio/newc image/plain
cat "$work/early.cpio" "$work/more.cpio" > image/two-plain

compress() {
    local name=$1
    shift
    "$@" < cpio/newc > "decoder/$name"
    { cat "$work/early.cpio" "decoder/$name"; head -c 8 /dev/zero; } > "image/$name"
}
compress gzip gzip -n
compress xz xz --check=crc32
compress lzma xz --format=lzma
compress zstd zstd -q
compress lz4 lz4 -lzq
compress bzip2 bzip2
compress lzo lzop
cat image/gzip image/zstd > image/many
