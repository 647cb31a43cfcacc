//! Finishes what `mke2fs -d` leaves undone: the root directory gets its owner, mode and time, and, for a build
//! that can be repeated, no inode keeps a time stamp of the build machine.
//!
//! mke2fs takes ctime from the source tree, where nobody can set it. Format: the kernel's
//! Documentation/filesystems/ext4 (superblock, group descriptors, inodes, checksums).

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::error::on;

const ROOT_INODE: u32 = 2;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
const RO_COMPAT_GDT_CSUM: u32 = 0x10;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
const GROUP_INODES_UNUSED: u16 = 0x1;

/// The parts of the superblock that lead to the inodes.
struct Geometry {
    block_size: u64,
    inodes_per_group: u32,
    inode_size: usize,
    groups: u64,
    descriptors: u64,
    descriptor_size: usize,
    group_flags: bool,
    /// The checksums' seed, if inodes carry one.
    seed: Option<u32>,
}

/// Changes the inodes of the filesystem at `offset` of `image`.
///
/// # Errors
/// When the filesystem cannot be read or written.
pub fn finish(image: &Path, offset: u64, source: Option<&Path>, epoch: Option<i64>) -> Result<()> {
    let root = source.map(|s| s.metadata().with_context(|| on("looking at", s))).transpose()?;
    if root.is_none() && epoch.is_none() {
        return Ok(());
    }
    let file = File::options().read(true).write(true).open(image).with_context(|| on("opening", image))?;
    let geometry = Geometry::read(&file, offset)?;
    let groups = if epoch.is_some() { geometry.groups } else { 1 };
    for group in 0..groups {
        geometry.each_inode(&file, offset, group, |number, inode| {
            let mut changed = false;
            if let (ROOT_INODE, Some(meta)) = (number, &root) {
                set_root(inode, meta);
                changed = true;
            }
            if let Some(epoch) = epoch {
                clamp_times(inode, epoch);
                changed = true;
            }
            changed
        })?;
    }
    Ok(())
}

impl Geometry {
    fn read(file: &File, offset: u64) -> Result<Self> {
        let mut block = [0u8; 1024];
        file.read_exact_at(&mut block, offset + 1024).context("reading the superblock")?;
        ensure!(u16_at(&block, 56) == 0xef53, "no ext superblock where mke2fs was to write one");
        let block_size = 1024u64 << u32_at(&block, 24);
        let incompat = u32_at(&block, 96);
        let ro_compat = u32_at(&block, 100);
        ensure!(incompat & INCOMPAT_META_BG == 0, "the mkfs option meta_bg is not supported");
        let mut blocks = u64::from(u32_at(&block, 4));
        let mut descriptor_size = 32;
        if incompat & INCOMPAT_64BIT != 0 {
            blocks |= u64::from(u32_at(&block, 0x150)) << 32;
            descriptor_size = usize::from(u16_at(&block, 254));
        }
        let first = u64::from(u32_at(&block, 20));
        let seed =
            if incompat & INCOMPAT_CSUM_SEED != 0 { u32_at(&block, 0x270) } else { crc32c(!0, &block[104..120]) };
        Ok(Self {
            block_size,
            inodes_per_group: u32_at(&block, 40),
            inode_size: if u32_at(&block, 76) == 0 { 128 } else { usize::from(u16_at(&block, 88)) },
            groups: (blocks - first).div_ceil(u64::from(u32_at(&block, 32))),
            descriptors: (first + 1) * block_size,
            descriptor_size,
            group_flags: ro_compat & (RO_COMPAT_GDT_CSUM | RO_COMPAT_METADATA_CSUM) != 0,
            seed: (ro_compat & RO_COMPAT_METADATA_CSUM != 0).then_some(seed),
        })
    }

    /// Calls `change` for each inode of a group that is in use, and writes back those that it changed.
    fn each_inode(
        &self,
        file: &File,
        offset: u64,
        group: u64,
        mut change: impl FnMut(u32, &mut [u8]) -> bool,
    ) -> Result<()> {
        let mut descriptor = vec![0u8; self.descriptor_size];
        let at = offset + self.descriptors + group * self.descriptor_size as u64;
        file.read_exact_at(&mut descriptor, at).context("reading a group descriptor")?;
        let wide = self.descriptor_size >= 64;
        let mut table = u64::from(u32_at(&descriptor, 8));
        let mut unused = u32::from(u16_at(&descriptor, 0x1c));
        if wide {
            table |= u64::from(u32_at(&descriptor, 0x28)) << 32;
            unused |= u32::from(u16_at(&descriptor, 0x32)) << 16;
        }
        if self.group_flags && u16_at(&descriptor, 0x12) & GROUP_INODES_UNUSED != 0 {
            return Ok(());
        }
        let used = if self.group_flags { self.inodes_per_group - unused } else { self.inodes_per_group };
        let mut inodes = vec![0u8; used as usize * self.inode_size];
        let table = offset + table * self.block_size;
        file.read_exact_at(&mut inodes, table).context("reading an inode table")?;
        let mut dirty = false;
        for (i, inode) in inodes.chunks_exact_mut(self.inode_size).enumerate() {
            if u16_at(inode, 0) == 0 {
                continue;
            }
            let number = group as u32 * self.inodes_per_group + i as u32 + 1;
            if change(number, inode) {
                self.sign(number, inode);
                dirty = true;
            }
        }
        if dirty {
            file.write_all_at(&inodes, table).context("writing an inode table")?;
        }
        Ok(())
    }

    fn sign(&self, number: u32, inode: &mut [u8]) {
        let Some(seed) = self.seed else { return };
        let high = has_extra(inode, 0x84);
        inode[0x7c..0x7e].fill(0);
        if high {
            inode[0x82..0x84].fill(0);
        }
        let mut sum = crc32c(seed, &number.to_le_bytes());
        sum = crc32c(sum, &inode[0x64..0x68]);
        sum = crc32c(sum, inode);
        inode[0x7c..0x7e].copy_from_slice(&(sum as u16).to_le_bytes());
        if high {
            inode[0x82..0x84].copy_from_slice(&((sum >> 16) as u16).to_le_bytes());
        }
    }
}

/// Whether a large inode's extra fields reach up to `end`.
fn has_extra(inode: &[u8], end: usize) -> bool {
    inode.len() > 128 && 128 + usize::from(u16_at(inode, 0x80)) >= end
}

fn set_root(inode: &mut [u8], meta: &std::fs::Metadata) {
    let mode = (u16_at(inode, 0) & 0xf000) | (meta.mode() & 0o7777) as u16;
    inode[0..2].copy_from_slice(&mode.to_le_bytes());
    for (id, low, high) in [(meta.uid(), 2, 0x78), (meta.gid(), 0x18, 0x7a)] {
        inode[low..low + 2].copy_from_slice(&(id as u16).to_le_bytes());
        inode[high..high + 2].copy_from_slice(&((id >> 16) as u16).to_le_bytes());
    }
    set_time(inode, 0x10, 0x88, meta.mtime());
}

/// Sets all four times to the modification time, or to `epoch` if that is later.
fn clamp_times(inode: &mut [u8], epoch: i64) {
    let extra = if has_extra(inode, 0x8c) { u32_at(inode, 0x88) } else { 0 };
    let mtime = i64::from(u32_at(inode, 0x10) as i32) + (i64::from(extra & 3) << 32);
    let time = mtime.min(epoch);
    for (field, extra) in [(0x8, 0x8c), (0xc, 0x84), (0x10, 0x88)] {
        set_time(inode, field, extra, time);
    }
    if has_extra(inode, 0x98) {
        set_time(inode, 0x90, 0x94, time);
    }
}

/// The seconds' low 32 bits are signed; two more bits stand at the low end of the extra field.
fn set_time(inode: &mut [u8], field: usize, extra: usize, seconds: i64) {
    inode[field..field + 4].copy_from_slice(&(seconds as u32).to_le_bytes());
    if has_extra(inode, extra + 4) {
        let beyond = ((seconds - i64::from(seconds as i32)) >> 32) as u32 & 3;
        inode[extra..extra + 4].copy_from_slice(&beyond.to_le_bytes());
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// CRC-32C (Castagnoli) without the final inversion, as ext4 uses it.
fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |sum, byte| CRC32C[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

static CRC32C: [u32; 256] = crc32c_table();

const fn crc32c_table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn times_beyond_2038_keep_their_high_bits() {
        let mut inode = [0u8; 256];
        inode[0x80] = 32;
        let late = 5_000_000_000;
        set_time(&mut inode, 0x10, 0x88, late);
        clamp_times(&mut inode, late + 1);
        assert_eq!(u32_at(&inode, 0x90), late as u32);
        assert_eq!(u32_at(&inode, 0x94), 1);
        clamp_times(&mut inode, 1_700_000_000);
        assert_eq!(u32_at(&inode, 0x8), 1_700_000_000);
        assert_eq!(u32_at(&inode, 0x8c), 0);
    }
}
