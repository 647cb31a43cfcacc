//! The disk of a build as a bundle's manifest tells it.

use anyhow::{Context, Result, bail, ensure};
use upgrade_tiny::manifest::{Filesystem, Grow, Layout, Partition, Role, Volume};

use crate::assemble::disk::Assembly;
use crate::plan::disk::gpt_types::{BIOS_BOOT, EFI_SYSTEM};
use crate::plan::disk::lvm::VolumeKind;
use crate::plan::disk::{self, PartitionType, TableKind};

/// Kinds of file systems that stage two can make.
const KINDS: [&str; 3] = ["ext4", "xfs", "vfat"];

/// The layout of the main disk.
///
/// # Errors
/// When it is none that a machine can be moved to: a GPT with /boot on a partition, and a volume group with `/` on the last.
pub fn of(assembly: &Assembly) -> Result<Layout> {
    let [disk] = assembly.disks else { bail!("a machine is moved to a system on one disk; this build has more") };
    let table = disk.disk.table.as_ref().filter(|table| table.kind == TableKind::Gpt);
    let table = table.context("a machine is moved to a disk with a GPT; the disk layout of this build has none")?;
    ensure!(disk.disk.sector_size == 512, "a machine is moved to a disk with sectors of 512 bytes");
    let last = table.partitions.last().context("the disk layout has no partitions")?;
    let (group, _) = assembly
        .layout
        .group_on(&last.name)
        .context("a machine is moved to a volume group on the last partition; the disk layout has none there")?;
    ensure!(group.physical.len() == 1, "the volume group {} lies on more than one partition", group.name);
    let mut partitions = Vec::new();
    for partition in &table.partitions {
        let on_it = assembly.layout.filesystems.iter().find(|fs| fs.base == partition.name);
        let filesystem = on_it.map(|fs| filesystem(assembly, fs)).transpose()?;
        let mount = filesystem.as_ref().and_then(|fs| fs.mount.as_deref());
        let role = match partition.kind {
            _ if partition.name == last.name => Role::Lvm,
            PartitionType::Gpt(BIOS_BOOT) => Role::BiosBoot,
            PartitionType::Gpt(EFI_SYSTEM) => Role::Esp,
            _ if mount == Some("/boot") => Role::Boot,
            _ => bail!(
                "the partition {} is none that a migration knows: BIOS boot, EFI, /boot, volume group",
                partition.name
            ),
        };
        let (_, _, extent) = assembly.place(&partition.name)?;
        partitions.push(Partition { number: partition.number, role, bytes: extent.length, filesystem });
    }
    ensure!(partitions.iter().any(|p| p.role == Role::Boot), "the disk layout has no partition for /boot");
    let mut volumes = Vec::new();
    for volume in &group.logical {
        ensure!(volume.kind == VolumeKind::Linear, "the volume {} is a thin one", volume.name);
        let on_it = assembly.layout.filesystems.iter().find(|fs| fs.base == volume.name);
        let fs = on_it.with_context(|| format!("the volume {} has no file system", volume.name))?;
        let place =
            assembly.volume(&volume.name)?.with_context(|| format!("the volume {} has no place", volume.name))?;
        let grow = match volume.name.as_str() {
            "back" => Grow::LikeRoot,
            "data" => Grow::Rest,
            _ => Grow::No,
        };
        let (name, bytes) = (volume.name.clone(), place.extent.length);
        volumes.push(Volume { name, bytes, grow, filesystem: filesystem(assembly, fs)? });
    }
    let root = volumes.iter().find(|v| v.filesystem.mount.as_deref() == Some("/"));
    ensure!(root.is_some_and(|v| v.name == "root"), "the volume for / has to be called root");
    Ok(Layout { partitions, group: group.name.clone(), extent_bytes: group.extent_size, volumes })
}

fn filesystem(assembly: &Assembly, fs: &disk::Filesystem) -> Result<Filesystem> {
    ensure!(KINDS.contains(&fs.kind.as_str()), "{}: a migration makes {}, not {}", fs.name, KINDS.join(", "), fs.kind);
    Ok(Filesystem {
        kind: fs.kind.clone(),
        uuid: assembly.identities.filesystem_text(fs),
        label: fs.label.clone(),
        mount: fs.mount_point.clone(),
    })
}
