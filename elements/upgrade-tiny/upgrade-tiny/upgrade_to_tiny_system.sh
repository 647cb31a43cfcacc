#!/bin/sh
# dib-lint: disable=indent
# shellcheck disable=SC2034 # what one file sets others read
# Stage one of a migration: checks that this machine can be moved to the system of the bundle beside this script, keeps its
# configuration, and makes the tiny system that does the work start at the next boot, once. Until all checks hold nothing
# is changed; if a change fails, what was done is undone.
#
# Needs what CentOS 7's minimal installation has, and no more: no Python, no jq, no gdisk.
# In functions POSIX sh knows no local variables: those of a helper begin with its initials, or it is a subshell.

usage() {
    cat <<'TEXT'
usage: upgrade_to_tiny_system.sh [OPTION...]

Replaces the system of this machine by the one in this bundle: checks, prepares, and reboots. Without a hand on it the
machine comes back as the new system, or as the old one if anything fails before the disk is touched.

  --check            only check
  --dry-run          check, and say each change that would be made
  --no-reboot        prepare everything, and leave the reboot to you
  --clean            remove what an earlier run put here: the boot entry, the files in /boot, the copy of the bundle
  --backup-only DIR  only collect the configuration, into a new or empty directory
  --dir DIR          keep bundle and configuration there until the reboot (default: /etc/upd)
  --key FILE         the public key that the bundle must be signed with (default: /etc/upgrade-tiny/trusted.pem)
  --no-verify        do not ask for a signature; checksums are compared all the same
  --root DIR         take etc, boot, proc, sys and dev below DIR for this machine's: for rehearsals; never reboots
  --help             this text

Exit codes: 0 done; 1 failed, and what was done is undone; 2 wrong usage; 3 refused, nothing changed.
TEXT
}

TITLE="VA Migration"
OURS=.upgrade-tiny
MARK="upgrade_to_tiny_system.sh: VA Migration"
TOOLS="awk basename cat chmod cp cut df dirname du find grep id ln ls mkdir mktemp mv od readlink rm rmdir sed sha256sum sort stat sync tr uname wc"

MODE=run; ROOT=; TARGET=/etc/upd; KEY=; VERIFY=1; REBOOT=1
REFUSED=0; CHANGING=; WORK=; DISK=; BUNDLE_OK=1
NAME=; VERSION=; SYSTEM=; ARCH=; FIRMWARE=; PAYLOAD=; RAM=; DISK_BYTES=; BOOT_FREE=; GROUP=

say() { printf '%s\n' "$*"; }
note() { printf 'note: %s\n' "$*"; }
refuse() { printf 'refused: %s\n' "$*" >&2; REFUSED=$((REFUSED + 1)); }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
wrong_usage() { printf 'error: %s\n' "$*" >&2; usage >&2; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }
first_line() { [ -r "$1" ] && sed -n '1p' "$1" 2>/dev/null; }
# What is there is rounded down, what is needed up.
mib() { echo "$(($1 / 1048576)) MiB"; }
mib_up() { mib "$(($1 + 1048575))"; }

arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --dir | --key | --root | --backup-only) [ -n "${2:-}" ] || wrong_usage "$1 needs a value" ;;
        esac
        case $1 in
        --check) MODE=check ;;
        --dry-run) MODE=dry-run ;;
        --clean) MODE=clean ;;
        --no-reboot) REBOOT= ;;
        --no-verify) VERIFY= ;;
        --backup-only) MODE=backup; OUT=$2; shift ;;
        --dir) TARGET=$2; shift ;;
        --key) KEY=$2; shift ;;
        --root) ROOT=$2; shift ;;
        -h | --help) usage; exit 0 ;;
        *) wrong_usage "unknown argument: $1" ;;
        esac
        shift
    done
    case $TARGET in
    /*[!/]*) ;;
    *) wrong_usage "--dir needs an absolute path below /: $TARGET" ;;
    esac
    case $TARGET in
    *[!A-Za-z0-9/._+-]* | */../* | */..) wrong_usage "--dir: only letters, digits and . _ + - / can be given to the tiny system: $TARGET" ;;
    esac
    TARGET=${TARGET%/}
    if [ -n "$ROOT" ]; then
        [ -d "$ROOT" ] || wrong_usage "--root: no such directory: $ROOT"
        ROOT=$(cd "$ROOT" && pwd -P)
        [ "$ROOT" != / ] || ROOT=
    fi
    # Of a link in its path the boot loader and the tiny system know nothing.
    ar_real=$(readlink -f "$ROOT$TARGET" 2>/dev/null)
    [ -z "$ar_real" ] || TARGET=${ar_real#"$ROOT"}
    # Logins without a full PATH are common: cron, sudo, some web interfaces.
    [ -n "$ROOT" ] || PATH=${PATH:-/usr/bin}:/usr/sbin:/sbin:/usr/bin:/bin
}

# --- the machine --------------------------------------------------------------------------------------------------------

check_tools() {
    ct_missing=
    for ct_tool in $TOOLS; do
        have "$ct_tool" || ct_missing="$ct_missing $ct_tool"
    done
    [ -z "$ct_missing" ] || refuse "missing tools on this system:$ct_missing"
}

check_machine() {
    [ "$(id -u)" = 0 ] || refuse "this needs root; the user id here is $(id -u)"
    cm_arch=$(uname -m)
    [ -z "$ARCH" ] || [ "$cm_arch" = "$ARCH" ] || refuse "architecture: $cm_arch here, $ARCH in the bundle"
    cm_firmware=bios
    [ ! -d "$ROOT/sys/firmware/efi" ] || cm_firmware=uefi
    [ -z "$FIRMWARE" ] || [ "$cm_firmware" = "$FIRMWARE" ] ||
        refuse "firmware: this machine was started with $cm_firmware, the bundle is for $FIRMWARE"
    for cm_file in "$ROOT"/sys/firmware/efi/efivars/SecureBoot-*; do
        [ "$(od -An -t u1 -j 4 -N 1 "$cm_file" 2>/dev/null | tr -d ' ')" = 1 ] &&
            refuse "Secure Boot is on: the old boot loader does not start a kernel that others signed; switch it off in the firmware"
    done
    if [ -n "$RAM" ]; then
        # What is set aside for a crash kernel is given back to the tiny system.
        cm_crash=$(first_line "$ROOT/sys/kernel/kexec_crash_size")
        cm_ram=$(awk -v crash="${cm_crash:-0}" '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 + crash }' "$ROOT/proc/meminfo")
        [ "${cm_ram:-0}" -ge "$RAM" ] ||
            refuse "RAM: $(mib "${cm_ram:-0}") here, $(mib_up "$RAM") needed to hold the new system while the disk is rewritten"
    fi
    check_power
    cm_slots=$ROOT/etc/upgrade-tiny/slots.json
    if [ -f "$cm_slots" ] && tr -d '\n' <"$cm_slots" | grep -q "\"group\": *\"$GROUP\""; then
        refuse "this is already the new system: $cm_slots says volume group $GROUP; use: image-slots install BUNDLE"
    fi
}

check_power() {
    for cp_supply in "$ROOT"/sys/class/power_supply/*; do
        case $(first_line "$cp_supply/type"):$(first_line "$cp_supply/scope"):$(first_line "$cp_supply/status") in
        Battery::Discharging | Battery:System:Discharging | UPS::Discharging | UPS:System:Discharging) ;;
        *) continue ;;
        esac
        cp_capacity=$(first_line "$cp_supply/capacity")
        case $cp_capacity in
        '' | *[!0-9]*) note "running on ${cp_supply##*/}, whose charge is not known" ;;
        *) [ "$cp_capacity" -ge 50 ] || refuse "power: running on ${cp_supply##*/} with $cp_capacity % left, 50 % needed: connect it" ;;
        esac
    done
}

# --- room, and the changes ----------------------------------------------------------------------------------------------

# Files of the bundle that go to the directory of the payload.
kept() { printf '%s\n' "$PAYLOAD" "$NAME.sgdisk" manifest.json; }

# room_for WHAT PATH BYTES
room_for() {
    rf_dir=$ROOT$2
    while [ ! -d "$rf_dir" ]; do rf_dir=${rf_dir%/*}; done
    rf_free=$(df -P -k "$rf_dir/" 2>/dev/null | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')
    [ "${rf_free:-0}" -ge "$3" ] && return
    rf_hint=
    [ ! -e "$ROOT/boot/vmlinuz-convert" ] || rf_hint=" (an earlier run left files here: see --clean)"
    refuse "room in $2: $(mib "${rf_free:-0}") free, $(mib_up "$3") needed for $1$rf_hint"
}

check_room() {
    cr_bytes=$(($(du -sk "$WORK/backup" | cut -f 1) * 1024 + 1048576))
    # On the same file system a second name takes no room.
    if ! same_filesystem; then
        for cr_file in $(kept); do cr_bytes=$((cr_bytes + $(stat -L -c %s "$HERE/$cr_file" 2>/dev/null || echo 0))); done
    fi
    room_for "payload and configuration" "$TARGET" "$cr_bytes"
    room_for "the tiny system" /boot "$BOOT_FREE"
    [ ! -d "$ROOT$TARGET" ] || [ -f "$ROOT$TARGET/$OURS" ] || [ -z "$(ls -A "$ROOT$TARGET")" ] ||
        refuse "$TARGET has files that are not of a migration: give another place with --dir"
}

same_filesystem() {
    sf_dir=$ROOT$TARGET
    while [ ! -d "$sf_dir" ]; do sf_dir=${sf_dir%/*}; done
    [ "$(stat -c %d "$sf_dir/")" = "$(stat -L -c %d "$HERE/$PAYLOAD" 2>/dev/null)" ]
}

check_backup() {
    mkdir "$WORK/backup"
    collect "$WORK/backup" || refuse "the configuration could not be collected: see above"
    if [ -n "$BUNDLE_OK" ]; then
        vendor_scripts "$WORK/backup"
    elif [ -d "$HERE/backup.d" ]; then
        note "the bundle's backup.d is not tried: the bundle is not in order"
    fi
}

check_all() {
    check_bundle
    check_machine
    check_disk
    check_drivers
    check_boot_loader
    check_uuids
    check_backup
    [ -n "$BUNDLE_OK" ] && check_room
    [ "$REFUSED" = 0 ] && return
    say "refused for $REFUSED reason(s), see above; nothing was changed" >&2
    exit 3
}

# change WORDS... -- COMMAND...: makes a change, or says that it would.
change() {
    ch_what=
    while [ "$1" != -- ]; do ch_what="$ch_what $1"; shift; done
    shift
    if [ "$MODE" = dry-run ]; then
        say "would$ch_what"
        return
    fi
    say "now:$ch_what"
    "$@" || die "this failed:$ch_what"
}

copy_bundle() {
    mkdir -p "$ROOT$TARGET" && chmod 700 "$ROOT$TARGET" && : >"$ROOT$TARGET/$OURS" || return 1
    for cb_file in $(kept); do
        # A second name for the same file is quick and takes no room.
        [ -h "$HERE/$cb_file" ] || ln "$HERE/$cb_file" "$ROOT$TARGET/$cb_file" 2>/dev/null || cp "$HERE/$cb_file" "$ROOT$TARGET/$cb_file" || return 1
    done
}

copy_backup() { cp -R "$WORK/backup" "$ROOT$TARGET/backup"; }

copy_boot() {
    cp "$HERE/vmlinuz-convert" "$ROOT/boot/vmlinuz-convert" && cp "$HERE/initramfs-convert.img" "$ROOT/boot/initramfs-convert.img"
}

# Removes everything that a run puts on the machine.
clean() {
    remove_entry
    rm -f "$ROOT/boot/vmlinuz-convert" "$ROOT/boot/initramfs-convert.img"
    # Only what a run made itself: the place may be the operator's own.
    [ ! -f "$ROOT$TARGET/$OURS" ] || rm -rf "$ROOT${TARGET:?}"
}

prepare() {
    [ "$MODE" = dry-run ] || CHANGING=1
    change remove what an earlier run left -- clean
    change copy "$PAYLOAD, $NAME.sgdisk" and manifest.json to "$TARGET" -- copy_bundle
    change keep the configuration in "$TARGET/backup" -- copy_backup
    change copy vmlinuz-convert and initramfs-convert.img to /boot -- copy_boot
    change add the boot entry "\"$TITLE\" to $GRUB_CFG ($GRUB_MODE), for one boot, with: $(kernel_line)" -- add_entry
    change write everything to the disk -- sync
    CHANGING=
}

restart() {
    if [ "$MODE" = dry-run ]; then
        say "would restart the machine"
    elif [ -z "$REBOOT" ] || [ -n "$ROOT" ]; then
        say "ready: the next boot moves this machine to $SYSTEM $VERSION; undo with --clean"
    else
        say "restarting into the tiny system"
        systemctl reboot 2>/dev/null || reboot || die "the machine does not restart: do it by hand, or undo with --clean"
    fi
}

on_exit() {
    oe_status=$?
    trap - EXIT
    if [ -n "$CHANGING" ]; then
        say "undoing what was done" >&2
        clean
        sync
    fi
    [ -z "$WORK" ] || rm -rf "$WORK"
    exit "$oe_status"
}

main() {
    set -u
    umask 077
    LC_ALL=C
    export LC_ALL
    arguments "$@"
    check_tools
    [ "$REFUSED" = 0 ] || exit 3
    HERE=$(readlink -f -- "$0")
    HERE=${HERE%/*}
    for part in upgrade_backup.sh upgrade_boot.sh upgrade_bundle.sh upgrade_disk.sh; do
        [ -r "$HERE/$part" ] || { refuse "the bundle is incomplete: $part is missing beside $HERE/${0##*/}"; exit 3; }
    done
    # shellcheck source=upgrade_backup.sh disable=SC1091
    . "$HERE/upgrade_backup.sh"
    # shellcheck source=upgrade_boot.sh disable=SC1091
    . "$HERE/upgrade_boot.sh"
    # shellcheck source=upgrade_bundle.sh disable=SC1091
    . "$HERE/upgrade_bundle.sh"
    # shellcheck source=upgrade_disk.sh disable=SC1091
    . "$HERE/upgrade_disk.sh"
    trap on_exit EXIT
    trap 'exit 1' HUP INT TERM
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/upgrade-tiny.XXXXXX") || { refuse "no room for notes in ${TMPDIR:-/tmp}, or it cannot be written"; exit 3; }
    case $MODE in
    backup) backup_only "$OUT" ;;
    clean)
        [ "$(id -u)" = 0 ] || { refuse "this needs root; the user id here is $(id -u)"; exit 3; }
        clean
        say "removed what an earlier run left"
        ;;
    *)
        check_all
        say "all checks hold: $NAME $VERSION${SYSTEM:+ ($SYSTEM)} can replace this system"
        [ "$MODE" = check ] && return
        prepare
        restart
        ;;
    esac
}

main "$@"
