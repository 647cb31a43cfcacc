//! Places of GPT partitions.

use super::{MIB, Misfit, Placed};
use crate::plan::disk::{Extent, Size, Table};

pub(super) fn place(table: &Table, disk_bytes: u64) -> Result<Placed, Misfit<'_>> {
    // The first MiB holds the table, the last one its copy.
    let mut free = disk_bytes.saturating_sub(2 * MIB);
    let mut start = MIB;
    let mut partitions = Vec::new();
    for partition in &table.partitions {
        let wanted = partition.size.of(free);
        if wanted > free {
            return Err(Misfit::NoRoom { partition, wanted, left: free });
        }
        // Whole MiB keep every partition aligned; what a size has beyond them is not given to others.
        let length = wanted / MIB * MIB;
        if length == 0 {
            return Err(match partition.size {
                Size::Percent(percent) if percent > 0.0 => Misfit::NoRoom { partition, wanted: MIB, left: wanted },
                _ => Misfit::Empty { partition },
            });
        }
        partitions.push((partition.number, Extent { start, length }));
        start += length;
        free -= wanted;
    }
    Ok(Placed { partitions, extended: None })
}
