//! `own-program NAME FILE`: puts a program that this one carries into the system that is being built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::assemble::migration;
use crate::error::on;

const USAGE: &str = "usage: own-program upgrade-tiny FILE";

/// Writes it, executable.
///
/// # Errors
/// When there is no such program, or the file cannot be written.
pub fn run(args: Vec<String>) -> Result<u8> {
    let [name, file] = args.as_slice() else { bail!("{USAGE}") };
    if name != "upgrade-tiny" {
        bail!("there is no program '{name}'\n  {USAGE}");
    }
    let file = Path::new(file);
    fs::write(file, migration::PROGRAM).with_context(|| on("writing", file))?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).with_context(|| on("setting the mode of", file))?;
    Ok(0)
}
