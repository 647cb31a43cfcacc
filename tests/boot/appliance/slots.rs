//! Two systems on one disk. A good update stays; one that panics, or that nobody marks good, is left by itself.

use std::time::Duration;

use super::{Appliance, Bus, SOON, VENDOR, VENDORS, log_in, new_rocky, plug_in, stick};
use crate::support::guest::{BOOT, answer};
use crate::support::images::bundle_of;
use crate::support::standin::Standin;
use crate::support::{skip_without, skip_without_root};
use image_create::boot::{Guest, QEMU, pattern};

/// An installation into the other volume.
const INSTALLATION: Duration = Duration::from_secs(900);

/// Restarts, and waits until somebody can log in again.
fn restarted(guest: &mut Guest, command: &str) {
    guest.send_line(command).unwrap();
    guest.expect(&pattern("Linux version ").unwrap(), BOOT).unwrap();
    log_in(guest, (VENDOR, VENDORS), BOOT);
}

/// The volume that is mounted as root, and whether this is a trial.
fn state(guest: &mut Guest) -> (String, bool) {
    let root = answer(guest, "findmnt -no SOURCE /", SOON);
    let line = answer(guest, "cat /proc/cmdline", SOON);
    (root, line.contains("upgrade_slot.trial=1"))
}

#[test]
#[ignore = "a quarter of an hour: make test-migration"]
fn a_good_update_stays_and_a_bad_one_is_left() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(standin) = Standin::get() else { return };
    let image = new_rocky(&standin).image();
    let appliance = Appliance::new(&image, 11, Bus::Virtio, None);
    let mut guest = appliance.start(&stick(&bundle_of(&image)), "slots.serial");
    log_in(&mut guest, (VENDOR, VENDORS), BOOT);
    assert_eq!(state(&mut guest), ("/dev/mapper/VA-root".to_owned(), false));
    plug_in(&mut guest);
    answer(&mut guest, "sudo -n hostnamectl set-hostname kept.example.com", SOON);
    let same = guest.command("sudo -n image-slots install /mnt 2>&1; test $? = 3", INSTALLATION).unwrap();
    assert!(same.code == 0 && same.output.contains("2026.1"), "{}", same.output);

    // A good one.
    answer(&mut guest, "sudo -n image-slots install /mnt --force --no-reboot", INSTALLATION);
    restarted(&mut guest, "sudo -n systemctl reboot");
    assert_eq!(state(&mut guest), ("/dev/mapper/VA-back".to_owned(), true));
    assert_eq!(answer(&mut guest, "cat /etc/hostname", SOON), "kept.example.com");
    answer(&mut guest, "sudo -n image-slots mark-good", SOON);
    plug_in(&mut guest);

    // One whose kernel panics: it gets an initramfs without anything in it.
    answer(&mut guest, "sudo -n image-slots install /mnt --force --no-reboot", INSTALLATION);
    let swap = "cd /boot/slots/root && sudo -n mv initramfs.img /boot/kept.img && sudo -n truncate -s 4K initramfs.img && sync";
    answer(&mut guest, swap, SOON);
    guest.send_line("sudo -n systemctl reboot").unwrap();
    guest.expect(&pattern("Kernel panic - not syncing: VFS").unwrap(), BOOT).unwrap();
    guest.expect(&pattern("Linux version ").unwrap(), BOOT).unwrap();
    log_in(&mut guest, (VENDOR, VENDORS), BOOT);
    assert_eq!(state(&mut guest), ("/dev/mapper/VA-back".to_owned(), false));

    // One that works, and that nobody marks good.
    answer(&mut guest, "sudo -n mv /boot/kept.img /boot/slots/root/initramfs.img", SOON);
    restarted(&mut guest, "sudo -n image-slots try --timeout 150 --reboot");
    assert_eq!(state(&mut guest), ("/dev/mapper/VA-root".to_owned(), true));
    guest.expect(&pattern("Linux version ").unwrap(), BOOT).unwrap();
    log_in(&mut guest, (VENDOR, VENDORS), BOOT);
    assert_eq!(state(&mut guest), ("/dev/mapper/VA-back".to_owned(), false));
    let status = answer(&mut guest, "sudo -n image-slots status", SOON);
    assert!(status.contains("back") && status.contains("good"), "{status}");
    guest.close().unwrap();
}
