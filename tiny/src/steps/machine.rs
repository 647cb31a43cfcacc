//! What the kernel is asked for: mounts, partitions read anew, disks that nobody uses.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};

/// How long devices and mounts may take to become what they should be.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes at the start and the end of a device where signatures are.
const ENDS: u64 = 1 << 20;

nix::ioctl_none!(
    /// `BLKRRPART`: reads the partition table again.
    reread_partitions, 0x12, 95);

nix::ioctl_write_ptr_bad!(
    /// `BLKROSET`: whether a block device refuses writes.
    set_read_only, nix::request_code_none!(0x12, 93), nix::libc::c_int);

/// Has the kernel end this process when its parent ends. For children between fork and exec: it makes system calls only.
///
/// # Errors
/// What the kernel says, or that `parent` has ended before it could be asked.
pub fn end_with(parent: Pid) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(Errno::ESRCH.into());
    }
    Ok(())
}

/// Lets a block device refuse writes, or take them again.
///
/// # Errors
/// What the kernel says.
pub fn protect(device: &Path, refuses: bool) -> Result<()> {
    let file = File::open(device).with_context(|| format!("opening {}", device.display()))?;
    let flag = nix::libc::c_int::from(refuses);
    // SAFETY: the argument is an int that lives through the call, and the descriptor is open.
    let done = unsafe { set_read_only(file.as_raw_fd(), &raw const flag) };
    done.map(drop).with_context(|| format!("making {} read-only or writable", device.display()))
}

/// Mounts a file system for reading. True if nothing is written to its device before it is unmounted, which a read-only
/// mount alone does not promise: xfs notes it. False if it was not unmounted cleanly, so that the kernel had to replay
/// its journal. A device of which this is true refuses writes until [`protect`] is told otherwise.
///
/// # Errors
/// What the kernel says.
pub fn mount_unchanged(device: &Path, place: &Path, kind: &str) -> Result<bool> {
    protect(device, true)?;
    if mount_on(device, place, kind, MsFlags::MS_RDONLY, "").is_ok() {
        return Ok(true);
    }
    protect(device, false)?;
    mount_on(device, place, kind, MsFlags::MS_RDONLY, "").map(|()| false)
}

/// Waits until something holds.
///
/// # Errors
/// When it does not hold in time; with `what` was waited for.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// Mounts a file system of the kernel's or of a device.
///
/// # Errors
/// What the kernel says.
pub fn mount_on(what: &Path, place: &Path, kind: &str, flags: MsFlags, data: &str) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    let mounted = mount(Some(what), place, Some(kind), flags, (!data.is_empty()).then_some(data));
    mounted.with_context(|| format!("mounting {} ({kind}) on {}", what.display(), place.display()))
}

/// Shows a folder at another place.
///
/// # Errors
/// What the kernel says.
pub fn bind(what: &Path, place: &Path) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    let mounted = mount(Some(what), place, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    mounted.with_context(|| format!("showing {} at {}", what.display(), place.display()))
}

/// Places of mounts at a folder and below it, innermost last. `mounts` is `/proc/self/mounts`.
#[must_use]
pub fn mounted_below(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mounts.lines().filter_map(|l| l.split_whitespace().nth(1));
    let points = points.map(|p| PathBuf::from(p.replace("\\040", " ")));
    points.filter(|p| p.starts_with(folder)).collect()
}

/// Whether a folder is a mount's place.
#[must_use]
pub fn is_mounted(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounted_below(&mounts, folder).iter().any(|p| p == folder)
}

/// Unmounts a folder and all below it. Programs that still run with their root there are ended.
///
/// # Errors
/// What stays mounted.
pub fn unmount_below(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
        let places = mounted_below(&mounts, folder);
        let Some(last) = places.last() else { return Ok(()) };
        match umount2(last, MntFlags::empty()) {
            Ok(()) => {}
            Err(e) if begun.elapsed() > PATIENCE => bail!("unmounting {}: {e}", last.display()),
            Err(_) => {
                end_programs(folder);
                sleep(PAUSE);
            }
        }
    }
}

/// Ends programs whose root or working directory is at a folder or below it.
fn end_programs(folder: &Path) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let there = |link: &str| fs::read_link(entry.path().join(link)).is_ok_and(|p| p.starts_with(folder));
        if id > 1 && id != std::process::id().cast_signed() && (there("root") || there("cwd")) {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// Opens a disk for this program alone. The kernel refuses that while anything on it is mounted or otherwise in use.
///
/// # Errors
/// That it is in use, or what the kernel says.
pub fn open_alone(disk: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_EXCL).open(disk);
    opened
        .with_context(|| format!("taking {} for this program alone (is something on it still in use?)", disk.display()))
}

/// Lets the kernel read the partition table again.
///
/// # Errors
/// When a partition stays in use.
pub fn reread(disk: &Path) -> Result<()> {
    let file = File::open(disk).with_context(|| format!("opening {}", disk.display()))?;
    let mut last = None;
    // SAFETY: the call takes no argument, and the descriptor is open.
    let waited = wait_for("the kernel", || match unsafe { reread_partitions(file.as_raw_fd()) } {
        Ok(_) => true,
        Err(e) => {
            last = Some(e);
            false
        }
    });
    waited.with_context(|| {
        format!("reading the partitions of {} again: {}", disk.display(), last.map_or("", |e| e.desc()))
    })
}

/// Overwrites the start and the end of a stretch of a device with zeros, where signatures of all kinds are.
///
/// # Errors
/// What cannot be written.
pub fn clear_ends(file: &mut (impl Write + Seek), start: u64, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(ENDS.min(bytes)).map_err(io::Error::other)?];
    for at in [start, start + bytes - zeros.len() as u64] {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&zeros)?;
    }
    file.flush()
}

/// Makes the links that udev makes in /dev, which shells count on.
///
/// # Errors
/// Which cannot be made.
pub fn link_descriptors(dev: &Path) -> Result<()> {
    let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
    for (name, target) in links {
        let link = dev.join(name);
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(target, &link).with_context(|| format!("making {}", link.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_whose_parent_has_ended_does_not_start() {
        use std::os::unix::process::CommandExt;
        let started = |parent: Pid| {
            let mut command = std::process::Command::new("true");
            // SAFETY: `end_with` makes system calls only.
            unsafe { command.pre_exec(move || end_with(parent)) };
            command.status()
        };
        assert!(started(nix::unistd::getpid()).unwrap().success());
        // A child whose parent has ended gets another one, most often that of this number.
        assert_eq!(started(Pid::from_raw(1)).unwrap_err().raw_os_error(), Some(Errno::ESRCH as i32));
    }

    #[test]
    fn mounts_below_a_folder() {
        let mounts = "rootfs / rootfs rw 0 0\n/dev/mapper/VA-root /sysroot ext4 rw 0 0\n/dev/vda2 /sysroot/boot ext4 rw 0 0\n\
                      x /sysroot2 tmpfs rw 0 0\ny /sysroot/a\\040b tmpfs rw 0 0\n";
        let found = mounted_below(mounts, Path::new("/sysroot"));
        assert_eq!(found, ["/sysroot", "/sysroot/boot", "/sysroot/a b"].map(PathBuf::from));
    }

    #[test]
    fn only_the_ends_are_cleared() {
        let mut device = io::Cursor::new(vec![1_u8; 6 << 20]);
        clear_ends(&mut device, 1 << 20, 4 << 20).unwrap();
        let mib =
            |n: usize| device.get_ref()[n << 20..(n + 1) << 20].iter().map(|b| usize::from(*b)).sum::<usize>() >> 20;
        assert_eq!((0..6).map(mib).collect::<Vec<_>>(), [1, 0, 1, 1, 0, 1]);
        let mut small = io::Cursor::new(vec![1_u8; 4096]);
        clear_ends(&mut small, 1024, 1024).unwrap();
        assert_eq!(small.get_ref().iter().filter(|b| **b == 0).count(), 1024);
    }

    #[test]
    fn links_of_dev_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        link_descriptors(dir.path()).unwrap();
        link_descriptors(dir.path()).unwrap();
        assert_eq!(fs::read_link(dir.path().join("fd")).unwrap(), Path::new("/proc/self/fd"));
    }
}
