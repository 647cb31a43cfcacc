//! The identifiers that an image carries: disk and partition GUIDs, the MBR's disk id, filesystem UUIDs.
//!
//! Chosen before the first phase, so that hooks can write them into boot loader configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::plan::disk::{DiskLayout, Filesystem};

/// The namespace of identifiers that are derived from a seed (version 5 UUIDs); any constant will do.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_0a5c_31c8_4b0e_9d52_8e5f_27c4_a913);

/// Every identifier of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identities {
    /// By disk name.
    pub disks: BTreeMap<String, DiskIdentity>,
    /// By filesystem name.
    pub filesystems: BTreeMap<String, Uuid>,
    /// Those of LVM, by the node names of physical volumes, groups and logical volumes: as LVM shows them.
    #[serde(default)]
    pub lvm: BTreeMap<String, String>,
}

/// The identifiers of one disk; which are used depends on its partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskIdentity {
    /// The MBR's disk id, never 0.
    pub mbr_id: u32,
    /// The GPT's disk GUID.
    pub guid: Uuid,
    /// The GPT's partition GUIDs, by partition number.
    pub partitions: BTreeMap<u32, Uuid>,
}

impl Identities {
    /// Identifiers for `layout`: random ones, or ones that follow from `seed` so that a build can be repeated.
    /// A UUID that the layout gives is kept.
    pub fn new(layout: &DiskLayout, seed: Option<&str>) -> Self {
        let make = |role: String| match seed {
            Some(seed) => Uuid::new_v5(&NAMESPACE, format!("{seed}\0{role}").as_bytes()),
            None => Uuid::new_v4(),
        };
        let disks = layout.disks.iter().map(|disk| {
            let partitions = disk.table.iter().flat_map(|t| &t.partitions);
            let identity = DiskIdentity {
                mbr_id: first_word(make(format!("mbr {}", disk.name))).max(1),
                guid: make(format!("disk {}", disk.name)),
                partitions: partitions.map(|p| (p.number, make(format!("partition {}", p.name)))).collect(),
            };
            (disk.name.clone(), identity)
        });
        let filesystems = layout.filesystems.iter().map(|fs| {
            let uuid = fs.uuid.unwrap_or_else(|| make(format!("filesystem {}", fs.name)));
            (fs.name.clone(), uuid)
        });
        let lvm = super::lvm::id_names(layout).map(|name| {
            let id = super::lvm::id_text([make(format!("lvm {name}")), make(format!("lvm more {name}"))]);
            (name, id)
        });
        Self { disks: disks.collect(), filesystems: filesystems.collect(), lvm: lvm.collect() }
    }

    /// The UUID of a filesystem.
    ///
    /// # Panics
    /// For a filesystem that is not of the layout these were made for.
    pub fn filesystem(&self, fs: &Filesystem) -> Uuid {
        *self.filesystems.get(&fs.name).unwrap_or_else(|| panic!("no identifier was made for {}", fs.name))
    }

    /// The identifier of a physical volume, volume group or logical volume as LVM shows it.
    ///
    /// # Panics
    /// For one that is not of the layout these were made for.
    pub fn lvm(&self, name: &str) -> &str {
        self.lvm.get(name).unwrap_or_else(|| panic!("no identifier was made for {name}"))
    }

    /// The UUID of a filesystem as `UUID=` in /etc/fstab and `blkid` have it: FAT has but 32 bits.
    ///
    /// # Panics
    /// As [`Identities::filesystem`].
    pub fn filesystem_text(&self, fs: &Filesystem) -> String {
        let uuid = self.filesystem(fs);
        if super::filesystem::is_fat(&fs.kind) {
            let id = volume_id(uuid);
            return format!("{:04X}-{:04X}", id >> 16, id & 0xffff);
        }
        uuid.to_string()
    }
}

/// The FAT volume id that stands for a UUID: its first 32 bits.
pub fn volume_id(uuid: Uuid) -> u32 {
    first_word(uuid)
}

fn first_word(uuid: Uuid) -> u32 {
    uuid.as_fields().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::disk::*;

    fn layout() -> DiskLayout {
        let partition = |name: &str, number| Partition {
            name: name.into(),
            number,
            size: Size::Percent(50.0),
            kind: PartitionType::Mbr(0x83),
            boot: false,
            logical: false,
        };
        let table =
            Table { kind: TableKind::Gpt, align: 1 << 20, partitions: vec![partition("ESP", 1), partition("root", 2)] };
        let disk = Disk { name: "image0".into(), size: None, sector_size: 512, table: Some(table) };
        let fs = |name: &str, kind: &str, uuid| Filesystem {
            name: name.into(),
            base: "root".into(),
            kind: kind.into(),
            label: String::new(),
            uuid,
            options: vec![],
            mount_point: None,
            fstab: None,
        };
        let given = Uuid::from_u128(0xdead_beef_0000_0000_0000_0000_0000_0001);
        DiskLayout {
            disks: vec![disk],
            volume_groups: vec![],
            filesystems: vec![fs("mkfs_root", "ext4", None), fs("efi", "vfat", Some(given))],
            mount_points: vec![],
        }
    }

    #[test]
    fn a_seed_gives_the_same_identifiers_again_and_no_seed_new_ones() {
        let layout = layout();
        let seeded = Identities::new(&layout, Some("a"));
        assert_eq!(seeded, Identities::new(&layout, Some("a")));
        assert_ne!(seeded, Identities::new(&layout, Some("b")));
        assert_ne!(Identities::new(&layout, None), Identities::new(&layout, None));
        let disk = &seeded.disks["image0"];
        assert_eq!(disk.partitions.len(), 2);
        assert_ne!(disk.partitions[&1], disk.partitions[&2]);
        assert_ne!(disk.mbr_id, 0);
    }

    #[test]
    fn a_uuid_of_the_layout_is_kept_and_shown_as_blkid_does() {
        let layout = layout();
        let ids = Identities::new(&layout, None);
        assert_eq!(ids.filesystem_text(&layout.filesystems[1]), "DEAD-BEEF");
        assert_eq!(ids.filesystem_text(&layout.filesystems[0]), ids.filesystems["mkfs_root"].to_string());
    }
}
