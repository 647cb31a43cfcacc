//! The commands that keep diskimage-builder's names and arguments (contract part 1).

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The name under which everything is a build.
pub const DISK_IMAGE_CREATE: &str = "disk-image-create";
/// The name under which everything is the build of a ramdisk.
pub const RAMDISK_IMAGE_CREATE: &str = "ramdisk-image-create";
/// The front end that reads YAML.
pub const DISKIMAGE_BUILDER: &str = "diskimage-builder";
/// Prints what elements expand to.
pub const ELEMENT_INFO: &str = "element-info";
/// Checks elements.
pub const DIB_LINT: &str = "dib-lint";

/// Whether a command is one of the two whose arguments are those of a build.
pub fn is_build(name: &str) -> bool {
    name == DISK_IMAGE_CREATE || name == RAMDISK_IMAGE_CREATE
}

/// Build the images that YAML files describe
///
/// Each file is a list of images. Images of the same name become one, also across files. The command of
/// each build is written to stderr before it runs.
#[derive(Debug, Parser)]
#[command(name = DISKIMAGE_BUILDER, version, max_term_width = 100)]
pub struct DiskimageBuilderArgs {
    /// Print the commands and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Stop at the first build that fails
    #[arg(long)]
    pub stop_on_failure: bool,
    /// What to build
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Print what elements expand to, on one line
///
/// Elements are looked for in ELEMENTS_PATH, then among the built-in ones.
#[derive(Debug, Parser)]
#[command(name = ELEMENT_INFO, version, max_term_width = 100)]
pub struct ElementInfoArgs {
    /// Print shell text that exports the names and their directories
    #[arg(short, long)]
    pub env: bool,
    /// The elements
    #[arg(required = true, value_name = "ELEMENT")]
    pub elements: Vec<String>,
}

/// Check the elements of a repository
///
/// Run from the repository's root. ELEMENTS_DIR and LIB_DIR name other directories than
/// diskimage_builder/elements (or elements) and diskimage_builder/lib. What git ignores is skipped.
#[derive(Debug, Parser)]
#[command(name = DIB_LINT, version, max_term_width = 100)]
pub struct DibLintArgs {
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    pub format: LintFormat,
}

/// The printed forms of what a linter finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
