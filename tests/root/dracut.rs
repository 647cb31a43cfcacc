//! When an initramfs is generated on systems with dracut, with the real kernel-install and dracut.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::Sandbox;
use crate::support::rpm::Rpm;
use crate::support::standin::Standin;

const SMALL: &str = "basesystem bash coreutils cpio dnf findutils gawk grep gzip rocky-repos rpm sed util-linux zstd";

/// What dracut's own plugin for rescue images does, in short.
const RESCUE: &str = r#"#!/bin/bash
for file in /usr/lib/dracut/dracut.conf.d/*.conf /etc/dracut.conf.d/*.conf; do
    if [ -e "$file" ]; then . "$file"; fi
done
[ "$1" = add ] && [ "$dracut_rescue_image" = yes ] || exit 0
cp "$4" /boot/vmlinuz-0-rescue-x
dracut -f --no-hostonly -a rescue --kver "$2" /boot/initramfs-0-rescue-x.img
"#;

/// Installs the real kernel beside the old one. The stand-in's does not say that it may be, as Rocky's does.
const ANOTHER_KERNEL: &str = r#"
sed -i '/^\[main\]/a installonlypkgs=kernel-core' /etc/dnf/dnf.conf
install-packages 'kernel-core-6*'
[ "$(rpm -q kernel-core | wc -l)" = 2 ]
grep -q /boot/initramfs- /var/lib/initramfs-requests
[ -z "$(ls /boot/initramfs* /boot/vmlinuz-0-rescue* 2> /dev/null)" ]
"#;

#[test]
fn one_initramfs_is_generated_however_many_packages_ask_for_it() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = Sandbox::new();
    standin.give_to(&mut sandbox);
    sandbox.env("DIB_ROCKY_PACKAGES", SMALL);
    let element = sandbox
        .element("asks")
        .deps(&["package-installs", "redhat-common"])
        .file("package-installs.json", r#"{"kernel": {}}"#)
        .hook("pre-install.d/50-asks", "install-packages /tmp/in_target.d/rpms/{early,kernel-core}.rpm")
        .hook("install.d/50-another-kernel", ANOTHER_KERNEL)
        .hook("post-install.d/50-asks", "install-packages /tmp/in_target.d/rpms/late.rpm");
    let plugin = "/usr/lib/kernel/install.d/51-rescue.install";
    let settings = "/usr/lib/dracut/dracut.conf.d/02-rescue.conf";
    let files = [(settings, 0o644, "dracut_rescue_image=\"yes\"\n"), (plugin, 0o755, RESCUE)];
    let early = Rpm { name: "early", files: &files, posttrans: "dracut -f", ..Rpm::default() };
    early.build_into(&sandbox, element.dir());
    let late = Rpm { name: "late", posttrans: "dracut --regenerate-all --force", ..Rpm::default() };
    late.build_into(&sandbox, element.dir());
    let head = "Provides: installonlypkg(kernel)";
    let files = [("/usr/lib/modules/0.1-old/vmlinuz", 0o644, "not a kernel"), ("/boot/vmlinuz-0.1-old", 0o644, "")];
    let old = Rpm { name: "kernel-core", version: "0.1", head, files: &files, posttrans: "dracut -f" };
    old.build_into(&sandbox, element.dir());

    let outcome = sandbox.run_long(["-n", "-t", "tar", "-o", "x", "rocky-minimal", "asks"]).succeeded();
    let count = |text: &str| outcome.stderr.matches(text).count();
    assert_eq!(count("Executing: /usr/bin/dracut"), 1, "{}", outcome.stderr);
    // kernel-install's plugin does not show what it is told.
    assert!(count("dracut: the initramfs is generated once") >= 3, "{}", outcome.stderr);
    sandbox.assert_clean();

    let names = listing(&sandbox.path("out/x.tar"));
    let version = kernel(&standin);
    let boot: Vec<&str> =
        names.iter().filter(|n| n.starts_with("boot/initramfs") || n.contains("vmlinuz")).map(|n| &n[..]).collect();
    let expected = ["boot/initramfs-", "boot/vmlinuz-", "usr/lib/modules/"].map(|start| match start {
        "boot/initramfs-" => format!("{start}{version}.img"),
        "boot/vmlinuz-" => format!("{start}{version}"),
        _ => format!("{start}{version}/vmlinuz"),
    });
    assert_eq!(boot, expected);
    for left in ["etc/rpm/macros.image-build", "etc/dracut.conf.d/99-image-build.conf", "var/lib/initramfs-requests"] {
        assert!(!names.iter().any(|n| n == left), "{left}");
    }
}

/// The names in an archive, sorted.
fn listing(archive: &Path) -> Vec<String> {
    let out = Command::new("tar").arg("-tf").arg(archive).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut names: Vec<String> = text.lines().map(|n| n.trim_start_matches("./").to_owned()).collect();
    names.sort();
    names
}

/// The version of the stand-in's kernel.
fn kernel(standin: &Standin) -> String {
    let facts: serde_json::Value = serde_json::from_str(&fs::read_to_string(standin.made_from()).unwrap()).unwrap();
    facts["kernel"].as_str().unwrap().to_owned()
}
