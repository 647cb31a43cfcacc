//! Rocky Linux as users get it, from the repositories that stand in for its mirrors: it starts with BIOS and
//! with UEFI, its rpm finds every file, and its dnf installs from a mirror.

use std::path::Path;
use std::time::Duration;

use image_create::boot::{Guest, Ovmf, QEMU};

use crate::support::guest::{BOOT, answer, log_in, ovmf, probe_says, probed, prompts};
use crate::support::images::Wanted;
use crate::support::standin::Standin;
use crate::support::{skip_without, skip_without_root};

/// dnf takes its time.
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

/// Boots the image and checks what the probe inside says.
fn booted(image: &Path, uefi: Option<Ovmf>) -> Guest {
    let guest = probed(image, uefi, BOOT);
    probe_says(&guest, &["state=running", "failed=", "root=ext4", "fstab=good", "left=", "machine-id=1"]);
    guest
}

#[test]
fn rocky_boots_with_a_bios_and_its_package_manager_works() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(standin) = Standin::get() else { return };
    let mut guest = booted(&wanted(&standin).image(), None);
    log_in(&mut guest, SOON);
    let mut run = |line: &str| answer(&mut guest, line, SOON);
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
    prompts(&mut guest, " login: ", BOOT);
    guest.close().unwrap();
}
