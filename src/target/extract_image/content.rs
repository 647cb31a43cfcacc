//! The files of a disk image, mounted together as they are when it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::MsFlags;

use super::command;
use super::partitions::{Partition, Roles};
use crate::assemble::loop_device::LoopDevice;
use crate::error::on;
use crate::exec::mount::{Mount, Mounts, Overlay};

/// All filesystems of an image as one tree. Nothing in the image is changed: an overlay takes what is written.
#[must_use = "dropping it unmounts the tree"]
pub struct View {
    root: PathBuf,
    // Dropped in this order: a device can be let go of when nothing is mounted from it.
    mounts: Mounts,
    devices: Vec<LoopDevice>,
}

impl View {
    /// Mounts what `roles` says, in directories that are made in `dir`.
    ///
    /// # Errors
    /// When the kernel does not know a filesystem, or has no loop device left.
    pub fn mount(raw: &Path, roles: &Roles, sector: u32, dir: &Path) -> Result<Self> {
        let mut view = Self { root: dir.join("tree"), mounts: Mounts::new(), devices: Vec::new() };
        let root = view.root.clone();
        view.add(raw, &roles.root, sector, &dir.join("root"), &root)?;
        if let Some(boot) = &roles.boot {
            view.add(raw, boot, sector, &dir.join("boot"), &root.join("boot"))?;
        }
        if let Some(esp) = &roles.esp {
            view.add_esp(raw, esp, sector, &dir.join("esp"), &root.join("boot/efi"))?;
        }
        Ok(view)
    }

    /// The tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Unmounts everything.
    ///
    /// # Errors
    /// When something stays busy.
    pub fn close(self) -> Result<()> {
        let Self { root: _, mounts, devices } = self;
        let closed = mounts.close();
        drop(devices);
        closed
    }

    fn device(&mut self, raw: &Path, partition: &Partition, sector: u32) -> Result<PathBuf> {
        let device = LoopDevice::attach(raw, partition.extent, sector)?;
        let path = device.path().to_owned();
        self.devices.push(device);
        Ok(path)
    }

    /// Shows a partition at `place`; `scratch` is a directory of its own for what that takes.
    fn add(&mut self, raw: &Path, partition: &Partition, sector: u32, scratch: &Path, place: &Path) -> Result<()> {
        let (lower, upper, work) = (scratch.join("lower"), scratch.join("upper"), scratch.join("work"));
        for dir in [&lower, &upper, &work, &place.to_owned()] {
            fs::create_dir_all(dir).with_context(|| on("making", dir))?;
        }
        let device = self.device(raw, partition, sector)?;
        let kind = partition.filesystem.as_deref().unwrap_or("auto");
        self.mounts.push(mount_device(&device, &lower, kind)?);
        let overlay = Overlay { lower: vec![lower], upper: Some((upper, work)), options: Vec::new() };
        self.mounts.push(Mount::overlay(&overlay, place)?);
        Ok(())
    }

    /// Shows the ESP, or copies it where the kernel does not know its filesystem.
    fn add_esp(&mut self, raw: &Path, esp: &Partition, sector: u32, scratch: &Path, place: &Path) -> Result<()> {
        for dir in [scratch, place] {
            fs::create_dir_all(dir).with_context(|| on("making", dir))?;
        }
        let device = self.device(raw, esp, sector)?;
        if let Ok(mounted) = mount_device(&device, place, esp.filesystem.as_deref().unwrap_or("vfat")) {
            self.mounts.push(mounted);
            return Ok(());
        }
        // -n, -Q: never ask, and end with the first failure.
        let mut mcopy = Command::new("mcopy");
        mcopy.args(["-s", "-n", "-Q", "-m", "-i"]).arg(&device).arg("::*").arg(place);
        // An image's ESP can have another size than its partition.
        command(mcopy.env("MTOOLS_SKIP_CHECK", "1")).context("copying the files of the EFI system partition")
    }
}

fn mount_device(device: &Path, place: &Path, kind: &str) -> Result<Mount> {
    let ways: &[&str] = match kind {
        // Another filesystem of the same UUID may be mounted: the host may run this very image.
        "xfs" => &["nouuid"],
        // Where distributions put the root: Fedora, openSUSE and others, none.
        "btrfs" => &["subvol=root", "subvol=@", ""],
        _ => &[""],
    };
    let mut result = Mount::device(device, place, kind, MsFlags::MS_RDONLY, ways[0]);
    for options in &ways[1..] {
        if result.is_err() {
            result = Mount::device(device, place, kind, MsFlags::MS_RDONLY, options);
        }
    }
    result
}
