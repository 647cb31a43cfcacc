//! Letting the old system go, and making the new disk: the steps around the point of no return.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::layout;
use crate::manifest::Role;

use super::blocks::{self, Block, node, partition_name};
use super::command::Cmd;
use super::context::{Context, NEW, OLD, RAM};
use super::{machine, table, volumes};

/// Unmounts the old system and deactivates its volumes.
///
/// # Errors
/// What stays in use.
pub fn release(c: &mut Context) -> Result<()> {
    machine::unmount_below(Path::new(OLD))?;
    if let Some(old) = &c.old {
        // It may be the whole disk.
        machine::protect(&old.device.path(), false)?;
    }
    for group in c.groups.clone() {
        c.lvm(&["vgchange", "-an", &group].map(str::to_owned), None)?.run(&mut c.report)?;
    }
    Ok(())
}

/// That nothing uses the disk.
///
/// # Errors
/// That something does.
pub fn is_free(c: &mut Context) -> Result<()> {
    machine::open_alone(&c.disk()?.path()).map(drop)
}

/// The partitions of a disk that the kernel knows.
fn partitions(disk: &str) -> Vec<Block> {
    let all = blocks::read(Path::new(blocks::SYS));
    all.into_iter().filter(|b| b.partition.as_ref().is_some_and(|(_, _, on)| on == disk)).collect()
}

/// Overwrites the table and all signatures of the old partitions.
///
/// # Errors
/// What cannot be written.
pub fn wipe(c: &mut Context) -> Result<()> {
    let disk = c.disk()?;
    forget_volumes(c);
    let mut file = machine::open_alone(&disk.path())?;
    let stretches = partitions(&disk.name).into_iter().filter_map(|b| Some((b.partition?.1, b.bytes)));
    for (start, bytes) in
        stretches.chain([(0, disk.bytes)]).filter(|(start, bytes)| *bytes > 0 && start + bytes <= disk.bytes)
    {
        machine::clear_ends(&mut file, start, bytes).with_context(|| format!("wiping {}", disk.path().display()))?;
    }
    file.sync_all().with_context(|| format!("wiping {}", disk.path().display()))?;
    drop(file);
    machine::reread(&disk.path())
}

/// That the disk has no partition any more.
///
/// # Errors
/// That it still has some.
pub fn is_wiped(c: &mut Context) -> Result<()> {
    let name = c.disk()?.name;
    machine::wait_for("the old partitions to go away", || partitions(&name).is_empty())
}

/// The new physical volume.
fn physical(c: &Context) -> Result<PathBuf> {
    let disk = c.disk()?;
    let role = c.manifest.layout.partitions.iter().find(|p| p.role == Role::Lvm);
    let number = role.context("the manifest has no partition for LVM: the bundle is broken")?.number;
    Ok(node(&partition_name(&disk.name, number)))
}

/// Deactivates the new group, as a try that failed may have left it active. There may be none.
fn forget_volumes(c: &mut Context) {
    let group = c.manifest.layout.group.clone();
    let call = physical(c).and_then(|pv| c.lvm(&["vgchange".to_owned(), "-an".to_owned(), group], Some(&pv)));
    if let Ok(call) = call {
        let _ = call.output(&mut c.report);
    }
}

/// Writes the table, and lets its last partition grow to the end of the disk.
///
/// # Errors
/// What sgdisk or the kernel says.
pub fn partition(c: &mut Context) -> Result<()> {
    let disk = c.disk()?;
    forget_volumes(c);
    let file = Path::new(RAM).join(c.table_name()?).display().to_string();
    let last = c.table.last().context("the table has no partition")?.clone();
    let mut said = String::new();
    for words in table::commands(&file, &disk.path().display().to_string(), &last) {
        said = Cmd::tool("sgdisk")?.args(words).run(&mut c.report)?;
    }
    // Its exit status does not tell what --verify found.
    ensure!(said.contains("No problems found"), "sgdisk finds faults in the new table:\n{said}");
    machine::reread(&disk.path())?;
    let wanted = c.table.len();
    machine::wait_for("the new partitions", || {
        let there = partitions(&disk.name);
        there.len() == wanted && there.iter().all(|p| p.path().exists())
    })?;
    // What lay there before must not be taken for something of the new system.
    for part in partitions(&disk.name) {
        let mut file =
            File::options().write(true).open(part.path()).with_context(|| format!("opening {}", part.name))?;
        machine::clear_ends(&mut file, 0, part.bytes).with_context(|| format!("clearing {}", part.name))?;
        file.sync_all()?;
    }
    Ok(())
}

/// That the kernel sees the partitions of the table.
///
/// # Errors
/// The one that is elsewhere.
pub fn is_partitioned(c: &mut Context) -> Result<()> {
    let disk = c.disk()?;
    let there = partitions(&disk.name);
    for (nth, wanted) in c.table.iter().enumerate() {
        let name = partition_name(&disk.name, wanted.number);
        let found = there.iter().find(|b| b.name == name).with_context(|| format!("the kernel does not see {name}"))?;
        let start = found.partition.as_ref().map_or(0, |(_, start, _)| *start);
        let bytes = (wanted.last + 1 - wanted.first) * table::SECTOR;
        let grown = nth + 1 == c.table.len();
        ensure!(
            start == wanted.first * table::SECTOR && (found.bytes == bytes || grown && found.bytes > 0),
            "{name} begins at byte {start} with {} bytes; the table says {} with {bytes}",
            found.bytes,
            wanted.first * table::SECTOR
        );
    }
    Ok(())
}

/// Makes the volume group and its volumes.
///
/// # Errors
/// What lvm says.
pub fn make_volumes(c: &mut Context) -> Result<()> {
    c.loader.load("dm_mod");
    let device = physical(c)?;
    let layout = c.manifest.layout.clone();
    let group = layout.group.clone();
    let known = c.lvm(&["vgs", &group].map(str::to_owned), Some(&device))?.output(&mut c.report)?;
    if known.status.success() {
        forget_volumes(c);
        c.lvm(&["vgremove", "-ff", "-y", &group].map(str::to_owned), Some(&device))?.run(&mut c.report)?;
    }
    for words in volumes::group_commands(&layout, &device) {
        c.lvm(&words, Some(&device))?.run(&mut c.report)?;
    }
    let words = ["vgs", "--noheadings", "-o", "vg_extent_count", &group].map(str::to_owned);
    let text = c.lvm(&words, Some(&device))?.run(&mut c.report)?;
    let extents = text.trim().parse().with_context(|| format!("reading the extents of {group}: {}", text.trim()))?;
    for words in volumes::volume_commands(&group, &layout::sizes(&layout, extents)?) {
        c.lvm(&words, Some(&device))?.run(&mut c.report)?;
    }
    Ok(())
}

/// That the volumes' nodes are there.
///
/// # Errors
/// Which is not.
pub fn has_volumes(c: &mut Context) -> Result<()> {
    let group = c.manifest.layout.group.clone();
    for volume in &c.manifest.layout.volumes {
        let node = volumes::mapped(&group, &volume.name);
        machine::wait_for(&node, || Path::new(&node).exists())?;
    }
    Ok(())
}

/// Makes the file systems.
///
/// # Errors
/// What mkfs says.
pub fn make_filesystems(c: &mut Context) -> Result<()> {
    machine::unmount_below(Path::new(NEW))?;
    let disk = c.disk()?;
    let manifest = c.manifest.clone();
    for place in volumes::places(&manifest, &disk.name) {
        let (program, words) = volumes::mkfs(place.filesystem, &place.device)?;
        Cmd::tool(program)?.args(words).run(&mut c.report)?;
    }
    Ok(())
}

/// That each file system has the identity that the manifest gives it.
///
/// # Errors
/// Which has another.
pub fn has_filesystems(c: &mut Context) -> Result<()> {
    let disk = c.disk()?;
    for place in volumes::places(&c.manifest, &disk.name) {
        let device = place.device.display();
        let mut file = File::open(&place.device).with_context(|| format!("opening {device}"))?;
        let found = image_init::probe::identify(&mut file).with_context(|| format!("reading {device}"))?;
        let found = found.with_context(|| format!("{device} has no file system"))?;
        let (kind, uuid) = (&place.filesystem.kind, &place.filesystem.uuid);
        ensure!(
            found.kind == *kind && found.uuid.eq_ignore_ascii_case(uuid),
            "{device} has a {} with the UUID {} instead of a {kind} with {uuid}",
            found.kind,
            found.uuid
        );
    }
    fs::create_dir_all(NEW).with_context(|| format!("making {NEW}"))
}
