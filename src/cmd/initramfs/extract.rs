//! `image-create initramfs extract`.

use anyhow::Result;

use super::{unmatched, wanted};
use crate::assemble::initramfs::extract::{Selection, extract};
use crate::assemble::initramfs::segments::{Image, Step};
use crate::cli::initramfs::ExtractArgs;
use crate::report::Reporter;

/// Names of device nodes that a message has.
const NAMED: usize = 5;

/// Unpacks what is wanted, and says what was left out.
pub fn run(args: &ExtractArgs, image: &Image, reporter: &Reporter) -> Result<()> {
    if !args.patterns.is_empty() {
        check_patterns(args, image)?;
    }
    let selection = Selection { segment: args.segment, wanted: &|name| wanted(&args.patterns, name) };
    let done = extract(image, &args.dir, &selection)?;
    reporter.info(format!("{} entries are below {}", done.entries, args.dir.display()));
    if !done.left_out.is_empty() {
        let more = done.left_out.len().saturating_sub(NAMED);
        let names = done.left_out[..done.left_out.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        reporter.warn(format!("left out, as only root may make device nodes: {names}{more}"));
    }
    Ok(())
}

fn check_patterns(args: &ExtractArgs, image: &Image) -> Result<()> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    image.walk(&mut |step| {
        if let Step::Entry { entry, .. } = step {
            names.push(entry.name);
        }
        Ok(())
    })?;
    unmatched(image.path(), &args.patterns, names.iter().map(|name| &name[..]))
}
