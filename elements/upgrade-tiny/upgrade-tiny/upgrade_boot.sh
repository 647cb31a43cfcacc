#!/bin/sh
# dib-lint: disable=executable indent
# The boot loader of the old system: an entry that is started once. Read by upgrade_to_tiny_system.sh.
#
# With grubby, grubby makes the entry and GRUB's next_entry picks it. Without, custom.cfg beside grub.cfg has it, and an
# environment block of its own that says "once": GRUB clears it before it uses it, and starts the old system if it cannot.

ENTRY_ID=va-migration
ENV_NAME=va-migration.env

# Finds GRUB's configuration: sets GRUB_CFG and GRUB_DIR, as paths without ROOT.
find_grub() {
    GRUB_CFG=
    fg_id=$(sed -n 's/^ID="\{0,1\}\([A-Za-z0-9._-]*\)"\{0,1\}$/\1/p' "$ROOT/etc/os-release" 2>/dev/null)
    set -- /boot/grub2/grub.cfg /boot/grub/grub.cfg
    if [ -d "$ROOT/sys/firmware/efi" ]; then
        fg_efi=$(find "$ROOT/boot/efi/EFI" -mindepth 2 -maxdepth 2 -name grub.cfg 2>/dev/null | sed "s|^$ROOT||")
        # shellcheck disable=SC2086 # words are wanted
        set -- "/boot/efi/EFI/${fg_id:-none}/grub.cfg" $fg_efi "$@"
    fi
    for fg_file in "$@"; do
        # A file without entries only names the one that has them.
        if grep -Eq '^[[:space:]]*(menuentry|blscfg)' "$ROOT$fg_file" 2>/dev/null; then
            GRUB_CFG=$fg_file
            GRUB_DIR=${fg_file%/*}
            return 0
        fi
    done
    return 1
}

check_boot_loader() {
    GRUB_MODE=
    if find_grub; then
        check_grub
        return
    fi
    for bl_file in /boot/grub/grub.conf /boot/grub/menu.lst /etc/grub.conf; do
        [ -f "$ROOT$bl_file" ] || continue
        refuse "boot loader: this is GRUB legacy ($bl_file), which cannot start an entry once: install GRUB 2 first, or move the configuration by hand"
        return
    done
    for bl_file in /boot/loader/loader.conf /boot/efi/loader/loader.conf /efi/loader/loader.conf; do
        [ -f "$ROOT$bl_file" ] || continue
        refuse "boot loader: this is systemd-boot ($bl_file); only GRUB 2 is known here"
        return
    done
    refuse "boot loader: no grub.cfg with entries below /boot; only GRUB 2 is known here"
}

check_grub() {
    where "$GRUB_DIR"
    [ "$W_MODE" != ro ] || refuse "$GRUB_DIR is on a file system that is mounted read-only ($W_SOURCE at $W_POINT)"
    cg_reason=
    case $W_TYPE:$(block_name) in
    btrfs:* | zfs:*) cg_reason="is on $W_TYPE" ;;
    *:dm-*) cg_reason="is on LVM or another mapped device ($W_SOURCE)" ;;
    *:md*) cg_reason="is on software RAID ($W_SOURCE)" ;;
    esac
    if [ -n "$cg_reason" ]; then
        refuse "boot loader: $GRUB_DIR $cg_reason, where GRUB cannot write: it could not note that the entry was started once"
        return
    fi
    GRUB_REBOOT=
    for cg_tool in grub2-reboot grub-reboot; do
        have "$cg_tool" && GRUB_REBOOT=$cg_tool && break
    done
    if have grubby && [ -n "$GRUB_REBOOT" ] && grep -q 'save_env next_entry' "$ROOT$GRUB_CFG"; then
        GRUB_MODE=grubby
    elif grep -q 'custom\.cfg' "$ROOT$GRUB_CFG"; then
        GRUB_MODE=custom
    elif have grubby; then
        refuse "boot loader: $GRUB_CFG knows no next_entry, or grub2-reboot is missing: run grub2-mkconfig -o $GRUB_CFG"
    else
        refuse "boot loader: there is no grubby here, and $GRUB_CFG does not read custom.cfg: run grub2-mkconfig -o $GRUB_CFG"
    fi
}

# The tiny system's kernel command line.
kernel_line() {
    where "$TARGET"
    printf 'upgrade_tiny.root=UUID=%s upgrade_tiny.dir=%s upgrade_tiny.disk=%s:%s panic=30' \
        "$(uuid_of "$(block_name)")" "$(within "$TARGET")" "$DISK" "$DISK_SIZE"
    tr ' ' '\n' <"$ROOT/proc/cmdline" | grep '^console=[A-Za-z0-9,.:]*$' | tr '\n' ' ' | sed 's/^/ /; s/ $//'
}

# The UUID of the file system on a block device.
uuid_of() (
    [ -n "$1" ] || exit 1
    for link in "$ROOT"/dev/disk/by-uuid/*; do
        name=$(readlink "$link")
        if [ "${name##*/}" = "$1" ]; then
            echo "${link##*/}"
            exit 0
        fi
    done
    have blkid && blkid -s UUID -o value "$ROOT/dev/$1"
)

check_uuids() {
    [ -n "$DISK" ] || return 0
    for cu_path in "$TARGET" /boot; do
        where "$cu_path"
        cu_name=$(block_name)
        [ -n "$(uuid_of "$cu_name")" ] || refuse "the file system that holds $cu_path ($W_SOURCE) has no UUID by which it is found again"
    done
}

# The entry as text for custom.cfg.
custom_text() {
    where /boot
    ct_path=$(within /boot)
    case $W_TYPE in ext[234]) ct_fs=ext2 ;; *) ct_fs=$W_TYPE ;; esac
    # The commands that this GRUB's own entries use: linux, linux16 or linuxefi.
    ct_suffix=$(sed -n 's/^[[:space:]]*linux\(16\|efi\)\{0,1\}[[:space:]]\{1,\}.*/\1/p' "$ROOT$GRUB_CFG" | sed -n 1p)
    cat <<TEXT
# >>> $MARK
set va_dir="\${config_directory}"
if [ -z "\${va_dir}" ]; then set va_dir="\${prefix}"; fi
load_env -f "\${va_dir}/$ENV_NAME" va_migration
if [ "\${va_migration}" = "1" ]; then
  set va_migration=0
  if save_env -f "\${va_dir}/$ENV_NAME" va_migration; then
    set default="$ENTRY_ID"
    set fallback=0
    set timeout=3
  fi
fi
menuentry '$TITLE' --id $ENTRY_ID --unrestricted {
  insmod part_msdos
  insmod part_gpt
  insmod $ct_fs
  search --no-floppy --fs-uuid --set=root $(uuid_of "$(block_name)")
  echo 'Loading the tiny system ...'
  linux$ct_suffix ${ct_path%/}/vmlinuz-convert $(kernel_line)
  initrd$ct_suffix ${ct_path%/}/initramfs-convert.img
}
# <<< $MARK
TEXT
}

# An environment block of GRUB: 1024 bytes, filled up with #.
env_block() { printf '# GRUB Environment Block\nva_migration=1\n%984s' '' | sed '3s/ /#/g'; }

add_entry() {
    case $GRUB_MODE in
    grubby) add_with_grubby ;;
    custom)
        custom_text >"$WORK/entry" || return 1
        [ "$(env_block | wc -c)" = 1024 ] || return 1
        env_block >"$ROOT$GRUB_DIR/$ENV_NAME" || return 1
        ae_file=$ROOT$GRUB_DIR/custom.cfg
        { [ ! -f "$ae_file" ] || without_entry "$ae_file"; cat "$WORK/entry"; } >"$ae_file.new" &&
            chmod 600 "$ae_file.new" && mv -f "$ae_file.new" "$ae_file"
        ;;
    esac
}

# For a rehearsal below another root grubby is told which file it edits.
run_grubby() { grubby ${ROOT:+"--config-file=$ROOT$GRUB_CFG"} "$@"; }

add_with_grubby() {
    ag_default=$(run_grubby --default-kernel 2>/dev/null)
    run_grubby --add-kernel=/boot/vmlinuz-convert --initrd=/boot/initramfs-convert.img --title="$TITLE" --copy-default \
        --args="$(kernel_line)" >&2 || return 1
    # What the old kernel was told about its root, memory and silence is not for this one.
    run_grubby --update-kernel=/boot/vmlinuz-convert --remove-args="quiet rhgb splash crashkernel root rootflags resume rd.lvm.lv" >&2 || return 1
    # Some versions number the default entry, and the new one is now the first.
    if [ "$(run_grubby --default-kernel 2>/dev/null)" != "$ag_default" ] && [ -n "$ag_default" ]; then
        run_grubby --set-default="$ag_default" >&2
    fi
    if [ "$(run_grubby --default-kernel 2>/dev/null)" != "$ag_default" ]; then
        say "grubby changed the default entry, and it cannot be set back to $ag_default" >&2
        return 1
    fi
    "$GRUB_REBOOT" ${ROOT:+"--boot-directory=$ROOT/boot"} "$TITLE" >&2
}

# The text of a file without our entry.
without_entry() { sed "/^# >>> $MARK\$/,/^# <<< $MARK\$/d" "$1"; }

# Removes whatever an earlier run left; what is not there is no failure.
remove_entry() {
    if have grubby && find_grub && run_grubby --info=/boot/vmlinuz-convert >/dev/null 2>&1; then
        run_grubby --remove-kernel=/boot/vmlinuz-convert >&2
    fi
    find_grub || return 0
    re_env=$ROOT$GRUB_DIR/grubenv
    if grep -q "^next_entry=$TITLE\$" "$re_env" 2>/dev/null; then
        for re_tool in grub2-editenv grub-editenv; do
            have "$re_tool" && "$re_tool" "$re_env" unset next_entry >&2 && break
        done
    fi
    rm -f "$ROOT$GRUB_DIR/$ENV_NAME"
    re_file=$ROOT$GRUB_DIR/custom.cfg
    grep -q "^# >>> $MARK\$" "$re_file" 2>/dev/null || return 0
    if [ -n "$(without_entry "$re_file" | tr -d '[:space:]')" ]; then
        without_entry "$re_file" >"$re_file.new" && mv -f "$re_file.new" "$re_file"
    else
        rm -f "$re_file"
    fi
}
