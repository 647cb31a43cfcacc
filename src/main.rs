//! Parses, dispatches, prints the error, returns the exit code.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
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
    if let Some(code) = cmd::build::dispatch(&name, rest).or_else(|| target::dispatch(&name, rest.to_vec())) {
        return code.into();
    }
    let old_name = name == "disk-image-create";
    match Cli::try_parse_from(cli::with_verb(&name, args)) {
        Ok(cli) => run(cli).map_or_else(|e| failure(&e, old_name), ExitCode::from),
        Err(message) => {
            message.print().ok();
            // Callers of the old name know 1 for every mistake in the arguments.
            if message.use_stderr() { (if old_name { EXIT_BUILD } else { EXIT_DEFINITION }).into() } else { 0.into() }
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.verb {
        Verb::Build(args) => cmd::build::run(&args),
        Verb::Plan(args) => cmd::plan::run(&args),
        Verb::Element(args) => cmd::element::run(&args),
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
