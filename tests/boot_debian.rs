//! Boot tier, second part: Debian as users get it, for disk layouts and firmware. boot_services.rs starts from a GPT with
//! a BIOS; the old appliances of migration_boot.rs have logical volumes and a native initramfs, with BIOS and with UEFI.

mod support;

use std::path::Path;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Medium, Ovmf, QEMU, pattern};
use image_create::report::Reporter;
use support::images::{self, Wanted};
use support::{skip, skip_without, skip_without_root};

/// How long a Debian takes to its login prompt, on a machine that does other things as well.
const LIMIT: Duration = Duration::from_secs(600);

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
    let firmware = Ovmf::find(Path::new("/"));
    if uefi && skip(firmware.is_none().then(|| "OVMF (make setup-test)".to_owned())) {
        return;
    }
    let image = wanted.image();
    let mut machine = Machine::from_image(Medium::detect(&image).unwrap());
    machine.accel = AccelChoice::Tcg;
    machine.serial_log = Some(image.with_extension(if uefi { "uefi.serial" } else { "bios.serial" }));
    machine.uefi = firmware.filter(|_| uefi);
    let mut guest = Guest::start(machine, &Reporter::quiet()).unwrap();
    guest.expect(&pattern(r"boot-probe: \[done\]").unwrap(), LIMIT).unwrap();
    // The prompt may stand before the probe's lines or behind them, and the kernel may write behind the prompt.
    let prompt = pattern("^debian login: ").unwrap();
    if !prompt.is_match(&guest.transcript()) {
        guest.expect(&prompt, LIMIT).unwrap();
    }
    let said = guest.transcript();
    for fact in [
        "state=running",
        "failed=",
        if uefi { "firmware=efi" } else { "firmware=bios" },
        "fstab=good",
        "left=",
        "machine-id=1",
    ]
    .iter()
    .chain(facts)
    {
        assert!(said.contains(&format!("boot-probe: [{fact}]")), "the probe does not say '{fact}':\n{said}");
    }
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
