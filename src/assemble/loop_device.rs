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
const LOOP_CLR_FD: libc::c_ulong = 0x4c01;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_MAJOR: u64 = 7;
const BLKPG: libc::c_ulong = 0x1269;
const BLKPG_ADD_PARTITION: i32 = 1;
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

/// struct blkpg_partition of the kernel's include/uapi/linux/blkpg.h.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// struct blkpg_ioctl_arg.
#[repr(C)]
struct BlkpgIoctlArg {
    op: i32,
    flags: i32,
    length: i32,
    data: *mut BlkpgPartition,
}

mod ioctl {
    use super::{BLKPG, BlkpgIoctlArg, LOOP_CLR_FD, LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LoopConfig, libc};
    nix::ioctl_write_ptr_bad!(blkpg, BLKPG as libc::Ioctl, BlkpgIoctlArg);
    nix::ioctl_none_bad!(clear, LOOP_CLR_FD as libc::Ioctl);
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
    /// Device nodes that were made because no devtmpfs does it; removed at the end.
    made: Vec<PathBuf>,
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
        // The flag makes the kernel drop the partitions together with the device: without it they stay on a free
        // loop device if we are killed (tried). Kernels that know the table's format also scan it.
        let flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN;
        Self::configure(image, Extent { start: 0, length }, sector_size, flags)
    }

    /// Attaches `extent` of `image`, a whole disk or a part of one, so that it stays attached when this program is
    /// done, until [`detach`].
    ///
    /// # Errors
    /// As [`LoopDevice::attach`].
    pub fn attach_lasting(image: &Path, extent: Extent, sector_size: u32) -> Result<Self> {
        Self::configure(image, extent, sector_size, LO_FLAGS_PARTSCAN)
    }

    /// Lets go of a device that stays attached.
    pub fn leave(mut self) {
        self.made.clear();
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
                Ok(_) => return Ok(Self { path, number, file, made: Vec::new() }),
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

    /// Tells the kernel of a partition and returns its device, `/dev/loopNpM`. It goes with the loop device.
    ///
    /// # Errors
    /// When there is one of that number elsewhere, or the kernel refuses.
    pub fn add_partition(&mut self, number: u32, extent: Extent) -> Result<PathBuf> {
        let adding = || format!("adding partition {number} to a loop device");
        let mut partition = BlkpgPartition {
            start: i64::try_from(extent.start).with_context(adding)?,
            length: i64::try_from(extent.length).with_context(adding)?,
            number: i32::try_from(number).with_context(adding)?,
            device_name: [0; 64],
            volume_name: [0; 64],
        };
        let request = BlkpgIoctlArg {
            op: BLKPG_ADD_PARTITION,
            flags: 0,
            length: i32::try_from(size_of::<BlkpgPartition>()).expect("152 bytes"),
            data: std::ptr::from_mut(&mut partition),
        };
        let sys = PathBuf::from(format!("/sys/block/loop{0}/loop{0}p{number}", self.number));
        // SAFETY: `request` and the partition it points to have the layout of struct blkpg_ioctl_arg and struct
        // blkpg_partition, and outlive the call.
        match unsafe { ioctl::blkpg(self.file.as_raw_fd(), &request) } {
            Ok(_) => {}
            // A kernel that knows the table's format has found the partition by itself.
            Err(Errno::EBUSY) if read_number(&sys.join("start")) == Some(extent.start / 512) => {}
            Err(err) => return Err(err).with_context(adding),
        }
        let path = PathBuf::from(format!("{}p{number}", self.path.display()));
        if !path.exists() {
            let text = std::fs::read_to_string(sys.join("dev")).with_context(adding)?;
            let device = text.trim().split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let (major, minor) = device.with_context(adding)?;
            mknod(&path, SFlag::S_IFBLK, Mode::from_bits_truncate(0o660), makedev(major, minor))
                .with_context(adding)?;
            self.made.push(path.clone());
        }
        Ok(path)
    }

    /// Detaches it and waits until it is free.
    ///
    /// # Errors
    /// When somebody still uses it.
    pub fn close(self) -> Result<()> {
        self.file.sync_all().with_context(|| on("writing out", &self.path))?;
        let (path, number) = (self.path.clone(), self.number);
        drop(self);
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

/// Detaches the device at `path`, whoever has attached it, with its partitions, if it shows `image`.
///
/// # Errors
/// When the kernel refuses.
pub fn detach(path: &Path, image: Option<&Path>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sys = PathBuf::from("/sys/block").join(&name);
    let Ok(shown) = std::fs::read_to_string(sys.join("loop/backing_file")) else { return Ok(()) };
    if image.is_some_and(|image| image.canonicalize().is_ok_and(|image| image != Path::new(shown.trim_end()))) {
        return Ok(());
    }
    let device = File::open(path).with_context(|| on("opening", path))?;
    // SAFETY: the request takes no argument.
    unsafe { ioctl::clear(device.as_raw_fd()) }.with_context(|| on("detaching", path))?;
    drop(device);
    // Without devtmpfs nodes are ours, and nobody else takes them away.
    for node in glob::glob(&format!("{}p[0-9]*", path.display())).into_iter().flatten().flatten() {
        let name = node.file_name().unwrap_or_default().to_owned();
        if !Path::new("/sys/class/block").join(name).exists() {
            drop(std::fs::remove_file(node));
        }
    }
    Ok(())
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        for node in &self.made {
            drop(std::fs::remove_file(node));
        }
    }
}

fn read_number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
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
