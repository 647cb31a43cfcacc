//! Waiting for the root file system, and mounting it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::MsFlags;

use crate::cmdline::CommandLine;
use crate::coldplug::Coldplug;
use crate::console;
use crate::devices::{self, Device, Devices};
use crate::lvm::{self, Lvm};
use crate::modules::Loader;
use crate::mounts;
use crate::root_spec::RootSpec;

/// Where the root is mounted before it becomes the root.
pub const PLACE: &str = "/sysroot";

/// How long the root is waited for if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Finds devices: loads drivers, activates volumes, looks.
#[derive(Debug)]
pub struct Finder<'a> {
    /// Loads modules.
    pub loader: &'a mut Loader,
    line: &'a CommandLine,
    coldplug: Coldplug,
    devices: Devices,
    lvm: Lvm,
    used: Vec<String>,
}

impl<'a> Finder<'a> {
    /// A finder that has not looked yet.
    #[must_use]
    pub fn new(loader: &'a mut Loader, line: &'a CommandLine) -> Self {
        Self {
            loader,
            line,
            coldplug: Coldplug::default(),
            devices: Devices::default(),
            lvm: Lvm::default(),
            used: Vec::new(),
        }
    }

    /// Loads drivers for what is there.
    pub fn coldplug(&mut self) {
        self.coldplug.run(self.loader);
    }

    /// Waits for the device that is meant.
    ///
    /// # Errors
    /// What was waited for and what there is instead.
    pub fn wait(&mut self, spec: &RootSpec) -> Result<Device, String> {
        let patience = patience(self.line);
        let begun = Instant::now();
        loop {
            self.coldplug.run(self.loader);
            let mut now = self.devices.now();
            if devices::find(spec, &now).is_none() {
                self.scan_btrfs(&now);
                if self.lvm.run(&now, std::slice::from_ref(spec), self.line) {
                    now = self.devices.now();
                }
            }
            if let Some(device) = devices::find(spec, &now) {
                self.scan_btrfs(&now);
                self.used.push(device.name.clone());
                return Ok(device.clone());
            }
            if patience.is_some_and(|patience| begun.elapsed() >= patience) {
                return Err(missing(spec, &now, begun.elapsed()));
            }
            sleep(PAUSE);
        }
    }

    /// The devices that are there now.
    pub fn now(&mut self) -> Vec<Device> {
        self.devices.now()
    }

    /// Leaves volumes that are not used to the real system.
    pub fn tidy(&mut self) {
        let now = self.devices.now();
        if now.iter().any(|d| d.mapped.is_some()) {
            lvm::tidy(&now, &self.used);
        }
    }

    /// Makes the parts of btrfs file systems known to the kernel, which does not look for them itself.
    fn scan_btrfs(&mut self, now: &[Device]) {
        let parts: Vec<&Device> =
            now.iter().filter(|d| d.identity.as_ref().is_some_and(|i| i.kind == "btrfs")).collect();
        // One part alone needs no scan.
        if parts.len() < 2 {
            return;
        }
        self.loader.load("btrfs");
        let Ok(control) = fs::OpenOptions::new().read(true).write(true).open("/dev/btrfs-control") else { return };
        for part in parts {
            let mut argument = BtrfsArgument { fd: 0, name: [0; 4088] };
            let path = part.path();
            let bytes = path.as_os_str().as_encoded_bytes();
            if bytes.len() < argument.name.len() {
                argument.name[..bytes.len()].copy_from_slice(bytes);
                // SAFETY: the argument is laid out as `struct btrfs_ioctl_vol_args` and lives through the call.
                let _ = unsafe { scan_device(control.as_raw_fd(), &raw const argument) };
            }
        }
    }
}

/// `struct btrfs_ioctl_vol_args` of Linux.
#[repr(C)]
struct BtrfsArgument {
    fd: i64,
    name: [u8; 4088],
}

nix::ioctl_write_ptr!(
    /// `BTRFS_IOC_SCAN_DEV`.
    scan_device, 0x94, 4, BtrfsArgument);

/// How long to wait; `None` for ever.
fn patience(line: &CommandLine) -> Option<Duration> {
    if line.has("rootwait") && line.get("rootwait").is_none() {
        return None;
    }
    let seconds =
        ["rootdelay", "rootwait", "rd.timeout", "rd.retry"].iter().filter_map(|n| line.get(n)?.parse().ok()).max();
    Some(seconds.map_or(PATIENCE, |s| Duration::from_secs(s).max(Duration::from_secs(1))))
}

fn missing(spec: &RootSpec, now: &[Device], waited: Duration) -> String {
    let seen = devices::describe(now);
    let seen = if seen.is_empty() {
        "There are no block devices: the driver of the disk is missing, or the disk.".to_owned()
    } else {
        format!("There are:\n{seen}")
    };
    format!("the root {spec} did not show up within {} s. {seen}", waited.as_secs())
}

/// Checks a file system if the image has the program for its type, as `fsck -a` does.
///
/// # Errors
/// Damage that needs somebody to decide.
pub fn check(device: &Path, kind: &str, line: &CommandLine) -> Result<(), String> {
    let name = format!("fsck.{kind}");
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let Some(program) = places.iter().map(|p| Path::new(p).join(&name)).find(|p| p.exists()) else { return Ok(()) };
    if line.get("fsck.mode") == Some("skip") || line.has("fastboot") {
        return Ok(());
    }
    let force = (line.get("fsck.mode") == Some("force")).then_some("-f");
    let code = Command::new(&program)
        .arg("-a")
        .args(force)
        .arg(device)
        .status()
        .map_err(|e| format!("running {}: {e}", program.display()))?;
    match code.code() {
        // 0: in order, 1: repaired, 2: repaired, reboot if mounted (it is not).
        Some(0..=2) => fs::write("/run/initramfs/fsck-root", "").map_err(|e| e.to_string()),
        _ => Err(format!("{name} could not repair {} ({code}); run it by hand", device.display())),
    }
}

/// Mounts the root, read-only unless the command line says `rw`, and /usr if fstab has one of its own.
///
/// # Errors
/// What cannot be found or mounted.
pub fn mount(finder: &mut Finder<'_>, line: &CommandLine, device: &Device) -> Result<(), String> {
    let identity = device.identity.clone().unwrap_or_default();
    let kind = line.get("rootfstype").filter(|k| *k != "auto").unwrap_or(&identity.kind).to_owned();
    if kind.is_empty() {
        let why = "holds no file system that is known here; rootfstype= can name its type";
        return Err(format!("{} {why}", device.path().display()));
    }
    check(&device.path(), &kind, line)?;
    let writable = line.last_of(&["ro", "rw"]) == Some("rw");
    let (mut flags, data) = mounts::options(line.get("rootflags").unwrap_or_default());
    flags.set(MsFlags::MS_RDONLY, !writable);
    mount_at(finder, &device.path(), Path::new(PLACE), &kind, flags, &data).map_err(|e| e.to_string())?;
    mount_usr(finder, line, writable)
}

fn mount_at(
    finder: &mut Finder<'_>,
    device: &Path,
    place: &Path,
    kind: &str,
    flags: MsFlags,
    data: &str,
) -> io::Result<()> {
    fs::create_dir_all(place).or_else(|e| if place.is_dir() { Ok(()) } else { Err(e) })?;
    // Types may be had by several names ("alias fs-ext3 ext4"); one that is built in has no file.
    if !finder.loader.load(kind) {
        finder.loader.load(&format!("fs-{kind}"));
    }
    console::info(&format!("mounting {} ({kind}) on {}", device.display(), place.display()));
    mounts::mount_device(device, place, kind, flags, data)
}

/// Mounts /usr, which init itself may need.
fn mount_usr(finder: &mut Finder<'_>, line: &CommandLine, writable: bool) -> Result<(), String> {
    let table = fs::read_to_string(Path::new(PLACE).join("etc/fstab")).unwrap_or_default();
    let Some([what, _, kind, options]) = usr_line(&table) else { return Ok(()) };
    let Some(spec) = RootSpec::parse(what) else {
        console::warn(&format!("/etc/fstab mounts /usr from {what}, which is not known here; left to init"));
        return Ok(());
    };
    let device = finder.wait(&spec)?;
    let found = device.identity.clone().unwrap_or_default().kind;
    let kind = if kind == "auto" { found } else { kind.to_owned() };
    check(&device.path(), &kind, line)?;
    let (mut flags, data) = mounts::options(options);
    flags.set(MsFlags::MS_RDONLY, !writable);
    mount_at(finder, &device.path(), &Path::new(PLACE).join("usr"), &kind, flags, &data).map_err(|e| e.to_string())
}

/// The first four fields of the line of /usr.
fn usr_line(table: &str) -> Option<[&str; 4]> {
    let fields = table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let own = fields.into_iter().find(|f| f.len() >= 4 && !f[0].starts_with('#') && f[1] == "/usr")?;
    Some([own[0], own[1], own[2], own[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_wait() {
        let of = |text: &str| patience(&CommandLine::parse(text));
        assert_eq!(of("ro"), Some(PATIENCE));
        assert_eq!(of("rootwait"), None);
        assert_eq!(of("rootdelay=5"), Some(Duration::from_secs(5)));
        assert_eq!(of("rootdelay=0"), Some(Duration::from_secs(1)));
    }

    #[test]
    fn usr_of_its_own() {
        let table = "# /usr\nUUID=a / ext4 defaults 0 1\nLABEL=u\t/usr xfs ro,nodev 0 2\n";
        assert_eq!(usr_line(table), Some(["LABEL=u", "/usr", "xfs", "ro,nodev"]));
        assert_eq!(usr_line("UUID=a / ext4 defaults 0 1\n"), None);
    }
}
