//! `image-create build` (and `plan`): diskimage-builder's options with their letters and names.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// Build images from elements.
///
/// Options and elements may be mixed; long options may be shortened where that is unambiguous.
/// Variables named in brackets are read when the option is not given.
#[derive(Debug, Clone, Default, Args)]
#[command(infer_long_args = true, disable_version_flag = true)]
pub struct BuildArgs {
    /// Elements: what the image is made of
    #[arg(value_name = "ELEMENT")]
    pub elements: Vec<String>,

    /// Architecture of the image [ARCH; default: this machine's]
    #[arg(short, value_name = "ARCH", help_heading = "What to build")]
    pub arch: Option<String>,
    /// Path of the outputs, without extension
    #[arg(short, value_name = "NAME", help_heading = "What to build")]
    pub output: Option<String>,
    /// Formats, separated by commas: qcow2, raw, vmdk, vhd, vhdx, tar, tgz, squashfs, docker, aci, ... (default: qcow2)
    #[arg(short = 't', value_name = "LIST", help_heading = "What to build")]
    pub types: Option<String>,
    /// Packages to install after the install phase, separated by commas; repeatable
    #[arg(short, value_name = "PACKAGES", action = ArgAction::Append, help_heading = "What to build")]
    pub packages: Vec<String>,
    /// Do not put the element `base` in front
    #[arg(short = 'n', help_heading = "What to build")]
    pub skip_base: bool,
    /// Directory of elements, searched before ELEMENTS_PATH; repeatable
    #[arg(long = "elements", value_name = "DIR", help_heading = "What to build")]
    pub element_dirs: Vec<PathBuf>,
    /// What elements install from where they offer both: source or package
    #[arg(long, value_name = "TYPE", help_heading = "What to build")]
    pub install_type: Option<String>,

    /// Size of the image in GiB, fractions allowed (default: what the tree needs)
    #[arg(long, value_name = "GIB", help_heading = "Disk")]
    pub image_size: Option<f64>,
    /// Room to add to what the tree needs, in MiB
    #[arg(long, value_name = "MIB", help_heading = "Disk")]
    pub image_extra_size: Option<f64>,
    /// Label of the root filesystem
    #[arg(long, value_name = "LABEL", help_heading = "Disk")]
    pub root_label: Option<String>,
    /// Options for mkfs of the root filesystem
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true, help_heading = "Disk")]
    pub mkfs_options: Option<String>,
    /// Journal size of an ext4 root in MiB (default: 64)
    #[arg(long, value_name = "MIB", help_heading = "Disk")]
    pub mkfs_journal_size: Option<u64>,
    /// Blocks that an ext root can grow to while mounted (mkfs -E resize=)
    #[arg(long, value_name = "BLOCKS", help_heading = "Disk")]
    pub max_online_resize: Option<u64>,
    /// Attach the disk to a loop device for pre-finalise, finalise and cleanup, even if no element needs it
    #[arg(long, help_heading = "Disk")]
    pub attach: bool,

    /// Do not compress qcow2
    #[arg(short = 'u', help_heading = "Output")]
    pub uncompressed: bool,
    /// Compression of qcow2; zlib is for hypervisors older than QEMU 5.1
    #[arg(long, value_enum, default_value_t = Compression::Zstd, value_name = "METHOD", help_heading = "Output")]
    pub qcow2_compression: Compression,
    /// Options for every qemu-img conversion (-o): k=v,...
    #[arg(long, value_name = "OPTIONS", help_heading = "Output")]
    pub qemu_img_options: Option<String>,
    /// Write md5 and sha256 files beside each image
    #[arg(long, help_heading = "Output")]
    pub checksum: bool,
    /// Name and tag of the container image (-t docker)
    #[arg(long, value_name = "NAME[:TAG]", help_heading = "Output")]
    pub docker_target: Option<String>,

    /// Trace hooks; twice for more
    #[arg(short = 'x', action = ArgAction::Count, help_heading = "How to build")]
    pub trace: u8,
    /// Build with an empty environment
    #[arg(short = 'c', help_heading = "How to build")]
    pub clear_env: bool,
    /// Directory for downloads that later builds use again [DIB_IMAGE_CACHE; default: ~/.cache/image-create]
    #[arg(long, value_name = "DIR", help_heading = "How to build")]
    pub image_cache: Option<PathBuf>,
    /// Do not reach for the network where the cache has something
    #[arg(long, help_heading = "How to build")]
    pub offline: bool,
    /// Do not build in memory
    #[arg(long, help_heading = "How to build")]
    pub no_tmpfs: bool,
    /// Build in memory when the machine has at least twice as many GiB (default: 2)
    #[arg(long, value_name = "GIB", help_heading = "How to build")]
    pub min_tmpfs: Option<u64>,
    /// Write the log here too, and nothing but errors to the terminal
    #[arg(long, value_name = "FILE", help_heading = "How to build")]
    pub logfile: Option<PathBuf>,
    /// Write what happens as JSON lines (phase, hook, start, end, status, bytes)
    #[arg(long, value_name = "FILE", help_heading = "How to build")]
    pub events: Option<PathBuf>,
    /// Open a shell: before-PHASE, after-PHASE, before-PHASE/HOOK, after-error; comma list [break]
    #[arg(long = "break", value_name = "WHERE", help_heading = "How to build")]
    pub break_at: Option<String>,
    /// Keep the work directory when the build fails
    #[arg(long, help_heading = "How to build")]
    pub keep_failed: bool,

    /// Element for ramdisk builds; kept for callers, used by ramdisk-image-create only
    #[arg(long, value_name = "ELEMENT", hide = true)]
    pub ramdisk_element: Option<String>,
    /// Whether a ramdisk is built: the name `ramdisk-image-create` says so.
    #[arg(skip)]
    pub ramdisk: bool,
    /// Print the version
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    pub version: bool,
}

/// qcow2 cluster compression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Fast and small; read by QEMU 5.1 and later.
    #[default]
    Zstd,
    /// Read by everything.
    Zlib,
}

/// Show what a build would do: phases and hooks, packages, disk layout, outputs, host tools.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub format: PlanFormat,
    /// The build.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// The printed forms of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// The element graph, for Graphviz
    Dot,
}
