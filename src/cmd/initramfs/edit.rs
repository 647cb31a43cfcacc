//! `image-create initramfs edit`.

use anyhow::Result;

use crate::assemble::initramfs::edit::{Addition, Edited, Edits, edit};
use crate::assemble::initramfs::segments::Image;
use crate::cli::initramfs::{EditArgs, Pair};
use crate::plan::disk::size::human;
use crate::report::Reporter;

/// Writes the image, says what was done, and prints the path.
pub fn run(args: &EditArgs, base: &Image, reporter: &Reporter) -> Result<()> {
    let copy = |pair: &Pair| Addition::Copy { source: pair.source.clone(), dest: pair.dest.clone() };
    let mut add: Vec<Addition> = args.add.iter().map(copy).collect();
    add.extend(args.unit.iter().cloned().map(Addition::Unit));
    let edits = Edits {
        remove: args.remove.clone(),
        replace: args.replace.iter().map(|pair| (pair.source.clone(), pair.dest.clone())).collect(),
        add,
        packing: args.compress,
        latest: args.source_date_epoch,
    };
    let edited = edit(base, &args.output, &edits)?;
    reporter.info(summary(&edited));
    Reporter::result(&args.output.display().to_string());
    Ok(())
}

fn summary(edited: &Edited) -> String {
    let copied = match edited.copied {
        0 => String::new(),
        n => format!("; {n} segments were copied as they are"),
    };
    format!(
        "{} entries removed, {} replaced, {} added; {} in the file, {} unpacked from the last segment{copied}",
        edited.removed,
        edited.replaced,
        edited.added,
        human(edited.len),
        human(edited.unpacked)
    )
}
