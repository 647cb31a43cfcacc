//! Which extents of which physical volumes the logical volumes get.
//!
//! As lvcreate would do it, one volume after the other, but with fewer pieces: a volume goes where it fits in one
//! piece, and only if there is no such place is it cut.

use serde::{Deserialize, Serialize};

use super::PlacedDisk;
use crate::plan::disk::lvm::{LogicalVolume, VolumeGroup, VolumeKind, VolumeSize};
use crate::plan::disk::{DiskLayout, Extent};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Chunks of a pool are no smaller than this.
const CHUNK: u64 = 64 * KIB;
/// A pool's metadata takes about this for each chunk (thin_metadata_size(8)).
const CHUNK_ENTRY: u64 = 64;
const POOL_METADATA_MIN: u64 = 2 * MIB;
/// Where a pool's metadata would take more, its chunks are made larger.
const POOL_METADATA_MAX: u64 = 128 * MIB;

/// Why something in a group has no place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Misfit<'a> {
    /// A physical volume has no room for an extent.
    NoExtent { base: &'a str },
    /// The volume's size comes to nothing.
    Empty { volume: &'a LogicalVolume },
    /// `left` bytes are left in the group, not as many as the volume takes.
    NoRoom { volume: &'a LogicalVolume, wanted: u64, left: u64 },
}

/// A volume group, placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedGroup {
    /// The group's name.
    pub name: String,
    /// Its physical volumes, in its order.
    pub physical: Vec<PlacedPhysical>,
    /// Its logical volumes, in its order.
    pub logical: Vec<PlacedVolume>,
    /// The extents that are kept for repairing a pool's metadata; empty without a pool.
    pub spare: Vec<Segment>,
}

/// A physical volume, placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedPhysical {
    /// The disk that it lies on.
    pub disk: String,
    /// Where the partition, or the disk, lies on that.
    pub place: Extent,
    /// Where the first extent begins, in bytes from the begin of the place.
    pub start: u64,
    /// How many extents there are.
    pub extents: u64,
}

/// A logical volume, placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedVolume {
    /// Its name.
    pub name: String,
    /// Its size in extents.
    pub extents: u64,
    /// The extents that it gets, in its order; none for a thin one.
    pub segments: Vec<Segment>,
    /// What a pool has besides.
    pub pool: Option<PlacedPool>,
}

/// What a pool has besides its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedPool {
    /// The extents of its metadata.
    pub metadata: Vec<Segment>,
    /// Bytes that are given to a thin volume at a time.
    pub chunk: u64,
}

/// Extents that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Index of the physical volume in its group.
    pub physical: usize,
    /// The first of its extents.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl PlacedGroup {
    /// The bytes of a segment on its disk.
    pub fn bytes(&self, segment: &Segment, extent_size: u64) -> Extent {
        let physical = &self.physical[segment.physical];
        let start = physical.place.start + physical.start + segment.first * extent_size;
        Extent { start, length: segment.count * extent_size }
    }
}

/// How many extents are in a list of segments.
pub fn count(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.count).sum()
}

/// Places a group's volumes; `places` are those of the layout's disks.
pub(super) fn place<'a>(
    layout: &DiskLayout,
    group: &'a VolumeGroup,
    places: &[PlacedDisk],
) -> Result<PlacedGroup, Misfit<'a>> {
    let mut physical = Vec::new();
    for volume in &group.physical {
        // Bases were checked when the description was read.
        let found = super::extent_of(layout, places, &volume.base);
        let Some((disk, place)) = found else { return Err(Misfit::NoExtent { base: &volume.base }) };
        let start = super::PHYSICAL_START.next_multiple_of(volume.align);
        let extents = place.length.saturating_sub(start) / group.extent_size;
        if extents == 0 {
            return Err(Misfit::NoExtent { base: &volume.base });
        }
        physical.push(PlacedPhysical { disk: disk.name.clone(), place, start, extents });
    }
    let mut store = Store { group, used: vec![0; physical.len()], physical };
    let (mut logical, mut spare) = (Vec::new(), 0);
    for volume in &group.logical {
        logical.push(store.volume(volume, &mut spare)?);
    }
    let spare = match group.logical.iter().find(|volume| matches!(volume.kind, VolumeKind::Pool { spare: true, .. })) {
        Some(pool) => store.take(pool, spare)?,
        None => Vec::new(),
    };
    Ok(PlacedGroup { name: group.name.clone(), physical: store.physical, logical, spare })
}

/// The extents of a group, of which those at the beginning of each physical volume are given away.
struct Store<'a> {
    group: &'a VolumeGroup,
    physical: Vec<PlacedPhysical>,
    used: Vec<u64>,
}

impl<'a> Store<'a> {
    fn all(&self) -> u64 {
        self.physical.iter().map(|volume| volume.extents).sum()
    }

    fn left(&self) -> u64 {
        self.all() - self.used.iter().sum::<u64>()
    }

    /// The extents that a size means, as lvcreate counts: shares are rounded down.
    fn extents(&self, size: VolumeSize) -> u64 {
        let share = |percent: u64, of: u64| (u128::from(percent) * u128::from(of) / 100) as u64;
        match size {
            VolumeSize::Bytes(bytes) => bytes / self.group.extent_size,
            VolumeSize::Extents(extents) => extents,
            VolumeSize::Group(percent) => share(percent, self.all()).min(self.left()),
            VolumeSize::Free(percent) => share(percent, self.left()),
            VolumeSize::Physical(percent) => share(percent, self.all()),
        }
    }

    /// Places one volume. `spare` becomes the size of the largest metadata in extents.
    fn volume(&mut self, volume: &'a LogicalVolume, spare: &mut u64) -> Result<PlacedVolume, Misfit<'a>> {
        let mut extents = self.extents(volume.size);
        let (mut segments, mut pool) = (Vec::new(), None);
        match volume.kind {
            VolumeKind::Linear => segments = self.take(volume, extents)?,
            VolumeKind::Thin { .. } => {}
            VolumeKind::Pool { chunk, metadata, spare: kept } => {
                let unit = self.group.extent_size;
                let chunk = chunk.unwrap_or_else(|| chunk_for(extents.saturating_mul(unit)));
                let bytes = metadata.unwrap_or_else(|| metadata_for(extents.saturating_mul(unit), chunk));
                let metadata = bytes.div_ceil(unit);
                if kept {
                    *spare = metadata.max(*spare);
                }
                // A share is cut down to leave room for metadata and spare, as lvcreate does.
                if !matches!(volume.size, VolumeSize::Bytes(_) | VolumeSize::Extents(_)) {
                    extents = extents.min(self.left().saturating_sub(metadata + *spare));
                }
                segments = self.take(volume, extents)?;
                pool = Some(PlacedPool { metadata: self.take(volume, metadata)?, chunk });
            }
        }
        if extents == 0 {
            return Err(Misfit::Empty { volume });
        }
        Ok(PlacedVolume { name: volume.name.clone(), extents, segments, pool })
    }

    /// Gives `count` extents away: in one piece if there is room for it, else from the first on.
    fn take(&mut self, volume: &'a LogicalVolume, count: u64) -> Result<Vec<Segment>, Misfit<'a>> {
        if count > self.left() {
            let unit = self.group.extent_size;
            let (wanted, left) = (count.saturating_mul(unit), self.left() * unit);
            return Err(Misfit::NoRoom { volume, wanted, left });
        }
        let free: Vec<u64> = self.physical.iter().zip(&self.used).map(|(pv, used)| pv.extents - used).collect();
        let whole = free.iter().position(|free| *free >= count);
        let (mut wanted, mut segments) = (count, Vec::new());
        for (physical, free) in free.into_iter().enumerate().skip(whole.unwrap_or(0)) {
            let taken = free.min(wanted);
            if taken > 0 {
                segments.push(Segment { physical, first: self.used[physical], count: taken });
                self.used[physical] += taken;
                wanted -= taken;
            }
        }
        Ok(segments)
    }
}

fn metadata_for(data: u64, chunk: u64) -> u64 {
    (data / chunk).saturating_mul(CHUNK_ENTRY).max(POOL_METADATA_MIN)
}

fn chunk_for(data: u64) -> u64 {
    let mut chunk = CHUNK;
    while metadata_for(data, chunk) > POOL_METADATA_MAX {
        chunk *= 2;
    }
    chunk
}
