//! Debian as users get it, for disk layouts and firmware. services.rs starts from a GPT with
//! a BIOS; the old appliances of appliance/moves.rs have logical volumes and a native initramfs, with BIOS and with UEFI.

use image_create::boot::QEMU;

use crate::support::guest::{BOOT, ovmf, probe_says, probed, prompts};
use crate::support::images::{self, Wanted};
use crate::support::{skip_without, skip_without_root};

/// What the probe says of an ext4 root without more.
const PLAIN: &[&str] = &["root=ext4", "python=none"];

/// `vm debian-minimal` in a layout, with an initramfs that this program makes and not the distribution's generator.
fn with_native_initramfs(layout: &'static str, name: &'static str) -> Wanted {
    let mut wanted = images::debian(layout);
    wanted.name = name;
    wanted.args.push("generator-probe");
    wanted.env.push(("DIB_INITRAMFS", "native"));
    wanted
}

/// Boots an image to a login prompt and checks what the probe inside says.
fn boots(wanted: &Wanted, uefi: bool, facts: &[&str]) {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img", "mmdebstrap"]) {
        return;
    }
    let firmware = if uefi { ovmf() } else { None };
    if uefi && firmware.is_none() {
        return;
    }
    let mut guest = probed(&wanted.image(), firmware, BOOT);
    prompts(&mut guest, "^debian login: ", BOOT);
    probe_says(&guest, &["state=running", "failed=", "fstab=good", "left=", "machine-id=1"]);
    probe_says(&guest, facts);
    guest.close().unwrap();
}

#[test]
fn mbr_boots_with_a_bios() {
    boots(&images::debian("block-device-mbr"), false, &[PLAIN, &["initramfs=distribution"]].concat());
}

#[test]
fn efi_boots_with_uefi_and_a_native_initramfs_that_the_systems_own_can_replace() {
    let wanted = with_native_initramfs("block-device-efi", "native-efi");
    boots(&wanted, true, &[PLAIN, &["initramfs=native", "generator=1"]].concat());
}

#[test]
fn efi_boots_with_a_bios_as_well() {
    boots(
        &with_native_initramfs("block-device-efi", "native-efi"),
        false,
        &[PLAIN, &["initramfs=native", "asked=1 an element brought this"]].concat(),
    );
}

/// What `block-device-efi-lvm` looks like from inside. Python is there: Debian's xfsprogs bring it.
const VOLUMES: &[&str] = &[
    "root=xfs",
    "source=/dev/mapper/vg-lv_root",
    "volumes=vg-lv_home lvm /home vg-lv_root lvm / vg-lv_var lvm /var",
    "vgck=good",
];

#[test]
fn logical_volumes_boot_with_a_bios() {
    boots(&images::debian("block-device-efi-lvm"), false, &[VOLUMES, &["initramfs=distribution"]].concat());
}
