//! Filesystems: made inside a raw disk file, at an offset, and filled from a tree in the same step.

use std::path::Path;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::{ext, fat, kernel, swap};
use crate::error::{EXIT_BUILD, ExitWith};
use crate::plan::disk::{Extent, Filesystem};
use crate::report::Reporter;

/// One filesystem to make.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// What it is.
    pub filesystem: &'a Filesystem,
    /// Its UUID.
    pub uuid: Uuid,
    /// The raw file.
    pub image: &'a Path,
    /// Where it lies in the raw file.
    pub extent: Extent,
    /// The disk's bytes per sector.
    pub sector_size: u32,
    /// No time stamp in it is later than this, in seconds.
    pub epoch: Option<i64>,
    /// A directory for mount points.
    pub work: &'a Path,
}

impl Job<'_> {
    /// Its length in whole KiB, which is what the mkfs programs take.
    pub fn kibibytes(&self) -> u64 {
        self.extent.length / 1024
    }

    /// How it is called in messages.
    pub fn title(&self) -> String {
        format!("{} ({}, {})", self.filesystem.name, self.filesystem.kind, human(self.extent.length))
    }
}

/// Makes the filesystem and fills it from `source`, whose own owner, mode and attributes its root directory gets;
/// without a source it stays empty.
///
/// # Errors
/// [`TooSmall`] when the content does not fit; [`crate::error::HostNotReady`] when a tool is missing or the host's
/// disk is full.
pub fn fill(job: &Job, source: Option<&Path>, reporter: &Reporter) -> Result<()> {
    let made = match job.filesystem.kind.as_str() {
        "ext2" | "ext3" | "ext4" => ext::fill(job, source, reporter),
        kind if is_fat(kind) => fat::fill(job, source),
        "xfs" | "btrfs" => kernel::fill(job, source, reporter),
        "swap" => swap::write(job),
        other => bail!("no way is known to make a filesystem of type {other}"),
    };
    made.map_err(|error| super::host::explain_full(error, job.image))
        .with_context(|| format!("making the filesystem {}", job.title()))
}

/// Whether a type of filesystem is one of FAT's names.
pub fn is_fat(kind: &str) -> bool {
    matches!(kind, "vfat" | "fat" | "msdos")
}

/// What does not fit into a filesystem. Its source holds the hint that is shown to the user.
#[derive(Debug, thiserror::Error)]
#[error("the filesystem {filesystem} is too small for its content{}", .needed.map(|n| format!(", which is {}", human(n))).unwrap_or_default())]
pub struct TooSmall {
    /// The filesystem, its type and its size.
    pub filesystem: String,
    /// Bytes that the content takes, without the filesystem's own structures.
    pub needed: Option<u64>,
    #[source]
    hint: ExitWith,
}

impl TooSmall {
    /// For `job`, whose content was to come from `source`.
    pub fn new(job: &Job, source: Option<&Path>, said: impl Into<String>) -> Self {
        let needed = source.and_then(|s| super::split::usage(s).ok()).map(|u| u.bytes);
        let hints = vec![
            "give a larger --image-size (GiB), or --image-extra-size (MiB) to add to the computed size".to_owned(),
            "a partition of fixed size is set in the block-device layout".to_owned(),
        ];
        Self { filesystem: job.title(), needed, hint: ExitWith { message: said.into(), code: EXIT_BUILD, hints } }
    }
}

/// Bytes as a person reads them: `1.5 GiB`.
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let text = format!("{value:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(human(5), "5 bytes");
        assert_eq!(human(1 << 20), "1 MiB");
        assert_eq!(human(1_600_000_000), "1.5 GiB");
    }
}
