//! `image-create initramfs check`.

use std::path::PathBuf;

use clap::Args;

/// What is checked, and for which machine.
#[derive(Debug, Args)]
#[command(after_help = "\
A hardware profile has the modaliases of a machine's devices, one a line. To gather one:
  image-create initramfs check --print-gather-script > gather-hardware
  sh gather-hardware > machine.hardware        (on the machine; any POSIX shell will do)
Lines of devices that nobody needs while booting can be deleted from it.

Exit code: 0 when everything is there, 1 when something is missing.")]
pub struct CheckArgs {
    /// The image
    #[arg(required_unless_present_any = ["root_dir", "print_gather_script"])]
    pub file: Option<PathBuf>,
    /// Check an unpacked image instead
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub root_dir: Option<PathBuf>,
    /// Tell which devices of a machine would have no driver
    #[arg(long, value_name = "PROFILE")]
    pub hardware: Option<PathBuf>,
    /// Root tree that has all modules of the kernel, to tell drivers that the image lacks from devices without a driver
    #[arg(long, value_name = "DIR", requires = "hardware")]
    pub modules_root: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the script that gathers a hardware profile
    #[arg(long, exclusive = true)]
    pub print_gather_script: bool,
}
