//! The generic elements, by their effect in booted guests of both families.

use std::path::Path;
use std::process::Command;

use image_create::boot::{Guest, Ovmf, QEMU};

use crate::support::guest::{LONG_BOOT, SOON, answer, log_in, ovmf, probe_says, probed};
use crate::support::images::Wanted;
use crate::support::standin::Standin;
use crate::support::{skip_without, skip_without_root};

const ELEMENTS: &[&str] = &[
    "openssh-server",
    "growroot",
    "dhcp-all-interfaces",
    "enable-serial-console",
    "devuser",
    "modprobe",
    "cloud-init",
    "cloud-init-nocloud",
    "dkms-probe",
    "hello",
    "boot-probe",
];

fn wanted(name: &'static str, system: &[&'static str], standin: Option<Standin>) -> Wanted {
    Wanted {
        name,
        args: ["vm"].iter().chain(system).chain(ELEMENTS).copied().collect(),
        env: vec![
            ("DIB_DEV_USER_USERNAME", "visitor"),
            ("DIB_DEV_USER_PASSWORD", "tries-it"),
            ("DIB_DEV_USER_PWDLESS_SUDO", "yes"),
            ("DIB_DEV_USER_SHELL", "/bin/bash"),
            ("DIB_MODPROBE_BLACKLIST", "evbug"),
        ],
        standin,
    }
}

/// What a guest is asked, one question after the other.
struct Visitor(Guest);

impl Visitor {
    /// Boots `image` on a larger disk than it was made for, as in a cloud, and logs in.
    fn of(image: &Path, uefi: Option<Ovmf>) -> Self {
        let disk = image.with_extension("larger.qcow2");
        let mut create = Command::new("qemu-img");
        create.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(image).arg(&disk).arg("7G");
        assert!(create.status().unwrap().success());
        let mut guest = probed(&disk, uefi, LONG_BOOT);
        probe_says(&guest, &["state=running", "failed="]);
        log_in(&mut guest, SOON);
        Self(guest)
    }

    fn run(&mut self, line: &str) -> String {
        answer(&mut self.0, line, SOON)
    }

    fn sees_what_the_elements_promise(&mut self) {
        // devuser
        assert_eq!(self.run("sudo -n id -un"), "root");
        // growroot
        let kib: u64 = self.run("df --output=size / | tail -n 1").parse().unwrap();
        assert!(kib > 6 << 20, "the root filesystem has {kib} KiB");
        // runtime-ssh-host-keys and openssh-server
        assert!(self.run("ls /etc/ssh").contains("ssh_host_ed25519_key"));
        assert!(self.run("bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; head -c 7 <&3'").contains("SSH-2.0"));
        // dhcp-all-interfaces: QEMU's own server gives this address
        assert!(self.run("hostname -I").contains("10.0.2.15"));
        // enable-serial-console
        assert_eq!(self.run("systemctl is-active serial-getty@ttyS0"), "active");
        // modprobe
        assert!(self.run("cat /etc/modprobe.d/*").contains("blacklist evbug"));
        // cloud-init and cloud-init-nocloud
        assert!(self.run("cloud-init status --wait").contains("done"));
        assert_eq!(self.run("hostname"), "nocloud");
        assert!(self.run("cat /run/cloud-init/result.json").contains("DataSourceNoCloud"));
        // dkms
        self.run("sudo -n modprobe image_probe");
        assert!(self.run("sudo -n dmesg").contains("image-probe: built with dkms"));
        // Nothing of the builder is left.
        let left = "\\( -name in_target.d -o -name .image-create -o -name policy-rc.d -o -name 99-image-build \\)";
        assert_eq!(self.run(&format!("sudo -n find / -xdev {left} | wc -l")), "0");
    }
}

#[test]
fn generic_elements_do_in_a_booted_debian_what_they_promise() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img", "mmdebstrap"]) {
        return;
    }
    let mut wanted = wanted("services-debian", &["block-device-gpt", "debian-minimal"], None);
    wanted.env.push(("DIB_RELEASE", "bookworm"));
    let mut visitor = Visitor::of(&wanted.image(), None);
    visitor.sees_what_the_elements_promise();
    assert_eq!(visitor.run("systemctl is-active ssh"), "active");
    visitor.0.close().unwrap();
}

#[test]
fn generic_elements_do_in_a_booted_rocky_what_they_promise() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(firmware) = ovmf() else { return };
    let Some(standin) = Standin::get() else { return };
    let wanted = wanted("services-rocky", &["block-device-efi", "rocky-minimal", "epel"], Some(standin));
    let mut visitor = Visitor::of(&wanted.image(), Some(firmware));
    visitor.sees_what_the_elements_promise();
    assert_eq!(visitor.run("systemctl is-active sshd"), "active");
    // The keyfile that the element wrote is the one that is in use.
    assert!(visitor.run("nmcli -g NAME connection show --active").contains("dhcp-"));
    visitor.0.close().unwrap();
}
