//! What is on a disk image: its partitions, their filesystems, and which of them is mounted where.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use uuid::{Uuid, uuid};

use super::missing;
use crate::error::on;
use crate::plan::disk::Extent;

/// EFI system partition, of the UEFI specification.
const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// XBOOTLDR, of the Boot Loader Specification: what is mounted at /boot.
const BOOT: Uuid = uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172");
/// An MBR's type of an EFI system partition.
const MBR_ESP: u8 = 0xef;

/// A partition, or a disk without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Where it is.
    pub extent: Extent,
    /// Its type, if the table is a GPT (an MBR's ESP has that of a GPT).
    pub kind: Option<Uuid>,
    /// The filesystem on it as blkid calls it: `ext4`, `vfat`.
    pub filesystem: Option<String>,
    /// The filesystem's label.
    pub label: Option<String>,
}

/// Which partition is what.
#[derive(Debug, PartialEq, Eq)]
pub struct Roles {
    /// Holds `/`.
    pub root: Partition,
    /// Holds `/boot`, if another does.
    pub boot: Option<Partition>,
    /// Holds `/boot/efi`.
    pub esp: Option<Partition>,
}

/// The partitions of a disk of `sector` bytes a sector; the whole disk if it has no table but a filesystem.
///
/// # Errors
/// When there is neither, or the file cannot be read.
pub fn read(raw: &Path, sector: u32) -> Result<Vec<Partition>> {
    let mut file = File::open(raw).with_context(|| on("opening", raw))?;
    let length = file.metadata().with_context(|| on("looking at", raw))?.len();
    let places = gpt_places(&file, sector).or_else(|_| mbr_places(&mut file, sector)).unwrap_or_default();
    let places = if places.is_empty() { vec![(Extent { start: 0, length }, None)] } else { places };
    places
        .into_iter()
        .map(|(extent, kind)| {
            let (filesystem, label) = probe(raw, extent)?;
            Ok(Partition { extent, kind, filesystem, label })
        })
        .collect()
}

type Places = Vec<(Extent, Option<Uuid>)>;

fn gpt_places(file: &File, sector: u32) -> Result<Places> {
    let size = LogicalBlockSize::try_from(u64::from(sector))?;
    let disk = GptConfig::new().logical_block_size(size).open_from_device(file)?;
    let sector = u64::from(sector);
    let extent = |first: u64, last: u64| Extent { start: first * sector, length: (last + 1 - first) * sector };
    let used = disk.partitions().values().filter(|p| p.is_used());
    Ok(used.map(|p| (extent(p.first_lba, p.last_lba), Some(p.part_type_guid.guid))).collect())
}

fn mbr_places(file: &mut File, sector: u32) -> Result<Places> {
    let mbr = mbrman::MBR::read_from(file, sector)?;
    let used = mbr.iter().map(|(_, p)| p).filter(|p| p.is_used() && !p.is_extended());
    let place = |lba: u32| u64::from(lba) * u64::from(sector);
    Ok(used
        .map(|p| {
            let extent = Extent { start: place(p.starting_lba), length: place(p.sectors) };
            (extent, (p.sys == MBR_ESP).then_some(ESP))
        })
        .collect())
}

/// Filesystem and label at a place of the file.
fn probe(raw: &Path, extent: Extent) -> Result<(Option<String>, Option<String>)> {
    let mut blkid = Command::new("blkid");
    blkid.args(["-p", "-u", "filesystem", "-o", "export"]);
    blkid.args(["-O", &extent.start.to_string(), "-S", &extent.length.to_string()]).arg(raw);
    let output = blkid.output().map_err(|err| missing("blkid", err))?;
    // Its status 2 says that there is nothing that it knows.
    if !matches!(output.status.code(), Some(0 | 2)) {
        bail!("blkid cannot read {}: {}", raw.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    Ok((value("TYPE"), value("LABEL")))
}

/// Tells root, boot and ESP apart: by type, then by label, then by what is left.
///
/// # Errors
/// When no filesystem can be the root.
pub fn identify(partitions: Vec<Partition>) -> Result<Roles> {
    if let [only] = &partitions[..]
        && only.filesystem.is_some()
    {
        return Ok(Roles { root: only.clone(), boot: None, esp: None });
    }
    let (mut root, mut boot, mut esp): (Option<Partition>, _, _) = (None, None, None);
    // From the last to the first: systems are installed behind what they boot from.
    for partition in partitions.into_iter().rev().filter(|p| p.filesystem.is_some()) {
        let labelled_boot = partition.label.as_deref().is_some_and(|label| label.eq_ignore_ascii_case("boot"));
        if partition.kind == Some(ESP) {
            esp = Some(partition);
        } else if partition.kind == Some(BOOT) || labelled_boot {
            boot = Some(partition);
        } else if root.as_ref().is_none_or(|found| found.extent.length < partition.extent.length) {
            root = Some(partition);
        }
    }
    match root.or_else(|| boot.take()) {
        Some(root) => Ok(Roles { root, boot, esp }),
        None => bail!("no partition holds a filesystem that could be the root"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn partition(number: u64, length: u64, kind: Option<Uuid>, filesystem: &str, label: &str) -> Partition {
        let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let extent = Extent { start: number * 1024 * MIB, length: length * MIB };
        Partition { extent, kind, filesystem: some(filesystem), label: some(label) }
    }

    fn linux() -> Option<Uuid> {
        Some(uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4"))
    }

    #[test]
    fn a_single_partition_is_the_root_whatever_its_label() {
        let only = partition(1, 500, None, "ext4", "boot");
        assert_eq!(identify(vec![only.clone()]).unwrap().root, only);
    }

    #[test]
    fn ubuntus_and_fedoras_layouts_are_told_apart() {
        // Ubuntu: root first, then BIOS boot, ESP, and /boot by its type.
        let root = partition(1, 2000, linux(), "ext4", "cloudimg-rootfs");
        let bios = partition(2, 4, Some(uuid!("21686148-6449-6e6f-744e-656564454649")), "", "");
        let esp = partition(3, 106, Some(ESP), "vfat", "UEFI");
        let boot = partition(4, 900, Some(BOOT), "ext4", "BOOT");
        let wanted = Roles { root: root.clone(), boot: Some(boot.clone()), esp: Some(esp.clone()) };
        assert_eq!(identify(vec![root.clone(), bios.clone(), esp.clone(), boot]).unwrap(), wanted);
        // Fedora: /boot by its label, the root last.
        let boot = partition(4, 1000, linux(), "ext4", "boot");
        let root = partition(5, 4000, linux(), "btrfs", "fedora");
        let wanted = Roles { root: root.clone(), boot: Some(boot.clone()), esp: Some(esp.clone()) };
        assert_eq!(identify(vec![bios, esp, boot, root]).unwrap(), wanted);
    }

    #[test]
    fn boot_is_the_root_where_nothing_else_can_be() {
        let esp = partition(1, 100, Some(ESP), "vfat", "");
        let boot = partition(2, 900, linux(), "ext4", "boot");
        let roles = identify(vec![esp, boot.clone()]).unwrap();
        assert_eq!((roles.root, roles.boot), (boot, None));
        assert!(identify(vec![partition(1, 4, None, "", ""), partition(2, 4, None, "", "")]).is_err());
    }
}
