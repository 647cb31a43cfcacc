//! How large a disk has to be, and what is said when it is not.

use super::{GRAIN, LARGEST, MIB, Misfit, PlacedGroup, TableKind, lvm};
use crate::error::Fault;
use crate::plan::disk::lvm::VolumeGroup;
use crate::plan::disk::size::human;
use crate::plan::disk::{DiskLayout, MAIN_DISK, Size, Table};

impl Table {
    /// What sizes are cut down to a multiple of.
    fn grain(&self, sector_size: u32) -> u64 {
        match self.kind {
            TableKind::Mbr => u64::from(sector_size),
            TableKind::Gpt => MIB,
        }
    }

    pub(super) fn fault(&self, misfit: Misfit, disk_bytes: u64, sector_size: u32) -> Fault {
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

impl DiskLayout {
    /// The smallest size of the main disk, in bytes, with which the root filesystem gets at least
    /// `root_bytes`: a multiple of 64 KiB.
    ///
    /// # Errors
    /// A root filesystem whose partition has a fixed size below that, or lies on another disk.
    pub fn disk_size_for_root(&self, root_bytes: u64) -> Result<u64, Fault> {
        if let Some((group, volume)) = self.root().and_then(|root| self.volume_of(root)) {
            return self.disk_size_for_volume(group, &volume.name, root_bytes);
        }
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
    /// The same for a root filesystem on the logical volume `name`.
    fn disk_size_for_volume(&self, group: &VolumeGroup, name: &str, root_bytes: u64) -> Result<u64, Fault> {
        let enough = |bytes| {
            let Ok(groups) = self.try_groups(bytes) else { return false };
            let found = groups.iter().flat_map(|group| &group.logical).find(|volume| volume.name == name);
            found.is_some_and(|volume| volume.extents * group.extent_size >= root_bytes)
        };
        smallest(enough).ok_or_else(|| {
            let needed = human(root_bytes);
            let message = format!("the root filesystem takes {needed}, more than the logical volume '{name}' can have");
            let fault = Fault::new(message);
            fault.hint("give that volume, and the partitions of its group, a larger size")
        })
    }

    /// The smallest size of the main disk, in bytes, on which every volume has its place: a multiple of 64 KiB.
    ///
    /// # Errors
    /// When there is none.
    pub fn disk_size_for_groups(&self) -> Result<u64, Fault> {
        smallest(|bytes| self.try_groups(bytes).is_ok()).ok_or_else(|| {
            let fault = self.place(LARGEST).err().and_then(|faults| faults.0.into_iter().next());
            fault.unwrap_or_else(|| Fault::new("the volume groups fit on no disk"))
        })
    }

    /// The volume groups on a main disk of `bytes`; nothing is said about why one does not fit.
    fn try_groups(&self, bytes: u64) -> Result<Vec<PlacedGroup>, ()> {
        let disks = self.disks.iter().map(|disk| {
            let bytes = disk.size.unwrap_or(bytes);
            let placed = disk.table.as_ref().map(|table| table.try_place(bytes, disk.sector_size)).transpose();
            Ok(super::PlacedDisk { name: disk.name.clone(), size: bytes, placed: placed.map_err(|_| ())? })
        });
        let disks = disks.collect::<Result<Vec<_>, ()>>()?;
        self.volume_groups.iter().map(|group| lvm::place(self, group, &disks).map_err(|_| ())).collect()
    }

    /// What to say when a volume of `group` has no place on a main disk of `bytes`.
    pub(super) fn volume_fault(&self, group: &VolumeGroup, misfit: lvm::Misfit, bytes: u64) -> Fault {
        let unit = human(group.extent_size);
        let (name, short) = (&group.name, matches!(misfit, lvm::Misfit::NoRoom { .. } | lvm::Misfit::NoExtent { .. }));
        let fault = match misfit {
            lvm::Misfit::NoExtent { base } => Fault::new(format!(
                "'{base}' is too small for a physical volume of '{name}', whose extents have {unit}"
            )),
            lvm::Misfit::Empty { volume } => {
                let message = format!("the logical volume '{name}/{}' has no size to speak of", volume.name);
                Fault::new(message).hint(format!("give it {unit} at least"))
            }
            lvm::Misfit::NoRoom { volume, wanted, left } => {
                let (wanted, left) = (human(wanted), human(left));
                let message = format!("the logical volume '{name}/{}' does not fit in its group", volume.name);
                Fault::new(format!("{message}: it takes {wanted}, and {left} is left"))
            }
        };
        let needed = short.then(|| smallest(|bytes| self.try_groups(bytes).is_ok())).flatten();
        match needed {
            Some(needed) if needed > bytes => {
                fault.hint(format!("the layout takes a disk of {} at least", human(needed)))
            }
            _ if short => fault.hint("the partitions of the group have a fixed size that is too small"),
            _ => fault,
        }
    }
}
