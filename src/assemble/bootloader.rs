//! Embeds GRUB for BIOS: boot.img into the first sector, core.img into the gap behind an MBR or into a GPT's
//! BIOS boot partition. Places and patches as grub-bios-setup makes them (GRUB's include/grub/i386/pc/boot.h).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use super::filesystem::human;
use super::split::open_inside;
use crate::error::on;
use crate::plan::disk::{Disk, Extent, PartitionType, TableKind};

/// The GPT type of a BIOS boot partition.
pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");

const SECTOR: usize = 512;
/// boot.img: where core.img's first sector number stands (64 bits).
const KERNEL_SECTOR: usize = 0x5c;
/// boot.img: a jump that has to become two NOPs for hard disks.
const DRIVE_CHECK: usize = 0x66;
/// The BIOS parameter block, kept from the disk.
const PARAMETERS: std::ops::Range<usize> = 0x3..0x5a;
/// Disk id, partition table and signature, kept from the disk.
const TABLE: std::ops::Range<usize> = 0x1b8..0x200;
/// core.img's first sector: the list of what to load next, at its end.
const BLOCK_LIST: usize = SECTOR - 12;
/// The segment at which the second sector of core.img is loaded.
const LOAD_SEGMENT: u16 = 0x820;
/// Larger ones are not GRUB's: the memory that it is loaded to ends.
const CORE_MAX: u64 = 512 * 1024;

/// What the boot loader's element asks to embed: the JSON that its finalise.d script writes to `$IMAGE_BOOT_SPEC`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSpec {
    /// For BIOS; absent where only UEFI boots, which needs nothing but files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<BiosBoot>,
}

/// GRUB's two images, as absolute paths in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiosBoot {
    /// boot.img: 512 bytes.
    pub boot_image: String,
    /// core.img.
    pub core_image: String,
}

impl BootSpec {
    /// Reads it from a file; a missing file asks for nothing.
    ///
    /// # Errors
    /// When it is not the JSON described.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(err) => return Err(err).with_context(|| on("reading", path)),
        };
        serde_json::from_str(&text).with_context(|| on("reading the boot specification", path))
    }
}

/// Boot code that was read from a tree, to be written to a disk.
#[derive(Debug)]
pub struct BootCode {
    boot: Vec<u8>,
    core: Vec<u8>,
    core_name: String,
}

impl BootCode {
    /// Reads what `spec` names, if it names something.
    ///
    /// # Errors
    /// When an image is missing or damaged.
    pub fn read(spec: &BootSpec, tree: &Path) -> Result<Option<Self>> {
        let Some(bios) = &spec.bios else { return Ok(None) };
        let boot = read(tree, &bios.boot_image, SECTOR as u64)?;
        let mut core = read(tree, &bios.core_image, CORE_MAX)?;
        ensure!(boot.len() == SECTOR, "{} is {} bytes long, not 512: no boot.img", bios.boot_image, boot.len());
        ensure!(boot[510..] == [0x55, 0xaa], "{} does not end in 55 AA: no boot.img", bios.boot_image);
        ensure!(core.len() > SECTOR, "{} is {} bytes long: no core.img", bios.core_image, core.len());
        core.resize(core.len().next_multiple_of(SECTOR), 0);
        Ok(Some(Self { boot, core, core_name: bios.core_image.clone() }))
    }

    /// Writes it to the disk `raw`, whose table is written already.
    ///
    /// # Errors
    /// When there is no place for it, or the disk has sectors of 4096 bytes.
    pub fn write(mut self, raw: &Path, disk: &Disk, extents: &[(u32, Extent)]) -> Result<()> {
        if disk.sector_size as usize != SECTOR {
            bail!(
                "BIOS boot code cannot be put on {}: a BIOS reads disks in sectors of 512 bytes, not {}",
                disk.name,
                disk.sector_size
            );
        }
        let gap = gap(disk, extents)?;
        let length = self.core.len() as u64;
        ensure!(
            length <= gap.length,
            "{} takes {}, and {} has room for {} only",
            self.core_name,
            human(length),
            gap.name,
            human(gap.length)
        );
        self.patch(gap.start / SECTOR as u64);
        let file = File::options().read(true).write(true).open(raw).with_context(|| on("opening", raw))?;
        let mut old = [0u8; SECTOR];
        file.read_exact_at(&mut old, 0).with_context(|| on("reading", raw))?;
        for kept in [PARAMETERS, TABLE] {
            self.boot[kept.clone()].copy_from_slice(&old[kept]);
        }
        file.write_all_at(&self.core, gap.start).with_context(|| on("writing", raw))?;
        file.write_all_at(&self.boot, 0).with_context(|| on("writing", raw))
    }

    /// Tells each image where the next one lies, when core.img starts at sector `first`.
    fn patch(&mut self, first: u64) {
        let rest = u16::try_from(self.core.len() / SECTOR - 1).expect("core.img is at most half a MiB long");
        let (boot, core) = (&mut self.boot, &mut self.core);
        boot[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
        boot[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);
        core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
        core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&rest.to_le_bytes());
        core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&LOAD_SEGMENT.to_le_bytes());
    }
}

struct Gap {
    name: String,
    start: u64,
    length: u64,
}

/// The place for core.img.
fn gap(disk: &Disk, extents: &[(u32, Extent)]) -> Result<Gap> {
    let Some(table) = &disk.table else {
        bail!("BIOS boot code needs a partition table on {}", disk.name);
    };
    let place = |number: u32| extents.iter().find(|(n, _)| *n == number).map(|(_, e)| *e);
    match table.kind {
        TableKind::Mbr => {
            // An extended partition's first record lies one alignment before its first logical partition.
            let start = |p: &crate::plan::disk::Partition| {
                let extent = place(p.number)?;
                Some(if p.logical { extent.start.saturating_sub(table.align) } else { extent.start })
            };
            let end = table.partitions.iter().filter_map(start).min().unwrap_or(0);
            let sector = SECTOR as u64;
            let name = "the gap before the first partition".to_owned();
            Ok(Gap { name, start: sector, length: end.saturating_sub(sector) })
        }
        TableKind::Gpt => {
            let partition = table.partitions.iter().find(|p| p.kind == PartitionType::Gpt(BIOS_BOOT));
            let Some(partition) = partition else {
                bail!("BIOS boot code on a GPT needs a BIOS boot partition (type EF02) on {}", disk.name);
            };
            let extent =
                place(partition.number).with_context(|| format!("partition {} has no place", partition.name))?;
            let name = format!("the BIOS boot partition {}", partition.name);
            Ok(Gap { name, start: extent.start, length: extent.length })
        }
    }
}

/// Reads a boot image from the tree; never more than one byte beyond `max`.
fn read(tree: &Path, path: &str, max: u64) -> Result<Vec<u8>> {
    let file = open_inside(tree, path).context("the boot loader's element asked to embed it")?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).with_context(|| format!("reading {path} in {}", tree.display()))?;
    ensure!(bytes.len() as u64 <= max, "{path} is longer than {max} bytes: no boot image of GRUB");
    Ok(bytes)
}
