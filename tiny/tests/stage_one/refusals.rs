//! What stage one refuses: each with exit code 3, a message with the figure that fell short, and nothing changed.

use std::fs;
use std::process::Command;

use upgrade_tiny::manifest::Firmware;

use crate::machine::{DISK, Machine, manifest};

/// Runs it and compares the old system before and after.
#[track_caller]
fn refused(machine: &Machine, args: &[&str], messages: &[&str]) -> String {
    let before = machine.listing();
    let ended = machine.run(args);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    for message in messages {
        assert!(ended.text.contains(message), "{message}\nis not in\n{}", ended.text);
    }
    assert_eq!(machine.listing(), before);
    ended.text
}

#[test]
fn bundles_that_are_not_whole() {
    let machine = Machine::new();
    fs::write(machine.bundled("va.tar.xz"), "the pay").unwrap();
    refused(&machine, &[], &["va.tar.xz is truncated or changed: 7 bytes here, 11 in the manifest"]);
    fs::write(machine.bundled("va.tar.xz"), "the Payload").unwrap();
    refused(&machine, &[], &["va.tar.xz is corrupt: SHA-256 ", " in the manifest"]);
    fs::remove_file(machine.bundled("va.tar.xz")).unwrap();
    refused(&machine, &[], &["the bundle is incomplete: va.tar.xz is missing (11 bytes)"]);
    let text = fs::read_to_string(machine.bundled("manifest.json")).unwrap();
    fs::write(machine.bundled("manifest.json"), &text[..text.len() / 2]).unwrap();
    refused(&machine, &[], &["manifest.json is damaged", " its end"]);
    fs::remove_file(machine.bundled("manifest.json")).unwrap();
    refused(&machine, &[], &["no manifest.json"]);
    fs::remove_file(machine.bundled("upgrade_boot.sh")).unwrap();
    refused(&machine, &[], &["the bundle is incomplete: upgrade_boot.sh is missing"]);
}

#[test]
fn manifests_that_reach_outside() {
    let machine = Machine::new();
    let text = fs::read_to_string(machine.bundled("manifest.json")).unwrap();
    fs::write(machine.bundled("manifest.json"), text.replace("\"va.drivers\": ", "\"../../va.drivers\": ")).unwrap();
    refused(&machine, &[], &["files:va.drivers"]);
    fs::write(machine.bundled("manifest.json"), text.replace("\"upgrade_disk.sh\": ", "\"../x.sh\": ")).unwrap();
    refused(&machine, &[], &["names a file outside of the bundle: ../x.sh"]);
}

fn openssl(machine: &Machine, args: &[&str]) {
    let ended = Command::new("openssl").args(args).current_dir(machine.beside("")).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn signatures() {
    let machine = Machine::new();
    openssl(&machine, &["genrsa", "-out", "key", "2048"]);
    openssl(&machine, &["rsa", "-in", "key", "-pubout", "-out", "key.pub"]);
    let key = machine.beside("key.pub");
    let key = key.to_str().unwrap();
    refused(&machine, &["--key", key], &["the bundle is not signed"]);
    openssl(&machine, &["dgst", "-sha256", "-sign", "key", "-out", "bundle/manifest.json.sig", "bundle/manifest.json"]);
    assert_eq!(machine.run(&["--check", "--key", key]).code, Some(0));
    refused(&machine, &[], &["the bundle is signed, and there is no key"]);
    assert_eq!(machine.run(&["--check", "--no-verify"]).code, Some(0));
    machine.write("etc/upgrade-tiny/trusted.pem", &fs::read_to_string(key).unwrap());
    assert_eq!(machine.run(&["--check"]).code, Some(0), "the key that the machine has");
    // A script of a bundle that was changed is not run.
    machine.write("../bundle/backup.d/evil", "echo RUN\n");
    machine.seal(manifest());
    let text = refused(&machine, &[], &["the signature of manifest.json is wrong for the key"]);
    assert!(!text.contains("RUN"), "{text}");
    machine.without("openssl");
    refused(&machine, &[], &["missing tool: openssl"]);
}

#[test]
fn machines_that_are_too_small_tell_everything_at_once() {
    let machine = Machine::new();
    machine.write("proc/meminfo", "MemTotal:        1000000 kB\n");
    machine.write(&format!("{DISK}/size"), "16777216\n");
    machine.bundle(|m| m.boot_free_bytes = 70_000_000);
    machine.program("df", "echo Filesystem; echo '/dev/x 500000 490000 2048 99% /'");
    refused(
        &machine,
        &[],
        &[
            "RAM: 977 MiB here, 2048 MiB needed",
            "disk: sda has 8192 MiB, the new layout needs 10240 MiB",
            "room in /boot: 2 MiB free, 67 MiB needed",
            "refused for 3 reason(s)",
        ],
    );
    machine.program("df", "echo Filesystem; echo '/dev/x 500000 490000 10 99% /'");
    refused(&machine, &["--check"], &["room in /etc/upd: 1 MiB free, 2 MiB needed"]);
}

#[test]
fn a_crash_kernels_memory_counts() {
    let machine = Machine::new();
    machine.write("proc/meminfo", "MemTotal:        2000000 kB\n");
    refused(&machine, &[], &["RAM: 1954 MiB here, 2048 MiB needed"]);
    machine.write("sys/kernel/kexec_crash_size", "168820736\n");
    assert_eq!(machine.run(&["--check"]).code, Some(0));
}

#[test]
fn users_and_tools() {
    let machine = Machine::new();
    machine.program("id", "echo 1000");
    refused(&machine, &[], &["this needs root; the user id here is 1000"]);
    refused(&machine, &["--clean"], &["this needs root"]);
    machine.without("awk");
    machine.without("od");
    refused(&machine, &[], &["missing tools on this system: awk od"]);
}

#[test]
fn other_machines() {
    let machine = Machine::new();
    machine.bundle(|m| {
        m.arch = "s390x".into();
        m.firmware = Firmware::Uefi;
    });
    refused(
        &machine,
        &[],
        &["here, s390x in the bundle", "this machine was started with bios, the bundle is for uefi"],
    );
}

#[test]
fn secure_boot() {
    let machine = Machine::new();
    machine.bundle(|m| m.firmware = Firmware::Uefi);
    machine.write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\u{6}\0\0\0\u{1}");
    refused(&machine, &[], &["Secure Boot is on"]);
    machine.write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\u{6}\0\0\0\0");
    assert_eq!(machine.run(&["--check"]).code, Some(0));
}

#[test]
fn controllers_without_a_driver() {
    let machine = Machine::new();
    machine.write("../bundle/va.drivers", "virtio:d00000002v*\nscsi:t-0x00*\n");
    machine.seal(manifest());
    refused(
        &machine,
        &[],
        &["no driver for sda: none of 2 patterns in va.drivers matches pci:v00008086d00002922", "(ahci here)"],
    );
    machine.write("../bundle/va.drivers", "pci:v*d*sv*sd*bc01sc06i01*\nscsi:t-0x00*\nfs-ext4\n");
    machine.seal(manifest());
    refused(&machine, &[], &["cannot read xfs, the file system of /etc/upd"]);
}

#[test]
fn disks_of_which_nothing_is_known() {
    let machine = Machine::new();
    let controller = DISK.split("/ata1").next().unwrap();
    fs::remove_file(machine.root(controller).join("modalias")).unwrap();
    fs::remove_file(machine.root(&DISK.replace("/block/sda", "/modalias"))).unwrap();
    refused(&machine, &[], &["unknown disk controller: nothing above sda"]);
    machine.write(&format!("{DISK}/queue/logical_block_size"), "4096\n");
    refused(&machine, &[], &["sda has sectors of 4096 bytes"]);
}

#[test]
fn systems_on_two_disks() {
    let machine = Machine::new();
    machine.second_disk();
    assert_eq!(machine.run(&["--check"]).code, Some(0), "a second disk alone is none of its business");
    let mounts = fs::read_to_string(machine.root("proc/self/mountinfo")).unwrap();
    machine.write("proc/self/mountinfo", &format!("{mounts}30 22 8:17 / /srv rw - ext4 /dev/sdb1 rw\n"));
    let ended = machine.run(&["--check"]);
    assert!(ended.text.contains("note: /srv is on another disk (/dev/sdb1)"), "{}", ended.text);
    machine.write("proc/self/mountinfo", &mounts.replace("8:1 / /boot", "8:17 / /boot"));
    refused(&machine, &[], &["the system is on 2 disks ( sda sdb )"]);
    machine.write("proc/self/mountinfo", &mounts);
    machine.mapped("dm-1", "253:1", "LVM-mQyVTnTqLXPqs8KhCdJkB7Dm8Xrw6aP1home", "sdb1");
    refused(&machine, &[], &["the system's volume group is on 2 disks ( sda sdb )"]);
}

#[test]
fn groups_that_lvm_tells_of() {
    let machine = Machine::new();
    machine.second_disk();
    machine.program("pvs", "echo '  /dev/sda2 centos'; echo '  /dev/sdb1 centos'");
    machine.write("dev/sda2", "");
    machine.write("dev/sdb1", "");
    refused(&machine, &[], &["the system's volume group is on 2 disks ( sda sdb )"]);
    machine.program("pvs", "echo '  /dev/sda2 centos'; echo '  /dev/sdb1 VA'");
    refused(&machine, &[], &["another disk (sdb) has a volume group VA"]);
}

#[test]
fn kinds_of_devices_that_are_not_found_again() {
    let machine = Machine::new();
    machine.write("sys/devices/virtual/block/dm-0/dm/uuid", "CRYPT-LUKS1-0123-centos\n");
    refused(&machine, &[], &["dm-0 is encrypted"]);
    machine.write("sys/devices/virtual/block/dm-0/dm/uuid", "mpath-0123\n");
    refused(&machine, &[], &["dm-0 is a multipath device"]);
    machine.write("proc/self/mountinfo", "22 1 0:40 / / rw - overlay overlay rw\n");
    refused(&machine, &[], &["cannot tell which disk holds /: it is on overlay"]);
}

#[test]
fn file_systems_that_are_read_only() {
    let machine = Machine::new();
    let mounts = fs::read_to_string(machine.root("proc/self/mountinfo")).unwrap();
    machine.write("proc/self/mountinfo", &mounts.replace("/dev/sda1 rw,attr2", "/dev/sda1 ro,attr2"));
    refused(&machine, &[], &["/boot is on a file system that is mounted read-only (/dev/sda1 at /boot)"]);
}

#[test]
fn batteries() {
    let machine = Machine::new();
    machine.write("sys/class/power_supply/BAT0/type", "Battery\n");
    machine.write("sys/class/power_supply/BAT0/status", "Discharging\n");
    machine.write("sys/class/power_supply/BAT0/capacity", "49\n");
    refused(&machine, &[], &["power: running on BAT0 with 49 % left, 50 % needed"]);
    machine.write("sys/class/power_supply/BAT0/status", "Charging\n");
    assert_eq!(machine.run(&["--check"]).code, Some(0));
}

#[test]
fn boot_loaders_that_cannot_start_an_entry_once() {
    let machine = Machine::new();
    let cfg = fs::read_to_string(machine.root("boot/grub2/grub.cfg")).unwrap();
    machine.write("boot/grub2/grub.cfg", &cfg.replace("custom.cfg", "other.cfg"));
    refused(&machine, &[], &["there is no grubby here, and /boot/grub2/grub.cfg does not read custom.cfg"]);
    fs::remove_dir_all(machine.root("boot/grub2")).unwrap();
    refused(&machine, &[], &["no grub.cfg with entries"]);
    machine.write("boot/loader/loader.conf", "timeout 3\n");
    refused(&machine, &[], &["this is systemd-boot (/boot/loader/loader.conf)"]);
    machine.write("boot/grub/grub.conf", "default=0\n");
    refused(&machine, &[], &["this is GRUB legacy (/boot/grub/grub.conf)"]);
}

#[test]
fn boot_directories_that_grub_cannot_write() {
    let machine = Machine::new();
    machine.write("proc/self/mountinfo", "22 1 253:0 / / rw - ext4 /dev/mapper/centos-root rw\n");
    refused(&machine, &[], &["/boot/grub2 is on LVM or another mapped device (/dev/mapper/centos-root)"]);
}

#[test]
fn the_new_system_itself() {
    let machine = Machine::new();
    machine.write("etc/upgrade-tiny/slots.json", "{\n  \"slot\": \"root\",\n  \"group\": \"VA\"\n}\n");
    refused(&machine, &[], &["this is already the new system", "image-slots install"]);
}

#[test]
fn vendors_scripts_that_fail() {
    let machine = Machine::new();
    machine.write("../bundle/backup.d/10-licence", "#!/bin/sh\nexit 7\n");
    refused(&machine, &[], &["backup.d/10-licence is not in the manifest"]);
    machine.seal(manifest());
    refused(&machine, &[], &["backup.d/10-licence failed with status 7"]);
}

#[test]
fn directories_of_others() {
    let machine = Machine::new();
    machine.write("etc/upd/precious", "data\n");
    refused(&machine, &[], &["/etc/upd has files that are not of a migration"]);
    machine.run(&["--clean"]);
    assert!(machine.root("etc/upd/precious").exists());
}
