//! `image-create initramfs`: the images that kernels start with.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Args, Subcommand};

use super::initramfs_check::CheckArgs;
use crate::assemble::initramfs::compression::Packing;
use crate::assemble::initramfs::edit::ModuleWish;
use crate::assemble::initramfs::names::NamePattern;
use crate::assemble::initramfs::segments::Limits;

/// Read and edit initramfs images
///
/// Everything that the kernel would boot is read: several archives one after another (microcode first), plain or
/// compressed with gzip, xz, lzma, zstd, lz4, bzip2 or lzo. Nothing needs root, and nothing is unpacked to disk
/// unless asked for.
#[derive(Debug, Args)]
pub struct InitramfsArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: InitramfsVerb,
    /// Refuse images that unpack to more than this many MiB
    #[arg(long, value_name = "MIB", global = true, default_value_t = Limits::default().unpacked >> 20)]
    pub max_unpacked: u64,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum InitramfsVerb {
    /// Print the names in an image
    List(ListArgs),
    /// Print files of an image, links followed
    Cat(CatArgs),
    /// Unpack an image, or files of it, below a directory
    Extract(ExtractArgs),
    /// Tell what an image consists of
    Info(InfoArgs),
    /// Make an image for a kernel from nothing
    Build(super::initramfs_build::BuildArgs),
    /// Prove that everything in an image has what it needs
    Check(CheckArgs),
    /// Write an image with changes to another file
    Edit(Box<EditArgs>),
}

/// Which names are printed, and how.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The image
    pub file: PathBuf,
    /// Only names that match one of these; a directory stands for all in it
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<NamePattern>,
    /// Print mode, links, owner, group, size or device, time (UTC), name and target
    #[arg(short, long)]
    pub long: bool,
    /// Print names as they are, with a NUL after each
    #[arg(short = '0', long, conflicts_with_all = ["long", "json"])]
    pub null: bool,
    /// Only segment N (see `info`)
    #[arg(long, value_name = "N")]
    pub segment: Option<usize>,
    /// Print JSON
    #[arg(long, conflicts_with = "long")]
    pub json: bool,
}

/// Which files are printed.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The image
    pub file: PathBuf,
    /// Files in it
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<String>,
}

/// What is unpacked, and where.
#[derive(Debug, Args)]
#[command(after_help = "\
Device nodes need root; without it they are left out and named. Owners are set only by root. Nothing outside DIR is
touched, whatever names and links the image has.")]
pub struct ExtractArgs {
    /// The image
    pub file: PathBuf,
    /// The directory, made if it is not there
    pub dir: PathBuf,
    /// Only names that match one of these; a directory stands for all in it
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<NamePattern>,
    /// Only segment N (see `info`)
    #[arg(long, value_name = "N")]
    pub segment: Option<usize>,
}

/// What is described.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The image
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Owners, modes, times, devices and segments of BASE survive. What is new belongs to root and has the mode and time
of the file it is from; a directory brings all in it. Paths lead where links of BASE lead: /lib/x is
/usr/lib/x where /lib is a link to usr/lib. With SOURCE_DATE_EPOCH set, no time is later than that.

Example:
  image-create initramfs edit initrd.gz -o out/initrd.zst --add run.sh:/sbin/run.sh --remove '/lib/debian-installer/retriever/*' \\
    --replace motd:/etc/motd --compress zstd:19")]
pub struct EditArgs {
    /// The image
    pub base: PathBuf,
    /// The file to write; it may be BASE
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Put the file or directory SRC to DEST; may be repeated
    #[arg(long, value_name = "SRC:DEST", value_parser = pair())]
    pub add: Vec<Pair>,
    /// Give the file DEST the content of FILE; may be repeated
    #[arg(long, value_name = "FILE:DEST", value_parser = pair())]
    pub replace: Vec<Pair>,
    /// Take away what matches GLOB, directories with all in them; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub remove: Vec<NamePattern>,
    /// Put in a systemd unit: in place of the one of its name, or enabled by its [Install] section; may be repeated
    #[arg(long, value_name = "FILE")]
    pub unit: Vec<PathBuf>,
    /// Put in a program of the root tree (a name or path) with all that it needs to run; may be repeated
    #[arg(long, value_name = "PATH")]
    pub program: Vec<String>,
    /// Put in modules of kernel KVER with what they need: KVER:NAME,NAME... or KVER:all; KVER alone takes those that
    /// BASE has, of whatever kernel; may be repeated
    #[arg(long, value_name = "KVER[:NAMES]")]
    pub modules: Vec<ModuleWish>,
    /// The tree that has lib/modules/KVER, such as an unpacked package (default: that of --root)
    #[arg(long, value_name = "DIR")]
    pub modules_dir: Option<PathBuf>,
    /// The tree that programs are taken from
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Put in what this description (initramfs.json) says; may be repeated
    #[arg(long, value_name = "FILE")]
    pub spec: Vec<PathBuf>,
    /// Compress the last segment (default: as it was): zstd, xz, gzip, lzma, lz4, bzip2 or none, with :LEVEL if wanted
    #[arg(long, value_name = "HOW")]
    pub compress: Option<Packing>,
    /// No time in the image is later than this, in seconds since 1970
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", hide = true)]
    pub source_date_epoch: Option<u32>,
}

/// A file of the host, and a path in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// On the host.
    pub source: PathBuf,
    /// In the image.
    pub dest: Vec<u8>,
}

fn pair() -> ValueParser {
    ValueParser::new(OsStringValueParser::new().try_map(|text: OsString| Pair::parse(&text)))
}

impl Pair {
    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().rposition(|b| *b == b':').ok_or("there is no ':' between the file and its place")?;
        let (source, dest) = (&bytes[..colon], &bytes[colon + 1..]);
        if source.is_empty() || dest.is_empty() {
            return Err("one of the two paths is empty");
        }
        Ok(Self { source: PathBuf::from(OsStr::from_bytes(source)), dest: dest.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_parted_at_its_last_colon() {
        let pair = Pair::parse(OsStr::new("a:b:/c")).unwrap();
        assert_eq!(pair, Pair { source: "a:b".into(), dest: b"/c".to_vec() });
        assert!(Pair::parse(OsStr::new("a:")).is_err() && Pair::parse(OsStr::new("a")).is_err());
    }
}
