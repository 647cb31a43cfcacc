//! Partition tables: written into a raw file, read back with another reader, compared.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{DiskDevice, GptConfig};

use super::identity::DiskIdentity;
use super::mbr;
use crate::error::on;
use crate::plan::disk::{Disk, Extent, PartitionType, Table, TableKind};

/// A partition in its place, in sectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name: GPT stores it.
    pub name: String,
    /// Number as Linux counts.
    pub number: u32,
    /// Type.
    pub kind: PartitionType,
    /// MBR: active.
    pub boot: bool,
    /// MBR: inside the extended partition.
    pub logical: bool,
    /// First sector.
    pub first: u64,
    /// Number of sectors.
    pub count: u64,
}

/// Writes the partition table of `disk` to `raw`, whose length is the disk's size, and reads it back.
/// The boot code area of the first sector keeps its content.
///
/// # Errors
/// When a partition has no place or does not fit the table's format, or the file cannot be written.
pub fn write(raw: &Path, disk: &Disk, extents: &[(u32, Extent)], identity: &DiskIdentity) -> Result<()> {
    let Some(table) = &disk.table else { return Ok(()) };
    let file = File::options().read(true).write(true).open(raw).with_context(|| on("opening", raw))?;
    let sector = u64::from(disk.sector_size);
    let size = file.metadata().with_context(|| on("looking at", raw))?.len();
    let entries = entries(table, extents, sector, size)?;
    let what = || format!("writing the partition table of {}", raw.display());
    match table.kind {
        TableKind::Mbr => {
            let align = (table.align / sector).max(1);
            mbr::write(&file, &entries, identity.mbr_id, sector, size / sector, align).with_context(what)?;
            verify_mbr(&file, &entries, identity.mbr_id, sector).with_context(what)?;
        }
        TableKind::Gpt => {
            write_gpt(&file, &entries, identity, sector, size).with_context(what)?;
            verify_gpt(&file, &entries, identity, sector).with_context(what)?;
        }
    }
    file.sync_all().with_context(|| on("syncing", raw))
}

/// Brings partitions and their places together, in order of number, and checks that they lie side by side.
fn entries(table: &Table, extents: &[(u32, Extent)], sector: u64, size: u64) -> Result<Vec<Entry>> {
    let places: BTreeMap<u32, Extent> = extents.iter().copied().collect();
    let mut entries = Vec::new();
    for partition in &table.partitions {
        let name = &partition.name;
        let place = places.get(&partition.number).with_context(|| format!("partition {name} has no place"))?;
        ensure!(place.start.is_multiple_of(sector), "partition {name} does not start at a sector of {sector} bytes");
        ensure!(place.length >= sector, "partition {name} is smaller than a sector");
        ensure!(place.start + place.length <= size, "partition {name} reaches beyond the end of the disk");
        entries.push(Entry {
            name: name.clone(),
            number: partition.number,
            kind: partition.kind,
            boot: partition.boot,
            logical: partition.logical,
            first: place.start / sector,
            count: place.length / sector,
        });
    }
    entries.sort_by_key(|e| e.number);
    let mut by_place: Vec<&Entry> = entries.iter().collect();
    by_place.sort_by_key(|e| e.first);
    for pair in by_place.windows(2) {
        let end = pair[0].first + pair[0].count;
        ensure!(end <= pair[1].first, "partitions {} and {} overlap", pair[0].name, pair[1].name);
    }
    Ok(entries)
}

fn verify_mbr(file: &File, entries: &[Entry], disk_id: u32, sector: u64) -> Result<()> {
    let sector = u32::try_from(sector).expect("sectors are 512 or 4096 bytes");
    let mut reader = file;
    let read = mbrman::MBR::read_from(&mut reader, sector).context("reading the table back")?;
    ensure!(read.header.disk_signature == disk_id.to_le_bytes(), "the disk id was not stored");
    for entry in entries {
        let found = read.get(entry.number as usize).filter(|p| p.is_used());
        let Some(found) = found else { bail!("partition {} was not stored", entry.number) };
        let same = u64::from(found.starting_lba) == entry.first && u64::from(found.sectors) == entry.count;
        ensure!(same, "partition {} was stored with other numbers", entry.number);
    }
    Ok(())
}

fn block_size(sector: u64) -> Result<LogicalBlockSize> {
    LogicalBlockSize::try_from(sector).with_context(|| format!("GPT with sectors of {sector} bytes"))
}

fn write_gpt<D: DiskDevice>(device: D, entries: &[Entry], ids: &DiskIdentity, sector: u64, size: u64) -> Result<()> {
    let mut device = device;
    let last = u32::try_from(size / sector - 1).unwrap_or(u32::MAX);
    // Only the entries and the signature: boot code that is there already stays.
    let mut protective = ProtectiveMBR::with_lb_size(last);
    if let Ok(code) = gpt::mbr::read_bootcode(&mut device) {
        protective.set_bootcode(code);
    }
    protective.overwrite_lba0(&mut device).context("writing the protective MBR")?;
    let config = GptConfig::new().writable(true).logical_block_size(block_size(sector)?);
    let mut disk = config.create_from_device(device, Some(ids.guid)).context("making an empty GPT")?;
    for entry in entries {
        let PartitionType::Gpt(guid) = entry.kind else {
            bail!("partition {} has an MBR type in a GPT", entry.name);
        };
        ensure!(
            entry.name.encode_utf16().count() <= 36,
            "the GPT partition name '{}' is longer than 36 letters",
            entry.name
        );
        let kind = Type { guid, os: OperatingSystem::None };
        disk.add_partition_at(&entry.name, entry.number, entry.first, entry.count, kind, 0)
            .with_context(|| format!("adding partition {}", entry.name))?;
    }
    let mut partitions = disk.take_partitions();
    for (number, partition) in &mut partitions {
        if let Some(guid) = ids.partitions.get(number) {
            partition.part_guid = *guid;
        }
    }
    disk.update_partitions(partitions).context("storing the partition GUIDs")?;
    disk.write().map(drop).context("writing the GPT")
}

fn verify_gpt<D: DiskDevice>(device: D, entries: &[Entry], ids: &DiskIdentity, sector: u64) -> Result<()> {
    let config = GptConfig::new().only_valid_headers(true).logical_block_size(block_size(sector)?);
    let disk = config.open_from_device(device).context("reading the table back")?;
    ensure!(disk.guid() == &ids.guid, "the disk GUID was not stored");
    for entry in entries {
        let found = disk.partitions().get(&entry.number);
        let Some(found) = found else { bail!("partition {} was not stored", entry.number) };
        let same = found.first_lba == entry.first && found.last_lba == entry.first + entry.count - 1;
        ensure!(same, "partition {} was stored with other numbers", entry.number);
        let known = ids.partitions.get(&entry.number).is_none_or(|guid| *guid == found.part_guid);
        ensure!(known && found.name == entry.name, "partition {} was stored with another name", entry.number);
    }
    Ok(())
}
