//! Volume groups, written into raw files without device-mapper.
//!
//! The structures of LVM are few: a label and a text on each physical volume (`label`, `metadata`). A logical
//! volume that lies in one piece is a part of the raw file, like a partition. The filesystem of any other one is made
//! in a sparse file beside ([`Volumes`]), and put in its places in the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{FallocateFlags, fallocate};
use uuid::Uuid;

use super::disk::{Assembly, PlacedDisk};
use super::sparse;
use crate::error::on;
use crate::plan::disk::lvm::{VolumeGroup, VolumeKind};
use crate::plan::disk::place::PlacedGroup;
use crate::plan::disk::place::lvm::{PlacedVolume, Segment};
use crate::plan::disk::{DiskLayout, Extent};
use crate::report::Reporter;

mod label;
mod metadata;
mod thin;

/// The letters of LVM's identifiers; "!" and "#", which it allows too, it does not use itself.
const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The name of what keeps room for repairing a pool, as lvcreate calls it.
const SPARE: &str = "lvol0_pmspare";

/// The node names that get an identifier, and the volumes that LVM makes besides.
pub fn id_names(layout: &DiskLayout) -> impl Iterator<Item = String> {
    layout.volume_groups.iter().flat_map(|group| {
        let mut names = vec![group.name.clone(), format!("{}/{SPARE}", group.name)];
        names.extend(group.physical.iter().map(|volume| volume.name.clone()));
        for volume in &group.logical {
            names.push(volume.name.clone());
            if matches!(volume.kind, VolumeKind::Pool { .. }) {
                names.extend(["_tdata", "_tmeta"].map(|suffix| format!("{}{suffix}", volume.name)));
            }
        }
        names
    })
}

/// An identifier as LVM shows it, from the bytes of two UUIDs.
pub fn id_text(uuids: [Uuid; 2]) -> String {
    let bytes = uuids.iter().flat_map(|uuid| uuid.as_bytes());
    let letters: Vec<char> = bytes.map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect();
    let mut rest = letters.as_slice();
    let parts = [6, 4, 4, 4, 4, 4, 6].map(|length| {
        let (part, after) = rest.split_at(length);
        rest = after;
        part.iter().collect::<String>()
    });
    parts.join("-")
}

/// The placed volume groups of an assembly, and the files for volumes that do not lie in one piece.
#[derive(Debug, Clone, Default)]
pub struct Volumes {
    groups: Vec<PlacedGroup>,
    staged: BTreeMap<String, PathBuf>,
}

/// Where the bytes of a logical volume are while the disk is made.
#[derive(Debug)]
pub struct VolumePlace<'a> {
    /// The raw file of a disk, or a file beside.
    pub image: &'a Path,
    /// The part of it.
    pub extent: Extent,
    /// Bytes per sector of the disk below.
    pub sector_size: u32,
}

impl Volumes {
    /// For the groups of `layout`, placed as `groups`; files beside are made in `work`.
    pub fn new(layout: &DiskLayout, groups: &[PlacedGroup], work: &Path) -> Self {
        let mut staged = BTreeMap::new();
        for (group, placed) in layout.volume_groups.iter().zip(groups) {
            for volume in placed.logical.iter().filter(|volume| volume.pool.is_none()) {
                if one_piece(placed, volume, group.extent_size).is_none() {
                    staged.insert(volume.name.clone(), work.join(format!("{}.volume", volume.name)));
                }
            }
        }
        Self { groups: groups.to_vec(), staged }
    }
}

/// The disk and the bytes of a volume that lies in one piece.
fn one_piece<'a>(group: &'a PlacedGroup, volume: &PlacedVolume, unit: u64) -> Option<(&'a str, Extent)> {
    let mut whole: Option<(&str, Extent)> = None;
    for segment in &volume.segments {
        let (disk, next) = (group.physical[segment.physical].disk.as_str(), group.bytes(segment, unit));
        whole = match whole {
            None => Some((disk, next)),
            Some((same, extent)) if same == disk && extent.start + extent.length == next.start => {
                Some((disk, Extent { start: extent.start, length: extent.length + next.length }))
            }
            Some(_) => return None,
        };
    }
    whole
}

impl<'a> Assembly<'a> {
    /// Each group as described and as placed.
    fn groups(&self) -> impl Iterator<Item = (&'a VolumeGroup, &'a PlacedGroup)> {
        self.layout.volume_groups.iter().zip(&self.volumes.groups)
    }

    fn disk(&self, name: &str) -> Result<&'a PlacedDisk<'a>> {
        let disk = self.disks.iter().find(|placed| placed.disk.name == name);
        disk.with_context(|| format!("there is no disk {name}"))
    }

    /// Where the logical volume `name` is; `None` if there is none of that name.
    ///
    /// # Errors
    /// When its disk is not there.
    pub fn volume(&self, name: &str) -> Result<Option<VolumePlace<'a>>> {
        for (group, placed) in self.groups() {
            let Some(volume) = placed.logical.iter().find(|volume| volume.name == name) else { continue };
            let first = placed.physical.first().context("a volume group lies on nothing")?;
            let sector_size = self.disk(&first.disk)?.disk.sector_size;
            if let Some(image) = self.volumes.staged.get(name) {
                let extent = Extent { start: 0, length: volume.extents * group.extent_size };
                return Ok(Some(VolumePlace { image, extent, sector_size }));
            }
            let (disk, extent) = one_piece(placed, volume, group.extent_size)
                .with_context(|| format!("the logical volume {name} has no place"))?;
            return Ok(Some(VolumePlace { image: &self.disk(disk)?.raw, extent, sector_size }));
        }
        Ok(None)
    }

    /// Writes the labels and metadata of all groups, and makes the files for volumes in pieces.
    ///
    /// # Errors
    /// When they cannot be written, or a group's description is longer than its place.
    pub fn write_groups(&self) -> Result<()> {
        for (group, placed) in self.groups() {
            let text = metadata::text(group, placed, self.identities, self.epoch);
            for (volume, place) in group.physical.iter().zip(&placed.physical) {
                let raw = &self.disk(&place.disk)?.raw;
                let id = self.identities.lvm(&volume.name);
                label::write(raw, place, id, &text)
                    .with_context(|| format!("writing the physical volume {} to {}", volume.name, raw.display()))?;
            }
        }
        for name in self.volumes.staged.keys() {
            let place = self.volume(name)?.with_context(|| format!("there is no logical volume {name}"))?;
            sparse::create(place.image, place.extent.length)?;
        }
        Ok(())
    }

    /// Puts the volumes that were made in files beside into their places, and removes the files.
    ///
    /// # Errors
    /// When something cannot be read or written, or a pool is too small for what is in its volumes.
    pub fn settle(&self, reporter: &Reporter) -> Result<()> {
        for (group, placed) in self.groups() {
            for volume in placed.logical.iter().filter(|volume| !volume.segments.is_empty()) {
                if let Some(file) = self.volumes.staged.get(&volume.name) {
                    reporter.info(format!("Putting the logical volume {} into its places", volume.name));
                    self.put(group, placed, &volume.segments, file)?;
                }
            }
            thin::settle(self, group, placed, reporter)?;
        }
        for file in self.volumes.staged.values() {
            std::fs::remove_file(file).with_context(|| on("removing", file))?;
        }
        Ok(())
    }

    /// Copies `file` into segments, the first bytes to the first one.
    fn put(&self, group: &VolumeGroup, placed: &PlacedGroup, segments: &[Segment], file: &Path) -> Result<()> {
        let source = File::open(file).with_context(|| on("opening", file))?;
        let mut from = 0;
        for segment in segments {
            let raw = &self.disk(&placed.physical[segment.physical].disk)?.raw;
            let extent = placed.bytes(segment, group.extent_size);
            let target = clear(raw, extent)?;
            sparse::copy_range(&source, from, &target, extent)
                .with_context(|| format!("copying {} to {}", file.display(), raw.display()))?;
            from += extent.length;
        }
        Ok(())
    }
}

/// Opens a raw file, with a hole at `extent`.
fn clear(raw: &Path, extent: Extent) -> Result<File> {
    let file = File::options().write(true).open(raw).with_context(|| on("opening", raw))?;
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&file, flags, extent.start as i64, extent.length as i64)
        .with_context(|| on("clearing a part of", raw))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_look_like_those_of_lvm() {
        let id = id_text([Uuid::from_u128(0), Uuid::from_u128(u128::MAX)]);
        assert_eq!(id, "000000-0000-0000-0077-7777-7777-777777");
        assert_eq!(id.replace('-', "").len(), 32);
    }
}
