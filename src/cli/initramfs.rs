//! `image-create initramfs`: the images that kernels start with.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::initramfs_check::CheckArgs;
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
<<<<<<< HEAD
    /// Make an image for a kernel from nothing
    Build(super::initramfs_build::BuildArgs),
=======
    /// Prove that everything in an image has what it needs
    Check(CheckArgs),
>>>>>>> k5
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
