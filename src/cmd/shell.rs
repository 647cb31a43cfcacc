//! `image-create completions` and `image-create man`: made from the command line's definition.

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::report::Reporter;

/// Prints the completion script of a shell.
///
/// # Errors
/// When it is not UTF-8, which would be a fault of the generator.
pub fn completions(shell: Shell) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "image-create", &mut text);
    print(text)
}

/// Prints the man page, in troff.
///
/// # Errors
/// When it cannot be made.
pub fn man() -> Result<u8> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text).context("making the man page")?;
    for verb in Cli::command().get_subcommands().filter(|v| !v.is_hide_set()) {
        let mut page = Vec::new();
        clap_mangen::Man::new(verb.clone()).render_options_section(&mut page).context("making the man page")?;
        text.extend(format!(".SH \"OPTIONS OF {}\"\n", verb.get_name().to_uppercase()).bytes());
        text.extend(String::from_utf8_lossy(&page).replace(".SH OPTIONS\n", "").bytes());
    }
    print(text)
}

fn print(text: Vec<u8>) -> Result<u8> {
    Reporter::result(String::from_utf8(text).context("the generated text is not UTF-8")?.trim_end());
    Ok(0)
}
