//! Loop devices that free themselves: the kernel detaches them with their last user, even after `kill -9`.
//!
//! Needed only where a filesystem can be filled by nobody but the kernel, or where a hook wants a block device.
//! Interface: the kernel's include/uapi/linux/loop.h.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::error::{HostNotReady, on};
use crate::plan::disk::Extent;

const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_PARTSCAN: u32 = 8;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_MAJOR: u64 = 7;
/// Another process may take the free device that the kernel named; then the next one is asked for.
const TRIES: u32 = 64;
/// How long a device may take to become free once its last user has closed it (a prober may hold it).
const FREE_WITHIN: Duration = Duration::from_secs(3);

#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

mod ioctl {
    use super::{LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LoopConfig, libc};
    nix::ioctl_none_bad!(get_free, LOOP_CTL_GET_FREE as libc::Ioctl);
    nix::ioctl_write_ptr_bad!(configure, LOOP_CONFIGURE as libc::Ioctl, LoopConfig);
}

/// A part of a file as a block device; detached when this and every other user of it is gone.
#[derive(Debug)]
#[must_use = "dropping the guard detaches the loop device"]
pub struct LoopDevice {
    path: PathBuf,
    number: u32,
    file: File,
}

impl LoopDevice {
    /// Attaches `extent` of `image` as a device with sectors of `sector_size` bytes.
    ///
    /// # Errors
    /// When the kernel has no loop devices or they may not be used.
    pub fn attach(image: &Path, extent: Extent, sector_size: u32) -> Result<Self> {
        Self::configure(image, extent, sector_size, LO_FLAGS_AUTOCLEAR)
    }

    /// Attaches a whole disk, ready to be given partitions ([`LoopDevice::add_partition`]).
    ///
    /// # Errors
    /// As [`LoopDevice::attach`].
    pub fn attach_disk(image: &Path, sector_size: u32) -> Result<Self> {
        let length = image.metadata().with_context(|| on("looking at", image))?.len();
        // A disk whose kernel could scan it would find the same partitions; without this flag the kernel
        // refuses to add any.
        let flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN;
        Self::configure(image, Extent { start: 0, length }, sector_size, flags)
    }

    fn configure(image: &Path, extent: Extent, sector_size: u32, flags: u32) -> Result<Self> {
        let attaching = || format!("attaching {} to a loop device", image.display());
        let backing = File::options().read(true).write(true).open(image).with_context(|| on("opening", image))?;
        let control = File::options().read(true).write(true).open("/dev/loop-control").map_err(|err| {
            HostNotReady::new(
                format!("/dev/loop-control cannot be opened: {err}"),
                "the kernel's loop devices are needed here; in a container they have to be passed in",
            )
        })?;
        let config = LoopConfig {
            fd: u32::try_from(backing.as_raw_fd()).expect("an open file's number is not negative"),
            block_size: sector_size,
            info: LoopInfo64 {
                offset: extent.start,
                size_limit: extent.length,
                flags,
                file_name: name_field(image),
                device: 0,
                inode: 0,
                rdevice: 0,
                number: 0,
                encrypt_type: 0,
                encrypt_key_size: 0,
                crypt_name: [0; 64],
                encrypt_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        };
        for _ in 0..TRIES {
            // SAFETY: the request takes no argument.
            let number = unsafe { ioctl::get_free(control.as_raw_fd()) }.context("asking for a free loop device")?;
            let number = u32::try_from(number).context("asking for a free loop device")?;
            let path = node(number)?;
            let file = File::options()
                .read(true)
                .write(true)
                .custom_flags(libc::O_CLOEXEC)
                .open(&path)
                .with_context(|| on("opening", &path))?;
            // SAFETY: `config` has the layout of struct loop_config and outlives the call.
            match unsafe { ioctl::configure(file.as_raw_fd(), &config) } {
                Ok(_) => return Ok(Self { path, number, file }),
                Err(Errno::EBUSY) => {}
                Err(err) => return Err(err).with_context(attaching),
            }
        }
        bail!("{}: every free loop device was taken by somebody else", attaching())
    }

    /// The device's path, `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device's file, for requests to the kernel.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Detaches it and waits until it is free.
    ///
    /// # Errors
    /// When somebody still uses it.
    pub fn close(self) -> Result<()> {
        let Self { path, number, file } = self;
        file.sync_all().with_context(|| on("writing out", &path))?;
        drop(file);
        let attached = PathBuf::from(format!("/sys/block/loop{number}/loop/autoclear"));
        let start = Instant::now();
        // Somebody else may have taken the device in between; then it is not ours to wait for. That looks
        // the same from here, so the wait is short and bounded.
        while attached.exists() {
            if start.elapsed() > FREE_WITHIN {
                bail!("{} is still in use", path.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// The device node of a loop device; made if no devtmpfs did so.
fn node(number: u32) -> Result<PathBuf> {
    let path = PathBuf::from(format!("/dev/loop{number}"));
    if !path.exists() {
        let mode = Mode::from_bits_truncate(0o660);
        match mknod(&path, SFlag::S_IFBLK, mode, makedev(LOOP_MAJOR, u64::from(number))) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(err) => return Err(err).with_context(|| on("making the device node", &path)),
        }
    }
    Ok(path)
}

/// The file's name as `losetup` shows it where sysfs does not tell, cut to 63 bytes.
fn name_field(image: &Path) -> [u8; 64] {
    use std::os::unix::ffi::OsStrExt;
    let mut field = [0; 64];
    let name = image.as_os_str().as_bytes();
    let length = name.len().min(63);
    field[..length].copy_from_slice(&name[..length]);
    field
}
