//! `image-create initramfs`.

mod build;
mod cat;
pub mod check;
mod edit;
mod edit_spec;
mod extract;
mod info;
mod list;

use std::path::Path;

use anyhow::Result;

use crate::assemble::initramfs::names::NamePattern;
use crate::assemble::initramfs::segments::{Image, Limits};
use crate::assemble::initramfs::tree::Tree;
use crate::cli::initramfs::{InitramfsArgs, InitramfsVerb};
use crate::error::{Fault, Faults, Place};
use crate::near::{near, quoted};
use crate::report::Reporter;

/// Does what `args` ask for.
///
/// # Errors
/// Damaged images, names that are not there, and failures to read and write.
pub fn run(args: &InitramfsArgs, reporter: &Reporter) -> Result<u8> {
    let limits = Limits { unpacked: args.max_unpacked.saturating_mul(1 << 20), ..Limits::default() };
    match &args.what {
        InitramfsVerb::List(list) => list::run(list, &Image::new(&list.file, limits))?,
        InitramfsVerb::Cat(cat) => cat::run(cat, &Image::new(&cat.file, limits))?,
        InitramfsVerb::Extract(extract) => extract::run(extract, &Image::new(&extract.file, limits), reporter)?,
        InitramfsVerb::Build(args) => return build::run(args, reporter),
        InitramfsVerb::Edit(edit) => edit::run(edit, &Image::new(&edit.base, limits), reporter)?,
        InitramfsVerb::Info(info) => info::run(info, &Image::new(&info.file, limits), reporter)?,
        InitramfsVerb::Check(args) => return check::run(args, limits, reporter),
    }
    Ok(0)
}

/// Whether a name is wanted: no pattern at all wants all.
fn wanted(patterns: &[NamePattern], name: &[u8]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
}

/// Faults for patterns that match none of `names`.
fn unmatched<'a>(file: &Path, patterns: &[NamePattern], names: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
    let missing = patterns.iter().filter(|pattern| !names.clone().any(|name| pattern.matches(name)));
    let faults = missing.map(|pattern| {
        let fault = Fault::at(Place::file(file), format!("nothing in it matches '{}'", pattern.given()));
        match pattern.literal() {
            Some(name) => with_near(fault, name, names.clone()),
            None => fault,
        }
    });
    Ok(Faults::or(faults.collect(), ())?)
}

/// A fault for a path that is not in the tree.
fn not_there(file: &Path, path: &str, tree: &Tree) -> Fault {
    let fault = Fault::at(Place::file(file), format!("there is no '{path}' in it"));
    let entries = tree.entries();
    with_near(fault, path.trim_matches('/'), entries.iter().map(|entry| &entry.name[..]))
}

/// The fault with names that are spelt nearly alike, or that are the same in another directory.
fn with_near<'a>(fault: Fault, name: &str, names: impl Iterator<Item = &'a [u8]>) -> Fault {
    let names: Vec<&str> = names.filter_map(|n| std::str::from_utf8(n).ok()).collect();
    let last = name.rsplit('/').next().unwrap_or(name);
    let same = names.iter().copied().filter(|n| n.rsplit('/').next() == Some(last));
    let mut found: Vec<&str> = same.take(3).collect();
    if found.is_empty() {
        found = near(name, names);
    }
    if found.is_empty() { fault } else { fault.hint(format!("did you mean {}?", quoted(&found))) }
}
