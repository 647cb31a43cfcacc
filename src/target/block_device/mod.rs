//! `dib-block-device [--params FILE] COMMAND`: the block device layer as a program (contract 1.6).
//!
//! A build makes its disks by itself. It keeps this program's files up to date, so that a hook can ask for values,
//! and for scripts of other people's the other commands make and remove disks of their own parameters.

use anyhow::{Context, Result, bail};

use super::{out, say};
use crate::error::{EXIT_BUILD, EXIT_DEFINITION};

mod disks;
pub mod parameters;
pub mod state;
mod value;

pub use parameters::{Parameters, parameters_file};

const USAGE: &str = "usage: dib-block-device [--params FILE] init|getval SYMBOL|create|writefstab|umount|cleanup|delete
FILE is by default what DIB_BLOCK_DEVICE_PARAMS_YAML names.";

/// Runs a command; its result goes to stdout.
///
/// # Errors
/// Parameters, descriptions and states that cannot be read or are wrong; whatever making a disk can fail of.
pub fn run(args: Vec<String>) -> Result<u8> {
    let (file, words) = split(args)?;
    if words.first().is_some_and(|word| word == "-h" || word == "--help") {
        return out(USAGE).map(|()| 0);
    }
    let Some(file) = file.or_else(|| super::var("DIB_BLOCK_DEVICE_PARAMS_YAML")).filter(|file| !file.is_empty()) else {
        say(&format!("dib-block-device: no parameters are given\n{USAGE}"))?;
        return Ok(EXIT_DEFINITION);
    };
    let parameters = Parameters::load(file.as_ref())?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["init"] => parameters.init()?,
        ["getval", symbol] => out(&value::get(&parameters, symbol)?)?,
        ["create"] => disks::create(&parameters)?,
        ["writefstab"] => parameters.write_fstab()?,
        ["umount"] => disks::umount(&parameters)?,
        ["cleanup"] => disks::cleanup(&parameters)?,
        ["delete"] => disks::delete(&parameters)?,
        _ => {
            let what =
                if words.is_empty() { "no command is given".into() } else { format!("unknown: {}", words.join(" ")) };
            say(&format!("dib-block-device: {what}\n{USAGE}"))?;
            return Ok(EXIT_BUILD);
        }
    }
    Ok(0)
}

/// The value of `--params`, and the words that are no options.
fn split(args: Vec<String>) -> Result<(Option<String>, Vec<String>)> {
    let (mut file, mut words) = (None, Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.split_once('=') {
            Some(("--params", value)) => file = Some(value.to_owned()),
            _ if arg == "--params" => file = Some(args.next().context("--params needs a file")?),
            _ if arg.starts_with('-') && arg != "-h" && arg != "--help" => bail!("unknown option {arg}\n{USAGE}"),
            _ => words.push(arg),
        }
    }
    Ok((file, words))
}
