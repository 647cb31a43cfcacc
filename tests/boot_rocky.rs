//! Boot tier: Rocky Linux as users get it, from the repositories that stand in for its mirrors: it starts with BIOS and
//! with UEFI, its rpm finds every file, and its dnf installs from a mirror.

mod support;

use std::path::Path;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Medium, Ovmf, QEMU, pattern};
use image_create::report::Reporter;
use support::guest::{answer, ovmf, probe_says};
use support::images::Wanted;
use support::standin::Standin;
use support::{skip_without, skip_without_root};

/// How long it takes to its login prompt, on a machine that does other things as well.
const LIMIT: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(180);

fn wanted(standin: &Standin) -> Wanted {
    Wanted {
        name: "rocky",
        args: vec!["vm", "block-device-efi", "rocky-minimal", "devuser", "boot-probe"],
        env: vec![
            ("DIB_DEV_USER_USERNAME", "visitor"),
            ("DIB_DEV_USER_PASSWORD", "tries-it"),
            ("DIB_DEV_USER_PWDLESS_SUDO", "yes"),
        ],
        standin: Some(standin.clone()),
    }
}

/// Boots the image to a login prompt and checks what the probe inside says.
fn booted(image: &Path, uefi: Option<Ovmf>) -> Guest {
    let firmware = if uefi.is_some() { "firmware=efi" } else { "firmware=bios" };
    let mut machine = Machine::from_image(Medium::detect(image).unwrap());
    machine.accel = AccelChoice::Tcg;
    machine.cpus = 2;
    machine.serial_log = Some(image.with_extension(if uefi.is_some() { "uefi.serial" } else { "bios.serial" }));
    machine.uefi = uefi;
    let mut guest = Guest::start(machine, &Reporter::quiet()).unwrap();
    guest.expect(&pattern(r"boot-probe: \[done\]").unwrap(), LIMIT).unwrap();
    probe_says(&guest, &["state=running", "failed=", firmware, "root=ext4", "fstab=good", "left=", "machine-id=1"]);
    guest
}

#[test]
fn rocky_boots_with_a_bios_and_its_package_manager_works() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(standin) = Standin::get() else { return };
    let mut guest = booted(&wanted(&standin).image(), None);
    guest.send_line("").unwrap();
    guest.login("visitor", "tries-it", SOON).unwrap();
    let mut run = |line: &str| answer(&mut guest, line, SOON);
    // The kernel would write between the lines that are read here.
    run("sudo -n dmesg -n 1");
    assert_eq!(run("systemctl --failed --no-legend"), "");
    let missing = run("sudo -n rpm -Va | grep '^missing' || true");
    assert_eq!(missing, "", "rpm -Va misses files");
    // The image knows the mirror as a folder of the machine that built it; here the same is served.
    let served = standin.serve();
    let url = format!("http://10.0.2.2:{}", served.port());
    run(&format!("sudo -n sed -i 's|^baseurl=file://.*/mirror/|baseurl={url}/|' /etc/yum.repos.d/rocky*.repo"));
    run("grep -q '^gpgcheck=1' /etc/yum.repos.d/rocky.repo");
    run("sudo -n dnf -q -y install rsync");
    assert!(run("rpm -q rsync").starts_with("rsync-"));
    assert!(run("rsync --version").contains("rsync"));
    guest.close().unwrap();
}

#[test]
fn the_same_image_boots_with_uefi() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(firmware) = ovmf() else { return };
    let Some(standin) = Standin::get() else { return };
    let mut guest = booted(&wanted(&standin).image(), Some(firmware));
    let prompt = pattern(" login: ").unwrap();
    if !prompt.is_match(&guest.transcript()) {
        guest.expect(&prompt, LIMIT).unwrap();
    }
    guest.close().unwrap();
}
