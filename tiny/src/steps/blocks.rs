//! The block devices as /sys describes them, and which disks a file system lies on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// Where the kernel lists them.
pub const SYS: &str = "/sys/class/block";

/// A block device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The kernel's name: `sda`, `nvme0n1p2`, `dm-0`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Bytes of a logical sector; 0 where it is not known.
    pub sector: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Of a partition: its number, where it begins (in bytes), and the disk that it lies on.
    pub partition: Option<(u32, u64, String)>,
    /// What it is made of, if it is made of other devices.
    pub slaves: Vec<String>,
    /// The name that device-mapper gave it.
    pub mapped: Option<String>,
}

impl Block {
    /// Its node.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        node(&self.name)
    }
}

/// The node of a device. The kernel writes "!" for the slash in names like cciss/c0d0.
#[must_use]
pub fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

/// The kernel's name of a partition: `sda3`, `nvme0n1p3`.
#[must_use]
pub fn partition_name(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}

/// Reads the description of all devices from `/sys/class/block` or a folder like it.
#[must_use]
pub fn read(sys: &Path) -> Vec<Block> {
    let mut names: Vec<String> = fs::read_dir(sys)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.into_iter().filter_map(|name| one(sys, name)).collect()
}

fn one(sys: &Path, name: String) -> Option<Block> {
    let dir = sys.join(&name);
    let value = |file: &str| fs::read_to_string(dir.join(file)).ok().map(|text| text.trim().to_owned());
    // /sys counts in sectors of 512 bytes whatever the disk's are.
    let bytes = value("size")?.parse::<u64>().ok()? * 512;
    let slaves = fs::read_dir(dir.join("slaves")).into_iter().flatten().flatten();
    let mut slaves: Vec<String> = slaves.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    slaves.sort();
    let partition = value("partition").and_then(|number| {
        let disk = fs::canonicalize(&dir).ok()?.parent()?.file_name()?.to_string_lossy().into_owned();
        let start = value("start")?.parse::<u64>().ok()? * 512;
        Some((number.parse().ok()?, start, disk))
    });
    Some(Block {
        bytes,
        sector: value("queue/logical_block_size").and_then(|s| s.parse().ok()).unwrap_or(0),
        read_only: value("ro").as_deref() == Some("1"),
        partition,
        slaves,
        mapped: value("dm/name"),
        name,
    })
}

/// The whole disks below a device.
#[must_use]
pub fn disks_below(blocks: &[Block], name: &str) -> BTreeSet<String> {
    let Some(block) = blocks.iter().find(|b| b.name == name) else { return BTreeSet::new() };
    if let Some((_, _, disk)) = &block.partition {
        return disks_below(blocks, disk);
    }
    if block.slaves.is_empty() {
        return BTreeSet::from([block.name.clone()]);
    }
    block.slaves.iter().flat_map(|slave| disks_below(blocks, slave)).collect()
}

/// The one disk below a file system's device.
///
/// # Errors
/// When there is none or more than one, with their names.
pub fn system_disk<'a>(blocks: &'a [Block], device: &str) -> Result<&'a Block> {
    let disks = disks_below(blocks, device);
    ensure!(!disks.is_empty(), "/sys does not say which disk {device} lies on");
    if disks.len() > 1 {
        let names: Vec<String> = disks.into_iter().collect();
        bail!("the old system lies on {} disks ({}), and only one disk can be migrated", names.len(), names.join(", "));
    }
    let disk = blocks.iter().find(|b| disks.contains(&b.name));
    disk.ok_or_else(|| anyhow::anyhow!("/sys does not describe the disk below {device}"))
}

/// Reads `pvs -o pv_name,vg_name --separator |`: physical volumes with their groups.
#[must_use]
pub fn physical_volumes(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.trim().split_once('|'));
    lines.map(|(pv, vg)| (pv.trim().to_owned(), vg.trim().to_owned())).collect()
}

/// The groups that have a physical volume on a disk.
///
/// # Errors
/// When one of them has physical volumes elsewhere too: wiping the disk would break it.
pub fn groups_on(blocks: &[Block], disk: &str, volumes: &[(String, String)]) -> Result<Vec<String>> {
    let on_disk = |pv: &str| disks_below(blocks, pv.trim_start_matches("/dev/")).contains(disk);
    let mut groups: Vec<String> =
        volumes.iter().filter(|(pv, vg)| !vg.is_empty() && on_disk(pv)).map(|(_, vg)| vg.clone()).collect();
    groups.sort();
    groups.dedup();
    for group in &groups {
        if let Some((pv, _)) = volumes.iter().find(|(pv, vg)| vg == group && !on_disk(pv)) {
            bail!("the volume group {group} lies on {disk} and also on {pv}: only one disk can be migrated");
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    pub(crate) fn disk(name: &str) -> Block {
        Block { name: name.into(), bytes: 10 << 30, sector: 512, ..Block::default() }
    }

    fn part(disk: &str, number: u32) -> Block {
        let name = partition_name(disk, number);
        Block { name, partition: Some((number, 1 << 20, disk.into())), ..Block::default() }
    }

    fn mapped(name: &str, slaves: &[&str]) -> Block {
        let slaves = slaves.iter().map(|s| (*s).to_owned()).collect();
        Block { name: name.into(), slaves, ..Block::default() }
    }

    fn machine() -> Vec<Block> {
        vec![
            disk("sda"),
            part("sda", 1),
            part("sda", 2),
            disk("sdb"),
            part("sdb", 1),
            disk("nvme0n1"),
            part("nvme0n1", 2),
            mapped("dm-0", &["sda2"]),
            mapped("dm-1", &["sda2", "sdb1"]),
            mapped("dm-2", &["dm-0"]),
        ]
    }

    #[test]
    fn the_disk_below_volumes_and_partitions() {
        let blocks = machine();
        for (device, expected) in
            [("dm-0", "sda"), ("dm-2", "sda"), ("sda1", "sda"), ("nvme0n1p2", "nvme0n1"), ("sdb", "sdb")]
        {
            assert_eq!(system_disk(&blocks, device).unwrap().name, expected);
        }
        let why = system_disk(&blocks, "dm-1").unwrap_err().to_string();
        assert!(why.contains("2 disks (sda, sdb)"), "{why}");
        assert!(system_disk(&blocks, "vda").is_err());
    }

    #[test]
    fn groups_that_span_disks_are_refused() {
        let blocks = machine();
        let pvs = physical_volumes("  /dev/sda2|centos\n  /dev/sdb1|archive\n  /dev/nvme0n1p2|\n");
        assert_eq!(groups_on(&blocks, "sda", &pvs).unwrap(), ["centos"]);
        assert!(groups_on(&blocks, "nvme0n1", &pvs).unwrap().is_empty());
        let pvs = physical_volumes("  /dev/sda2|centos\n  /dev/sdb1|centos\n");
        let why = groups_on(&blocks, "sda", &pvs).unwrap_err().to_string();
        assert!(why.contains("centos") && why.contains("/dev/sdb1"), "{why}");
    }

    #[test]
    fn names_of_partitions() {
        let names = ["sda", "vda", "nvme0n1", "mmcblk0"].map(|disk| partition_name(disk, 3));
        assert_eq!(names, ["sda3", "vda3", "nvme0n1p3", "mmcblk0p3"]);
        assert_eq!(node("cciss!c0d0p1"), Path::new("/dev/cciss/c0d0p1"));
    }

    #[test]
    fn what_the_kernel_tells_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("devices/block/vda");
        fs::create_dir_all(real.join("vda2")).unwrap();
        fs::create_dir_all(real.join("queue")).unwrap();
        let put = |file: &str, text: &str| fs::write(real.join(file), format!("{text}\n")).unwrap();
        put("size", "20971520");
        put("ro", "0");
        put("queue/logical_block_size", "512");
        put("vda2/size", "2048");
        put("vda2/partition", "2");
        put("vda2/start", "6144");
        let class = dir.path().join("class");
        fs::create_dir(&class).unwrap();
        symlink(&real, class.join("vda")).unwrap();
        symlink(real.join("vda2"), class.join("vda2")).unwrap();
        let blocks = read(&class);
        assert_eq!(blocks[0], disk("vda"));
        assert_eq!(blocks[1].partition, Some((2, 6144 * 512, "vda".into())));
        assert_eq!(blocks[1].bytes, 1 << 20);
    }
}
