//! The block devices of the machine, with what tells them apart.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::probe::{self, Identity, Partition};
use crate::root_spec::RootSpec;

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name: `vda1`, `dm-0`.
    pub name: String,
    /// Major and minor number.
    pub number: (u32, u32),
    /// What is on it.
    pub identity: Option<Identity>,
    /// What its partition table calls it.
    pub partition: Option<Partition>,
    /// The name that device-mapper gave it.
    pub mapped: Option<String>,
}

impl Device {
    /// The node; of a logical volume the one with its name, which is what people see in the list of mounts.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let named = self.mapped.as_ref().map(|name| Path::new("/dev/mapper").join(name));
        if let Some(named) = named.filter(|n| n.exists()) {
            return named;
        }
        // The kernel writes "!" for the slash in names like cciss/c0d0.
        Path::new("/dev").join(self.name.replace('!', "/"))
    }
}

/// Looks at devices, and remembers what it saw of those that stay as they are.
#[derive(Debug, Default)]
pub struct Devices {
    known: HashMap<String, (u64, Option<Identity>)>,
}

impl Devices {
    /// The devices that are there now, sorted by name. Those without a medium are left out.
    pub fn now(&mut self) -> Vec<Device> {
        let mut names: Vec<String> = fs::read_dir("/sys/class/block")
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut tables = HashMap::new();
        names.into_iter().filter_map(|name| self.look(&name, &mut tables)).collect()
    }

    fn look(&mut self, name: &str, tables: &mut HashMap<String, Vec<Partition>>) -> Option<Device> {
        let dir = Path::new("/sys/class/block").join(name);
        let sectors: u64 = attribute(&dir, "size")?.parse().ok()?;
        if sectors == 0 || name.starts_with("ram") {
            return None;
        }
        let number = attribute(&dir, "dev")?;
        let (major, minor) = number.split_once(':')?;
        let mut device = Device {
            name: name.to_owned(),
            number: (major.parse().ok()?, minor.parse().ok()?),
            identity: None,
            partition: None,
            mapped: attribute(&dir, "dm/name"),
        };
        device.identity = self.identity(&device, sectors);
        device.partition = partition(&dir, tables);
        Some(device)
    }

    /// Reads a device once; again if its size changed, or if nothing was found on it.
    fn identity(&mut self, device: &Device, sectors: u64) -> Option<Identity> {
        if let Some((size, identity @ Some(_))) = self.known.get(&device.name)
            && *size == sectors
        {
            return identity.clone();
        }
        let found = File::open(device.path()).and_then(|mut f| probe::identify(&mut f)).ok().flatten();
        self.known.insert(device.name.clone(), (sectors, found.clone()));
        found
    }
}

/// A value of /sys.
fn attribute(dir: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(dir.join(name)).ok()?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// What the table of the disk that a partition lies on says about it. Tables are read once per look.
fn partition(dir: &Path, tables: &mut HashMap<String, Vec<Partition>>) -> Option<Partition> {
    let number: u32 = attribute(dir, "partition")?.parse().ok()?;
    let disk = fs::canonicalize(dir).ok()?.parent()?.to_path_buf();
    let name = disk.file_name()?.to_string_lossy().into_owned();
    let table = tables.entry(name.clone()).or_insert_with(|| {
        let sector = attribute(&disk, "queue/logical_block_size").and_then(|s| s.parse().ok()).unwrap_or(512);
        let opened = File::open(Path::new("/dev").join(name.replace('!', "/")));
        opened.and_then(|mut f| probe::partitions(&mut f, sector)).unwrap_or_default()
    });
    table.iter().find(|p| p.number == number).cloned()
}

/// Finds the device that a name means. One that is only a member of something, like a physical volume, is not meant.
#[must_use]
pub fn find<'a>(spec: &RootSpec, devices: &'a [Device]) -> Option<&'a Device> {
    let by = |same: &dyn Fn(&Identity) -> bool| devices.iter().find(|d| d.identity.as_ref().is_some_and(same));
    let by_table = |same: &dyn Fn(&Partition) -> bool| devices.iter().find(|d| d.partition.as_ref().is_some_and(same));
    match spec {
        RootSpec::Uuid(uuid) => by(&|i| i.kind != "LVM2_member" && i.uuid.eq_ignore_ascii_case(uuid)),
        RootSpec::Label(label) => by(&|i| i.label == *label),
        RootSpec::PartUuid(uuid) => by_table(&|p| p.uuid.eq_ignore_ascii_case(uuid)),
        RootSpec::PartLabel(label) => by_table(&|p| p.label == *label),
        RootSpec::Number(major, minor) => devices.iter().find(|d| d.number == (*major, *minor)),
        RootSpec::Device(path) => {
            let volume = spec.logical_volume();
            let named = devices.iter().find(|d| d.path() == *path);
            named
                .or_else(|| {
                    devices.iter().find(|d| {
                        let mapped = d.mapped.as_deref();
                        let split = mapped.and_then(crate::root_spec::split_mapped);
                        (volume.is_some() && split == volume)
                            || mapped.is_some_and(|m| Path::new("/dev/mapper").join(m) == *path)
                    })
                })
                .or_else(|| by_link(path, devices))
        }
    }
}

/// The device behind a link that a hook made.
fn by_link<'a>(path: &Path, devices: &'a [Device]) -> Option<&'a Device> {
    let real: io::Result<PathBuf> = fs::canonicalize(path);
    let real = real.ok().filter(|r| fs::metadata(r).is_ok_and(|m| m.file_type().is_block_device()))?;
    devices.iter().find(|d| d.path() == real)
}

/// A line for each device: what somebody needs to see who looks for the root.
#[must_use]
pub fn describe(devices: &[Device]) -> String {
    let mut lines = Vec::new();
    for device in devices.iter().filter(|d| !d.name.starts_with("loop")) {
        let mut line = device.path().display().to_string();
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                line += &format!(" {name}={value}");
            }
        };
        if let Some(Identity { kind, uuid, label }) = &device.identity {
            add("TYPE", kind);
            add("UUID", uuid);
            add("LABEL", label);
        }
        if let Some(Partition { uuid, label, .. }) = &device.partition {
            add("PARTUUID", uuid);
            add("PARTLABEL", label);
        }
        add("MAPPED", device.mapped.as_deref().unwrap_or_default());
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, uuid: &str, mapped: Option<&str>) -> Device {
        let identity = Identity { kind: "ext4".into(), uuid: uuid.into(), label: format!("label-{name}") };
        let partition = Partition { number: 1, uuid: format!("part-{name}"), label: format!("pl-{name}") };
        Device {
            name: name.into(),
            number: (254, 1),
            identity: Some(identity),
            partition: Some(partition),
            mapped: mapped.map(str::to_owned),
        }
    }

    #[test]
    fn each_kind_of_name_finds_its_device() {
        let devices =
            [device("vda1", "aa", None), device("vda2", "bb", None), device("dm-0", "cc", Some("vg-my--root"))];
        let found = |text: &str| find(&RootSpec::parse(text).unwrap(), &devices).map(|d| d.name.as_str());
        assert_eq!(found("UUID=BB"), Some("vda2"));
        assert_eq!(found("LABEL=label-vda1"), Some("vda1"));
        assert_eq!(found("PARTUUID=PART-VDA2"), Some("vda2"));
        assert_eq!(found("PARTLABEL=pl-vda2"), Some("vda2"));
        assert_eq!(found("/dev/vda1"), Some("vda1"));
        assert_eq!(found("/dev/vg/my-root"), Some("dm-0"));
        assert_eq!(found("/dev/mapper/vg-my--root"), Some("dm-0"));
        assert_eq!(found("UUID=dd"), None);
        assert!(
            describe(&devices)
                .contains("/dev/vda2 TYPE=ext4 UUID=bb LABEL=label-vda2 PARTUUID=part-vda2 PARTLABEL=pl-vda2")
        );
    }
}
