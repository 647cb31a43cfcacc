//! Boot tier, third part: the generic elements, by their effect in a booted Debian.

mod support;

use std::process::Command;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Medium, QEMU, pattern};
use image_create::report::Reporter;
use support::images::Wanted;
use support::{skip_without, skip_without_root};

/// How long a boot with key generation and resizing takes under emulation, with other tests beside it.
const LIMIT: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(120);

fn wanted() -> Wanted {
    Wanted {
        name: "services",
        args: vec![
            "vm",
            "block-device-gpt",
            "debian-minimal",
            "openssh-server",
            "growroot",
            "dhcp-all-interfaces",
            "enable-serial-console",
            "devuser",
            "modprobe",
            "hello",
            "boot-probe",
        ],
        env: vec![
            ("DIB_RELEASE", "bookworm"),
            ("DIB_DEV_USER_USERNAME", "visitor"),
            ("DIB_DEV_USER_PASSWORD", "tries-it"),
            ("DIB_DEV_USER_PWDLESS_SUDO", "yes"),
            ("DIB_DEV_USER_SHELL", "/bin/bash"),
            ("DIB_MODPROBE_BLACKLIST", "evbug"),
        ],
    }
}

#[test]
fn generic_elements_do_in_a_booted_guest_what_they_promise() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img", "mmdebstrap"]) {
        return;
    }
    let image = wanted().image();
    // A larger disk than the image was made for, as in a cloud.
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.qcow2");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(&image).arg(&disk).arg("6G");
    let made = create.status().unwrap();
    assert!(made.success());
    let mut machine = Machine::from_image(Medium::detect(&disk).unwrap());
    machine.accel = AccelChoice::Tcg;
    machine.cpus = 2;
    machine.serial_log = Some(image.with_extension("serial"));
    let mut guest = Guest::start(machine, &Reporter::quiet()).unwrap();
    guest.expect(&pattern(r"boot-probe: \[done\]").unwrap(), LIMIT).unwrap();
    let said = guest.transcript();
    for fact in ["state=running", "failed="] {
        assert!(said.contains(&format!("boot-probe: [{fact}]")), "the probe does not say '{fact}':\n{said}");
    }
    guest.send_line("").unwrap();
    guest.login("visitor", "tries-it", SOON).unwrap();
    let mut run = |line: &str| {
        let answer = guest.command(line, SOON).unwrap();
        assert_eq!(answer.code, 0, "{line}: {}", answer.output);
        answer.output.trim().to_owned()
    };
    // devuser
    assert_eq!(run("sudo -n id -un"), "root");
    // growroot
    let kib: u64 = run("df --output=size / | tail -n 1").parse().unwrap();
    assert!(kib > 5 << 20, "the root filesystem has {kib} KiB");
    // runtime-ssh-host-keys and openssh-server
    assert!(run("ls /etc/ssh").contains("ssh_host_ed25519_key"));
    assert_eq!(run("systemctl is-active ssh"), "active");
    assert!(run("bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; head -c 7 <&3'").contains("SSH-2.0"));
    // dhcp-all-interfaces: QEMU's own server gives this address
    assert!(run("hostname -I").contains("10.0.2.15"));
    // modprobe
    assert!(run("cat /etc/modprobe.d/*").contains("blacklist evbug"));
    // Nothing of the builder is left.
    assert_eq!(
        run(
            "sudo -n find / -xdev \\( -name 'in_target.d' -o -name '.image-create' -o -name 'policy-rc.d' -o -name '99-image-build' \\) | wc -l"
        ),
        "0"
    );
    guest.close().unwrap();
}
