#!/bin/sh
# dib-lint: disable=executable indent
# The disk under the old system, and whether the tiny system can drive it. Read by upgrade_to_tiny_system.sh.
#
# All of it is read from /proc/self/mountinfo and /sys: no tool prints the same for every version.

# where PATH: sets W_DEV (major:minor), W_TOP (what of the file system is mounted), W_POINT, W_TYPE, W_SOURCE, W_MODE.
where() {
    W_DEV=; W_TOP=; W_POINT=; W_TYPE=; W_SOURCE=; W_MODE=
    read -r W_DEV W_TOP W_POINT W_TYPE W_SOURCE W_MODE <<TEXT
$(awk -v path="$1" '
    $5 == "/" || path == $5 || index(path, $5 "/") == 1 { if (length($5) >= best) { best = length($5); found = $0 } }
    END {
        n = split(found, f, " ")
        for (i = 7; i < n && f[i] != "-"; i++);
        print f[3], f[4], f[5], f[i + 1], f[i + 2], ("," f[6] "," f[i + 3] ",") ~ /,ro,/ ? "ro" : "rw"
    }' "$ROOT/proc/self/mountinfo" 2>/dev/null)
TEXT
}

# The path of a file, as the file system on which it is sees it; after `where` for the same path.
within() {
    wi_top=${W_TOP%/}; wi_point=${W_POINT%/}
    echo "$wi_top${1#"$wi_point"}"
}

# The kernel's name of the block device that `where` found.
block_name() (
    name=$(readlink -f "$ROOT/sys/dev/block/$W_DEV" 2>/dev/null)
    # btrfs has numbers of its own; the source names one of its devices.
    [ -e "$ROOT/sys/dev/block/$W_DEV" ] || name=$(readlink -f "$ROOT$W_SOURCE" 2>/dev/null)
    [ -n "$name" ] && [ -e "$ROOT/sys/class/block/${name##*/}" ] && echo "${name##*/}"
)

# The disks below a block device, one a line.
disks_of() (
    dir=$ROOT/sys/class/block/$1
    below=
    for slave in "$dir"/slaves/*; do
        [ -e "$slave" ] || continue
        below=1
        disks_of "${slave##*/}"
    done
    [ -z "$below" ] || return 0
    [ -e "$dir" ] || return 0
    if [ -e "$dir/partition" ]; then
        dir=$(readlink -f "$dir")
        dir=${dir%/*}
        disks_of "${dir##*/}"
    else
        echo "$1"
    fi
)

# Lines "GROUP DISK" of all physical volumes: from the kernel, and with those that hold nothing in use from LVM.
groups_and_disks() {
    for gd_dir in "$ROOT"/sys/class/block/dm-*; do
        gd_uuid=$(first_line "$gd_dir/dm/uuid")
        case $gd_uuid in LVM-*) disks_of "${gd_dir##*/}" | sed "s/^/$(echo "$gd_uuid" | cut -c 5-36) /" ;; esac
    done
    have pvs || return 0
    pvs --noheadings -o pv_name,vg_name 2>/dev/null | while read -r gd_device gd_group; do
        gd_device=$(readlink -f "$ROOT$gd_device" 2>/dev/null)
        [ -z "$gd_group" ] || disks_of "${gd_device##*/}" | sed "s/^/$gd_group /"
    done
}

# A device below which the tiny system would not find the old root.
check_kinds() (
    dir=$ROOT/sys/class/block/$1
    case $1:$(first_line "$dir/dm/uuid") in
    dm-*:LVM-* | dm-*:part*) ;;
    dm-*:CRYPT-*) echo "$1 is encrypted: the tiny system has no key for it" ;;
    dm-*:mpath-*) echo "$1 is a multipath device, for which the tiny system is not made" ;;
    dm-* | md* | drbd* | bcache* | zd* | loop* | ram* | zram*) echo "$1 is a device of a kind that the tiny system does not know" ;;
    esac
    for slave in "$dir"/slaves/*; do
        [ ! -e "$slave" ] || check_kinds "${slave##*/}"
    done
)

check_disk() {
    cd_disks=
    for cd_path in / /boot /boot/efi "$TARGET"; do
        where "$cd_path"
        cd_name=$(block_name)
        if [ -z "$cd_name" ]; then
            refuse "cannot tell which disk holds $cd_path: it is on ${W_SOURCE:-an unknown device} (${W_TYPE:-unknown})"
            continue
        fi
        [ "$W_MODE" = rw ] || refuse "$cd_path is on a file system that is mounted read-only ($W_SOURCE at $W_POINT)"
        cd_disks="$cd_disks $(disks_of "$cd_name" | tr '\n' ' ')"
        check_kinds "$cd_name" >>"$WORK/kinds"
    done
    sort -u "$WORK/kinds" >"$WORK/kinds.sorted"
    while read -r cd_line; do refuse "disk: $cd_line"; done <"$WORK/kinds.sorted"
    # shellcheck disable=SC2086 # words are wanted
    cd_disks=$(printf '%s\n' $cd_disks | sort -u | tr '\n' ' ')
    case $cd_disks in
    '' | ' ') refuse "no system disk was found"; return ;;
    *' '?*) refuse "the system is on $(echo "$cd_disks" | wc -w) disks ( $cd_disks): root, /boot and $TARGET have to be on 1"; return ;;
    esac
    DISK=${cd_disks% }
    check_groups
    cd_dir=$ROOT/sys/class/block/$DISK
    DISK_SIZE=$(($(first_line "$cd_dir/size") * 512))
    [ -z "$DISK_BYTES" ] || [ "$DISK_SIZE" -ge "$DISK_BYTES" ] ||
        refuse "disk: $DISK has $(mib "$DISK_SIZE"), the new layout needs $(mib_up "$DISK_BYTES")"
    [ "$(first_line "$cd_dir/ro")" != 1 ] || refuse "disk: $DISK cannot be written"
    cd_sector=$(first_line "$cd_dir/queue/logical_block_size")
    [ "${cd_sector:-512}" = 512 ] || refuse "disk: $DISK has sectors of $cd_sector bytes, the new partition table is for 512"
    say "disk: $DISK, $(mib "$DISK_SIZE")"
    what_becomes_of_mounts
}

check_groups() {
    groups_and_disks | sort -u >"$WORK/groups"
    cg_spans=$(awk -v disk="$DISK" '$2 == disk { ours[$1] = 1 } { of[$1] = of[$1] " " $2; n[$1]++ }
        END { for (g in ours) if (n[g] > 1) print of[g] }' "$WORK/groups" | sed -n 1p)
    [ -z "$cg_spans" ] || refuse "the system's volume group is on $(echo "$cg_spans" | wc -w) disks ($cg_spans ): 1 is needed"
    cg_other=$(awk -v disk="$DISK" -v group="$GROUP" '$1 == group && $2 != disk { print $2 }' "$WORK/groups")
    [ -z "$cg_other" ] || refuse "another disk ($cg_other) has a volume group $GROUP, the name that the new system's will have"
}

# Says what is lost and what stays: nothing but the system's configuration is carried over.
what_becomes_of_mounts() {
    # shellcheck disable=SC2030,SC2031 # set for block_name, here only
    awk '{ for (i = 7; i < NF && $i != "-"; i++); print $3, $5, $(i + 2) }' "$ROOT/proc/self/mountinfo" |
        while read -r wm_dev wm_point wm_source; do
            case $wm_point:$wm_source in
            /:* | /boot:* | /boot/efi:* | *:/dev/loop*) continue ;;
            *:/dev/*) ;;
            *) continue ;;
            esac
            W_DEV=$wm_dev; W_SOURCE=$wm_source
            case " $(disks_of "$(block_name)" | tr '\n' ' ')" in
            *" $DISK "*) note "what is below $wm_point is lost with the old system: save what you need" ;;
            *) note "$wm_point is on another disk ($wm_source), which is left alone; the new system does not mount it by itself" ;;
            esac
        done
}

# The directories of the drivers' devices between a disk and the processor: from the innermost outwards.
device_chain() {
    dc_dir=$(readlink -f "$ROOT/sys/class/block/$DISK")
    case $dc_dir in
    */nvme-subsystem/*)
        # NVMe with several paths: the disk is below the subsystem, the controllers are linked from there.
        for dc_link in "${dc_dir%/*}"/nvme*; do
            [ -h "$dc_link" ] && dc_dir=$(readlink -f "$dc_link")
        done
        ;;
    esac
    while [ "${#dc_dir}" -gt "${#ROOT}" ] && [ "$dc_dir" != "$ROOT/sys/devices" ]; do
        echo "$dc_dir"
        dc_dir=${dc_dir%/*}
    done
}

# Whether a line of the bundle's list of drivers matches.
driver_for() {
    # The bus itself can be a pattern, as in acpi*:VMBUS:*.
    sed -n "/^${1%%:*}[*:]/p" "$HERE/$NAME.drivers" | while IFS= read -r df_glob; do
        # shellcheck disable=SC2254 # it is a pattern
        case $1 in $df_glob) echo yes; break ;; esac
    done | grep -q yes
}

# Whether the driver that a device has here is part of the tiny system's kernel: kernels do not tell what devices such
# drivers are for, so the names are compared.
built_in() {
    for bi_link in driver driver/module; do
        bi_name=$(readlink "$1/$bi_link" | sed 's|.*/||' | tr - _)
        case $bi_name in
        "") continue ;;
        sd | sr) bi_name=${bi_name}_mod ;;
        esac
        grep -qxF "builtin:$bi_name" "$HERE/$NAME.drivers" && return 0
    done
    return 1
}

check_drivers() {
    [ -n "$DISK" ] && [ -n "$NAME" ] && [ -r "$HERE/$NAME.drivers" ] || return 0
    device_chain >"$WORK/chain"
    cv_seen=
    while read -r cv_dir; do
        # A device without a driver is a container; bridges need none.
        [ -r "$cv_dir/modalias" ] || continue
        [ -e "$cv_dir/driver" ] || continue
        case $(first_line "$cv_dir/class") in 0x06*) continue ;; esac
        cv_alias=$(first_line "$cv_dir/modalias")
        cv_seen=1
        driver_for "$cv_alias" && continue
        built_in "$cv_dir" && continue
        cv_driver=$(readlink "$cv_dir/driver")
        refuse "the tiny system has no driver for $DISK: none of $(wc -l <"$HERE/$NAME.drivers") patterns in $NAME.drivers matches $cv_alias (${cv_driver##*/} here)"
    done <"$WORK/chain"
    [ -n "$cv_seen" ] || refuse "unknown disk controller: nothing above $DISK in /sys says what it is"
    grep -q '^fs-' "$HERE/$NAME.drivers" || return 0
    where "$TARGET"
    grep -qxF -e "fs-$W_TYPE" -e "builtin:$W_TYPE" "$HERE/$NAME.drivers" || refuse "the tiny system cannot read $W_TYPE, the file system of $TARGET"
}
