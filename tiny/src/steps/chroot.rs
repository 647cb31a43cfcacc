//! Running the new system's own programs within it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

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
