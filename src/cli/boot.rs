//! `image-create boot`: an image in a virtual machine.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use regex::Regex;

use crate::boot::{AccelChoice, PortForward};

/// Boot an image under QEMU
///
/// Without --expect, the serial console is on your terminal (Ctrl-A X ends the guest). With it, the
/// console is read until each expression has matched, in order: exit code 0, or 1 when the time is over.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  image-create boot out/debian.qcow2
  image-create boot out/debian.qcow2 --expect 'login: $' --timeout 120
  image-create boot out/debian.qcow2 --expect 'login: $' --send root --expect 'Password:'")]
pub struct BootArgs {
    /// The image: raw, qcow2, vmdk, vhd, vhdx or an ISO
    #[arg(value_name = "IMAGE", required_unless_present = "kernel")]
    pub image: Option<PathBuf>,

    /// What is waited for and typed, in order
    #[command(flatten)]
    pub script: Script,

    /// Give up after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,

    /// What runs the guest: auto takes KVM, and TCG where KVM does not get the guest going
    #[arg(long, value_enum, default_value_t, env = "IMAGE_CREATE_ACCEL")]
    pub accel: AccelChoice,

    /// Boot with UEFI firmware (OVMF) instead of a BIOS
    #[arg(long)]
    pub uefi: bool,

    /// Write every byte of the serial console to FILE
    #[arg(long, value_name = "FILE")]
    pub serial_log: Option<PathBuf>,

    /// Memory of the guest
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub memory: u32,

    /// Processors of the guest
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub cpus: u32,

    /// Let the guest write into the image (it writes to a temporary file otherwise)
    #[arg(long)]
    pub write: bool,

    /// Lead port HOST of 127.0.0.1 to port GUEST of the guest; may be repeated
    #[arg(long = "port", value_name = "HOST:GUEST")]
    pub ports: Vec<PortForward>,

    /// Load this kernel instead of the image's boot loader
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,

    /// The initramfs for --kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,

    /// The command line for --kernel
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "console=ttyS0")]
    pub cmdline: String,

    /// One more argument for QEMU; may be repeated
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_args: Vec<OsString>,
}

/// One step of a conversation with a guest.
#[derive(Debug, Clone)]
pub enum Step {
    /// Wait until this matches.
    Expect(Regex),
    /// Type this and Enter.
    Send(String),
}

/// `--expect` and `--send` in the order in which they were given, which clap's derive cannot keep.
#[derive(Debug, Clone, Default)]
pub struct Script(pub Vec<Step>);

impl Args for Script {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("expect")
                    .long("expect")
                    .value_name("REGEX")
                    .help("Wait until REGEX matches on the serial console; may be repeated")
                    .action(ArgAction::Append)
                    .value_parser(crate::boot::pattern),
            )
            .arg(
                Arg::new("send")
                    .long("send")
                    .value_name("TEXT")
                    .help("Type TEXT and Enter once the --expect before it has matched; may be repeated")
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true)
                    .requires("expect")
                    .value_parser(value_parser!(String)),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Script {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut steps = Vec::new();
        if let (Some(at), Some(values)) = (matches.indices_of("expect"), matches.get_many::<Regex>("expect")) {
            steps.extend(at.zip(values.cloned().map(Step::Expect)));
        }
        if let (Some(at), Some(values)) = (matches.indices_of("send"), matches.get_many::<String>("send")) {
            steps.extend(at.zip(values.cloned().map(Step::Send)));
        }
        steps.sort_by_key(|(at, _)| *at);
        Ok(Self(steps.into_iter().map(|(_, step)| step).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        boot: BootArgs,
    }

    fn parse(words: &[&str]) -> Result<BootArgs, clap::Error> {
        use clap::Parser;
        Cli::try_parse_from(std::iter::once(&"boot").chain(words)).map(|cli| cli.boot)
    }

    #[test]
    fn expect_and_send_keep_their_order() {
        let args = parse(&["x.raw", "--expect", "login:", "--send", "root", "--expect", "#", "--send", "-h"]).unwrap();
        let steps: Vec<String> = args
            .script
            .0
            .iter()
            .map(|step| match step {
                Step::Expect(regex) => format!("<{regex}"),
                Step::Send(text) => format!(">{text}"),
            })
            .collect();
        assert_eq!(steps, ["<login:", ">root", "<#", ">-h"]);
    }

    #[test]
    fn mistakes_are_found_before_anything_starts() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["x.raw", "--expect", "("]).is_err());
        assert!(parse(&["x.raw", "--port", "22"]).is_err());
        assert!(parse(&["x.raw", "--initrd", "i"]).is_err());
        assert!(parse(&["x.raw", "--send", "i"]).is_err());
        assert!(parse(&["--kernel", "vmlinuz"]).is_ok());
    }
}
