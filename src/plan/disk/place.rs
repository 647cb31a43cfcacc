//! Where partitions lie, once the disk's size is known.

use serde::{Deserialize, Serialize};

use super::size::human;
use super::{Disk, DiskLayout, Extent, MAIN_DISK, Partition, Size, Table, TableKind};
use crate::error::{Fault, Faults};

mod gpt;
mod mbr;

const MIB: u64 = 1 << 20;
/// Disks are sought in steps of this when the smallest sufficient one is wanted.
const GRAIN: u64 = 64 << 10;
/// No disk is sought beyond this.
const LARGEST: u64 = 1 << 55;

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

    /// What sizes are cut down to a multiple of.
    fn grain(&self, sector_size: u32) -> u64 {
        match self.kind {
            TableKind::Mbr => u64::from(sector_size),
            TableKind::Gpt => MIB,
        }
    }

    fn fault(&self, misfit: Misfit, disk_bytes: u64, sector_size: u32) -> Fault {
        let (partition, wanted, left) = match misfit {
            Misfit::NoRoom { partition, wanted, left } => (partition, wanted, left),
            Misfit::Empty { partition } => {
                return Fault::new(format!("partition '{}' has no size to speak of", partition.name))
                    .hint(format!("give it {} at least", human(self.grain(sector_size))));
            }
            Misfit::OutOfReach { partition } => {
                let message = format!("partition '{}' lies beyond what an MBR can describe", partition.name);
                return Fault::new(message).hint("use a partition table with the label 'gpt'");
            }
            Misfit::Alignment => {
                return Fault::new(format!("the alignment of {} bytes is no multiple of {sector_size}", self.align));
            }
        };
        let fits = |bytes| self.try_place(bytes, sector_size).is_ok();
        let (name, wanted, left) = (&partition.name, human(wanted), human(left));
        let message = format!("partition '{name}' does not fit on the disk: it takes {wanted}, and {left} is left");
        match smallest(fits) {
            Some(needed) => {
                let missing = human(needed.saturating_sub(disk_bytes));
                let message = format!("{message}; the disk has {} and lacks {missing}", human(disk_bytes));
                Fault::new(message).hint(format!("the layout takes a disk of {} at least", human(needed)))
            }
            None => Fault::new(message).hint("no disk is large enough: a partition before it takes all that is left"),
        }
    }
}

/// The smallest disk, in steps of 64 KiB, that `fits`. Larger disks must fit where smaller ones do,
/// up to the limits of the table.
fn smallest(fits: impl Fn(u64) -> bool) -> Option<u64> {
    let mut high = MIB;
    while !fits(high) {
        high = high.checked_mul(2).filter(|high| *high <= LARGEST)?;
    }
    let mut low = 0;
    while high - low > GRAIN {
        let middle = low + (high - low) / 2 / GRAIN * GRAIN;
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
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
        Faults::or(faults, PlacedLayout { layout: self.clone(), places })
    }

    /// The smallest size of the main disk, in bytes, with which the root filesystem gets at least
    /// `root_bytes`: a multiple of 64 KiB.
    ///
    /// # Errors
    /// A root filesystem whose partition has a fixed size below that, or lies on another disk.
    pub fn disk_size_for_root(&self, root_bytes: u64) -> Result<u64, Fault> {
        let base = self.root().and_then(|root| self.base_of(root));
        let Some((disk, partition)) = base.filter(|(disk, _)| disk.name == MAIN_DISK) else {
            return Err(Fault::new(format!("the root filesystem does not lie on '{MAIN_DISK}'")));
        };
        let (Some(partition), Some(table)) = (partition, &disk.table) else {
            return Ok(root_bytes.next_multiple_of(GRAIN));
        };
        let root_length = |bytes| {
            let placed = table.try_place(bytes, disk.sector_size).ok()?;
            placed.partitions.iter().find(|(number, _)| *number == partition.number).map(|(_, extent)| extent.length)
        };
        smallest(|bytes| root_length(bytes).is_some_and(|length| length >= root_bytes)).ok_or_else(|| {
            let message = format!("the root filesystem takes {}, more than partition", human(root_bytes));
            match partition.size {
                Size::Bytes(bytes) => Fault::new(format!("{message} '{}' has ({})", partition.name, human(bytes))),
                Size::Percent(_) => Fault::new(format!("{message} '{}' can have", partition.name)),
            }
            .hint("give that partition a larger size, or a percentage")
        })
    }
}

impl PlacedLayout {
    /// The extent of the partition called `name`, and the disk that it lies on.
    pub fn extent_of(&self, name: &str) -> Option<(&PlacedDisk, Extent)> {
        self.layout.disks.iter().zip(&self.places).find_map(|(disk, place)| {
            if disk.name == name {
                return Some((place, Extent { start: 0, length: place.size }));
            }
            let partition = disk.table.as_ref()?.partitions.iter().find(|partition| partition.name == name)?;
            let placed = &place.placed.as_ref()?.partitions;
            placed.iter().find(|(number, _)| *number == partition.number).map(|(_, extent)| (place, *extent))
        })
    }
}
