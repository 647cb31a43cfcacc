//! The partition table in the file format of `sgdisk --backup`.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::assemble::disk::Assembly;
use crate::assemble::{sparse, table};
use crate::error::on;

const SECTOR: u64 = 512;
/// Entries of a GPT: 128 of 128 bytes.
const ENTRIES: u64 = 32 * SECTOR;

/// Writes the table of the main disk: protective MBR, main header, backup header, entries (gdisk's `SaveGPTBackup`).
///
/// # Errors
/// When it cannot be written.
pub fn write(assembly: &Assembly, target: &Path) -> Result<()> {
    let placed = assembly.disks.first().context("the build has no disk")?;
    let identity = assembly.identities.disks.get(&placed.disk.name).context("the disk has no identifiers")?;
    // On an empty disk of the same size, which is all holes.
    let disk = tempfile::NamedTempFile::new_in(assembly.work).context("making a disk for the partition table")?;
    sparse::create(disk.path(), placed.size)?;
    table::write(disk.path(), placed.disk, placed.extents, identity)?;
    let mut out = File::create(target).with_context(|| on("making", target))?;
    for (at, length) in [(0, SECTOR), (SECTOR, SECTOR), (placed.size - SECTOR, SECTOR), (2 * SECTOR, ENTRIES)] {
        let mut bytes = vec![0; length as usize];
        disk.as_file().read_exact_at(&mut bytes, at).context("reading the partition table back")?;
        out.write_all(&bytes).with_context(|| on("writing", target))?;
    }
    Ok(())
}
