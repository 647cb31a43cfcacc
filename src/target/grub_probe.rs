//! `grub-probe`, answered from the planned disk layout instead of from block devices.
//!
//! While `finalise.d` runs without loop devices there is no disk: the tree is an overlay and the
//! filesystems are made later. The target's own `grub-mkconfig` works all the same when this
//! program lies over its `grub-probe` and [`super::grub_mkrelpath`] over its `grub-mkrelpath`.
//! Options, targets and answers are those of GRUB 2.06 to 2.12 (util/grub-probe.c).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{data_dir, out};
use crate::error::on;

/// What the disk will hold: the content of `layout.json` in the engine's data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrubLayout {
    /// The filesystems that are mounted in the tree; the root one is needed.
    pub filesystems: Vec<GrubFilesystem>,
    /// The partition table in GRUB's words: `gpt`, `msdos`, or `None` for a disk without one.
    pub table: Option<String>,
}

/// One filesystem of a [`GrubLayout`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrubFilesystem {
    /// Where it is mounted, absolute.
    pub mount_point: String,
    /// Its type as `mkfs` and `mount` call it: `ext4`, `xfs`, `vfat`.
    pub kind: String,
    /// Its UUID, or a FAT volume's `XXXX-XXXX`.
    pub uuid: String,
    /// Its label; empty if it has none.
    #[serde(default)]
    pub label: String,
    /// Its partition in GRUB's words (`gpt3`, `msdos1`); `None` when it fills the disk.
    pub partition: Option<String>,
    /// The UUID of its partition: a GPT entry's, or an MBR disk's `XXXXXXXX-NN`.
    #[serde(default)]
    pub partuuid: Option<String>,
    /// The logical volume that it lies on, if it does.
    #[serde(default)]
    pub volume: Option<GrubVolume>,
}

/// A logical volume, for [`GrubFilesystem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrubVolume {
    /// Its name for device-mapper and GRUB: `GROUP-VOLUME`, with hyphens in names doubled.
    pub name: String,
    /// The identifiers of its group and itself: `ID/ID`.
    pub id: String,
}

/// The whole disk's name, which nothing but this program understands.
const DISK: &str = "/dev/disk/by-id/image-create";

impl GrubLayout {
    /// The file's name in the engine's data directory.
    pub const FILE: &'static str = "layout.json";

    /// Reads the layout from the engine's data directory.
    ///
    /// # Errors
    /// When the file is not there or not of this shape.
    pub fn load() -> Result<Self> {
        let file = data_dir().join(Self::FILE);
        let text = fs::read_to_string(&file).with_context(|| on("reading", &file))?;
        serde_json::from_str(&text).with_context(|| on("reading", &file))
    }

    /// The filesystem that an absolute path without links lies on.
    pub fn of_path(&self, path: &Path) -> Option<&GrubFilesystem> {
        let holding = self.filesystems.iter().filter(|f| path.starts_with(&f.mount_point));
        holding.max_by_key(|f| Path::new(&f.mount_point).components().count())
    }

    /// The device paths that a running system will have for the filesystems. `grub-mkconfig`
    /// writes `root=UUID=…` only when the root's is there, so empty files of these names belong
    /// into the chroot's private /dev while it runs.
    pub fn device_paths(&self) -> Vec<PathBuf> {
        let by_uuid = self.filesystems.iter().map(|f| format!("/dev/disk/by-uuid/{}", f.uuid).into());
        let volumes = self.filesystems.iter().filter(|f| f.volume.is_some()).map(|f| f.device().into());
        let partuuids = self.filesystems.iter().filter_map(|f| f.partuuid.as_ref());
        by_uuid.chain(volumes).chain(partuuids.map(|u| format!("/dev/disk/by-partuuid/{u}").into())).collect()
    }

    fn of_device(&self, device: &str) -> Option<&GrubFilesystem> {
        let by = |prefixes: [&str; 2]| prefixes.into_iter().find_map(|p| device.strip_prefix(p));
        let uuid = by(["/dev/disk/by-uuid/", "UUID="]);
        let label = by(["/dev/disk/by-label/", "LABEL="]).filter(|l| !l.is_empty());
        let partuuid = by(["/dev/disk/by-partuuid/", "PARTUUID="]);
        let volume = device.strip_prefix("/dev/mapper/");
        self.filesystems.iter().find(|f| {
            volume.is_some_and(|name| f.volume.as_ref().is_some_and(|v| v.name == name))
                || uuid.is_some_and(|u| f.uuid.eq_ignore_ascii_case(u))
                || label.is_some_and(|l| f.label == l)
                || partuuid.is_some_and(|u| f.partuuid.as_ref().is_some_and(|p| p.eq_ignore_ascii_case(u)))
        })
    }
}

impl GrubFilesystem {
    /// The path that stands for its block device.
    fn device(&self) -> String {
        match &self.volume {
            Some(volume) => format!("/dev/mapper/{}", volume.name),
            None => format!("/dev/disk/by-uuid/{}", self.uuid),
        }
    }

    /// The GRUB module that reads it.
    fn module(&self) -> Result<&str> {
        Ok(match self.kind.as_str() {
            "ext2" | "ext3" | "ext4" => "ext2",
            "vfat" | "fat" | "fat12" | "fat16" | "fat32" | "msdos" => "fat",
            "squashfs" => "squash4",
            kind @ ("btrfs" | "xfs" | "f2fs" | "jfs" | "ntfs" | "exfat" | "erofs" | "iso9660" | "udf" | "zfs") => kind,
            kind => bail!("unknown filesystem: GRUB cannot read {kind}"),
        })
    }

    /// GRUB's name of its partition on the firmware's disk `disk`. It is a hint only: GRUB
    /// searches by UUID when the disk has another number.
    fn hint(&self, disk: &str) -> String {
        self.partition.as_ref().map_or(disk.to_owned(), |partition| format!("{disk},{partition}"))
    }
}

/// Answers one question about one or more paths or devices.
///
/// # Errors
/// When the path or device is not on the layout, or the question has no answer for it.
pub fn run(args: Vec<String>) -> Result<u8> {
    let Some(request) = Request::parse(&args)? else {
        out(
            "Usage: grub-probe [OPTION...] [PATH|DEVICE]\nimage-create's stand-in: answers from the planned disk layout.",
        )?;
        return Ok(0);
    };
    if request.target == "version" {
        return out("grub-probe (image-create's stand-in for GRUB) 2.12").map(|()| 0);
    }
    let layout = GrubLayout::load()?;
    let mut answers = Vec::new();
    for subject in &request.subjects {
        answers.extend(request.answer(&layout, subject)?);
    }
    if request.nul {
        let text: String = answers.iter().map(|a| format!("{a}\0")).collect();
        return print_bytes(&text);
    }
    for answer in answers {
        out(&answer)?;
    }
    Ok(0)
}

fn print_bytes(text: &str) -> Result<u8> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("writing to stdout")?;
    Ok(0)
}

struct Request {
    target: String,
    devices: bool,
    nul: bool,
    subjects: Vec<String>,
}

impl Request {
    fn parse(args: &[String]) -> Result<Option<Self>> {
        let mut request = Self { target: "fs".into(), devices: false, nul: false, subjects: Vec::new() };
        let mut rest = args.iter().map(String::as_str);
        let value = |next: Option<&str>| next.map(str::to_owned).ok_or_else(|| anyhow!("option needs a value"));
        while let Some(arg) = rest.next() {
            match arg {
                "-t" | "--target" => request.target = value(rest.next())?,
                "-d" | "--device" => request.devices = true,
                "-m" | "--device-map" => drop(value(rest.next())?),
                "-0" => request.nul = true,
                "-v" | "--verbose" => {}
                "-V" | "--version" => request.target = "version".into(),
                "-?" | "-h" | "--help" | "--usage" => return Ok(None),
                "--" => request.subjects.extend(rest.by_ref().map(str::to_owned)),
                long if long.starts_with("--target=") => request.target = long["--target=".len()..].to_owned(),
                long if long.starts_with("--device-map=") => {}
                short if short.len() > 2 && short.starts_with("-t") => request.target = short[2..].to_owned(),
                other if other.starts_with('-') && other.len() > 1 => bail!("unrecognized option '{other}'"),
                subject => request.subjects.push(subject.to_owned()),
            }
        }
        if request.subjects.is_empty() && request.target != "version" {
            bail!("no path or device is specified");
        }
        Ok(Some(request))
    }

    /// The lines for one path or device.
    fn answer(&self, layout: &GrubLayout, subject: &str) -> Result<Vec<String>> {
        if self.devices && subject == DISK {
            return disk_answer(layout, &self.target);
        }
        let filesystem = if self.devices {
            layout.of_device(subject).with_context(|| format!("cannot find a filesystem for device {subject}"))?
        } else {
            let path =
                fs::canonicalize(subject).with_context(|| format!("failed to get canonical path of '{subject}'"))?;
            layout
                .of_path(&path)
                .with_context(|| format!("cannot find a device for {subject} (is / in the layout?)"))?
        };
        filesystem_answer(layout, filesystem, &self.target)
    }
}

fn filesystem_answer(layout: &GrubLayout, fs: &GrubFilesystem, target: &str) -> Result<Vec<String>> {
    let one = |text: String| Ok(vec![text]);
    match target {
        "fs" => one(fs.module()?.to_owned()),
        "fs_uuid" => one(fs.uuid.clone()),
        "fs_label" => one(fs.label.clone()),
        "device" => one(fs.device()),
        "disk" => one(if fs.volume.is_some() { fs.device() } else { DISK.to_owned() }),
        "partuuid" => Ok(fs.partuuid.iter().cloned().collect()),
        "partmap" => Ok(fs
            .partition
            .as_ref()
            .or(fs.volume.as_ref().map(|v| &v.name))
            .and(layout.table.clone())
            .into_iter()
            .collect()),
        target if fs.volume.is_some() => fs.volume.as_ref().map_or(Ok(vec![]), |volume| volume.answer(target)),
        "drive" => one(format!("({})", fs.hint("hd0"))),
        "compatibility_hint" | "bios_hints" | "efi_hints" => one(fs.hint("hd0")),
        "baremetal_hints" => one(fs.hint("ahci0")),
        "hints_string" => one(format!(
            "--hint-bios={} --hint-efi={} --hint-baremetal={}",
            fs.hint("hd0"),
            fs.hint("hd0"),
            fs.hint("ahci0")
        )),
        // No RAID, no encryption below a planned filesystem; no Open Firmware disk either.
        "abstraction" | "cryptodisk_uuid" | "ieee1275_hints" | "arc_hints" => Ok(vec![]),
        other => bail!("image-create's stand-in for grub-probe has no answer to target '{other}'"),
    }
}

impl GrubVolume {
    /// The questions that a partition would answer otherwise. GRUB finds volumes by their identifiers on any disk.
    fn answer(&self, target: &str) -> Result<Vec<String>> {
        let hint = format!("lvmid/{}", self.id);
        Ok(match target {
            "abstraction" => vec!["lvm".to_owned()],
            "drive" => vec![format!("(lvm/{})", self.name)],
            "compatibility_hint" => vec![hint],
            "hints_string" => vec![format!("--hint='{hint}'")],
            "bios_hints" | "efi_hints" | "baremetal_hints" | "cryptodisk_uuid" | "ieee1275_hints" | "arc_hints" => {
                vec![]
            }
            other => bail!("image-create's stand-in for grub-probe has no answer to target '{other}'"),
        })
    }
}

fn disk_answer(layout: &GrubLayout, target: &str) -> Result<Vec<String>> {
    match target {
        "device" | "disk" => Ok(vec![DISK.to_owned()]),
        "partmap" => Ok(layout.table.iter().cloned().collect()),
        "drive" => Ok(vec!["(hd0)".to_owned()]),
        "compatibility_hint" | "bios_hints" | "efi_hints" => Ok(vec!["hd0".to_owned()]),
        "baremetal_hints" => Ok(vec!["ahci0".to_owned()]),
        "abstraction" | "cryptodisk_uuid" => Ok(vec![]),
        other => bail!("the disk itself has no answer to target '{other}'"),
    }
}

#[cfg(test)]
pub(super) mod tests;
