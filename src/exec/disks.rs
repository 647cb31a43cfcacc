//! The disks of a build: where everything lies on them, and writing them from the tree, with or
//! without a block device in between.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::assemble::attach::AttachedDisk;
use crate::assemble::bootloader::BootSpec;
use crate::assemble::disk::{Assembly, PlacedDisk};
use crate::assemble::identity::Identities;
use crate::assemble::lvm::Volumes;
use crate::error::on;
use crate::plan::Plan;
use crate::plan::disk::MAIN_DISK;
use crate::plan::disk::place::PlacedLayout;
use crate::report::Reporter;

use super::environment::Environment;
use super::work_dir::Paths;

/// Disks with known sizes and places.
pub struct Disks<'a> {
    plan: &'a Plan,
    paths: &'a Paths,
    identities: &'a Identities,
    placed: PlacedLayout,
    work: PathBuf,
}

impl<'a> Disks<'a> {
    /// Places everything on a main disk of `bytes`.
    ///
    /// # Errors
    /// When a partition does not fit.
    pub fn place(plan: &'a Plan, paths: &'a Paths, identities: &'a Identities, bytes: u64) -> Result<Self> {
        let work = paths.build.join("assemble");
        fs::create_dir_all(&work).with_context(|| on("making", &work))?;
        Ok(Self { plan, paths, identities, placed: plan.layout.place(bytes)?, work })
    }

    /// The main disk's raw file.
    pub fn raw(&self) -> PathBuf {
        self.paths.image.join(format!("{MAIN_DISK}.raw"))
    }

    /// Calls `work` with what the disks are made from.
    pub fn with_assembly<T>(&self, work: impl FnOnce(&Assembly<'_>) -> T) -> T {
        let pairs = self.plan.layout.disks.iter().zip(&self.placed.places);
        let disks: Vec<_> = pairs
            .map(|(disk, place)| PlacedDisk {
                disk,
                size: place.size,
                extents: place.placed.as_ref().map_or(&[][..], |p| &p.partitions),
                raw: self.paths.image.join(format!("{}.raw", disk.name)),
            })
            .collect();
        let volumes = Volumes::new(&self.plan.layout, &self.placed.groups, &self.work);
        work(&Assembly {
            layout: &self.plan.layout,
            disks: &disks,
            volumes: &volumes,
            identities: self.identities,
            epoch: self.plan.output_options.epoch,
            work: &self.work,
        })
    }

    /// Writes the disks from the tree, without a device.
    ///
    /// # Errors
    /// When something does not fit or a tool fails.
    pub fn write(&self, boot: &BootSpec, reporter: &Reporter) -> Result<()> {
        let tree = &self.paths.tree;
        reporter.step("writing the disk", || self.with_assembly(|assembly| assembly.assemble(tree, boot, reporter)))
    }

    /// Writes the disks from the tree at `built`, attaches them, and mounts them where the tree was; tells the
    /// hooks that follow which devices there are (contract 2.6, steps 16 to 18).
    ///
    /// # Errors
    /// As [`Disks::write`], and when the kernel lacks loop devices or a filesystem.
    pub fn attach(&self, built: &Path, variables: &mut Environment, reporter: &Reporter) -> Result<AttachedDisk> {
        let base = &self.paths.tree;
        let attached = reporter.step("writing and attaching the disk", || {
            self.with_assembly(|assembly| AttachedDisk::create(assembly, built, base, reporter))
        })?;
        variables.insert("IMAGE_BLOCK_DEVICE".into(), attached.block_device().into());
        variables.insert("IMAGE_BLOCK_DEVICES".into(), attached.block_devices().into());
        Ok(attached)
    }

    /// Unmounts and detaches.
    ///
    /// # Errors
    /// When something is still in use, or boot code has no place.
    pub fn detach(&self, attached: AttachedDisk, boot: &BootSpec, reporter: &Reporter) -> Result<()> {
        reporter.step("detaching the disk", || self.with_assembly(|assembly| attached.close(assembly, boot, reporter)))
    }
}
