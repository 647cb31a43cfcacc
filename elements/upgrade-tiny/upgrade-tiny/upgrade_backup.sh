#!/bin/sh
# dib-lint: disable=executable indent
# Collects the configuration that the new system is to have, from the tree below $ROOT. Read by upgrade_to_tiny_system.sh.
#
# Everything is written with umask 077: directories are 0700 and files 0600, whatever they were; the new system gives
# them owners and modes of their own. Nothing of a file's content is ever printed.

# collect DIR: fills it, which has to be there.
collect() {
    mkdir -p "$1/files" || return 1
    facts >"$1/facts" || return 1
    links >"$1/links" || return 1
    live "$1"
    keep_files "$1/files" || return 1
    keep_keys "$1/files" || return 1
}

# The value of a shell-like assignment in a file.
setting() {
    sed -n "s/^[[:space:]]*\\(export[[:space:]]\\{1,\\}\\)\\{0,1\\}$2=[\"']\\{0,1\\}\\([^\"'#]*\\)[\"']\\{0,1\\}.*/\\2/p" "$ROOT$1" 2>/dev/null |
        sed -n '$s/[[:space:]]*$//p'
}

# The first of several values that is not empty, as "KEY=VALUE".
fact() {
    fa_key=$1
    shift
    for fa_value in "$@"; do
        [ -z "$fa_value" ] || { printf '%s=%s\n' "$fa_key" "$fa_value"; return 0; }
    done
}

facts() {
    fs_zone=$(readlink "$ROOT/etc/localtime" 2>/dev/null | sed -n 's|.*/zoneinfo/||p')
    fact hostname "$(sed -n '/^[[:space:]]*[^#[:space:]]/{s/[[:space:]]//g;p;q;}' "$ROOT/etc/hostname" 2>/dev/null)" \
        "$(setting /etc/sysconfig/network HOSTNAME)" "$(first_line "$ROOT/proc/sys/kernel/hostname")"
    fact timezone "$fs_zone" "$(first_line "$ROOT/etc/timezone")" "$(setting /etc/sysconfig/clock ZONE)"
    fact locale "$(setting /etc/locale.conf LANG)" "$(setting /etc/default/locale LANG)" "$(setting /etc/sysconfig/i18n LANG)"
    fact keymap "$(setting /etc/vconsole.conf KEYMAP)" "$(setting /etc/sysconfig/keyboard KEYTABLE)" \
        "$(setting /etc/default/keyboard XKBLAYOUT)"
    fact machine_id "$(first_line "$ROOT/etc/machine-id" | grep -x '[0-9a-f]\{32\}')"
    fact system "$(setting /etc/os-release PRETTY_NAME)"
}

# Lines "NAME MAC" of the physical Ethernet interfaces, with the address that the hardware has.
links() {
    for li_dir in "$ROOT"/sys/class/net/*; do
        [ -e "$li_dir/device" ] || continue
        [ "$(first_line "$li_dir/type")" = 1 ] || continue
        li_name=${li_dir##*/}
        li_mac=$(first_line "$li_dir/bonding_slave/perm_hwaddr")
        # Older kernels tell it in the bond's own file only.
        [ -n "$li_mac" ] || [ ! -d "$ROOT/proc/net/bonding" ] ||
            li_mac=$(cat "$ROOT"/proc/net/bonding/* 2>/dev/null | awk -v name="$li_name" '
                /^Slave Interface:/ { mine = $3 == name } mine && /^Permanent HW addr:/ { print $4; exit }')
        printf '%s %s\n' "$li_name" "${li_mac:-$(first_line "$li_dir/address")}"
    done
}

# What is set at this moment: for people, and to tell which interfaces have no file.
live() {
    if [ -z "$ROOT" ] && have ip; then
        ip -o addr show >"$1/live-addresses" 2>/dev/null
        { ip -4 route show; ip -6 route show; } >"$1/live-routes" 2>/dev/null
    fi
    return 0
}

keep_files() {
    for kf_file in "$ROOT"/etc/passwd "$ROOT"/etc/shadow "$ROOT"/etc/group "$ROOT"/etc/gshadow "$ROOT"/etc/login.defs \
        "$ROOT"/etc/sudoers "$ROOT"/etc/sudoers.d/* "$ROOT"/etc/ssh/ssh_host_* "$ROOT"/etc/ssh/sshd_config \
        "$ROOT"/etc/hosts "$ROOT"/etc/resolv.conf "$ROOT"/etc/chrony.conf "$ROOT"/etc/chrony/chrony.conf "$ROOT"/etc/ntp.conf \
        "$ROOT"/etc/systemd/timesyncd.conf "$ROOT"/etc/sysconfig/network "$ROOT"/etc/sysconfig/network-scripts/ifcfg-* \
        "$ROOT"/etc/sysconfig/network-scripts/route-* "$ROOT"/etc/sysconfig/network-scripts/route6-* \
        "$ROOT"/etc/sysconfig/network-scripts/rule-* "$ROOT"/etc/sysconfig/network-scripts/rule6-* \
        "$ROOT"/etc/NetworkManager/system-connections/* "$ROOT"/etc/systemd/network/* \
        "$ROOT"/etc/systemd/timesyncd.conf.d/*; do
        [ -f "$kf_file" ] || continue
        keep "$kf_file" "$1${kf_file#"$ROOT"}" || return 1
    done
}

# keep FILE COPY: adds a file to a copy, with the directories that it needs.
keep() { mkdir -p "${2%/*}" && cat -- "$1" >>"$2"; }

# The public keys that let people in, of all accounts with a login shell: in ~/.ssh/authorized_keys, wherever sshd has them.
keep_keys() {
    kk_places=$(sed -n 's/^[[:space:]]*[Aa]uthorized[Kk]eys[Ff]ile[[:space:]]\{1,\}//p' "$ROOT/etc/ssh/sshd_config" 2>/dev/null | sed -n 1p)
    [ -f "$ROOT/etc/passwd" ] || return 0
    while IFS=: read -r kk_user _ _ _ _ kk_home kk_shell; do
        case $kk_shell:$kk_home in
        */nologin:* | */false:* | */sync:* | */shutdown:* | */halt:* | *:/ | *: | *:*/../*) continue ;;
        *:/*) ;;
        *) continue ;;
        esac
        for kk_place in ${kk_places:-.ssh/authorized_keys .ssh/authorized_keys2}; do
            kk_file=$(printf '%s\n' "$kk_place" | sed "s|%h|$kk_home|g; s|%u|$kk_user|g; s|%%|%|g")
            case $kk_file in /*) ;; *) kk_file=$kk_home/$kk_file ;; esac
            [ ! -f "$ROOT$kk_file" ] || keep "$ROOT$kk_file" "$1$kk_home/.ssh/authorized_keys" || return 1
        done
    done <"$ROOT/etc/passwd"
}

# vendor_scripts DIR: runs the bundle's backup.d/*, each with a directory of its own in $BACKUP_DIR.
vendor_scripts() {
    for vs_script in "$HERE"/backup.d/*; do
        [ -f "$vs_script" ] || continue
        vs_dir=$1/vendor/${vs_script##*/}
        mkdir -p "$vs_dir" || return 1
        # A bundle may lie where nothing can be executed, as /tmp often is; the first line says what runs a script.
        vs_by=$(sed -n '1s/^#![[:space:]]*//p' "$vs_script" | tr -d '\r')
        # shellcheck disable=SC2086 # an interpreter may have an argument
        BACKUP_DIR=$vs_dir ROOT=$ROOT ${vs_by:+$vs_by} "$vs_script" >&2 </dev/null || {
            refuse "backup.d/${vs_script##*/} failed with status $?"
            vs_failed=1
        }
    done
    [ -z "${vs_failed:-}" ]
}

# backup_only DIR: all there is to --backup-only.
backup_only() {
    bo_out=$1
    bo_made=
    if [ ! -e "$bo_out" ]; then
        mkdir -p "$bo_out" || die "making $bo_out"
        bo_made=1
    elif [ ! -d "$bo_out" ] || [ -n "$(ls -A "$bo_out")" ]; then
        wrong_usage "--backup-only: $bo_out is no empty directory"
    fi
    chmod 700 "$bo_out" || die "setting the mode of $bo_out"
    if collect "$bo_out" && vendor_scripts "$bo_out"; then
        say "the configuration is in $bo_out"
        return 0
    fi
    find "$bo_out" -mindepth 1 -delete
    [ -z "$bo_made" ] || rmdir "$bo_out"
    [ "$REFUSED" = 0 ] || exit 3
    die "collecting the configuration into $bo_out: see above"
}
