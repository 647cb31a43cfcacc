//! What a build leaves behind, as data: formats, file names, checksums, and the host tools that each needs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Fault, Faults};
use crate::near::near;

/// A program of the host, and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Tool {
    /// Its name on PATH.
    pub program: &'static str,
    /// The Debian package.
    pub package: &'static str,
}

impl Tool {
    /// qemu-img: converts disk images.
    pub const QEMU_IMG: Tool = Tool { program: "qemu-img", package: "qemu-utils" };
    /// mksquashfs: writes squashfs.
    pub const MKSQUASHFS: Tool = Tool { program: "mksquashfs", package: "squashfs-tools" };
    /// GNU tar: writes archives with extended attributes.
    pub const TAR: Tool = Tool { program: "tar", package: "tar" };
    /// cp of the coreutils: copies trees.
    pub const CP: Tool = Tool { program: "cp", package: "coreutils" };
    /// mke2fs: makes and fills ext2, ext3, ext4.
    pub const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
    /// mkfs.xfs: makes XFS.
    pub const MKFS_XFS: Tool = Tool { program: "mkfs.xfs", package: "xfsprogs" };
    /// mkfs.btrfs: makes Btrfs.
    pub const MKFS_BTRFS: Tool = Tool { program: "mkfs.btrfs", package: "btrfs-progs" };
    /// thin_restore: makes the metadata of a pool of thin volumes.
    pub const THIN_RESTORE: Tool = Tool { program: "thin_restore", package: "thin-provisioning-tools" };
    /// openssl: signs migration bundles.
    pub const OPENSSL: Tool = Tool { program: "openssl", package: "openssl" };
    /// setfiles: labels files for SELinux.
    pub const SETFILES: Tool = Tool { program: "setfiles", package: "policycoreutils" };

    /// The tools that making and filling a filesystem needs; none for those that the program writes itself.
    pub fn for_filesystem(kind: &str) -> &'static [Tool] {
        match kind {
            "ext2" | "ext3" | "ext4" => &[Tool::MKE2FS],
            "xfs" => &[Tool::MKFS_XFS, Tool::CP],
            "btrfs" => &[Tool::MKFS_BTRFS, Tool::CP],
            _ => &[],
        }
    }
}

/// The kinds of filesystem that [`crate::assemble`] can make.
pub const FILESYSTEMS: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "fat", "msdos", "swap"];

/// A format that an image can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// The disk as it is.
    Raw,
    /// QEMU's copy-on-write format, compressed.
    Qcow2,
    /// Virtual PC's format as Xen and Azure want it: qemu-img's `vpc` with an exact size.
    Vhd,
    /// Another format of qemu-img, by its name there.
    Qemu(&'static str),
    /// The root tree as a tar archive.
    Tar,
    /// The same, compressed with gzip.
    Tgz,
    /// The root tree as a squashfs.
    Squashfs,
    /// The root tree as a container image in an OCI archive.
    Docker,
    /// The root tree as an application container image.
    Aci,
}

/// The formats that qemu-img writes, apart from those with a variant of their own.
const QEMU_FORMATS: &[&str] = &["vmdk", "vdi", "vpc", "vhdx", "qed", "qcow", "parallels"];

/// What an output is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The root tree.
    Tree,
    /// The raw disk.
    Disk,
}

impl Format {
    /// Every format, in the order in which they are documented.
    pub fn all() -> impl Iterator<Item = Format> {
        let own = [Self::Qcow2, Self::Raw, Self::Vhd];
        let trees = [Self::Tar, Self::Tgz, Self::Squashfs, Self::Docker, Self::Aci];
        own.into_iter().chain(QEMU_FORMATS.iter().map(|n| Self::Qemu(n))).chain(trees)
    }

    /// The name as `-t` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Qemu(name) => name,
            Self::Tar => "tar",
            Self::Tgz => "tgz",
            Self::Squashfs => "squashfs",
            Self::Docker => "docker",
            Self::Aci => "aci",
        }
    }

    /// The file name's extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            // Callers of diskimage-builder look for `.squash`.
            Self::Squashfs => "squash",
            Self::Docker => "oci.tar",
            other => other.name(),
        }
    }

    /// What it is made from.
    pub fn source(self) -> Source {
        match self {
            Self::Raw | Self::Qcow2 | Self::Vhd | Self::Qemu(_) => Source::Disk,
            Self::Tar | Self::Tgz | Self::Squashfs | Self::Docker | Self::Aci => Source::Tree,
        }
    }

    /// The host tool that writes it.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Self::Raw => None,
            Self::Qcow2 | Self::Vhd | Self::Qemu(_) => Some(Tool::QEMU_IMG),
            Self::Squashfs => Some(Tool::MKSQUASHFS),
            Self::Tar | Self::Tgz | Self::Docker | Self::Aci => Some(Tool::TAR),
        }
    }

    /// qemu-img's name for it.
    pub fn qemu_name(self) -> Option<&'static str> {
        match self {
            Self::Qcow2 => Some("qcow2"),
            Self::Vhd => Some("vpc"),
            Self::Qemu(name) => Some(name),
            _ => None,
        }
    }

    /// Whether a file of the same name from an earlier build is kept under a dated name (contract 7.1).
    pub fn keeps_old(self) -> bool {
        !matches!(self, Self::Tar | Self::Squashfs | Self::Aci)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self, Fault> {
        if let Some(format) = Self::all().find(|f| f.name() == name) {
            return Ok(format);
        }
        let known: Vec<&str> = Self::all().map(Self::name).collect();
        let hint = match near(name, known.iter().copied()).first() {
            Some(near) => format!("did you mean '{near}'? Known formats: {}", known.join(", ")),
            None => format!("known formats: {}", known.join(", ")),
        };
        Err(Fault::new(format!("no image format is called '{name}'")).hint(hint))
    }
}

/// How a qcow2 is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// zstd: fast; needs QEMU 5.1 or newer to run.
    #[default]
    Zstd,
    /// zlib: for older hypervisors.
    Zlib,
    /// Not at all (`-u`).
    None,
}

/// A checksum that is written beside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Checksum {
    /// Reads `DIB_CHECKSUM`: empty and `0` mean none, `1` means both, else a comma list.
    ///
    /// # Errors
    /// On any other name.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Fault> {
        match text {
            "" | "0" => return Ok(vec![]),
            "1" => return Ok(vec![Self::Md5, Self::Sha256]),
            _ => {}
        }
        let mut list = Vec::new();
        for name in text.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            list.push(match name {
                "md5" => Self::Md5,
                "sha256" => Self::Sha256,
                _ => return Err(Fault::new(format!("no checksum is called '{name}'")).hint("known: md5, sha256")),
            });
        }
        list.sort();
        list.dedup();
        Ok(list)
    }

    /// The extension of its file, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
        }
    }
}

/// One file that the build will write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputPlan {
    /// Its format.
    pub format: Format,
    /// Its path, as the user gave it plus the extension: checksum files name it so.
    pub path: PathBuf,
}

/// Everything asked for about outputs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OutputOptions {
    /// Checksum files to write beside each output.
    pub checksums: Vec<Checksum>,
    /// Overwrite a file of the same name instead of renaming it (`OVERWRITE_OLD_IMAGE`).
    pub overwrite: bool,
    /// How a qcow2 is compressed.
    pub compression: Compression,
    /// `k=v,…` for qemu-img's `-o` (`--qemu-img-options`); each format gets those options that it knows.
    pub qemu_img_options: Option<String>,
    /// Program, with its arguments, that compresses a tgz and is given `-9` too (`DIB_GZIP_BIN`); empty for the
    /// built-in compressor.
    pub gzip: Vec<String>,
    /// `repo:tag` of a container image.
    pub docker_target: Option<String>,
    /// The manifest that goes into an aci.
    pub aci_manifest: Option<PathBuf>,
    /// The architecture as OCI names it (`amd64`, `arm64`, …).
    pub oci_architecture: String,
    /// Who shall own the files: the user behind sudo.
    pub owner: Option<(u32, u32)>,
    /// No time stamp in an output is later than this (`SOURCE_DATE_EPOCH`, seconds).
    pub epoch: Option<i64>,
}

/// Names the files of a build: `stem` is `-o`, `types` the words of `-t`.
///
/// With a single type, a suffix of `stem` that is the type's own is not doubled (contract 7.2).
///
/// # Errors
/// All of: unknown formats, none at all, `docker` without a target or with one that is no name.
pub fn plan_outputs(stem: &Path, types: &[String], options: &OutputOptions) -> Result<Vec<OutputPlan>, Faults> {
    let mut faults = Vec::new();
    let mut formats: Vec<Format> = Vec::new();
    for name in types {
        match name.parse() {
            Ok(format) if formats.contains(&format) => {}
            Ok(format) => formats.push(format),
            Err(fault) => faults.push(fault),
        }
    }
    if types.is_empty() {
        faults.push(Fault::new("no image format is given").hint("-t takes a comma list, for example: -t qcow2,raw"));
    }
    if stem.file_name().is_none() {
        faults.push(Fault::new(format!("the image name '{}' holds no file name", stem.display())));
    }
    if formats.contains(&Format::Docker) {
        faults.extend(docker_fault(options.docker_target.as_deref()));
    }
    let outputs = formats.iter().map(|f| OutputPlan { format: *f, path: output_path(stem, *f, formats.len() == 1) });
    Faults::or(faults, outputs.collect())
}

fn output_path(stem: &Path, format: Format, only: bool) -> PathBuf {
    let mut stem = stem.as_os_str().to_owned();
    if only {
        for suffix in [format.name(), format.extension()] {
            let text = stem.to_string_lossy();
            if let Some(short) = text.strip_suffix(&format!(".{suffix}")).filter(|s| !s.is_empty() && !s.ends_with('/'))
            {
                stem = short.to_owned().into();
                break;
            }
        }
    }
    stem.push(".");
    stem.push(format.extension());
    PathBuf::from(stem)
}

fn docker_fault(target: Option<&str>) -> Option<Fault> {
    let Some(target) = target.filter(|t| !t.is_empty()) else {
        return Some(
            Fault::new("the format 'docker' needs a name for the image").hint("give --docker-target REPOSITORY:TAG"),
        );
    };
    let good = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if target.chars().all(good) {
        return None;
    }
    Some(Fault::new(format!("'{target}' is not a container image name")).hint("it looks like REPOSITORY:TAG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stem: &str, types: &[&str]) -> Vec<String> {
        let options = OutputOptions { docker_target: Some("me/it:1".into()), ..Default::default() };
        let types: Vec<String> = types.iter().map(|t| (*t).to_owned()).collect();
        let outputs = plan_outputs(Path::new(stem), &types, &options).unwrap();
        outputs.iter().map(|o| o.path.display().to_string()).collect()
    }

    #[test]
    fn files_are_named_after_the_stem_and_the_format() {
        assert_eq!(names("image", &["qcow2"]), ["image.qcow2"]);
        assert_eq!(
            names("out/x", &["raw", "tgz", "squashfs", "docker", "vhd", "vmdk"]),
            ["out/x.raw", "out/x.tgz", "out/x.squash", "out/x.oci.tar", "out/x.vhd", "out/x.vmdk"]
        );
    }

    #[test]
    fn c10_a_single_types_own_suffix_is_not_doubled() {
        assert_eq!(names("x.qcow2", &["qcow2"]), ["x.qcow2"]);
        assert_eq!(names("x.squashfs", &["squashfs"]), ["x.squash"]);
        assert_eq!(names("x.raw", &["qcow2"]), ["x.raw.qcow2"]);
        assert_eq!(names("x.qcow2", &["qcow2", "raw"]), ["x.qcow2.qcow2", "x.qcow2.raw"]);
        assert_eq!(names("d/.qcow2", &["qcow2"]), ["d/.qcow2.qcow2"]);
    }

    #[test]
    fn a_type_named_twice_is_written_once() {
        assert_eq!(names("x", &["raw", "raw"]), ["x.raw"]);
    }

    #[test]
    fn every_fault_is_found_at_once_with_near_names() {
        let types = ["qcow3".to_owned(), "docker".to_owned(), "isoo".to_owned()];
        let faults = plan_outputs(Path::new("x"), &types, &OutputOptions::default()).unwrap_err();
        let texts: Vec<&str> = faults.0.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            texts,
            [
                "no image format is called 'qcow3'",
                "no image format is called 'isoo'",
                "the format 'docker' needs a name for the image"
            ]
        );
        assert!(faults.0[0].hint.as_ref().unwrap().starts_with("did you mean 'qcow2'?"));
        assert!(faults.0[1].hint.as_ref().unwrap().starts_with("known formats: qcow2, raw"));
    }

    #[test]
    fn checksums_are_read_as_the_variable_is_written() {
        assert_eq!(Checksum::parse_list("").unwrap(), []);
        assert_eq!(Checksum::parse_list("0").unwrap(), []);
        assert_eq!(Checksum::parse_list("1").unwrap(), [Checksum::Md5, Checksum::Sha256]);
        assert_eq!(Checksum::parse_list("sha256").unwrap(), [Checksum::Sha256]);
        assert!(Checksum::parse_list("sha1").is_err());
    }
}
