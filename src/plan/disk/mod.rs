//! The disk layout of a build, as data: disks, partitions, filesystems, mounts and fstab lines.
//!
//! Made from a block-device description by [`parse`]; written to an image by [`crate::assemble`].
//!
//! A description is chosen ([`select`]), read as YAML, brought from the tree form to the graph form
//! ([`graph`]), checked node by node (`nodes`), ordered ([`order`]) and made into a [`DiskLayout`]
//! (`layout`). When the image's size is known ([`image_size`]), partitions get their places
//! ([`place`]).

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Fault, Faults};
use crate::yaml;

pub mod fstab;
pub mod gpt_types;
pub mod graph;
pub mod image_size;
mod layout;
pub mod lvm;
mod nodes;
pub mod order;
pub mod place;
pub mod select;
pub mod size;
pub mod symbols;
#[cfg(test)]
mod tests;
pub mod variables;

/// The disk that becomes the image.
pub const MAIN_DISK: &str = "image0";
/// The filesystem that takes what the request says about the root filesystem.
pub const ROOT_NODE: &str = "mkfs_root";

/// What the request says about the root filesystem: goes to the `mkfs` node named `mkfs_root`,
/// where that has no value of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootFs {
    /// Filesystem type (`FS_TYPE`).
    pub fs_type: String,
    /// Label (`ROOT_LABEL`); `None` means `img-rootfs` for xfs and `cloudimg-rootfs` for others.
    pub label: Option<String>,
    /// mkfs arguments that somebody asked for.
    pub options: Vec<String>,
    /// mkfs arguments that stand before those, if the filesystem is one of [`Self::fs_type`].
    pub usual_options: Vec<String>,
    /// Bytes per sector of every disk, whatever the description says (`DIB_BLOCK_SIZE`).
    pub block_size: Option<u32>,
}

impl RootFs {
    /// mkfs arguments for a filesystem of type `kind`.
    #[must_use]
    pub fn options_of(&self, kind: &str) -> Vec<String> {
        let usual = if kind == self.fs_type { &self.usual_options[..] } else { &[] };
        [usual, &self.options].concat()
    }
}

/// The layout that a description in YAML or JSON gives. `file` is what faults name; nothing is read
/// from it. What is odd but harmless (a key that means nothing) goes to `warnings`.
///
/// # Errors
/// All the mistakes that can be told apart, each with its place.
pub fn parse(text: &str, file: &Path, root: &RootFs, warnings: &mut Vec<Fault>) -> Result<DiskLayout, Faults> {
    let description = yaml::parse(text, file)?;
    let entries = graph::flatten(&description)?;
    let nodes = nodes::read(&entries, root, warnings)?;
    order::sort(&nodes.vertices())?;
    layout::build(nodes, &description.place, warnings)
}

/// Everything that the image consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskLayout {
    /// The disks, in file order. The main one is called `image0`.
    pub disks: Vec<Disk>,
    /// The volume groups, in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_groups: Vec<lvm::VolumeGroup>,
    /// The filesystems, in mount order (ascending string order of mount point; unmounted ones last).
    pub filesystems: Vec<Filesystem>,
    /// The mount points as the description lists them, swap's `none` included
    /// (`DIB_MOUNTPOINTS`).
    pub mount_points: Vec<String>,
}

/// One disk: a raw file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Node name; the raw file is `NAME.raw`.
    pub name: String,
    /// Size in bytes; `None` means the size that the build computes or was asked for.
    pub size: Option<u64>,
    /// Bytes per sector: 512 or 4096.
    pub sector_size: u32,
    /// The partition table; `None` for a disk that is one filesystem as a whole.
    pub table: Option<Table>,
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// MBR or GPT.
    pub kind: TableKind,
    /// Alignment of the first partition and of each following one, in bytes.
    pub align: u64,
    /// The partitions, in order.
    pub partitions: Vec<Partition>,
}

/// The kinds of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// DOS master boot record, logical partitions included.
    Mbr,
    /// GUID partition table.
    Gpt,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// Node name and, on GPT, the partition's name.
    pub name: String,
    /// Number as Linux counts: logical MBR partitions start at 5.
    pub number: u32,
    /// How large.
    pub size: Size,
    /// What it is.
    pub kind: PartitionType,
    /// MBR: the active flag.
    pub boot: bool,
    /// MBR: inside the extended partition.
    pub logical: bool,
}

/// A partition's size as written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Percent of the space that is left when its turn comes.
    Percent(f64),
}

/// A partition's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionType {
    /// The MBR type byte.
    Mbr(u8),
    /// The GPT type GUID.
    Gpt(Uuid),
}

/// One filesystem (or swap area).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Node name (`mkfs_root`).
    pub name: String,
    /// The partition, the logical volume or the disk that holds it: a node name.
    pub base: String,
    /// `ext4`, `xfs`, `btrfs`, `vfat`, `swap`, …
    pub kind: String,
    /// The label; upper case for FAT.
    pub label: String,
    /// The UUID if the description gives one; the build makes one otherwise.
    pub uuid: Option<Uuid>,
    /// Extra mkfs arguments.
    pub options: Vec<String>,
    /// Where it is mounted; `None` if it is not (swap has `none` in fstab, and is not mounted).
    pub mount_point: Option<String>,
    /// Its line in /etc/fstab, if it has one.
    pub fstab: Option<Fstab>,
}

/// The changeable fields of an fstab line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fstab {
    /// Mount options.
    pub options: String,
    /// Fifth field.
    pub dump: u32,
    /// Sixth field.
    pub pass: u32,
}

/// Where a partition lies on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
}
