//! Boot tier, second part: Debian as users get it, for disk layouts and firmware. boot_services.rs starts from a GPT with
//! a BIOS.

mod support;

use std::path::Path;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Medium, Ovmf, QEMU, pattern};
use image_create::report::Reporter;
use support::{images, skip, skip_without, skip_without_root};

/// How long a Debian takes to its login prompt, on a machine that does other things as well.
const LIMIT: Duration = Duration::from_secs(600);

/// Boots the image of `layout` to a login prompt and checks what the probe inside says.
fn boots(layout: &'static str, uefi: bool) {
    boots_with(layout, uefi, &["root=ext4", "python=none"]);
}

/// The same with what the probe says about this layout.
fn boots_with(layout: &'static str, uefi: bool, facts: &[&str]) {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img", "mmdebstrap"]) {
        return;
    }
    let firmware = Ovmf::find(Path::new("/"));
    if uefi && skip(firmware.is_none().then(|| "OVMF (make setup-test)".to_owned())) {
        return;
    }
    let image = images::debian(layout).image();
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
    boots("block-device-mbr", false);
}

#[test]
fn efi_boots_with_uefi() {
    boots("block-device-efi", true);
}

#[test]
fn efi_boots_with_a_bios_as_well() {
    boots("block-device-efi", false);
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
    boots_with("block-device-efi-lvm", false, VOLUMES);
}

#[test]
fn logical_volumes_boot_with_uefi() {
    boots_with("block-device-efi-lvm", true, VOLUMES);
}
