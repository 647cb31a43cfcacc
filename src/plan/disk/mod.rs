//! The disk layout of a build, as data: disks, partitions, filesystems, mounts and fstab lines.
//!
//! Made from a block-device description (contract 5) by [`parse`]; written to an image by
//! [`crate::assemble`].

use serde::Serialize;
use uuid::Uuid;

/// Everything that the image consists of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiskLayout {
    /// The disks, in file order. The main one is called `image0`.
    pub disks: Vec<Disk>,
    /// The filesystems, in mount order (ascending string order of mount point; unmounted ones last).
    pub filesystems: Vec<Filesystem>,
}

/// One disk: a raw file.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// MBR or GPT.
    pub kind: TableKind,
    /// Alignment of the first partition and of each following one, in bytes.
    pub align: u64,
    /// The partitions, in order.
    pub partitions: Vec<Partition>,
}

/// The kinds of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// DOS master boot record, logical partitions included.
    Mbr,
    /// GUID partition table.
    Gpt,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Percent of the space that is left when its turn comes.
    Percent(f64),
}

/// A partition's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionType {
    /// The MBR type byte.
    Mbr(u8),
    /// The GPT type GUID.
    Gpt(Uuid),
}

/// One filesystem (or swap area).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Filesystem {
    /// Node name (`mkfs_root`).
    pub name: String,
    /// The partition, or the disk, that holds it: a node name.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fstab {
    /// Mount options.
    pub options: String,
    /// Fifth field.
    pub dump: u32,
    /// Sixth field.
    pub pass: u32,
}

/// Where a partition lies on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
}
