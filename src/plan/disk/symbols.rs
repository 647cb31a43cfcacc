//! What hooks and tools ask a layout: the root filesystem's label and type, mount points, partitions.

use super::{Disk, DiskLayout, Filesystem, MAIN_DISK, Partition, TableKind};

impl DiskLayout {
    /// The disk that becomes the image.
    pub fn main_disk(&self) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.name == MAIN_DISK)
    }

    /// The filesystem that is mounted at `point`.
    pub fn mounted_at(&self, point: &str) -> Option<&Filesystem> {
        self.filesystems.iter().find(|fs| fs.mount_point.as_deref() == Some(point))
    }

    /// The root filesystem; each layout that was parsed has one.
    pub fn root(&self) -> Option<&Filesystem> {
        self.mounted_at("/")
    }

    /// The filesystem that holds /boot: its own, or the root filesystem.
    pub fn boot(&self) -> Option<&Filesystem> {
        self.mounted_at("/boot").or_else(|| self.root())
    }

    /// The root filesystem's label (`DIB_ROOT_LABEL`).
    pub fn root_label(&self) -> &str {
        self.root().map(|fs| fs.label.as_str()).unwrap_or_default()
    }

    /// The root filesystem's type (`DIB_ROOT_FSTYPE`).
    pub fn root_fstype(&self) -> &str {
        self.root().map(|fs| fs.kind.as_str()).unwrap_or_default()
    }

    /// The label of the filesystem mounted at /boot, empty if it has none of its own
    /// (`DIB_BOOT_LABEL`).
    pub fn boot_label(&self) -> &str {
        self.mounted_at("/boot").map(|fs| fs.label.as_str()).unwrap_or_default()
    }

    /// The mount points in the description's order, joined by `|` (`DIB_MOUNTPOINTS`).
    pub fn mount_points_joined(&self) -> String {
        self.mount_points.join("|")
    }

    /// The disk and the partition that a filesystem lies on; no partition if it takes the disk whole.
    pub fn base_of(&self, fs: &Filesystem) -> Option<(&Disk, Option<&Partition>)> {
        self.disks.iter().find_map(|disk| {
            if disk.name == fs.base {
                return Some((disk, None));
            }
            let mut partitions = disk.table.iter().flat_map(|table| &table.partitions);
            partitions.find(|partition| partition.name == fs.base).map(|partition| (disk, Some(partition)))
        })
    }

    /// The number of the partition that a filesystem lies on (`IMAGE_ROOT_PARTITION`).
    pub fn partition_number(&self, fs: &Filesystem) -> Option<u32> {
        self.base_of(fs).and_then(|(_, partition)| partition).map(|partition| partition.number)
    }

    /// The kind of the main disk's partition table (`IMAGE_PARTITION_TABLE`).
    pub fn table_kind(&self) -> Option<TableKind> {
        self.main_disk().and_then(|disk| disk.table.as_ref()).map(|table| table.kind)
    }
}

impl TableKind {
    /// `mbr` or `gpt`.
    pub fn as_str(self) -> &'static str {
        match self {
            TableKind::Mbr => "mbr",
            TableKind::Gpt => "gpt",
        }
    }
}
