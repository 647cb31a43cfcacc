//! XFS and Btrfs: made by their mkfs on a loop device at an offset, mounted, and filled with cp.
//!
//! Their own ways to fill a filesystem without a mount lose extended attributes (mkfs.xfs -p) or hard links
//! (mkfs.btrfs --rootdir). The device is let go of as soon as the mount holds it, so nothing stays if we die.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::mount::MsFlags;

use super::filesystem::{Job, TooSmall};
use super::host;
use super::loop_device::LoopDevice;
use crate::error::on;
use crate::exec::command::Cmd;
use crate::exec::mount::Mount;
use crate::plan::output::Tool;
use crate::report::Reporter;

/// Makes and fills it; see [`super::filesystem::fill`].
///
/// # Errors
/// As there.
pub fn fill(job: &Job, source: Option<&Path>, reporter: &Reporter) -> Result<()> {
    let device = LoopDevice::attach(job.image, job.extent, job.sector_size)?;
    make(job, device.path(), reporter)?;
    let Some(source) = source else { return device.close() };
    let place = MountPoint::create(job.work, &job.filesystem.name)?;
    let mount = Mount::device(device.path(), &place.0, &job.filesystem.kind, MsFlags::empty(), "")?;
    let filled = copy(source, mount.target(), reporter).and_then(|()| sync(mount.target()));
    filled.map_err(|error| {
        // Behind a loop device a full host disk shows as EIO or ENOSPC, and only when data is written back.
        if host::is_full(job.image) {
            return error.context(host::NO_SPACE);
        }
        if format!("{error:#}").contains(host::NO_SPACE) {
            return TooSmall::new(job, Some(source), "no space is left in it").into();
        }
        error
    })?;
    mount.close()?;
    device.close()
}

/// Runs mkfs on a device.
///
/// # Errors
/// When the tool is missing or fails.
pub fn make(job: &Job, device: &Path, reporter: &Reporter) -> Result<()> {
    let fs = job.filesystem;
    let uuid = job.uuid.to_string();
    let cmd = match fs.kind.as_str() {
        "xfs" => host::command(Tool::MKFS_XFS)?.args(["-f", "-q", "-L", &fs.label, "-m"]).arg(format!("uuid={uuid}")),
        "btrfs" => host::command(Tool::MKFS_BTRFS)?.args(["-f", "-q", "-L", &fs.label, "-U", &uuid]),
        other => bail!("{other} is not made through the kernel"),
    };
    let mut small = None;
    let cmd = cmd.args(&fs.options).arg(device);
    let exit = cmd.stream(|line| {
        if ["must be larger than", "too small", "smaller than"].iter().any(|w| line.contains(w)) {
            small = Some(line.to_owned());
        }
        reporter.output(line);
    })?;
    match (exit.code, small) {
        (0, _) => Ok(()),
        (_, Some(line)) => Err(TooSmall::new(job, None, line).into()),
        (code, None) => bail!("{} ended with status {code}: {}", cmd.line(), exit.tail.join("; ")),
    }
}

/// Copies a tree with owners, modes, times, hard links, holes, devices and all extended attributes.
///
/// GNU cp does all of that, is on every host, and is tested by the whole world.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(source: &Path, target: &Path, reporter: &Reporter) -> Result<()> {
    let preserve = "--preserve=mode,ownership,timestamps,links,xattr";
    let cmd: Cmd = host::command(Tool::CP)?
        .args(["--recursive", "--no-dereference", preserve, "--sparse=auto", "--no-target-directory", "--"])
        .arg(source)
        .arg(target);
    cmd.run(reporter)
}

/// Writes everything out to the filesystem mounted at `path`: unmounting would not tell of a failure.
///
/// # Errors
/// When something cannot be written.
pub fn sync(path: &Path) -> Result<()> {
    let dir = File::open(path).with_context(|| on("opening", path))?;
    // SAFETY: the file is open.
    Errno::result(unsafe { libc::syncfs(dir.as_raw_fd()) }).map(drop).with_context(|| on("writing out", path))
}

/// A directory to mount at. It is removed only if it is empty: never what is mounted there.
#[derive(Debug)]
#[must_use = "dropping it removes the directory"]
pub struct MountPoint(pub PathBuf);

impl MountPoint {
    /// Makes a directory in `dir` whose name starts with `name`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(dir: &Path, name: &str) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(&format!("{}.", name.replace('/', "_"))).tempdir_in(dir);
        let made = made.with_context(|| on("making a directory in", dir))?;
        Ok(Self(made.keep()))
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        // If something is mounted there still, it stays and whoever removes the work directory says so.
        drop(std::fs::remove_dir(&self.0));
    }
}
