//! Appliances with a disk of their own, for the tests of migrations and slots: old ones that are to be moved, new ones with
//! two systems.

mod moves;
mod slots;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Ovmf};
use image_create::report::Reporter;

use crate::support::guest::answer;
use crate::support::images::Wanted;
use crate::support::standin::Standin;
use crate::support::{Sandbox, repository};

/// How long what somebody types takes, beside a second guest.
const SOON: Duration = Duration::from_secs(180);

/// Who uses the appliances.
pub const USER: &str = "visitor";
/// The password that they have always had.
pub const PASSWORD: &str = "tries-it";
/// Who is in new systems that are installed afresh.
pub const VENDOR: &str = "vendor";
/// The vendor's password.
pub const VENDORS: &str = "sells-it";

/// A user who may do everything.
fn account(name: &'static str, password: &'static str) -> [(&'static str, &'static str); 3] {
    [("DIB_DEV_USER_USERNAME", name), ("DIB_DEV_USER_PASSWORD", password), ("DIB_DEV_USER_PWDLESS_SUDO", "yes")]
}

/// An old system, as tests/elements/old-appliance has it.
pub fn old(
    name: &'static str,
    system: &'static str,
    more: &[(&'static str, &'static str)],
    mirror: Option<&Standin>,
) -> Wanted {
    Wanted {
        name,
        args: vec!["vm", system, "old-appliance", "slim", "devuser", "openssh-server", "-p", "openssl"],
        env: [&account(USER, PASSWORD)[..], &[("DIB_INITRAMFS", "native")], more].concat(),
        standin: mirror.cloned(),
    }
}

/// A new system, with its migration bundle.
pub fn new(
    name: &'static str,
    system: &'static str,
    more: &[(&'static str, &'static str)],
    mirror: Option<&Standin>,
) -> Wanted {
    let own = [("UPGRADE_TINY_COMPRESS", "zstd:3"), ("UPGRADE_TINY_VERSION", "2026.1"), ("DIB_INITRAMFS", "native")];
    Wanted {
        name,
        args: vec!["vm", system, "upgrade-tiny", "slim", "devuser", "openssh-server"],
        env: [&account(VENDOR, VENDORS)[..], &own, more].concat(),
        standin: mirror.cloned(),
    }
}

/// Rocky Linux with room for a second system, and an initramfs that stays as it was built: for tests in which
/// something else matters.
pub fn new_rocky(mirror: &Standin) -> Wanted {
    let more = [("UPGRADE_TINY_INITRAMFS", "keep"), ("UPGRADE_TINY_BACK_SIZE", "2GiB")];
    new("new-rocky-keep", "rocky-minimal", &more, Some(mirror))
}

/// How the disk is attached.
#[derive(Debug, Clone, Copy)]
pub enum Bus {
    /// /dev/vda
    Virtio,
    /// /dev/sda, behind an AHCI controller
    Sata,
    /// /dev/nvme0n1
    Nvme,
}

/// A machine with a disk that remembers what is written.
pub struct Appliance {
    /// Where its disk is.
    pub sandbox: Sandbox,
    /// The disk, qcow2.
    pub disk: PathBuf,
    bus: Bus,
    uefi: Option<Ovmf>,
}

impl Appliance {
    /// With a disk of `gib` on which `image` was installed.
    pub fn new(image: &Path, gib: u64, bus: Bus, uefi: Option<Ovmf>) -> Self {
        let sandbox = Sandbox::new();
        let disk = sandbox.path("disk.qcow2");
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(image)
            .arg(&disk)
            .arg(format!("{gib}G"))
            .status();
        assert!(made.unwrap().success());
        Self { sandbox, disk, bus, uefi }
    }

    /// Another machine whose disk holds what this one's holds now. Nobody may be using the disk.
    pub fn twin(&self) -> Self {
        let sandbox = Sandbox::new();
        let disk = sandbox.path("disk.qcow2");
        fs::copy(&self.disk, &disk).unwrap();
        Self { sandbox, disk, bus: self.bus, uefi: self.uefi.clone() }
    }

    /// The disk's content as a raw file beside it.
    pub fn raw(&self, name: &str) -> PathBuf {
        let raw = self.sandbox.path(name);
        let made = Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&self.disk).arg(&raw).status();
        assert!(made.unwrap().success());
        raw
    }

    /// Switches it on, with a stick that it may read. The console goes to `log` in target/test-images as well.
    pub fn start(&self, stick: &Path, log: &str) -> Guest {
        // Tests run side by side, one on each processor.
        let mut machine = Machine { accel: AccelChoice::Tcg, cpus: 1, memory_mib: 1536, ..Machine::default() };
        machine.serial_log = Some(repository().join("target/test-images").join(log));
        machine.uefi = self.uefi.clone();
        let drive = format!("if=none,id=system,format=qcow2,discard=unmap,file={}", self.disk.display());
        let device = match self.bus {
            Bus::Virtio => "virtio-blk-pci,drive=system,bootindex=1",
            Bus::Sata => "ide-hd,drive=system,bootindex=1",
            Bus::Nvme => "nvme,drive=system,serial=1234,bootindex=1",
        };
        let stick = format!("if=none,id=stick,format=raw,readonly=on,file={}", stick.display());
        let second = "virtio-blk-pci,drive=stick";
        machine.extra =
            ["-drive", &drive, "-device", device, "-drive", &stick, "-device", second].map(Into::into).to_vec();
        Guest::start(machine, &Reporter::quiet()).unwrap()
    }
}

/// Waits for the login prompt and logs in.
#[track_caller]
pub fn log_in(guest: &mut Guest, (user, password): (&str, &str), limit: Duration) {
    guest.login(user, password, limit).unwrap();
    answer(guest, "sudo -n dmesg -n 1", SOON);
}

/// A stick with an unpacked bundle, made beside it.
pub fn stick(bundle: &Path) -> PathBuf {
    let stick = bundle.with_extension("stick");
    if !stick.exists() {
        // Tests that run side by side may want the same stick: each makes its own, and the last one stays.
        let dir = tempfile::tempdir_in(bundle.parent().unwrap()).unwrap();
        let (files, partial) = (dir.path().join("files"), dir.path().join("stick"));
        fs::create_dir(&files).unwrap();
        assert!(Command::new("tar").arg("-xzf").arg(bundle).arg("-C").arg(&files).status().unwrap().success());
        let made = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-L", "bundle", "-d"])
            .arg(&files)
            .arg(&partial)
            .arg("512M")
            .status();
        assert!(made.unwrap().success());
        fs::rename(partial, &stick).unwrap();
    }
    stick
}

/// Mounts the stick in the guest, at /mnt.
#[track_caller]
pub fn plug_in(guest: &mut Guest) {
    answer(guest, "sudo -n mount -o ro LABEL=bundle /mnt", SOON);
}
