//! Command lines of lvm and mkfs, and where the new file systems are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::layout::Sized;
use crate::manifest::{Filesystem, Layout, Manifest};

use super::blocks::{node, partition_name};

/// Settings of lvm: there is no udev, and no device but the given one exists for it.
#[must_use]
pub fn config(only: Option<&Path>) -> String {
    let filter = match only {
        Some(device) => format!("filter=[ \"a|^{}$|\", \"r|.*|\" ] ", device.display()),
        None => String::new(),
    };
    format!(
        "activation {{ udev_sync=0 udev_rules=0 monitoring=0 }} \
         devices {{ {filter}obtain_device_list_from_udev=0 external_device_info_source=\"none\" use_devicesfile=0 }} \
         global {{ event_activation=0 use_lvmpolld=0 }} backup {{ backup=0 archive=0 }}"
    )
}

/// Makes the physical volume and the group.
#[must_use]
pub fn group_commands(layout: &Layout, device: &Path) -> Vec<Vec<String>> {
    let device = device.display().to_string();
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    vec![
        words(&["pvcreate", "-ff", "-y", &device]),
        words(&["vgcreate", "-s", &format!("{}b", layout.extent_bytes), &layout.group, &device]),
    ]
}

/// Makes the volumes.
#[must_use]
pub fn volume_commands(group: &str, sizes: &[Sized]) -> Vec<Vec<String>> {
    // What lay there before is wiped without a question.
    let make = |s: &Sized| {
        ["lvcreate", "-y", "-W", "y", "-Z", "y", "-n", &s.name, "-l", &s.extents.to_string(), group]
            .map(str::to_owned)
            .to_vec()
    };
    sizes.iter().map(make).collect()
}

/// The command line that makes a file system.
///
/// # Errors
/// For kinds that are not known.
pub fn mkfs(fs: &Filesystem, device: &Path) -> Result<(&'static str, Vec<String>)> {
    let (program, fixed, uuid, label): (_, &[&str], _, _) = match fs.kind.as_str() {
        "ext4" => ("mkfs.ext4", &["-F", "-q"], vec!["-U".to_owned(), fs.uuid.clone()], "-L"),
        "xfs" => ("mkfs.xfs", &["-f", "-q"], vec!["-m".to_owned(), format!("uuid={}", fs.uuid)], "-L"),
        "vfat" => {
            let serial = fs.uuid.replace('-', "");
            ensure!(
                serial.len() == 8 && serial.chars().all(|c| c.is_ascii_hexdigit()),
                "{} is no identity of a FAT file system (ABCD-1234)",
                fs.uuid
            );
            ("mkfs.vfat", &[], vec!["-i".to_owned(), serial], "-n")
        }
        other => bail!("the manifest wants a file system of the kind {other}; ext4, xfs and vfat can be made"),
    };
    let mut words: Vec<String> = fixed.iter().map(|w| (*w).to_owned()).collect();
    words.extend(uuid);
    if !fs.label.is_empty() {
        words.extend([label.to_owned(), fs.label.clone()]);
    }
    words.push(device.display().to_string());
    Ok((program, words))
}

/// The command line that looks for faults without mending any, if the kind has one.
#[must_use]
pub fn fsck(kind: &str, device: &Path) -> Option<(&'static str, Vec<String>)> {
    let (program, words): (_, &[&str]) = match kind {
        "ext4" => ("e2fsck", &["-f", "-n"]),
        "xfs" => ("xfs_repair", &["-n"]),
        "vfat" => ("fsck.vfat", &["-n"]),
        _ => return None,
    };
    let words = words.iter().map(|w| (*w).to_owned()).chain([device.display().to_string()]);
    Some((program, words.collect()))
}

/// A new file system and its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// The node.
    pub device: PathBuf,
    /// Other names that it has in an fstab: `/dev/VA/root`, `/dev/mapper/VA-root`.
    pub names: Vec<String>,
    /// What is on it.
    pub filesystem: &'a Filesystem,
}

/// All new file systems on a disk, those of partitions first.
#[must_use]
pub fn places<'a>(manifest: &'a Manifest, disk: &str) -> Vec<Place<'a>> {
    let Layout { partitions, group, volumes, .. } = &manifest.layout;
    let on_partitions = partitions.iter().filter_map(|p| {
        let device = node(&partition_name(disk, p.number));
        Some(Place { device, names: Vec::new(), filesystem: p.filesystem.as_ref()? })
    });
    let on_volumes = volumes.iter().map(|v| {
        let mapped = mapped(group, &v.name);
        let names = vec![format!("/dev/{group}/{}", v.name), mapped.clone()];
        Place { device: PathBuf::from(mapped), names, filesystem: &v.filesystem }
    });
    on_partitions.chain(on_volumes).collect()
}

/// The node of a volume: device-mapper doubles the hyphens of the names.
#[must_use]
pub fn mapped(group: &str, volume: &str) -> String {
    format!("/dev/mapper/{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

/// Those that the new system mounts, in the order in which they can be mounted.
#[must_use]
pub fn mounted<'a>(places: &[Place<'a>]) -> Vec<(String, Place<'a>)> {
    let mut found: Vec<(String, Place<'a>)> =
        places.iter().filter_map(|p| Some((p.filesystem.mount.clone()?, p.clone()))).collect();
    found.sort_by_key(|(point, _)| point.trim_matches('/').split('/').filter(|part| !part.is_empty()).count());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::example;

    #[test]
    fn lvm_sees_one_device() {
        let text = config(Some(Path::new("/dev/vda3")));
        assert!(text.contains("filter=[ \"a|^/dev/vda3$|\", \"r|.*|\" ]"), "{text}");
        assert!(!config(None).contains("filter"));
    }

    #[test]
    fn volumes_are_made_in_order() {
        let layout = example().layout;
        let commands = group_commands(&layout, Path::new("/dev/sda3"));
        assert_eq!(commands[1].join(" "), "vgcreate -s 4194304b VA /dev/sda3");
        let sized = [Sized { name: "data".into(), extents: 128 }];
        assert_eq!(volume_commands("VA", &sized)[0].join(" "), "lvcreate -y -W y -Z y -n data -l 128 VA");
    }

    #[test]
    fn file_systems_get_their_identity() {
        let fs = |kind: &str, uuid: &str, label: &str| Filesystem {
            kind: kind.into(),
            uuid: uuid.into(),
            label: label.into(),
            mount: None,
        };
        let line = |fs: &Filesystem| mkfs(fs, Path::new("/dev/x")).map(|(p, w)| format!("{p} {}", w.join(" ")));
        assert_eq!(line(&fs("ext4", "u-1", "boot")).unwrap(), "mkfs.ext4 -F -q -U u-1 -L boot /dev/x");
        assert_eq!(line(&fs("xfs", "u-1", "")).unwrap(), "mkfs.xfs -f -q -m uuid=u-1 /dev/x");
        assert_eq!(line(&fs("vfat", "AB12-34CD", "ESP")).unwrap(), "mkfs.vfat -i AB1234CD -n ESP /dev/x");
        assert!(line(&fs("vfat", "u-1", "")).is_err());
        assert!(line(&fs("btrfs", "u-1", "")).unwrap_err().to_string().contains("btrfs"));
    }

    #[test]
    fn places_and_the_order_of_mounts() {
        let manifest = example();
        let places = places(&manifest, "nvme0n1");
        let devices: Vec<String> = places.iter().map(|p| p.device.display().to_string()).collect();
        assert_eq!(devices, ["/dev/nvme0n1p2", "/dev/mapper/VA-data", "/dev/mapper/VA-back", "/dev/mapper/VA-root"]);
        assert_eq!(places[3].names, ["/dev/VA/root", "/dev/mapper/VA-root"]);
        let points: Vec<String> = mounted(&places).into_iter().map(|(point, _)| point).collect();
        assert_eq!(points, ["/", "/boot", "/data"]);
        assert_eq!(mapped("my-vg", "a-b"), "/dev/mapper/my--vg-a--b");
    }
}
