//! An installed appliance is moved to a new system, with nobody's hand on it, and is what it was. Whatever stops
//! it before the disk is touched leaves the old system.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::{Appliance, Bus, PASSWORD, SOON, USER, log_in, new, new_rocky, old, plug_in, stick};
use crate::support::guest::{BOOT, answer, ovmf};
use crate::support::images::bundle_of;
use crate::support::standin::Standin;
use crate::support::{skip_without, skip_without_root};
use image_create::boot::{Guest, QEMU, pattern};

/// All that the tiny system does, and the first boot of the new one.
const MIGRATION: Duration = Duration::from_secs(1200);
const STAGE_ONE: &str = "sudo -n sh /mnt/upgrade_to_tiny_system.sh";

/// What somebody notes before: the machine has to have it afterwards.
struct Known {
    host_key: String,
    machine_id: String,
}

/// Boots the old system and brings the bundle there.
fn prepare(guest: &mut Guest) -> Known {
    log_in(guest, (USER, PASSWORD), BOOT);
    plug_in(guest);
    settled(guest);
    Known {
        host_key: answer(guest, "cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub", SOON),
        machine_id: answer(guest, "cat /etc/machine-id", SOON),
    }
}

/// Waits until all services are up: host keys are made late.
fn settled(guest: &mut Guest) {
    answer(guest, "systemctl is-system-running --wait || :", BOOT);
}

/// Boots the old system and moves it: [`move_on`].
fn migrate(mut guest: Guest, disk: &str, codes: &[&str]) -> Guest {
    let known = prepare(&mut guest);
    move_on(guest, &known, disk, codes)
}

/// Runs stage one and waits for the new system; logs in with the old password and looks around. `disk` is its node,
/// `codes` are the types of its partitions.
fn move_on(mut guest: Guest, known: &Known, disk: &str, codes: &[&str]) -> Guest {
    guest.send_line(STAGE_ONE).unwrap();
    // From here on nobody touches it.
    guest.expect(&pattern("upgrade-tiny: step .*reboot").unwrap(), MIGRATION).unwrap();
    log_in(&mut guest, (USER, PASSWORD), MIGRATION);
    settled(&mut guest);
    let mut run = |line: &str| answer(&mut guest, line, SOON);
    assert_eq!(run("cat /etc/hostname"), "va-old.example.com");
    assert_eq!(run("cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub"), known.host_key);
    assert_eq!(run("cat /etc/machine-id"), known.machine_id);
    assert_eq!(run("date +%Z"), "CST");
    let addresses = run("for i in $(seq 60); do ip -o -4 addr | grep -F 10.0.2.77/24 && break; sleep 1; done");
    assert!(addresses.contains("10.0.2.77/24"), "{addresses}");
    assert!(run("ip route").contains("default via 10.0.2.2"));
    assert_eq!(run("findmnt -no SOURCE /"), "/dev/mapper/VA-root");
    let volumes = run("sudo -n lvs --noheadings -o lv_name VA");
    assert_eq!(volumes.split_whitespace().collect::<Vec<_>>(), ["back", "data", "root"]);
    let table = run(&format!("sudo -n sgdisk -p {disk}"));
    assert!(codes.iter().all(|code| table.contains(code)), "{table}");
    let log = run("sudo -n cat /var/log/upgrade-tiny.log");
    assert!(log.contains("memory: peak"), "{log}");
    let secret = "sudo -n grep -cF \"$(sudo -n getent shadow visitor | cut -d: -f2)\" /var/log/upgrade-tiny.log || :";
    assert_eq!(run(secret), "0");
    assert_eq!(run("sudo -n stat -c %a /var/log/upgrade-tiny.log /etc/ssh/ssh_host_ed25519_key"), "600\n600");
    assert_eq!(run("systemctl --failed --no-legend"), "");
    assert!(run("sudo -n image-slots status").contains("root"));
    plug_in(&mut guest);
    refused(&mut guest, "/mnt/upgrade_to_tiny_system.sh", &["this is already the new system"]);
    guest
}

#[test]
fn an_appliance_with_a_bios_and_a_virtio_disk_is_moved() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(standin) = Standin::get() else { return };
    let image = old("old-rocky", "rocky-minimal", &[("OLD_LVM", "1")], Some(&standin)).image();
    let system = new("new-rocky", "rocky-minimal", &[], Some(&standin)).image();
    let appliance = Appliance::new(&image, 14, Bus::Virtio, None);
    let guest = appliance.start(&stick(&bundle_of(&system)), "migration-virtio.serial");
    migrate(guest, "/dev/vda", &["EF02", "8300", "8E00"]).close().unwrap();
}

#[test]
#[ignore = "a quarter of an hour: make test-migration"]
fn an_appliance_with_uefi_and_a_plain_sata_disk_is_moved_to_a_system_with_selinux() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(firmware) = ovmf() else { return };
    let layout = [
        ("OLD_UEFI", "1"),
        ("OLD_LABEL", "gpt"),
        ("OLD_TYPE", "8300"),
        ("OLD_PV_TYPE", "8300"),
        ("OLD_PLAIN", "1"),
        ("OLD_FLAGS", "boot"),
        ("OLD_ROOT_TYPE", "ext4"),
    ];
    let image = old("old-debian", "debian-minimal", &layout, None).image();
    let more = [
        ("UPGRADE_TINY_INITRAMFS", "keep"),
        ("UPGRADE_TINY_UEFI", "1"),
        ("DIB_RELEASE", "bookworm"),
        ("DIB_BOOTLOADER_DEFAULT_CMDLINE", "security=selinux enforcing=1"),
    ];
    let mut system = new("new-debian", "debian-minimal", &more, None);
    system.args.extend(["-p", "policycoreutils,selinux-policy-default,selinux-basics"]);
    let system = system.image();
    let appliance = Appliance::new(&image, 12, Bus::Sata, Some(firmware));
    let guest = appliance.start(&stick(&bundle_of(&system)), "migration-sata.serial");
    let mut guest = migrate(guest, "/dev/sda", &["EF00", "8300", "8E00"]);
    // The login above was one in enforcing mode.
    assert_eq!(answer(&mut guest, "/usr/sbin/getenforce", SOON), "Enforcing");
    let label = answer(&mut guest, "stat -c %C /etc/shadow", SOON);
    assert!(label.ends_with(":object_r:shadow_t:s0"), "{label}");
    let none = "sudo -n umount /mnt; sudo -n find / /boot /data -xdev -context '*:unlabeled_t:*'";
    assert_eq!(answer(&mut guest, none, SOON), "");
    guest.close().unwrap();
}

/// What stage one may not change: every file's name, owner, mode, size and time, but for what a running system writes by
/// itself; what the files in /boot hold; and the partition table.
const STATE: &str = "{ sudo -n find / /boot -xdev '(' -path /var/log -o -path /var/lib/systemd -o -path /var/tmp -o -path /tmp -o \
                     -path /home -o -path /root ')' -prune -o -type f -printf '%p %u %m %s %T@\\n'; \
                     sudo -n find /boot -type f -exec cat '{}' +; sudo -n head -c 1M /dev/nvme0n1; } | sha256sum";

/// Tries what stage one refuses on this machine as it is: each time something is done to the machine or to a copy of the
/// bundle, and undone.
fn refuses(guest: &mut Guest) {
    answer(guest, "sudo -n cp -a /mnt /run/bad", BOOT);
    let before = answer(guest, STATE, BOOT);
    let sizes = "sed -i 's/\"\\(ram\\|disk\\)_bytes\": .*/\"\\1_bytes\": 12884901888,/' /run/bad/manifest.json";
    // All that is in the way is told at once.
    for (first, option, messages, undo) in [
        (
            "dd if=/dev/zero of=/run/bad/va.tar.zst bs=1 count=9 seek=999 conv=notrunc",
            "",
            &["va.tar.zst is corrupt"][..],
            "cp /mnt/va.tar.zst /run/bad",
        ),
        (sizes, "", &[" MiB here, 12288 MiB needed", "nvme0n1 has 11264 MiB"], "cp /mnt/manifest.json /run/bad"),
        (
            "mount -o remount,ro /boot",
            "--key /etc/hostname",
            &["the bundle is not signed", "mounted read-only"],
            "mount -o remount,rw /boot",
        ),
        ("fallocate -l $(($(stat -f -c '%a*%S' /boot)-999999)) /boot/full", "", &["room in /boot"], "rm /boot/full"),
    ] {
        answer(guest, &format!("sudo -n {first} 2>&1"), SOON);
        refused(guest, &format!("/run/bad/upgrade_to_tiny_system.sh {option}"), messages);
        answer(guest, &format!("sudo -n {undo}"), SOON);
    }
    assert_eq!(answer(guest, STATE, BOOT), before);
    answer(guest, "sudo -n rm -rf /run/bad", SOON);
}

/// Stage one ends with code 3, and tells this.
#[track_caller]
fn refused(guest: &mut Guest, script: &str, messages: &[&str]) {
    let ended = guest.command(&format!("sudo -n sh {script} 2>&1; test $? = 3"), BOOT).unwrap();
    assert!(ended.code == 0 && messages.iter().all(|m| ended.output.contains(m)), "{messages:?}: {}", ended.output);
}

/// The first byte of a range at which two disks differ, if there is one.
fn first_difference(one: &Path, other: &Path, range: Range<u64>) -> Option<u64> {
    let (one, other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut a, mut b) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    let mut at = range.start;
    while at < range.end {
        let n = (range.end - at).min(4 << 20) as usize;
        one.read_exact_at(&mut a[..n], at).unwrap();
        other.read_exact_at(&mut b[..n], at).unwrap();
        // Whole blocks first: looking at each byte of ten GiB takes minutes in a debug build.
        if a[..n] != b[..n] {
            return (0..n).find(|i| a[*i] != b[*i]).map(|byte| at + byte as u64);
        }
        at += n as u64;
    }
    None
}

#[test]
#[ignore = "a quarter of an hour: make test-migration"]
fn whatever_stops_the_tiny_system_before_the_wipe_leaves_the_old_one() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(standin) = Standin::get() else { return };
    let image = old("old-rocky", "rocky-minimal", &[("OLD_LVM", "1")], Some(&standin)).image();
    let appliance = Appliance::new(&image, 11, Bus::Nvme, None);
    let stick = stick(&bundle_of(&new_rocky(&standin).image()));
    let mut guest = appliance.start(&stick, "migration-stopped-0.serial");
    let known = prepare(&mut guest);
    refuses(&mut guest);
    answer(&mut guest, &format!("{STAGE_ONE} --check"), BOOT);
    answer(&mut guest, &format!("{STAGE_ONE} --no-reboot"), BOOT);
    guest.send_line("sudo -n systemctl poweroff").unwrap();
    guest.wait_end(BOOT).unwrap();
    let before = appliance.raw("before.raw");
    for (nth, moment) in ["step .* load:", "step .* test-archive:", "step .* release:"].iter().enumerate() {
        let machine = appliance.twin();
        let mut guest = machine.start(&stick, &format!("migration-stopped-{}.serial", nth + 1));
        guest.expect(&pattern(&format!("upgrade-tiny: {moment}")).unwrap(), MIGRATION).unwrap();
        guest.close().unwrap();
        // All but /boot, where GRUB has noted that the tiny system was started.
        let after = machine.raw("after.raw");
        for range in [0..1 << 20, 501 << 20..11 << 30] {
            assert_eq!(first_difference(&before, &after, range), None, "{moment}");
        }
        let mut guest = machine.start(&stick, &format!("migration-stopped-{}-again.serial", nth + 1));
        log_in(&mut guest, (USER, PASSWORD), BOOT);
        settled(&mut guest);
        let still = answer(&mut guest, "findmnt -no SOURCE /; cat /etc/hostname", SOON);
        assert_eq!(still, "/dev/mapper/centos-root\nva-old.example.com");
        assert_eq!(answer(&mut guest, "systemctl --failed --no-legend", SOON), "");
        if nth == 2 {
            // Nothing is in the way of another try.
            plug_in(&mut guest);
            return move_on(guest, &known, "/dev/nvme0n1", &["EF02", "8300", "8E00"]).close().unwrap();
        }
        guest.close().unwrap();
    }
}
