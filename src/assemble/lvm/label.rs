//! What stands before the extents of a physical volume: a label that says that it is one, and the metadata area with
//! the group's description.
//!
//! Format: lib/format_text/layout.h and lib/label/label.h of LVM2. All numbers are little-endian.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::plan::disk::place::lvm::PlacedPhysical;

const SECTOR: usize = 512;
/// The label stands in one of the first four sectors; LVM writes the second.
const LABEL_SECTOR: u64 = 1;
/// Where the physical volume's header begins within the label's sector.
const HEADER: usize = 32;
/// Where the metadata area begins: behind one page.
const AREA: u64 = 4096;
/// The header's extension, with the flag "used", has this version.
const EXTENSION_VERSION: u32 = 2;
/// The volume is in a group.
const EXTENSION_USED: u32 = 1;
const AREA_MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
const AREA_VERSION: u32 = 1;
/// LVM's checksums begin with this.
const INITIAL_CRC: u32 = 0xf597_a6cf;

/// Writes label and metadata area. `id` is in the form that LVM shows, with hyphens.
pub(super) fn write(raw: &Path, place: &PlacedPhysical, id: &str, text: &str) -> Result<()> {
    let length = place.start - AREA;
    let file = File::options().write(true).open(raw)?;
    // The text ends with a zero byte, which counts.
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    // LVM writes each new text behind the one before.
    ensure!(bytes.len() as u64 + SECTOR as u64 <= length / 2, "the group's description has no room in {length} bytes");
    let start = place.place.start;
    file.write_all_at(&bytes, start + AREA + SECTOR as u64)?;
    file.write_all_at(&area_header(length, &bytes), start + AREA)?;
    file.write_all_at(&label(id, place.place.length, place.start, length), start + LABEL_SECTOR * SECTOR as u64)?;
    Ok(())
}

/// A sector that is filled from its beginning on.
struct Sector {
    bytes: [u8; SECTOR],
    at: usize,
}

impl Sector {
    fn new() -> Self {
        Self { bytes: [0; SECTOR], at: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
        self
    }

    fn word(&mut self, word: u32) -> &mut Self {
        self.put(&word.to_le_bytes())
    }

    fn long(&mut self, long: u64) -> &mut Self {
        self.put(&long.to_le_bytes())
    }

    /// The sector with the checksum of everything from `from` on, at `at`.
    fn checked(mut self, at: usize, from: usize) -> [u8; SECTOR] {
        let crc = crc(&self.bytes[from..]);
        self.bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// struct label_header, pv_header and pv_header_extension.
fn label(id: &str, size: u64, data: u64, area: u64) -> [u8; SECTOR] {
    let mut sector = Sector::new();
    // The fourth field is the checksum of all that follows it.
    sector.put(b"LABELONE").long(LABEL_SECTOR).word(0).word(HEADER as u32).put(b"LVM2 001");
    sector.put(id.replace('-', "").as_bytes()).long(size);
    // The data reach to the end (length 0). Each list ends with an empty entry.
    sector.long(data).long(0).long(0).long(0);
    sector.long(AREA).long(area).long(0).long(0);
    // No area for boot loaders.
    sector.word(EXTENSION_VERSION).word(EXTENSION_USED).long(0).long(0);
    sector.checked(16, 20)
}

/// struct mda_header with one raw_locn.
fn area_header(length: u64, text: &[u8]) -> [u8; SECTOR] {
    let mut sector = Sector::new();
    sector.word(0).put(AREA_MAGIC).word(AREA_VERSION).long(AREA).long(length);
    // The text's place within the area, its length and checksum; no flags.
    sector.long(SECTOR as u64).long(text.len() as u64).word(crc(text)).word(0);
    sector.checked(0, 4)
}

/// CRC-32 with LVM's initial value, and not inverted in the end.
fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL_CRC);
    hasher.update(bytes);
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by pvcreate and vgcreate 2.03.16 to a file of 100 MiB.
    #[test]
    fn a_label_is_what_pvcreate_writes() {
        let label = label("pUrr42-q1Vk-Npbn-83T5-oQzq-jSBa-MAiHfv", 100 << 20, 1 << 20, (1 << 20) - 4096);
        assert_eq!(label[..8], *b"LABELONE");
        assert_eq!(label[16..20], [0x55, 0x87, 0x6b, 0xfb]);
        assert_eq!(label[24..32], *b"LVM2 001");
    }
}
