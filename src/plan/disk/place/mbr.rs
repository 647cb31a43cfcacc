//! Places of MBR partitions, extended and logical ones among them.

use super::{Extended, Misfit, Placed};
use crate::plan::disk::{Extent, Partition, Size, Table};

/// Walks along the disk.
struct Walk<'a> {
    table: &'a Table,
    /// The disk in bytes, whole sectors.
    disk: u64,
    sector: u64,
    /// Where the next partition may begin: a multiple of the alignment.
    next: u64,
}

pub(super) fn place(table: &Table, disk_bytes: u64, sector: u64) -> Result<Placed, Misfit<'_>> {
    if table.align == 0 || !table.align.is_multiple_of(sector) {
        return Err(Misfit::Alignment);
    }
    let mut walk = Walk { table, disk: disk_bytes / sector * sector, sector, next: table.align };
    let mut partitions = Vec::new();
    let mut extended: Option<Extended> = None;
    for partition in &table.partitions {
        let mut start = walk.next;
        if partition.logical {
            let number = partitions.len() as u32 + 1;
            let held = extended.get_or_insert_with(|| Extended { number, extent: walk.rest(), records: Vec::new() });
            held.records.push(start);
            // The boot record has an alignment for itself, so that the data is aligned too.
            start += table.align;
        }
        partitions.push((partition.number, walk.take(partition, start)?));
    }
    Ok(Placed { partitions, extended })
}

impl<'a> Walk<'a> {
    /// All from the next free byte to the end of the disk.
    fn rest(&self) -> Extent {
        Extent { start: self.next, length: self.disk.saturating_sub(self.next) }
    }

    fn take(&mut self, partition: &'a Partition, start: u64) -> Result<Extent, Misfit<'a>> {
        // One alignment is kept back: it holds the boot record of a logical partition, and stays free
        // behind a primary one that takes all.
        let free = self.disk.saturating_sub(self.next.saturating_add(self.table.align));
        let wanted = partition.size.of(free);
        let length = wanted / self.sector * self.sector;
        let left = self.disk.saturating_sub(start);
        if length > left {
            return Err(Misfit::NoRoom { partition, wanted, left });
        }
        if length == 0 {
            return Err(match partition.size {
                Size::Percent(percent) if percent > 0.0 && free == 0 => {
                    Misfit::NoRoom { partition, wanted: self.sector, left: 0 }
                }
                _ => Misfit::Empty { partition },
            });
        }
        // Start and length of an entry are numbers of sectors in 32 bits. The extended partition, which
        // reaches to the end of the disk, has an entry too.
        let longest = if partition.logical { self.disk - self.next } else { length };
        if start.max(longest) / self.sector > u64::from(u32::MAX) {
            return Err(Misfit::OutOfReach { partition });
        }
        self.next = (start + length).next_multiple_of(self.table.align);
        Ok(Extent { start, length })
    }
}
