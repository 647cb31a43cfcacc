//! Where partitions lie, once the disk's size is known.

use serde::{Deserialize, Serialize};

use super::{Disk, DiskLayout, Extent, Partition, Table, TableKind};
use crate::error::{Fault, Faults};

mod gpt;
pub mod lvm;
mod mbr;
mod needed;

pub use lvm::PlacedGroup;

const MIB: u64 = 1 << 20;
/// Disks are sought in steps of this when the smallest sufficient one is wanted.
const GRAIN: u64 = 64 << 10;
/// No disk is sought beyond this.
const LARGEST: u64 = 1 << 55;
/// What comes before the extents of a physical volume: its label and the group's metadata.
pub const PHYSICAL_START: u64 = MIB;

/// The places on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Number and extent of each partition, in the table's order, without the extended one.
    pub partitions: Vec<(u32, Extent)>,
    /// MBR with logical partitions: what holds them.
    pub extended: Option<Extended>,
}

/// The extended partition of an MBR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// Its number: that of the next entry after the primary ones.
    pub number: u32,
    /// From the first extended boot record to the end of the disk.
    pub extent: Extent,
    /// The byte on which the extended boot record of each logical partition begins, in order.
    pub records: Vec<u64>,
}

/// A disk with its size and the places on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedDisk {
    /// The disk's node name.
    pub name: String,
    /// The disk's size in bytes.
    pub size: u64,
    /// The places; `None` if it has no partition table.
    pub placed: Option<Placed>,
}

/// The form of `layout.json`: the layout, and where everything lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedLayout {
    /// The layout.
    #[serde(flatten)]
    pub layout: DiskLayout,
    /// Its disks in the same order; empty as long as the image's size is not known.
    pub places: Vec<PlacedDisk>,
    /// Its volume groups in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PlacedGroup>,
}

/// Why a partition has no place.
#[derive(Debug, Clone, Copy)]
enum Misfit<'a> {
    /// `left` bytes are left, not as many as it takes.
    NoRoom { partition: &'a Partition, wanted: u64, left: u64 },
    /// Its size comes to nothing.
    Empty { partition: &'a Partition },
    /// It begins or ends where the table's 32-bit numbers do not reach.
    OutOfReach { partition: &'a Partition },
    /// The alignment is no whole number of sectors.
    Alignment,
}

impl Table {
    /// The places of the partitions on a disk of `disk_bytes` bytes with sectors of `sector_size`.
    ///
    /// MBR: the first partition begins at the alignment, each other one at the next multiple of it
    /// after the one before; percentages leave one alignment free. Each logical partition has its
    /// boot record on a multiple of the alignment and its data one alignment later.
    /// GPT: the first MiB and the last one stay free, partitions follow each other without gaps,
    /// their sizes are whole MiB.
    ///
    /// # Errors
    /// Partitions that do not fit, with what is missing.
    pub fn place(&self, disk_bytes: u64, sector_size: u32) -> Result<Placed, Fault> {
        self.try_place(disk_bytes, sector_size).map_err(|misfit| self.fault(misfit, disk_bytes, sector_size))
    }

    fn try_place(&self, disk_bytes: u64, sector_size: u32) -> Result<Placed, Misfit<'_>> {
        match self.kind {
            TableKind::Mbr => mbr::place(self, disk_bytes, u64::from(sector_size)),
            TableKind::Gpt => gpt::place(self, disk_bytes),
        }
    }
}

impl Disk {
    /// The places on a disk of `bytes` bytes.
    ///
    /// # Errors
    /// Partitions that do not fit.
    pub fn place(&self, bytes: u64) -> Result<PlacedDisk, Fault> {
        let placed = self.table.as_ref().map(|table| table.place(bytes, self.sector_size)).transpose()?;
        Ok(PlacedDisk { name: self.name.clone(), size: bytes, placed })
    }
}

impl DiskLayout {
    /// The places on all disks. `image_bytes` is the size of the disks that have none of their own.
    ///
    /// # Errors
    /// For each disk, the first partition that does not fit.
    pub fn place(&self, image_bytes: u64) -> Result<PlacedLayout, Faults> {
        let (mut places, mut faults) = (Vec::new(), Vec::new());
        for disk in &self.disks {
            match disk.place(disk.size.unwrap_or(image_bytes)) {
                Ok(placed) => places.push(placed),
                Err(fault) => faults.push(fault),
            }
        }
        Faults::or(faults, ())?;
        let placed = self.volume_groups.iter().map(|group| {
            lvm::place(self, group, &places).map_err(|misfit| self.volume_fault(group, misfit, image_bytes))
        });
        let mut groups = Vec::new();
        let mut faults = Vec::new();
        placed.for_each(|placed| placed.map_or_else(|fault| faults.push(fault), |group| groups.push(group)));
        Faults::or(faults, PlacedLayout { layout: self.clone(), places, groups })
    }
}

impl PlacedLayout {
    /// The extent of the partition called `name`, and the disk that it lies on.
    pub fn extent_of(&self, name: &str) -> Option<(&PlacedDisk, Extent)> {
        extent_of(&self.layout, &self.places, name)
    }
}

fn extent_of<'a>(layout: &DiskLayout, places: &'a [PlacedDisk], name: &str) -> Option<(&'a PlacedDisk, Extent)> {
    layout.disks.iter().zip(places).find_map(|(disk, place)| {
        if disk.name == name {
            return Some((place, Extent { start: 0, length: place.size }));
        }
        let partition = disk.table.as_ref()?.partitions.iter().find(|partition| partition.name == name)?;
        let placed = &place.placed.as_ref()?.partitions;
        placed.iter().find(|(number, _)| *number == partition.number).map(|(_, extent)| (place, *extent))
    })
}
