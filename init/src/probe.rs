//! What is on a block device: file systems and LVM by their superblocks, partitions by their tables.
//!
//! Sources: the kernel's headers of each file system (`fs/ext4/ext4.h`, `fs/xfs/libxfs/xfs_format.h`,
//! `include/uapi/linux/btrfs_tree.h`, `fs/squashfs/squashfs_fs.h`), ECMA-119, LVM2's `lib/format_text/layout.h`,
//! the UEFI specification for GPT.

use std::fmt::Write as _;
use std::io::{self, Read, Seek, SeekFrom};

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The type as `mount` names it, `LVM2_member` for a physical volume, `swap`.
    pub kind: String,
    /// The UUID as it is written in fstab; empty if there is none.
    pub uuid: String,
    /// The label; empty if there is none.
    pub label: String,
}

/// A partition's identity in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number, from 1.
    pub number: u32,
    /// `PARTUUID`, in lower case.
    pub uuid: String,
    /// `PARTLABEL`; empty on MBR.
    pub label: String,
}

/// Reads `len` bytes at an offset; less at the end of a device.
fn at(device: &mut (impl Read + Seek), offset: u64, len: usize) -> io::Result<Vec<u8>> {
    device.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::with_capacity(len);
    device.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells what a device holds, if it is one of the things that a root can be on.
///
/// # Errors
/// What the operating system says.
pub fn identify(device: &mut (impl Read + Seek)) -> io::Result<Option<Identity>> {
    let start = at(device, 0, 0x11000)?;
    let found = lvm(&start).or_else(|| ext(&start)).or_else(|| xfs(&start)).or_else(|| btrfs(&start));
    Ok(found.or_else(|| squashfs(&start)).or_else(|| iso9660(&start)).or_else(|| swap(&start)).or_else(|| fat(&start)))
}

/// A part of the bytes, if it is there.
fn part(bytes: &[u8], offset: usize, len: usize) -> Option<&[u8]> {
    bytes.get(offset..offset.checked_add(len)?)
}

fn has(bytes: &[u8], offset: usize, magic: &[u8]) -> bool {
    part(bytes, offset, magic.len()) == Some(magic)
}

fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(part(bytes, offset, 2)?.try_into().ok()?))
}

fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(part(bytes, offset, 4)?.try_into().ok()?))
}

fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(part(bytes, offset, 8)?.try_into().ok()?))
}

/// Sixteen bytes as a UUID is written.
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A text that ends at the first zero.
fn label(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn ext(bytes: &[u8]) -> Option<Identity> {
    let block = part(bytes, 1024, 1024).filter(|b| has(b, 0x38, &[0x53, 0xef]))?;
    let (compatible, incompatible) = (le32(block, 0x5c)?, le32(block, 0x60)?);
    let read_only = le32(block, 0x64)?;
    // A journal device of its own is nothing to mount.
    if incompatible & 0x8 != 0 {
        return None;
    }
    // Extents, 64 bit, flex_bg and what came later make ext4; a journal makes ext3.
    let four = incompatible & !0x16 != 0 || read_only & !0x7 != 0;
    let kind = if four {
        "ext4"
    } else if compatible & 0x4 != 0 {
        "ext3"
    } else {
        "ext2"
    };
    Some(Identity { kind: kind.to_owned(), uuid: uuid(&block[0x68..0x78]), label: label(&block[0x78..0x88]) })
}

fn xfs(bytes: &[u8]) -> Option<Identity> {
    has(bytes, 0, b"XFSB").then_some(())?;
    let (id, name) = (part(bytes, 32, 16)?, part(bytes, 108, 12)?);
    Some(Identity { kind: "xfs".to_owned(), uuid: uuid(id), label: label(name) })
}

fn btrfs(bytes: &[u8]) -> Option<Identity> {
    let block = part(bytes, 0x10000, 0x400).filter(|b| has(b, 0x40, b"_BHRfS_M"))?;
    Some(Identity { kind: "btrfs".to_owned(), uuid: uuid(&block[0x20..0x30]), label: label(&block[0x12b..0x22b]) })
}

fn squashfs(bytes: &[u8]) -> Option<Identity> {
    has(bytes, 0, b"hsqs").then(|| Identity { kind: "squashfs".to_owned(), ..Identity::default() })
}

fn iso9660(bytes: &[u8]) -> Option<Identity> {
    let block = part(bytes, 0x8000, 0x800).filter(|b| has(b, 1, b"CD001"))?;
    // The date of the volume stands for a UUID, in digits: 2026-11-22-02-03-04-05.
    let digits = String::from_utf8_lossy(&block[813..829]).into_owned();
    let date = (digits.bytes().all(|b| b.is_ascii_digit()) && digits.bytes().any(|b| b != b'0')).then(|| {
        let parts = [
            &digits[..4],
            &digits[4..6],
            &digits[6..8],
            &digits[8..10],
            &digits[10..12],
            &digits[12..14],
            &digits[14..16],
        ];
        parts.join("-")
    });
    let name = label(&block[40..72]).trim_end().to_owned();
    Some(Identity { kind: "iso9660".to_owned(), uuid: date.unwrap_or_default(), label: name })
}

fn swap(bytes: &[u8]) -> Option<Identity> {
    has(bytes, 4086, b"SWAPSPACE2").then_some(())?;
    let (id, name) = (part(bytes, 1024 + 12, 16)?, part(bytes, 1024 + 28, 16)?);
    Some(Identity { kind: "swap".to_owned(), uuid: uuid(id), label: label(name) })
}

fn fat(bytes: &[u8]) -> Option<Identity> {
    let (at, name) = if has(bytes, 82, b"FAT32   ") {
        (67, 71)
    } else if has(bytes, 54, b"FAT16   ") || has(bytes, 54, b"FAT12   ") {
        (39, 43)
    } else {
        return None;
    };
    let id = le32(bytes, at)?;
    let name = label(part(bytes, name, 11)?).trim_end().to_owned();
    let name = if name == "NO NAME" { String::new() } else { name };
    Some(Identity { kind: "vfat".to_owned(), uuid: format!("{:04X}-{:04X}", id >> 16, id & 0xffff), label: name })
}

/// A physical volume: the label is in one of the first four sectors.
fn lvm(bytes: &[u8]) -> Option<Identity> {
    let sector =
        (0..4).filter_map(|n| part(bytes, n * 512, 512)).find(|s| has(s, 0, b"LABELONE") && has(s, 24, b"LVM2 001"))?;
    let id = String::from_utf8_lossy(&sector[32..64]).into_owned();
    let parts = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32].map(|r| id.get(r).unwrap_or_default().to_owned());
    Some(Identity { kind: "LVM2_member".to_owned(), uuid: parts.join("-"), label: String::new() })
}

/// Reads the partition table of a disk, GPT or MBR with logical partitions. No table gives no partitions.
///
/// # Errors
/// What the operating system says.
pub fn partitions(disk: &mut (impl Read + Seek), sector: u64) -> io::Result<Vec<Partition>> {
    let mbr = at(disk, 0, 512)?;
    if !has(&mbr, 510, &[0x55, 0xaa]) {
        return Ok(Vec::new());
    }
    let header = at(disk, sector, 92)?;
    if has(&header, 0, b"EFI PART") {
        return gpt(disk, sector, &header);
    }
    let Some(id) = le32(&mbr, 440) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut extended = None;
    for (number, entry) in (1..).zip(mbr[446..510].chunks_exact(16)) {
        match entry[4] {
            0 => continue,
            5 | 0xf | 0x85 => extended = le32(entry, 8).map(u64::from),
            _ => {}
        }
        found.push(number);
    }
    if let Some(start) = extended {
        found.extend(5..5 + logical(disk, sector, start)?);
    }
    let partition = |number| Partition { number, uuid: format!("{id:08x}-{number:02x}"), label: String::new() };
    Ok(found.into_iter().map(partition).collect())
}

/// How many logical partitions the extended one at `start` (in sectors) has.
fn logical(disk: &mut (impl Read + Seek), sector: u64, start: u64) -> io::Result<u32> {
    let (mut next, mut count) = (start, 0);
    // A chain that is longer, or goes in a circle, is damaged.
    while count < 128 {
        let table = at(disk, next * sector, 512)?;
        if !has(&table, 510, &[0x55, 0xaa]) || table[446 + 4] == 0 {
            break;
        }
        count += 1;
        match (table[462 + 4], le32(&table, 462 + 8)) {
            (5 | 0xf | 0x85, Some(offset)) if offset != 0 => next = start + u64::from(offset),
            _ => break,
        }
    }
    Ok(count)
}

fn gpt(disk: &mut (impl Read + Seek), sector: u64, header: &[u8]) -> io::Result<Vec<Partition>> {
    let (Some(start), Some(count), Some(size)) = (le64(header, 72), le32(header, 80), le32(header, 84)) else {
        return Ok(Vec::new());
    };
    if !(128..=4096).contains(&size) || count > 1024 {
        return Ok(Vec::new());
    }
    let entries = at(disk, start.saturating_mul(sector), (count * size) as usize)?;
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(size as usize)) {
        if entry[..16] == [0; 16] {
            continue;
        }
        let units: Vec<u16> =
            entry[56..128].chunks_exact(2).filter_map(|c| le16(c, 0)).take_while(|u| *u != 0).collect();
        found.push(Partition { number, uuid: guid(&entry[16..32]), label: String::from_utf16_lossy(&units) });
    }
    Ok(found)
}

/// A GUID is a UUID whose first three fields are little-endian.
fn guid(bytes: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    uuid(&order.map(|i| bytes[i]))
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
