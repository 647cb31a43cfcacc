//! Assembles disks from a finished tree: table, filesystems, boot code. No loop device is used for ext and FAT.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::bootloader::{BootCode, BootSpec};
use super::filesystem::{self, Job};
use super::identity::Identities;
use super::lvm::Volumes;
use super::split::View;
use super::{sparse, table};
use crate::error::{Fault, Faults, on};
use crate::plan::disk::lvm::VolumeKind;
use crate::plan::disk::{Disk, DiskLayout, Extent, Filesystem};
use crate::plan::output::{FILESYSTEMS, Tool};
use crate::report::Reporter;

/// A disk with the places of its partitions, and the raw file that it becomes.
#[derive(Debug, Clone)]
pub struct PlacedDisk<'a> {
    /// The disk.
    pub disk: &'a Disk,
    /// Its size in bytes.
    pub size: u64,
    /// Partition numbers and places; empty for a disk without a table.
    pub extents: &'a [(u32, Extent)],
    /// The raw file; an old one is replaced.
    pub raw: PathBuf,
}

/// Checks, before a build, that the filesystems of a layout can be made on this host.
///
/// # Errors
/// [`Faults`] for types that cannot be made; [`crate::error::HostNotReady`] for the first missing tool.
pub fn check(layout: &DiskLayout) -> Result<()> {
    let unknown = layout.filesystems.iter().filter(|fs| !FILESYSTEMS.contains(&fs.kind.as_str()));
    let faults = unknown.map(|fs| {
        Fault::new(format!("{}: no way is known to make a filesystem of type '{}'", fs.name, fs.kind))
            .hint(format!("known types: {}", FILESYSTEMS.join(", ")))
    });
    Faults::or(faults.collect(), ())?;
    if layout.volume_groups.iter().flat_map(|group| &group.logical).any(|v| matches!(v.kind, VolumeKind::Thin { .. })) {
        super::host::find(Tool::THIN_RESTORE)?;
    }
    let mut tools = layout.filesystems.iter().flat_map(|fs| Tool::for_filesystem(&fs.kind));
    tools.try_for_each(|tool| super::host::find(*tool).map(drop))
}

/// Everything that makes the disks of a layout.
#[derive(Debug, Clone)]
pub struct Assembly<'a> {
    /// The layout.
    pub layout: &'a DiskLayout,
    /// Its disks, placed.
    pub disks: &'a [PlacedDisk<'a>],
    /// Its volume groups, placed.
    pub volumes: &'a Volumes,
    /// The identifiers to write.
    pub identities: &'a Identities,
    /// No time stamp is later than this, in seconds.
    pub epoch: Option<i64>,
    /// An existing directory for mount points.
    pub work: &'a Path,
}

impl<'a> Assembly<'a> {
    /// Writes all disks from `tree`, which only reads it, except that directories for mount points are made if they
    /// are missing. Must run in a private mount namespace.
    ///
    /// # Errors
    /// [`filesystem::TooSmall`] when something does not fit; else whatever a tool or the kernel says.
    pub fn assemble(&self, tree: &Path, boot: &BootSpec, reporter: &Reporter) -> Result<()> {
        // Read first: a mistake in it shows before the long part.
        let code = BootCode::read(boot, tree)?;
        self.write(tree, reporter)?;
        self.settle(reporter)?;
        self.embed(code)?;
        for placed in self.disks {
            let raw = &placed.raw;
            std::fs::File::open(raw).and_then(|f| f.sync_all()).with_context(|| on("syncing", raw))?;
        }
        Ok(())
    }

    /// Tables, volume groups and filesystems: all but what [`Assembly::settle`] and [`Assembly::embed`] do.
    ///
    /// # Errors
    /// As [`Assembly::assemble`].
    pub fn write(&self, tree: &Path, reporter: &Reporter) -> Result<()> {
        self.write_tables()?;
        self.write_groups()?;
        self.write_filesystems(tree, reporter)
    }

    /// Makes and fills the filesystems.
    ///
    /// # Errors
    /// As [`Assembly::assemble`].
    pub fn write_filesystems(&self, tree: &Path, reporter: &Reporter) -> Result<()> {
        let points = self.mount_points();
        for fs in &self.layout.filesystems {
            reporter.info(format!("Making the filesystem {} ({})", fs.name, fs.kind));
            let job = self.job(fs)?;
            match fs.mount_point.as_deref().filter(|p| p.starts_with('/')) {
                Some(point) => {
                    let view = View::of(tree, point, &points, self.work)?;
                    filesystem::fill(&job, Some(view.path()), reporter)?;
                    view.close()?;
                }
                None => filesystem::fill(&job, None, reporter)?,
            }
        }
        Ok(())
    }

    /// Makes the raw files with their partition tables.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_tables(&self) -> Result<()> {
        for placed in self.disks {
            let disk = placed.disk;
            let write = || {
                sparse::create(&placed.raw, placed.size)?;
                let identity = self.identities.disks.get(&disk.name);
                let identity =
                    identity.with_context(|| format!("no identifiers were made for the disk {}", disk.name))?;
                table::write(&placed.raw, disk, placed.extents, identity)
            };
            write().map_err(|error| super::host::explain_full(error, &placed.raw))?;
        }
        Ok(())
    }

    /// Writes the boot code to the first disk.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn embed(&self, code: Option<BootCode>) -> Result<()> {
        match (code, self.disks.first()) {
            (Some(code), Some(first)) => code.write(&first.raw, first.disk, first.extents),
            _ => Ok(()),
        }
    }

    /// The paths at which something is mounted.
    pub fn mount_points(&self) -> Vec<&'a str> {
        let points = self.layout.filesystems.iter().filter_map(|fs| fs.mount_point.as_deref());
        points.filter(|p| p.starts_with('/')).collect()
    }

    /// The disk and the place on it of what is called `base`: a partition, or a disk without a table.
    ///
    /// # Errors
    /// When there is no such thing.
    pub fn place(&self, base: &str) -> Result<(&'a PlacedDisk<'a>, Option<u32>, Extent)> {
        for placed in self.disks {
            if placed.disk.name == base && placed.disk.table.is_none() {
                return Ok((placed, None, Extent { start: 0, length: placed.size }));
            }
            let partitions = placed.disk.table.iter().flat_map(|t| &t.partitions);
            if let Some(partition) = partitions.into_iter().find(|p| p.name == base) {
                let extent = placed.extents.iter().find(|(n, _)| *n == partition.number);
                let (number, extent) = extent.with_context(|| format!("partition {base} has no place"))?;
                return Ok((placed, Some(*number), *extent));
            }
        }
        bail!("there is no partition or disk {base}")
    }

    /// What making one of the filesystems takes.
    ///
    /// # Errors
    /// When it has no place.
    pub fn job(&'a self, fs: &'a Filesystem) -> Result<Job<'a>> {
        let placing = || format!("placing the filesystem {}", fs.name);
        let (image, extent, sector_size) = match self.volume(&fs.base).with_context(placing)? {
            Some(volume) => (volume.image, volume.extent, volume.sector_size),
            None => {
                let (placed, _, extent) = self.place(&fs.base).with_context(placing)?;
                (placed.raw.as_path(), extent, placed.disk.sector_size)
            }
        };
        let uuid = self.identities.filesystem(fs);
        Ok(Job { filesystem: fs, uuid, image, extent, sector_size, epoch: self.epoch, work: self.work })
    }
}
