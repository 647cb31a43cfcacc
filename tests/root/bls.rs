//! Boot loader entries (BLS) and a vendor's signed GRUB on the ESP, as Rocky Linux has them. Programs that
//! read entries are not to be had here, so that the files are judged; the entry is one that EL9's kernel-install writes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Sandbox, skip_without_root};

/// What stands for GRUB's programs and for the packages that bring a kernel and a signed GRUB.
const PACKAGES: &str = r#"
mkdir -p /etc/grub.d /usr/sbin /usr/lib/grub/i386-pc /boot/loader/entries /boot/efi/EFI/rocky /boot/efi/EFI/BOOT
echo 'insmod blscfg' >/etc/grub.d/10_linux
printf '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho menu >"$2"\n' >/usr/sbin/grub2-mkconfig
cp /usr/sbin/grub2-mkconfig /usr/sbin/grub2-mkimage
printf '#!/bin/sh\n: >"$1"\n' >/usr/sbin/grub2-editenv
chmod 755 /usr/sbin/grub2-*
touch /usr/lib/grub/i386-pc/boot.img /usr/lib/grub/i386-pc/normal.mod /usr/lib/grub/i386-pc/moddep.lst
cat >/boot/loader/entries/0123456789abcdef-5.14.0-427.el9.x86_64.conf <<'ENTRY'
title Rocky Linux (5.14.0-427.el9.x86_64) 9.4 (Blue Onyx)
version 5.14.0-427.el9.x86_64
linux /vmlinuz-5.14.0-427.el9.x86_64
initrd /initramfs-5.14.0-427.el9.x86_64.img $tuned_initrd
options root=UUID=of-the-builder ro quiet builder=yes
grub_users $grub_users
grub_arg --unrestricted
grub_class rocky
ENTRY
"#;

/// Builds a tar of a system with entries, from `more` elements, and unpacks it.
fn built(sandbox: &Sandbox, packages: &str, more: &[&str]) -> PathBuf {
    sandbox.fake_os().exports("EFI_BOOT_DIR", "EFI/rocky");
    let _ = sandbox.element("packages").hook("install.d/50-packages", packages);
    let mut args = vec!["-n", "-t", "tar", "-o", "image", "fake-os", "packages", "bootloader"];
    args.extend(more);
    sandbox.run(args).succeeded();
    sandbox.assert_clean();
    let out = sandbox.path("unpacked");
    fs::create_dir_all(&out).unwrap();
    let archive = sandbox.path("out/image.tar");
    let status = Command::new("tar").arg("-xpf").arg(archive).arg("-C").arg(&out).status().unwrap();
    assert!(status.success());
    out
}

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.env("DIB_SKIP_GRUB_PACKAGE_INSTALL", "True");
    sandbox.env("DIB_BOOTLOADER_DEFAULT_CMDLINE", "quiet");
    sandbox
}

#[test]
fn entries_get_the_arguments_of_the_image_and_paths_that_grub_finds() {
    if skip_without_root() {
        return;
    }
    let sandbox = sandbox();
    let tree = built(&sandbox, PACKAGES, &["block-device-gpt"]);
    let dir = tree.join("boot/loader/entries");
    let entries: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = fs::read_to_string(&entries[0]).unwrap();
    let arguments = "root=LABEL=cloudimg-rootfs ro console=tty0 console=ttyS0,115200 no_timer_check quiet";
    for line in [
        "linux /boot/vmlinuz-5.14.0-427.el9.x86_64",
        "initrd /boot/initramfs-5.14.0-427.el9.x86_64.img $tuned_initrd",
        &format!("options {arguments}"),
        "grub_users $grub_users",
    ] {
        assert!(entry.lines().any(|l| l == line), "'{line}' is missing:\n{entry}");
    }
    assert!(!entry.contains("builder"), "{entry}");
    assert_eq!(fs::read_to_string(tree.join("etc/kernel/cmdline")).unwrap().trim(), arguments);
    let settings = fs::read_to_string(tree.join("etc/default/grub")).unwrap();
    assert!(settings.lines().any(|l| l == "GRUB_ENABLE_BLSCFG=true"), "{settings}");
}

#[test]
fn a_signed_grub_is_led_to_the_menu_in_boot() {
    if skip_without_root() {
        return;
    }
    let packages = format!("{PACKAGES}\ntouch /boot/efi/EFI/rocky/grubx64.efi /boot/efi/EFI/rocky/shimx64.efi");
    let shim = format!("{packages}\necho shim >/boot/efi/EFI/BOOT/BOOTX64.EFI");
    let with_shim = sandbox();
    let tree = built(&with_shim, &shim, &["block-device-efi"]);
    let stub = fs::read_to_string(tree.join("boot/efi/EFI/rocky/grub.cfg")).unwrap();
    for line in ["set prefix=($dev)/boot/grub2", "configfile $prefix/grub.cfg"] {
        assert!(stub.lines().any(|l| l == line), "'{line}' is missing:\n{stub}");
    }
    let uuid = stub.lines().next().unwrap().rsplit(' ').next().unwrap();
    assert!(uuid::Uuid::try_parse(uuid).is_ok(), "{stub}");
    assert_eq!(fs::read_to_string(tree.join("boot/grub2/grub.cfg")).unwrap().trim(), "menu");
    assert_eq!(fs::read_to_string(tree.join("boot/efi/EFI/BOOT/BOOTX64.EFI")).unwrap().trim(), "shim");

    // Without shim, GRUB itself is the firmware's default.
    let bare = sandbox();
    let tree = built(&bare, &format!("{packages}\necho grub >/boot/efi/EFI/rocky/grubx64.efi"), &["block-device-efi"]);
    assert_eq!(fs::read_to_string(tree.join("boot/efi/EFI/BOOT/BOOTX64.EFI")).unwrap().trim(), "grub");
}
