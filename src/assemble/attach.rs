//! Assembled disks as block devices, mounted: for hooks of other people's elements that expect them.
//!
//! Partitions are given to the kernel one by one (BLKPG), so neither device-mapper nor the kernel's own partition scan
//! is needed. Everything frees itself if we are killed: mounts go with the mount namespace, the loop device with its
//! last user, and the partitions with the loop device.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::mount::MsFlags;

use super::bootloader::{BootCode, BootSpec};
use super::disk::Assembly;
use super::filesystem;
use super::kernel::{copy, sync};
use super::loop_device::LoopDevice;
use super::split::{View, inside};
use crate::error::on;
use crate::exec::mount::{Mount, Mounts};
use crate::plan::disk::Filesystem;
use crate::plan::disk::lvm::VolumeKind;
use crate::report::Reporter;

/// Disks that are attached and mounted.
#[derive(Debug)]
#[must_use = "dropping the guard unmounts and detaches the disks"]
pub struct AttachedDisk {
    // In this order: mounts are undone first, then the devices go, then the directories.
    mounts: Mounts,
    loops: Vec<LoopDevice>,
    stand_ins: Vec<StandIn>,
    mounted: Vec<(PathBuf, bool)>,
    devices: BTreeMap<String, PathBuf>,
    main: PathBuf,
    base: PathBuf,
}

/// A tmpfs in the place of a FAT filesystem which this kernel cannot mount. FAT is written from it in the end. It has
/// the name of FAT's device: `grub-install` looks for /boot/efi's device by that, and reads the FAT on it by itself.
#[derive(Debug)]
struct StandIn {
    filesystem: String,
    target: PathBuf,
    saved: tempfile::TempDir,
}

impl AttachedDisk {
    /// Assembles the disks from `tree`, without boot code, attaches them, and mounts their filesystems at `base`, an
    /// existing directory, in the layout's order. Must run in a private mount namespace.
    ///
    /// # Errors
    /// As [`Assembly::assemble`]; and when the kernel has no loop devices or cannot mount one of the filesystems.
    pub fn create(assembly: &Assembly, tree: &Path, base: &Path, reporter: &Reporter) -> Result<Self> {
        assembly.write(tree, reporter)?;
        let mut attached = Self {
            mounts: Mounts::new(),
            loops: Vec::new(),
            stand_ins: Vec::new(),
            mounted: Vec::new(),
            devices: BTreeMap::new(),
            main: PathBuf::new(),
            base: base.to_owned(),
        };
        attached.attach(assembly)?;
        for fs in &assembly.layout.filesystems {
            if let Some(point) = fs.mount_point.as_deref().filter(|p| p.starts_with('/')) {
                attached.mount(assembly, fs, point, tree, reporter)?;
            }
        }
        Ok(attached)
    }

    fn attach(&mut self, assembly: &Assembly) -> Result<()> {
        for placed in assembly.disks {
            let disk = placed.disk;
            let mut device = LoopDevice::attach_disk(&placed.raw, disk.sector_size)?;
            self.devices.insert(disk.name.clone(), device.path().to_owned());
            if self.main.as_os_str().is_empty() {
                self.main = device.path().to_owned();
            }
            for partition in disk.table.iter().flat_map(|t| &t.partitions) {
                let (_, _, extent) = assembly.place(&partition.name)?;
                let path = device.add_partition(partition.number, extent)?;
                self.devices.insert(partition.name.clone(), path);
            }
            self.loops.push(device);
        }
        // No device-mapper is needed for a volume that is a part of a file.
        for volume in assembly.layout.volume_groups.iter().flat_map(|group| &group.logical) {
            if matches!(volume.kind, VolumeKind::Pool { .. }) {
                continue;
            }
            if let Some(place) = assembly.volume(&volume.name)? {
                let device = LoopDevice::attach(place.image, place.extent, place.sector_size)?;
                self.devices.insert(volume.name.clone(), device.path().to_owned());
                self.loops.push(device);
            }
        }
        Ok(())
    }

    fn mount(&mut self, asm: &Assembly, fs: &Filesystem, point: &str, tree: &Path, reporter: &Reporter) -> Result<()> {
        let target = inside(&self.base, point);
        let device = self.devices.get(&fs.base);
        let device = device.with_context(|| format!("the filesystem {} has no device", fs.name))?;
        let fat = filesystem::is_fat(&fs.kind);
        let kind = if fat { "vfat" } else { &fs.kind };
        match Mount::device(device, &target, kind, MsFlags::empty(), "") {
            Ok(mount) => {
                self.mounts.push(mount);
                self.mounted.push((target, !fat));
            }
            Err(error) if fat && error.downcast_ref::<Errno>() == Some(&Errno::ENODEV) => {
                reporter.warn(format!(
                    "this kernel cannot mount FAT: {point} is a tmpfs for the hooks, and is written to {} afterwards",
                    device.display()
                ));
                let device = device.clone();
                self.stand_in(asm, fs, &device, tree, &target, reporter)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn stand_in(
        &mut self,
        assembly: &Assembly,
        fs: &Filesystem,
        device: &Path,
        tree: &Path,
        target: &Path,
        reporter: &Reporter,
    ) -> Result<()> {
        let saved = tempfile::Builder::new().prefix("fat.").tempdir_in(assembly.work);
        let saved = saved.with_context(|| on("making a directory in", assembly.work))?;
        let point = fs.mount_point.as_deref().unwrap_or_default();
        self.mounts.push(Mount::tmpfs_called(device, target)?);
        let view = View::of(tree, point, &assembly.mount_points(), assembly.work)?;
        copy(view.path(), target, reporter)?;
        view.close()?;
        self.stand_ins.push(StandIn { filesystem: fs.name.clone(), target: target.to_owned(), saved });
        Ok(())
    }

    /// `IMAGE_BLOCK_DEVICE`: the device of the first disk.
    pub fn block_device(&self) -> &Path {
        &self.main
    }

    /// `IMAGE_BLOCK_DEVICES`: `[name]=/dev/…` for every disk and partition, for bash's `DEVICES=( … )` (contract 5.10).
    pub fn block_devices(&self) -> String {
        let pairs: Vec<String> =
            self.devices.iter().map(|(name, path)| format!("[{name}]={}", path.display())).collect();
        pairs.join(" ")
    }

    /// The devices by node name: a /dev of one's own needs nodes for them.
    pub fn devices(&self) -> &BTreeMap<String, PathBuf> {
        &self.devices
    }

    /// Makes nodes for all devices, under the names that they have in /dev, in the directory `dev`.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make_nodes(&self, dev: &Path) -> Result<()> {
        use nix::sys::stat::{Mode, SFlag, mknod};
        use std::os::unix::fs::MetadataExt;
        for path in self.devices.values() {
            let meta = path.metadata().with_context(|| on("looking at", path))?;
            debug_assert!(meta.file_type().is_block_device());
            let node = dev.join(path.file_name().context("a device has a name")?);
            mknod(&node, SFlag::S_IFBLK, Mode::from_bits_truncate(0o660), meta.rdev())
                .with_context(|| on("making the device node", &node))?;
        }
        Ok(())
    }

    /// Gives unused blocks back (a failure of that is only a warning), unmounts, detaches, and writes the boot code that
    /// `boot` names in what was mounted.
    ///
    /// # Errors
    /// When something is still in use, or boot code has no place.
    pub fn close(self, assembly: &Assembly, boot: &BootSpec, reporter: &Reporter) -> Result<()> {
        let Self { mounts, loops, stand_ins, mounted, devices: _, main: _, base } = self;
        let code = BootCode::read(boot, &base)?;
        for (path, trim) in mounted {
            sync(&path)?;
            if trim && let Err(error) = discard(&path) {
                reporter.warn(format!("{error:#}"));
            }
        }
        for stand_in in &stand_ins {
            copy(&stand_in.target, stand_in.saved.path(), reporter)?;
        }
        mounts.close()?;
        for device in loops {
            device.close()?;
        }
        for stand_in in stand_ins {
            stand_in.write(assembly, reporter)?;
        }
        assembly.settle(reporter)?;
        assembly.embed(code)
    }
}

impl StandIn {
    /// Writes what was saved to where its filesystem belongs, over what is there.
    fn write(self, assembly: &Assembly, reporter: &Reporter) -> Result<()> {
        let fs = assembly.layout.filesystems.iter().find(|fs| fs.name == self.filesystem);
        let job = assembly.job(fs.with_context(|| format!("the layout lost {}", self.filesystem))?)?;
        let file = File::options().write(true).open(job.image).with_context(|| on("opening", job.image))?;
        let (start, length) = (job.extent.start as i64, job.extent.length as i64);
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&file, flags, start, length).with_context(|| on("clearing a partition of", job.image))?;
        filesystem::fill(&job, Some(self.saved.path()), reporter)
    }
}

/// struct fstrim_range of the kernel's include/uapi/linux/fs.h.
#[repr(C)]
#[derive(Debug)]
struct TrimRange {
    start: u64,
    length: u64,
    minimum: u64,
}

mod ioctl {
    use super::TrimRange;
    nix::ioctl_readwrite!(fitrim, b'X', 121, TrimRange);
}

/// Discards the free blocks of a mounted filesystem, which makes holes in the raw file.
fn discard(path: &Path) -> Result<()> {
    let dir = File::open(path).with_context(|| on("opening", path))?;
    let mut range = TrimRange { start: 0, length: u64::MAX, minimum: 0 };
    // SAFETY: `range` has the layout of struct fstrim_range and outlives the call.
    unsafe { ioctl::fitrim(dir.as_raw_fd(), &mut range) }.with_context(|| on("discarding free blocks of", path))?;
    Ok(())
}
