//! Running the new system's own programs within it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::MsFlags;

use super::command::Cmd;
use super::context::{Context, NEW, RAM};
use super::machine;

/// Where the new system's programs see what is kept of the old one.
pub const BACKUP: &str = "/run/upgrade-tiny/backup";

/// Lends the new system the kernel's file systems while `work` runs, and takes them away whatever comes of it.
///
/// # Errors
/// What `work` says, or what cannot be mounted.
pub fn within<T>(c: &mut Context, work: impl FnOnce(&mut Context) -> Result<T>) -> Result<T> {
    c.mount_new(false)?;
    let done = open(c).and_then(|()| work(c));
    let closed = close();
    let value = done?;
    closed.map(|()| value)
}

fn open(c: &mut Context) -> Result<()> {
    close()?;
    let new = Path::new(NEW);
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    machine::mount_on(Path::new("proc"), &new.join("proc"), "proc", plain, "")?;
    machine::mount_on(Path::new("sysfs"), &new.join("sys"), "sysfs", plain, "")?;
    let variables = new.join("sys/firmware/efi/efivars");
    if variables.is_dir() {
        c.loader.load("efivarfs");
        // Without it there is no entry in the firmware's menu, which is told where that is tried.
        if let Err(e) = machine::mount_on(Path::new("efivarfs"), &variables, "efivarfs", plain, "") {
            c.report.note(&format!("{e:#}"));
        }
    }
    machine::mount_on(Path::new("devtmpfs"), &new.join("dev"), "devtmpfs", MsFlags::MS_NOSUID, "mode=0755")?;
    // udev would have made them, and shells read from them.
    machine::link_descriptors(&new.join("dev"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    // A /run of its own: udev's data, which programs would ask for, are neither in the old one nor here.
    machine::mount_on(Path::new("tmpfs"), &new.join("run"), "tmpfs", flags, "mode=0755,size=64m")?;
    let private = new.join("run/upgrade-tiny");
    let made = fs::DirBuilder::new().mode(0o700).create(&private);
    made.with_context(|| format!("making {}", private.display()))?;
    machine::bind(&Path::new(RAM).join("backup"), &new.join(BACKUP.trim_start_matches('/')))
}

fn close() -> Result<()> {
    let new = Path::new(NEW);
    // /run first: it may show the root once more.
    ["run", "dev", "sys", "proc"].into_iter().try_for_each(|name| machine::unmount_below(&new.join(name)))
}

/// A program of the new system.
#[must_use]
pub fn program(path: &Path) -> Cmd {
    Cmd::at(path).inside(Path::new(NEW)).env("LANG", "C.UTF-8")
}

/// The scripts in a folder: executable files, sorted by name.
#[must_use]
pub fn scripts(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.retain(|p| fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_executable_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("20-b", 0o755), ("10-a", 0o700), ("README", 0o644)] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(dir.path().join("30-c")).unwrap();
        assert_eq!(scripts(dir.path()), ["10-a", "20-b"].map(|name| dir.path().join(name)));
        assert!(scripts(&dir.path().join("absent")).is_empty());
    }
}
