//! The DOS master boot record and its chain of extended boot records, written byte by byte.
//!
//! Format: a 512-byte sector with four 16-byte entries at 446 and 55 AA at 510. Logical partitions are a
//! linked list: each extended boot record (EBR) holds the partition, relative to itself, and the next EBR,
//! relative to the extended partition. The kernel's reader is block/partitions/msdos.c.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

use super::table::Entry;
use crate::plan::disk::PartitionType;

/// Length of the boot code area, which is left as it is.
const BOOT_CODE: u64 = 440;
/// Offset of the disk id.
const DISK_ID: u64 = 440;
/// Offset of the first entry.
const ENTRIES: u64 = 446;
/// An extended partition whose sectors are addressed by LBA.
const EXTENDED_LBA: u8 = 0x0f;
/// A link of the EBR chain.
const EXTENDED: u8 = 0x05;

/// Writes the table of `entries` (positions in sectors of `sector` bytes) to a disk of `sectors` sectors.
/// `align` is the distance, in sectors, between an EBR and its partition.
///
/// # Errors
/// When the entries do not fit the format, or writing fails.
pub fn write(file: &File, entries: &[Entry], disk_id: u32, sector: u64, sectors: u64, align: u64) -> Result<()> {
    let (logical, primary): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|e| e.logical);
    let extended = extended_area(&logical, sectors, align)?;
    ensure!(
        primary.len() + usize::from(extended.is_some()) <= 4,
        "an MBR holds four primary partitions (an extended one counts), not {}",
        primary.len() + usize::from(extended.is_some())
    );
    let mut slots = [[0u8; 16]; 4];
    for entry in &primary {
        let slot = (entry.number as usize).checked_sub(1).and_then(|n| slots.get_mut(n));
        let Some(slot) = slot else { bail!("a primary MBR partition cannot have the number {}", entry.number) };
        *slot = record(type_byte(entry)?, entry.boot, entry.first, entry.first, entry.count)?;
    }
    if let Some((first, count)) = extended {
        let free = slots.iter_mut().find(|s| s[4] == 0).context("no entry is left for the extended partition")?;
        *free = record(EXTENDED_LBA, false, first, first, count)?;
        write_chain(file, &logical, first, sector, align)?;
    }
    let mut rest = [0u8; (512 - BOOT_CODE) as usize];
    rest[..4].copy_from_slice(&disk_id.to_le_bytes());
    let start = (ENTRIES - DISK_ID) as usize;
    rest[start..start + 64].copy_from_slice(slots.as_flattened());
    rest[70..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all_at(&rest, DISK_ID).context("writing the master boot record")
}

/// The extended partition: from the first EBR to the end of the disk.
fn extended_area(logical: &[&Entry], sectors: u64, align: u64) -> Result<Option<(u64, u64)>> {
    let Some(first) = logical.first() else { return Ok(None) };
    let start =
        first.first.checked_sub(align).filter(|s| *s > 0).context("no room before the first logical partition")?;
    let numbers: Vec<u32> = logical.iter().map(|e| e.number).collect();
    let wanted: Vec<u32> = (5..).take(logical.len()).collect();
    ensure!(numbers == wanted, "logical partitions are numbered from 5 without a gap, not {numbers:?}");
    Ok(Some((start, sectors - start)))
}

fn write_chain(file: &File, logical: &[&Entry], extended: u64, sector: u64, align: u64) -> Result<()> {
    for (i, entry) in logical.iter().enumerate() {
        let ebr = entry.first - align;
        let mut block = [0u8; 512];
        block[446..462].copy_from_slice(&record(type_byte(entry)?, entry.boot, align, entry.first, entry.count)?);
        if let Some(next) = logical.get(i + 1) {
            let next_ebr = next.first - align;
            let link = record(EXTENDED, false, next_ebr - extended, next_ebr, align + next.count)?;
            block[462..478].copy_from_slice(&link);
        }
        block[510..].copy_from_slice(&[0x55, 0xaa]);
        file.write_all_at(&block, ebr * sector).context("writing an extended boot record")?;
    }
    Ok(())
}

fn type_byte(entry: &Entry) -> Result<u8> {
    match entry.kind {
        PartitionType::Mbr(byte) => Ok(byte),
        PartitionType::Gpt(guid) => bail!("partition {} has a GPT type, {guid}, in an MBR", entry.name),
    }
}

/// One table entry. `start` is what the LBA field says, `absolute` the place on the disk, which CHS speaks of.
fn record(kind: u8, boot: bool, start: u64, absolute: u64, count: u64) -> Result<[u8; 16]> {
    let too_far = "an MBR cannot describe what lies beyond 2^32 sectors; use GPT";
    let mut bytes = [0u8; 16];
    bytes[0] = if boot { 0x80 } else { 0 };
    bytes[1..4].copy_from_slice(&chs(absolute));
    bytes[4] = kind;
    bytes[5..8].copy_from_slice(&chs(absolute + count - 1));
    bytes[8..12].copy_from_slice(&u32::try_from(start).context(too_far)?.to_le_bytes());
    bytes[12..].copy_from_slice(&u32::try_from(count).context(too_far)?.to_le_bytes());
    Ok(bytes)
}

/// Cylinder, head, sector of an LBA in the geometry that every BIOS assumes: 255 heads, 63 sectors.
/// What cannot be expressed is the highest address, FE FF FF.
fn chs(lba: u64) -> [u8; 3] {
    const HEADS: u64 = 255;
    const SECTORS: u64 = 63;
    let cylinder = lba / (HEADS * SECTORS);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    let head = lba / SECTORS % HEADS;
    let sector = lba % SECTORS + 1;
    // The two high bits of the cylinder stand above the six of the sector.
    [head as u8, (sector | (cylinder >> 8) << 6) as u8, cylinder as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chs_addresses_are_right_beyond_cylinder_four() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(2048), [32, 33, 0]);
        // sfdisk prints (522,42,32) for this one.
        assert_eq!(chs(8388607), [0x2a, 0x20 | 0x80, 0x0a]);
        assert_eq!(chs(1024 * 255 * 63 - 1), [0xfe, 0xff, 0xff]);
        assert_eq!(chs(u64::from(u32::MAX)), [0xfe, 0xff, 0xff]);
    }

    #[test]
    fn a_disk_beyond_two_tebibytes_is_refused() {
        let error = record(0x83, false, 1 << 33, 1 << 33, 5).unwrap_err();
        assert!(error.to_string().contains("use GPT"));
    }
}
