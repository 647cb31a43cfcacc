//! `manifest.json`: what a migration bundle holds, what it needs, and the layout of the disk that it makes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format that this program reads and writes.
pub const FORMAT: u32 = 1;

/// A bundle's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The name that the payload's files begin with.
    pub name: String,
    /// The version of the new system, as its vendor counts.
    pub version: String,
    /// The new system, for people: `Rocky Linux 9.4`.
    pub system: String,
    /// As `uname -m` says it.
    pub arch: String,
    /// The version of the kernel, of the new system and of the tiny one.
    pub kernel: String,
    /// How the new system is started.
    pub firmware: Firmware,
    /// The file with the new system's root and /boot.
    pub payload: String,
    /// Whether the new system's own generator makes its initramfs anew on the machine.
    #[serde(default)]
    pub initramfs: InitramfsPolicy,
    /// Bytes that the payload's files take on a disk.
    pub unpacked_bytes: u64,
    /// Bytes of memory that the tiny system needs in all.
    pub ram_bytes: u64,
    /// Bytes of the smallest disk that the layout fits on.
    pub disk_bytes: u64,
    /// Bytes that the tiny system's kernel and initramfs take in /boot of the old system.
    pub boot_free_bytes: u64,
    /// The bundle's files by name.
    pub files: BTreeMap<String, FileEntry>,
    /// What the disk becomes.
    pub layout: Layout,
}

/// How a machine is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// From the boot sector.
    Bios,
    /// From an EFI system partition.
    Uefi,
}

/// What happens to the new system's initramfs on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitramfsPolicy {
    /// The system's generator makes it again.
    #[default]
    Regenerate,
    /// The payload's stays: it starts on any hardware.
    Keep,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its length.
    pub bytes: u64,
    /// Its digest, in hexadecimal digits.
    pub sha256: String,
}

/// What the disk becomes: a GPT whose last partition holds a volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// In the order of the table, as `sgdisk -l` loads them from the table's file.
    pub partitions: Vec<Partition>,
    /// The name of the volume group.
    pub group: String,
    /// Bytes of an extent.
    pub extent_bytes: u64,
    /// The logical volumes, in the order in which they are made.
    pub volumes: Vec<Volume>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// What it is for.
    pub role: Role,
    /// Its length; of the last one, that on the smallest disk.
    pub bytes: u64,
    /// What is made on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds GRUB's core image.
    BiosBoot,
    /// The EFI system partition.
    Esp,
    /// /boot, which both systems share.
    Boot,
    /// The physical volume.
    Lvm,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name: `root`, `back` or `data`.
    pub name: String,
    /// Its length on the smallest disk.
    pub bytes: u64,
    /// Where room goes that a larger disk has.
    #[serde(default)]
    pub grow: Grow,
    /// What is made on it.
    pub filesystem: Filesystem,
}

/// What a volume gets of the room that a larger disk has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grow {
    /// Nothing.
    #[default]
    No,
    /// As much as makes it as large as the volume `root`, before others get anything.
    LikeRoot,
    /// What is left then.
    Rest,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// ext4, xfs or vfat.
    pub kind: String,
    /// Its identity, which the new system's fstab and boot loader count on. vfat: `ABCD-1234`.
    pub uuid: String,
    /// Its label; empty for none.
    #[serde(default)]
    pub label: String,
    /// Where the new system mounts it; nowhere if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

impl FileEntry {
    /// That of a file as it is; `each` hears how many bytes were read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path, each: &mut dyn FnMut(u64)) -> Result<Self> {
        let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hash.update(&buffer[..count]);
                    bytes += count as u64;
                    each(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            }
        }
        Ok(Self { bytes, sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect() })
    }
}

impl Manifest {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no manifest of a format that is known here.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self = serde_json::from_str(text).context("reading the manifest")?;
        ensure!(
            manifest.format == FORMAT,
            "the manifest has format {}, and this program reads {FORMAT}: take a newer one",
            manifest.format
        );
        Ok(manifest)
    }

    /// The text of the file: each scalar and each file on a line of its own, so that a shell can read it.
    ///
    /// # Errors
    /// Never, but for a lack of memory.
    pub fn to_text(&self) -> Result<String> {
        let value = serde_json::to_value(self).context("writing the manifest")?;
        let mut text = String::from("{\n");
        let mut first = true;
        for (key, value) in value.as_object().into_iter().flatten() {
            let comma = if std::mem::take(&mut first) { "" } else { ",\n" };
            let key = serde_json::to_string(key)?;
            match (key.as_str(), value.as_object()) {
                ("\"files\"", Some(files)) => {
                    let lines: Vec<String> = files.iter().map(|(name, entry)| file_line(name, entry)).collect();
                    write!(text, "{comma}  {key}: {{\n{}\n  }}", lines.join(",\n"))?;
                }
                _ => write!(text, "{comma}  {key}: {}", serde_json::to_string(value)?)?,
            }
        }
        text.push_str("\n}\n");
        Ok(text)
    }
}

fn file_line(name: &str, entry: &serde_json::Value) -> String {
    let name = serde_json::Value::from(name);
    format!("    {name}: {{\"bytes\": {}, \"sha256\": {}}}", entry["bytes"], entry["sha256"])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A manifest as a build with the element's defaults makes it.
    pub(crate) fn example() -> Manifest {
        let fs = |uuid: &str, label: &str, mount: Option<&str>| Filesystem {
            kind: "ext4".into(),
            uuid: uuid.into(),
            label: label.into(),
            mount: mount.map(str::to_owned),
        };
        let volume =
            |name: &str, mib: u64, grow, filesystem| Volume { name: name.into(), bytes: mib << 20, grow, filesystem };
        Manifest {
            format: FORMAT,
            name: "va".into(),
            version: "1".into(),
            system: "Rocky Linux 9.4".into(),
            arch: "x86_64".into(),
            kernel: "5.14.0-427.el9.x86_64".into(),
            firmware: Firmware::Bios,
            payload: "va.tar.xz".into(),
            initramfs: InitramfsPolicy::Regenerate,
            unpacked_bytes: 900 << 20,
            ram_bytes: 2 << 30,
            disk_bytes: 10 << 30,
            boot_free_bytes: 60 << 20,
            files: [("va.tar.xz", 1000), ("va.sgdisk", 17920)]
                .into_iter()
                .map(|(name, bytes)| (name.to_owned(), FileEntry { bytes, sha256: "0".repeat(64) }))
                .collect(),
            layout: Layout {
                partitions: vec![
                    Partition { number: 1, role: Role::BiosBoot, bytes: 2 << 20, filesystem: None },
                    Partition {
                        number: 2,
                        role: Role::Boot,
                        bytes: 1 << 30,
                        filesystem: Some(fs("6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a01", "boot", Some("/boot"))),
                    },
                    Partition {
                        number: 3,
                        role: Role::Lvm,
                        bytes: (10 << 30) - (1 << 30) - (4 << 20),
                        filesystem: None,
                    },
                ],
                group: "VA".into(),
                extent_bytes: 4 << 20,
                volumes: vec![
                    volume("data", 512, Grow::Rest, fs("6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a04", "data", Some("/data"))),
                    volume("back", 512, Grow::LikeRoot, fs("6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a03", "back", None)),
                    volume("root", 8184, Grow::No, fs("6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a02", "root", Some("/"))),
                ],
            },
        }
    }

    #[test]
    fn what_is_written_is_read_and_a_shell_finds_its_lines() {
        let text = example().to_text().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), example());
        assert!(text.contains("\n  \"ram_bytes\": 2147483648,\n"), "{text}");
        assert!(text.contains("\n    \"va.sgdisk\": {\"bytes\": 17920, \"sha256\": \"000"), "{text}");
        assert!(text.lines().last() == Some("}"));
    }

    #[test]
    fn other_formats_are_refused() {
        let text = example().to_text().unwrap().replace("\"format\": 1", "\"format\": 2");
        assert!(Manifest::parse(&text).unwrap_err().to_string().contains("format 2"));
    }
}
