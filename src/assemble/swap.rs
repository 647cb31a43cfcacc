//! Swap areas: a header in the first page is all there is.
//!
//! Format: `union swap_header` in the kernel's include/linux/swap.h, version 1.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use super::filesystem::{Job, TooSmall};
use crate::error::on;

/// The page size of the machines that the images are for.
const PAGE: u64 = 4096;
/// Fewer pages than this the kernel's tools refuse.
const PAGES_MIN: u64 = 10;

/// Writes the header.
///
/// # Errors
/// When the extent is below ten pages, the label too long, or writing fails.
pub fn write(job: &Job) -> Result<()> {
    let pages = job.extent.length / PAGE;
    if pages < PAGES_MIN {
        return Err(TooSmall::new(job, None, "a swap area takes at least ten pages").into());
    }
    let label = job.filesystem.label.as_bytes();
    ensure!(label.len() <= 16, "the swap label '{}' is longer than 16 bytes", job.filesystem.label);
    let mut page = [0u8; PAGE as usize];
    page[1024..1028].copy_from_slice(&1u32.to_le_bytes());
    let last = u32::try_from(pages - 1).unwrap_or(u32::MAX);
    page[1028..1032].copy_from_slice(&last.to_le_bytes());
    page[1036..1052].copy_from_slice(job.uuid.as_bytes());
    page[1052..1052 + label.len()].copy_from_slice(label);
    page[PAGE as usize - 10..].copy_from_slice(b"SWAPSPACE2");
    let file = File::options().write(true).open(job.image).with_context(|| on("opening", job.image))?;
    file.write_all_at(&page, job.extent.start).context("writing the swap header")
}
