//! Command line definitions: clap structs only, one file per verb.

pub mod boot;
pub mod build;
pub mod doctor;
pub mod element;
pub mod initramfs;
pub mod initramfs_build;
pub mod initramfs_check;
pub mod old_names;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Builds OS images from elements: folders of hook scripts and data.
///
/// `image-create [OPTIONS] ELEMENT...` is short for `image-create build`: the first word is a verb
/// only if it is one of the list below. Use `image-create build plan` to reach an element that has
/// a verb's name.
#[derive(Debug, Parser)]
#[command(name = "image-create", version, infer_long_args = true, max_term_width = 100)]
#[command(override_usage = "image-create [OPTIONS] ELEMENT...\n       image-create VERB [OPTIONS] ...")]
#[command(after_help = "Example: image-create -o out/debian vm debian-minimal\n         \
    image-create boot out/debian.qcow2")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build images from elements (also what happens without a verb)
    Build(Box<build::BuildArgs>),
    /// Show what a build would do, without doing it
    Plan(Box<build::PlanArgs>),
    /// Look at elements
    Element(element::ElementArgs),
    /// Read and edit initramfs images
    Initramfs(Box<initramfs::InitramfsArgs>),
    /// Boot an image under QEMU, by hand or to see what its console says
    Boot(Box<boot::BootArgs>),
    /// Tell what this host lacks, and how to get it
    Doctor(Box<doctor::DoctorArgs>),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// The verbs' names: a first word among them is the verb, any other starts a build.
const VERBS: &[&str] = &["build", "plan", "element", "initramfs", "boot", "doctor", "completions", "man", "help"];

/// The arguments with the verb in place: `build` is put in where none was given, and everything
/// is a build under the old names `disk-image-create` and `ramdisk-image-create`.
pub fn with_verb(name: &str, mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).map(|a| a.to_string_lossy().into_owned());
    let given = match first.as_deref() {
        _ if name != "image-create" => false,
        None => true,
        Some(word) => VERBS.contains(&word) || matches!(word, "-h" | "--help" | "-V" | "--version"),
    };
    if !given {
        args.insert(1.min(args.len()), "build".into());
    }
    args
}

/// Reads the arguments that belong to the name `name`.
///
/// # Errors
/// What there is to print instead: usage, help, version.
pub fn parse(name: &str, args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    if old_names::is_build(name) {
        let usage = format!("{name} [OPTION]... ELEMENT...");
        command = command.mut_subcommand("build", |build| build.override_usage(usage));
    }
    Cli::from_arg_matches(&command.try_get_matches_from(with_verb(name, args))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, args: &[&str]) -> Vec<String> {
        let args = std::iter::once(name).chain(args.iter().copied()).map(OsString::from).collect();
        with_verb(name, args).into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_is_known_to_the_dispatcher() {
        for verb in Cli::command().get_subcommands() {
            assert!(VERBS.contains(&verb.get_name()), "{} is missing in VERBS", verb.get_name());
        }
    }

    #[test]
    fn a_first_word_that_is_no_verb_starts_a_build() {
        assert_eq!(words("image-create", &["vm", "plan"]), ["image-create", "build", "vm", "plan"]);
        assert_eq!(words("image-create", &["plan", "vm"]), ["image-create", "plan", "vm"]);
        assert_eq!(words("image-create", &["-o", "x", "vm"]), ["image-create", "build", "-o", "x", "vm"]);
        assert_eq!(words("disk-image-create", &["plan"]), ["disk-image-create", "build", "plan"]);
        assert_eq!(words("disk-image-create", &[]), ["disk-image-create", "build"]);
    }
}
