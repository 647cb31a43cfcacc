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

# A tree of files in one: `files/mod.rs` takes it apart.
tree() {
    (cd "$work/$1" && find . ! -type d | LC_ALL=C sort | while read -r file; do
        if [ -L "$file" ]; then
            printf '==> %s -> %s\n' "${file#.}" "$(readlink "$file")"
        else
            printf '==> %s\n' "${file#.}"
            cat "$file"
            echo
        fi
    done)
}

# Small programs and libraries with all that the closure looks at.
mkdir -p elf "$work/elf/"{bin,lib64,etc/ld.so.conf.d,opt/lib,usr/lib}
cat > "$work/note.s" <<'END'
.section .note.dlopen, "a", @note
.balign 4
.int 4, 3f - 2f, 0x407c0c0a
.asciz "FDO"
2: .ascii "[{\"feature\":\"b\",\"priority\":\"required\",\"soname\":[\"libb.so.1\"]}]"
.byte 0
3: .balign 4
END
cat > "$work/main.s" <<'END'
.globl _start
_start: call pthread_exit@plt
END
flags=(-nostdlib -s "-Wl,-z,noseparate-code" "-Wl,-z,norelro" "-Wl,--build-id=none" "-Wl,--hash-style=gnu")
gcc "${flags[@]}" -shared -Wl,-soname,libb.so.1 -o "$work/elf/opt/lib/libb.so.1" -x assembler /dev/null
ln -s ../../opt/lib/libb.so.1 "$work/elf/usr/lib/libb.so.1"
echo '.globl pthread_exit; .type pthread_exit, @function; pthread_exit: ret' > "$work/a.s"
gcc "${flags[@]}" -shared -Wl,-soname,liba.so.1 -o "$work/elf/lib64/liba.so.1" "$work/a.s"
# shellcheck disable=SC2016
gcc "${flags[@]}" -pie -Wl,--dynamic-linker=/lib64/ld.so -Wl,-rpath,'$ORIGIN/../$LIB:/opt/lib' \
    -o "$work/elf/bin/x" "$work/main.s" "$work/note.s" "$work/elf/lib64/liba.so.1" "$work/elf/opt/lib/libb.so.1"
printf '\0/lib64/\0/usr/lib64/\0' > "$work/elf/lib64/ld.so"
printf '#! /usr/bin/env -S x -e\n' > "$work/elf/bin/script"
printf 'include ld.so.conf.d/*.conf\n/opt/lib /usr/lib\n' > "$work/elf/etc/ld.so.conf"
printf '# more\n/usr/local/lib=libc6\nhwcap 1 x\n' > "$work/elf/etc/ld.so.conf.d/a.conf"
tree elf > elf/tree
ldconfig -r "$work/elf" -X -f /etc/ld.so.conf -C /etc/ld.so.cache
rm "$work"/elf/etc/ld.so.conf* -r
tree elf > elf/image
gcc "${flags[@]}" -no-pie -static -o "$work/elf/bin/x" "$work/a.s"
{ printf '==> /bin/static\n'; cat "$work/elf/bin/x"; printf '\n==> /lib/ld-musl-x86_64.so.1\n==> /etc/ld-musl-x86_64.path\n/lib:/opt\n'; } > elf/static

# A kernel's indexes, and a kernel without any.
mkdir -p modules "$work/kernel/lib/modules/1/kernel" "$work/kernel/etc/modprobe.d" "$work/kernel/lib/firmware"
dir=$work/kernel/lib/modules/1
module() {
    local name=$1
    shift
    printf '.section .modinfo, "a"\n' > "$work/m.s"
    printf '.asciz "%s"\n' "$@" >> "$work/m.s"
    gcc -c -o "$dir/kernel/$name.ko" "$work/m.s"
    strip --remove-section=.text --remove-section=.data --remove-section=.bss "$dir/kernel/$name.ko"
}
module a-b name=a_b 'alias=pci:v00008086d*sv*' depends=c firmware=a/b.bin 'softdep=pre: d' license=GPL
module c name=c depends= weakdep=d 'alias=of:N*T[a-z-]*Cx,y-z'
module d name=d depends= 'firmware=d*.bin'
xz --check=crc32 "$dir/kernel/d.ko"
mkdir "$work/kernel/lib/firmware/a"
echo x | tee "$work/kernel/lib/firmware/a/b.bin" > "$work/kernel/lib/firmware/d1.bin.xz"
printf '/sys/devices/pci0/0: pci:v00008086d00001237sv0\nof:NxTaCx,y-z\n# no more\n' > "$work/kernel/profile"
printf 'alias usb:v1* a-b\nblacklist c\nsoftdep d \\\n post: c\noptions d x=1\n' > "$work/kernel/etc/modprobe.d/x.conf"
printf 'kernel/e.ko\n' > "$dir/modules.builtin"
printf 'e.alias=platform:e-*\0e.license=GPL\0' > "$dir/modules.builtin.modinfo"
printf 'kernel/c.ko\nkernel/a-b.ko\n' > "$dir/modules.order"
tree kernel > modules/unpacked
rm -r "$dir/kernel"
mkdir "$dir/kernel"
printf x | tee "$dir/kernel/"{a-b,c,d}.ko
printf 'kernel/a-b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/d.ko:\n' > "$dir/modules.dep"
printf '# x\nalias pci:v00008086d*sv* a_b\nalias fs-c c\nalias platform:Fixed MDIO bus d\n' > "$dir/modules.alias"
printf 'alias symbol:do_c c\n' > "$dir/modules.symbols"
printf 'softdep a_b pre: d post: c\n' > "$dir/modules.softdep"
printf 'weakdep c d\n' > "$dir/modules.weakdep"
printf 'd d c10:229\n' > "$dir/modules.devname"
tree kernel > modules/installed

mkdir -p spec
cat > spec/all <<'END'
{
 "programs": ["lvm"], "optional-programs": ["/usr/sbin/e2fsck"],
 "modules": ["virtio_blk", "drivers/ata/"], "optional-modules": ["x*"], "load": ["dm_mod"],
 "files": {"/etc/motd": "files/motd", "/etc/lvm.conf": {"source": "/etc/lvm.conf", "mode": "0600"}},
 "units": ["my.service"], "hooks": {"pre-mount": ["hooks/wait"]}
}
END
printf 'programs: &p [sh, "lvm"]\nload: *p\nfiles: {<<: {/a: b}, /c: !!str d}\n' > spec/yaml
