//! What an initramfs costs: on disk, unpacked, and in memory while the kernel unpacks it.

use std::fmt;

use anyhow::{Context, Result};

use crate::assemble::initramfs::entry::Entry;

/// A page of memory, in bytes: files take whole ones.
const PAGE: u64 = 4096;
/// What a file takes beside its content: its inode and its name in the kernel's memory (ramfs, measured on Linux 6.1).
const INODE: u64 = 1024;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// As it lies on the disk.
    pub compressed: u64,
    /// The contents of all files.
    pub unpacked: u64,
    /// What the kernel needs at the worst moment: the packed image, which it holds until all is unpacked, and the files.
    pub peak: u64,
}

impl Budget {
    /// Counts.
    ///
    /// # Errors
    /// When a file of the host cannot be looked at.
    pub fn of(entries: &[Entry], compressed: u64) -> Result<Self> {
        let (mut unpacked, mut held) = (0, 0);
        for entry in entries {
            let size = entry.content.size().with_context(|| format!("reading {}", entry.shown()))?;
            unpacked += size;
            held += size.next_multiple_of(PAGE) + INODE;
        }
        Ok(Self { compressed, unpacked, peak: compressed + held })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:.1} MiB packed, {:.1} MiB unpacked, {:.1} MiB of memory at most while it boots",
            mib(self.compressed),
            mib(self.unpacked),
            mib(self.peak)
        )
    }
}
