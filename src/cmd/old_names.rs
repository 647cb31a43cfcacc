//! Commands under diskimage-builder's names that are not builds (contract part 1).

use std::ffi::OsString;

use anyhow::Result;
use clap::Parser;

use crate::cli::old_names::{DIB_LINT, DISKIMAGE_BUILDER, ELEMENT_INFO};
use crate::error::{self, EXIT_BUILD, EXIT_DEFINITION};
use crate::report::Reporter;

use super::{dib_lint, diskimage_builder, element_info};

/// Runs the command called `name`; `None` when there is none. `args` begins with the name.
///
/// Mistakes in the arguments end in 2 as they always did, and everything else that goes wrong in 1, where
/// this program's own commands tell 1 and 2 apart.
pub fn dispatch(name: &str, args: &[OsString]) -> Option<u8> {
    Some(match name {
        DISKIMAGE_BUILDER => command(args, diskimage_builder::run),
        ELEMENT_INFO => command(args, element_info::run),
        DIB_LINT => command(args, dib_lint::run),
        _ => return None,
    })
}

fn command<A: Parser>(args: &[OsString], run: fn(&A) -> Result<u8>) -> u8 {
    let args = match A::try_parse_from(args) {
        Ok(args) => args,
        Err(message) => {
            message.print().ok();
            return if message.use_stderr() { EXIT_DEFINITION } else { 0 };
        }
    };
    run(&args).unwrap_or_else(|error| {
        Reporter::error(&error::render(&error));
        Some(error::exit_code(&error)).filter(|code| *code != EXIT_DEFINITION).unwrap_or(EXIT_BUILD)
    })
}
