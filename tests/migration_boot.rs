//! Boot tier: an installed appliance is moved to a new system, with nobody's hand on it, and is what it was.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Medium, Ovmf, QEMU, pattern};
use image_create::report::Reporter;
use support::guest::answer;
use support::images::{Wanted, bundle_of};
use support::standin::{Served, Standin};
use support::{Sandbox, repository, skip_without, skip_without_root};

/// A boot to a login prompt, on a machine that does other things as well.
const BOOT: Duration = Duration::from_secs(600);
/// All that the tiny system does.
const MIGRATION: Duration = Duration::from_secs(1500);
const SOON: Duration = Duration::from_secs(180);

const USER: &str = "visitor";
const PASSWORD: &str = "tries-it";

fn old_rocky(standin: &Standin) -> Wanted {
    Wanted {
        name: "old-rocky",
        args: vec!["vm", "rocky-minimal", "old-appliance", "devuser", "openssh-server", "-p", "curl,openssl"],
        env: vec![
            ("DIB_DEV_USER_USERNAME", USER),
            ("DIB_DEV_USER_PASSWORD", PASSWORD),
            ("DIB_DEV_USER_PWDLESS_SUDO", "yes"),
            ("DIB_INITRAMFS", "native"),
        ],
        standin: Some(standin.clone()),
    }
}

fn new_rocky(standin: &Standin) -> Wanted {
    Wanted {
        name: "new-rocky",
        args: vec!["vm", "rocky-minimal", "upgrade-tiny", "openssh-server"],
        env: vec![
            ("UPGRADE_TINY_COMPRESS", "zstd:3"),
            ("UPGRADE_TINY_INITRAMFS", "keep"),
            ("UPGRADE_TINY_VERSION", "2026.1"),
            ("DIB_INITRAMFS", "native"),
        ],
        standin: Some(standin.clone()),
    }
}

/// How the disk is attached.
#[derive(Debug, Clone, Copy)]
enum Bus {
    Virtio,
    Sata,
    Nvme,
}

/// A machine at a customer's, with a disk of its own.
struct Appliance {
    sandbox: Sandbox,
    disk: PathBuf,
    bus: Bus,
    uefi: Option<Ovmf>,
}

impl Appliance {
    fn new(image: &Path, gib: u64, bus: Bus, uefi: Option<Ovmf>) -> Self {
        let sandbox = Sandbox::new();
        let disk = sandbox.path("disk.qcow2");
        let image = image.to_str().unwrap();
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image])
            .arg(&disk)
            .arg(format!("{gib}G"))
            .status();
        assert!(made.unwrap().success());
        Self { sandbox, disk, bus, uefi }
    }

    fn start(&self, log: &str) -> Guest {
        let mut machine = Machine { accel: AccelChoice::Tcg, cpus: 2, memory_mib: 2048, ..Machine::default() };
        machine.serial_log = Some(repository().join("target/test-images").join(log));
        machine.uefi = self.uefi.clone();
        let drive = format!("if=none,id=system,format=qcow2,discard=unmap,file={}", self.disk.display());
        let device = match self.bus {
            Bus::Virtio => "virtio-blk-pci,drive=system,bootindex=1",
            Bus::Sata => "ide-hd,drive=system,bootindex=1",
            Bus::Nvme => "nvme,drive=system,serial=1234,bootindex=1",
        };
        machine.extra = ["-drive", &drive, "-device", device].map(Into::into).to_vec();
        Guest::start(machine, &Reporter::quiet()).unwrap()
    }
}

/// Waits for the login prompt and logs in.
fn log_in(guest: &mut Guest) {
    guest.expect(&pattern(" login: ").unwrap(), BOOT).unwrap();
    guest.login(USER, PASSWORD, SOON).unwrap();
    answer(guest, "sudo -n dmesg -n 1", SOON);
}

/// Fetches the bundle in the guest and unpacks it to /root/bundle.
fn fetch(guest: &mut Guest, bundle: &Path) {
    let dir = tempfile::tempdir().unwrap();
    fs::hard_link(bundle, dir.path().join("migration.tar.gz"))
        .or_else(|_| fs::copy(bundle, dir.path().join("migration.tar.gz")).map(drop))
        .unwrap();
    let served = Served::start(dir.path());
    answer(guest, "sudo -n mkdir -p /root/bundle", SOON);
    let line = format!("curl -sf http://10.0.2.2:{}/migration.tar.gz | sudo -n tar -xzC /root/bundle", served.port());
    answer(guest, &line, BOOT);
}

#[test]
fn an_appliance_on_a_virtio_disk_becomes_the_new_system() {
    if skip_without_root() || skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let Some(standin) = Standin::get() else { return };
    let (old, new) = (old_rocky(&standin).image(), new_rocky(&standin).image());
    let appliance = Appliance::new(&old, 14, Bus::Virtio, None);
    let mut guest = appliance.start("migration-virtio.serial");
    log_in(&mut guest);
    let key = answer(&mut guest, "cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub", SOON);
    let machine_id = answer(&mut guest, "cat /etc/machine-id", SOON);
    assert_eq!(answer(&mut guest, "findmnt -no SOURCE /", SOON), "/dev/mapper/centos-root");
    fetch(&mut guest, &bundle_of(&new));
    answer(&mut guest, "sudo -n sh /root/bundle/upgrade_to_tiny_system.sh --check", BOOT);
    guest.send_line("sudo -n sh /root/bundle/upgrade_to_tiny_system.sh").unwrap();
    // From here on nobody touches it.
    guest.expect(&pattern(r"\bVA Migration\b|upgrade-tiny: ").unwrap(), BOOT).unwrap();
    guest.expect(&pattern(" login: ").unwrap(), MIGRATION).unwrap();
    guest.login(USER, PASSWORD, SOON).unwrap();
    let mut run = |line: &str| answer(&mut guest, line, SOON);
    run("sudo -n dmesg -n 1");
    assert_eq!(run("hostname"), "va-old.example.com");
    assert_eq!(run("cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub"), key);
    assert_eq!(run("cat /etc/machine-id"), machine_id);
    assert!(run("ip -o -4 addr").contains("10.0.2.77/24"));
    assert!(run("date +%Z").contains("CST"));
    assert_eq!(run("findmnt -no SOURCE /"), "/dev/mapper/VA-root");
    let volumes = run("sudo -n lvs --noheadings -o lv_name,lv_size --units m VA");
    assert!(["root", "back", "data"].iter().all(|name| volumes.contains(name)), "{volumes}");
    let table = run("sudo -n sgdisk -p /dev/vda");
    assert!(["EF02", "8300", "8E00"].iter().all(|code| table.contains(code)), "{table}");
    assert!(run("sudo -n cat /var/log/upgrade-tiny.log").contains("memory: peak"));
    assert_eq!(run("systemctl --failed --no-legend"), "");
    guest.close().unwrap();
    drop(appliance.sandbox);
}
