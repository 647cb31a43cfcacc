//! Parses, dispatches, prints the error, returns the exit code.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use image_create::cli::old_names::{self, RAMDISK_IMAGE_CREATE};
use image_create::cli::{self, Cli, Verb};
use image_create::error::{self, EXIT_BUILD, EXIT_DEFINITION};
use image_create::report::Reporter;
use image_create::{cmd, target};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let name = args
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let rest = args.get(1..).unwrap_or_default();
    let other = cmd::build::dispatch(&name, rest)
        .or_else(|| target::dispatch(&name, rest.to_vec()))
        .or_else(|| cmd::old_names::dispatch(&name, &args));
    if let Some(code) = other {
        return code.into();
    }
    let old_name = old_names::is_build(&name);
    match cli::parse(&name, args) {
        Ok(cli) => run(cli, &name).map_or_else(|e| failure(&e, old_name), ExitCode::from),
        Err(message) => {
            message.print().ok();
            // Callers of the old name know 1 for every mistake in the arguments.
            if message.use_stderr() { (if old_name { EXIT_BUILD } else { EXIT_DEFINITION }).into() } else { 0.into() }
        }
    }
}

fn run(cli: Cli, name: &str) -> anyhow::Result<u8> {
    match cli.verb {
        Verb::Build(mut args) => {
            args.ramdisk = name == RAMDISK_IMAGE_CREATE;
            cmd::build::run(&args)
        }
        Verb::Plan(args) => cmd::plan::run(&args),
        Verb::Element(args) => cmd::element::run(&args),
        Verb::Initramfs(args) => cmd::initramfs::run(&args, &Reporter::plain()),
        Verb::Boot(args) => cmd::boot::run(&args, &Reporter::plain()),
        Verb::Doctor(args) => cmd::doctor::run(&args),
        Verb::Completions { shell } => cmd::shell::completions(shell),
        Verb::Man => cmd::shell::man(),
    }
}

fn failure(error: &anyhow::Error, old_name: bool) -> ExitCode {
    Reporter::error(&error::render(error));
    let code = error::exit_code(error);
    if old_name && code == EXIT_DEFINITION { EXIT_BUILD.into() } else { code.into() }
}
