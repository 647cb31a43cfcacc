//! How large the image becomes.

use super::{DiskLayout, Size};
use crate::error::Fault;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Images are whole multiples of this.
const GRAIN: u64 = 64 * KIB;
/// The journal of an ext4 root filesystem, in MiB, unless the request says otherwise.
pub const JOURNAL_MIB: u64 = 64;

/// What the size depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SizeRequest {
    /// `DIB_IMAGE_SIZE`: the image's size, in GiB.
    pub explicit_gib: Option<f64>,
    /// `DIB_IMAGE_EXTRA_SIZE`: free space besides the tree, in MiB.
    pub extra_mib: Option<u64>,
    /// The space that the root tree takes, in bytes.
    pub tree_bytes: u64,
    /// `DIB_JOURNAL_SIZE`: the journal, in MiB; `None` means [`JOURNAL_MIB`].
    pub journal_mib: Option<u64>,
    /// The root filesystem's type.
    pub fs_type: String,
    /// What the other partitions take ([`DiskLayout::fixed_partition_bytes`]).
    pub fixed_partition_bytes: u64,
}

/// The image's size in bytes, a multiple of 64 KiB.
///
/// A size that was asked for is kept: nothing is added to it. Without one, the tree takes 60 % of the
/// root filesystem (or leaves free what was asked for), and journal and other partitions are added;
/// an ext4 root is never smaller than two and a half journals.
pub fn image_size(request: &SizeRequest) -> u64 {
    if let Some(gib) = request.explicit_gib {
        // Casts saturate: nothing can be too large here, and negative sizes are 0.
        return rounded((gib * MIB as f64) as u64 * KIB);
    }
    // Whole KiB throughout, as `du` counts.
    let tree = request.tree_bytes.div_ceil(KIB) * KIB;
    let mut size = match request.extra_mib {
        Some(extra) => tree.saturating_add(extra.saturating_mul(MIB)),
        None => tree / KIB * 5 / 3 * KIB,
    };
    if request.fs_type == "ext4" {
        let journal = request.journal_mib.unwrap_or(JOURNAL_MIB).saturating_mul(MIB);
        // mke2fs refuses a journal that takes half of the filesystem, which that of a small tree would.
        size = size.saturating_add(journal).max(journal.saturating_mul(5) / 2);
    }
    rounded(size.saturating_add(request.fixed_partition_bytes))
}

impl DiskLayout {
    /// The image's size in bytes: [`image_size`], and if nothing was asked for, enough for every partition and volume
    /// group. A root filesystem on a logical volume gets what a partition would get, if the volume can be that large.
    ///
    /// # Errors
    /// Volume groups for which no disk is large enough.
    pub fn image_size(&self, request: &SizeRequest) -> Result<u64, Fault> {
        let size = image_size(request);
        if request.explicit_gib.is_some() {
            return Ok(size);
        }
        if self.volume_groups.is_empty() {
            // A root partition of a fixed size may be larger than its tree needs.
            return Ok(size.max(self.disk_size_for_root(1).unwrap_or_default()));
        }
        if self.root().and_then(|root| self.volume_of(root)).is_none() {
            return Ok(size.max(self.disk_size_for_groups()?));
        }
        let root = image_size(&SizeRequest { fixed_partition_bytes: 0, ..request.clone() });
        self.disk_size_for_root(root).or_else(|_| self.disk_size_for_groups())
    }
}

fn rounded(size: u64) -> u64 {
    size.checked_next_multiple_of(GRAIN).unwrap_or(u64::MAX / GRAIN * GRAIN)
}

impl DiskLayout {
    /// What the main disk's partitions of fixed size take in bytes, without the root filesystem's.
    pub fn fixed_partition_bytes(&self) -> u64 {
        let root = self.root().map(|fs| fs.base.as_str());
        let partitions = self.main_disk().and_then(|disk| disk.table.as_ref()).map(|table| table.partitions.as_slice());
        let fixed = partitions.unwrap_or_default().iter().filter(|partition| Some(partition.name.as_str()) != root);
        fixed
            .map(|partition| match partition.size {
                Size::Bytes(bytes) => bytes,
                Size::Percent(_) => 0,
            })
            .fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tree_mib: u64) -> SizeRequest {
        SizeRequest { tree_bytes: tree_mib * MIB, fs_type: "xfs".into(), ..SizeRequest::default() }
    }

    #[test]
    fn an_explicit_size_is_kept() {
        let asked = |gib| SizeRequest {
            explicit_gib: Some(gib),
            extra_mib: Some(100),
            journal_mib: Some(64),
            fs_type: "ext4".into(),
            fixed_partition_bytes: 558 * MIB,
            ..request(900)
        };
        assert_eq!(image_size(&asked(2.0)), 2 << 30);
        assert_eq!(image_size(&asked(1.5)), 3 << 29);
        let odd = image_size(&asked(0.00001));
        assert_eq!(odd, 64 * KIB);
        assert_eq!(image_size(&asked(-1.0)), 0);
    }

    #[test]
    fn the_tree_takes_sixty_percent() {
        assert_eq!(image_size(&request(600)), 1000 * MIB);
        let byte_more = SizeRequest { tree_bytes: 600 * MIB + 1, ..request(0) };
        assert_eq!(image_size(&byte_more), 1000 * MIB + 64 * KIB);
    }

    #[test]
    fn extra_space_replaces_the_percentage() {
        assert_eq!(image_size(&SizeRequest { extra_mib: Some(50), ..request(600) }), 650 * MIB);
        assert_eq!(image_size(&SizeRequest { extra_mib: Some(0), ..request(600) }), 600 * MIB);
    }

    #[test]
    fn journal_and_other_partitions_are_added() {
        let ext4 = SizeRequest { fs_type: "ext4".into(), ..request(600) };
        assert_eq!(image_size(&ext4), 1064 * MIB);
        let journal = SizeRequest { journal_mib: Some(8), ..ext4.clone() };
        assert_eq!(image_size(&journal), 1008 * MIB);
        let efi = SizeRequest { fixed_partition_bytes: 558 * MIB, ..ext4 };
        assert_eq!(image_size(&efi), 1622 * MIB);
    }
}
