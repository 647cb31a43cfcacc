//! How large the volumes become on a disk of a given size.

use anyhow::{Result, ensure};

use crate::manifest::{Grow, Layout, Volume};

/// Bytes that LVM keeps at the start of a physical volume for its metadata: its default alignment of data.
pub const PV_HEAD: u64 = 1 << 20;

/// Bytes that the copy of a GPT takes at the end of a disk with sectors of 512 bytes.
pub const GPT_TAIL: u64 = 33 * 512;

/// A volume with its size on a certain disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sized {
    /// Its name.
    pub name: String,
    /// Its length in extents.
    pub extents: u64,
}

/// The extents of a physical volume from byte `start` of a disk to its end.
#[must_use]
pub fn extents_to_end(layout: &Layout, disk_bytes: u64, start: u64) -> u64 {
    // sgdisk ends a partition on the last usable sector; LVM rounds down to whole extents.
    let room = disk_bytes.saturating_sub(start + GPT_TAIL + PV_HEAD);
    room.checked_div(layout.extent_bytes).unwrap_or(0)
}

/// Shares `extents` between the volumes: each gets what it has on the smallest disk, then `back` grows to the size of
/// `root`, then the rest goes where the layout says.
///
/// # Errors
/// When the volumes do not fit, with the figures.
pub fn sizes(layout: &Layout, extents: u64) -> Result<Vec<Sized>> {
    ensure!(layout.extent_bytes > 0, "the manifest's extent_bytes is 0: the bundle is broken");
    let least = |v: &Volume| v.bytes.div_ceil(layout.extent_bytes).max(1);
    let mut sized: Vec<Sized> =
        layout.volumes.iter().map(|v| Sized { name: v.name.clone(), extents: least(v) }).collect();
    let needed: u64 = sized.iter().map(|s| s.extents).sum();
    ensure!(
        needed <= extents,
        "the volumes of {} need {needed} extents of {} KiB, and the disk has room for {extents}",
        layout.group,
        layout.extent_bytes >> 10
    );
    let mut left = extents - needed;
    let root = sized.iter().find(|s| s.name == "root").map_or(0, |s| s.extents);
    for (volume, sized) in layout.volumes.iter().zip(&mut sized).filter(|(v, _)| v.grow == Grow::LikeRoot) {
        let more = root.saturating_sub(sized.extents).min(left);
        debug_assert_eq!(volume.name, sized.name);
        sized.extents += more;
        left -= more;
    }
    let rest: Vec<usize> = (0..sized.len()).filter(|&i| layout.volumes[i].grow == Grow::Rest).collect();
    for (nth, &index) in rest.iter().enumerate() {
        // The last one takes what does not divide.
        let share = left / (rest.len() - nth) as u64;
        sized[index].extents += share;
        left -= share;
    }
    Ok(sized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::example;

    const GIB: u64 = 1 << 30;

    fn mib(disk: u64) -> Vec<u64> {
        let layout = example().layout;
        let start = 2_103_296 * 512;
        let sized = sizes(&layout, extents_to_end(&layout, disk, start)).unwrap();
        sized.iter().map(|s| s.extents * 4).collect()
    }

    #[test]
    fn the_smallest_disk_has_the_sizes_of_the_manifest() {
        // data, back, root; what is left is less than an extent.
        assert_eq!(mib(10 * GIB), [512, 512, 8184]);
    }

    #[test]
    fn back_grows_to_the_size_of_root_and_data_takes_the_rest() {
        assert_eq!(mib(14 * GIB), [512, 4608, 8184]);
        assert_eq!(mib(40 * GIB), [23560, 8184, 8184]);
    }

    #[test]
    fn shares_of_the_rest_add_up() {
        let mut layout = example().layout;
        layout.volumes[1].grow = Grow::Rest;
        let sized = sizes(&layout, 3001).unwrap();
        assert_eq!(sized.iter().map(|s| s.extents).sum::<u64>(), 3001);
        assert_eq!(sized[0].extents + 1, sized[1].extents);
    }

    #[test]
    fn a_disk_that_is_too_small_is_told_with_the_figures() {
        let why = sizes(&example().layout, 2000).unwrap_err().to_string();
        assert!(why.contains("need 2302 extents of 4096 KiB") && why.contains("room for 2000"), "{why}");
    }
}
