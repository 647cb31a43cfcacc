//! An image with a real SELinux policy is labelled when it is written, so that its first boot runs in
//! enforcing mode and labels nothing. The policy is Debian's; the engine does the same for every family.

use image_create::assemble::host;
use image_create::boot::QEMU;
use image_create::plan::output::Tool;

use crate::support::guest::{BOOT, SOON, answer, log_in, probe_says, probed};
use crate::support::images::Wanted;
use crate::support::{Sandbox, skip, skip_without, skip_without_root};

fn wanted() -> Wanted {
    Wanted {
        name: "selinux",
        args: vec![
            "-p",
            "policycoreutils,selinux-policy-default,selinux-basics",
            "vm",
            "debian-minimal",
            "devuser",
            "selinux-fixfiles-restore",
            "boot-probe",
        ],
        env: vec![
            ("DIB_RELEASE", "bookworm"),
            ("DIB_BOOTLOADER_DEFAULT_CMDLINE", "security=selinux enforcing=1"),
            ("DIB_DEV_USER_USERNAME", "visitor"),
            ("DIB_DEV_USER_PASSWORD", "tries-it"),
            ("DIB_DEV_USER_PWDLESS_SUDO", "yes"),
            ("DIB_DEV_USER_SHELL", "/bin/bash"),
        ],
        standin: None,
    }
}

#[test]
fn an_image_with_a_policy_boots_enforcing_at_once() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img", "mmdebstrap"]) {
        return;
    }
    let mut guest = probed(&wanted().image(), None, BOOT);
    probe_says(&guest, &["state=running", "failed="]);
    let said = guest.transcript();
    assert_eq!(said.matches("SELinux:  Initializing").count(), 1, "it booted twice:\n{said}");
    log_in(&mut guest, SOON);
    let mut run = |line: &str| answer(&mut guest, line, SOON);
    assert_eq!(run("/usr/sbin/getenforce"), "Enforcing");
    // One file of each kind: a secret one, a program, a directory, a symbolic link.
    for (path, label) in
        [("/etc/shadow", "shadow_t"), ("/usr/bin/passwd", "passwd_exec_t"), ("/etc", "etc_t"), ("/etc/mtab", "etc_t")]
    {
        let found = run(&format!("stat -c %C {path}"));
        assert!(found.ends_with(&format!(":object_r:{label}:s0")), "{path} is labelled {found}");
    }
    assert_eq!(run("stat -c %h /usr/bin/perl"), "2", "labelling has torn hard links apart");
    guest.close().unwrap();
}

#[test]
fn without_setfiles_the_first_boot_is_asked_to_label() {
    if skip_without_root() || skip(host::find(Tool::SETFILES).is_ok().then(|| "a host without setfiles".to_owned())) {
        return;
    }
    let sandbox = Sandbox::new();
    let _ = sandbox.fake_os();
    let contexts = "mkdir -p /etc/selinux/targeted/contexts/files\n\
                    echo '/.* system_u:object_r:default_t:s0' >/etc/selinux/targeted/contexts/files/file_contexts\n\
                    printf 'SELINUX=enforcing\\nSELINUXTYPE=targeted\\n' >/etc/selinux/config";
    let _ = sandbox.element("policy").hook("install.d/50-policy", contexts);
    let outcome = sandbox.run(["-n", "-t", "tar", "-o", "image", "fake-os", "policy"]).succeeded();
    let _ = outcome.says("neither it nor this machine has setfiles");
    let archive = std::process::Command::new("tar").arg("tf").arg(sandbox.path("out/image.tar")).output().unwrap();
    assert!(String::from_utf8_lossy(&archive.stdout).lines().any(|name| name == "./.autorelabel"));
    sandbox.assert_clean();
}
