//! Volume groups: physical volumes on disks and partitions, and the logical volumes in them, as data.

use serde::{Deserialize, Serialize};

use super::{DiskLayout, Filesystem};

/// The extent size of a volume group that says nothing else, in bytes.
pub const EXTENT_SIZE: u64 = 4 << 20;

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Node name, and its name in the running system.
    pub name: String,
    /// Bytes of an extent, of which everything in the group consists.
    pub extent_size: u64,
    /// The most logical volumes that it may ever have; 0 for any number.
    pub max_logical: u32,
    /// The most physical volumes that it may ever have; 0 for any number.
    pub max_physical: u32,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it lies on, in the description's order.
    pub physical: Vec<PhysicalVolume>,
    /// What lies on it, in the description's order.
    pub logical: Vec<LogicalVolume>,
}

/// A physical volume: a disk or a partition that a volume group lies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhysicalVolume {
    /// Node name; nothing of it is in the image.
    pub name: String,
    /// The disk or partition, a node name.
    pub base: String,
    /// Extents begin at a multiple of this, in bytes.
    pub align: u64,
}

/// A logical volume, or a pool of thin ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalVolume {
    /// Node name, and its name in the running system.
    pub name: String,
    /// How large.
    pub size: VolumeSize,
    /// What it is.
    pub kind: VolumeKind,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What a logical volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// Extents one after the other.
    Linear,
    /// Holds thin volumes.
    Pool {
        /// Bytes that are given to a thin volume at a time; `None` for what lvcreate would choose.
        chunk: Option<u64>,
        /// Bytes for the pool's metadata; `None` for what the data needs.
        metadata: Option<u64>,
        /// Room is kept in the group for repairing the metadata.
        spare: bool,
    },
    /// Takes its room from a pool when something is written.
    Thin {
        /// The pool, a node name.
        pool: String,
    },
}

/// The size of a logical volume as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeSize {
    /// Bytes, of which whole extents count.
    Bytes(u64),
    /// Extents.
    Extents(u64),
    /// Percent of all extents of the group (`%VG`); what is left, if less is.
    Group(u64),
    /// Percent of the extents that are left in the group (`%FREE`).
    Free(u64),
    /// Percent of all extents of the physical volumes (`%PVS`): all of the group's.
    Physical(u64),
}

impl VolumeGroup {
    /// The name by which device-mapper and GRUB know one of its volumes: hyphens in names are
    /// doubled, one separates them.
    pub fn mapper_name(&self, volume: &LogicalVolume) -> String {
        format!("{}-{}", self.name.replace('-', "--"), volume.name.replace('-', "--"))
    }
}

impl DiskLayout {
    /// The logical volume that a filesystem lies on, with its group.
    pub fn volume_of(&self, fs: &Filesystem) -> Option<(&VolumeGroup, &LogicalVolume)> {
        self.volume(&fs.base)
    }

    /// The logical volume of that node name, with its group.
    pub fn volume(&self, name: &str) -> Option<(&VolumeGroup, &LogicalVolume)> {
        self.volume_groups
            .iter()
            .find_map(|group| group.logical.iter().find(|volume| volume.name == name).map(|volume| (group, volume)))
    }

    /// The volume group on a disk or partition.
    pub fn group_on(&self, base: &str) -> Option<(&VolumeGroup, &PhysicalVolume)> {
        self.volume_groups
            .iter()
            .find_map(|group| group.physical.iter().find(|volume| volume.base == base).map(|volume| (group, volume)))
    }
}
