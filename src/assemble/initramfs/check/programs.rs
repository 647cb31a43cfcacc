//! Programs, libraries, scripts, and the one that the kernel starts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Report;
use super::walk::{Walk, is_firmware};
use crate::assemble::initramfs::closure::{Closure, FileKind, Miss};
use crate::assemble::initramfs::modules::names;
use crate::assemble::initramfs::view::{Node, Unresolved, View, resolve};

/// What the kernel starts when nothing else is asked for (`rdinit=`).
const INIT: &str = "/init";

/// Looks into all files but modules and firmware.
pub fn check(view: &dyn View, walk: &Walk, report: &mut Report) {
    let mut closure = Closure::of_image(view);
    let mut libraries = Vec::new();
    for (path, mode) in &walk.files {
        if is_firmware(path) || names::of_file(path).is_some() {
            continue;
        }
        let runs = mode & 0o111 != 0;
        match closure.kind(path) {
            FileKind::Program => report.counts.programs += 1,
            FileKind::Library => {
                libraries.push(path);
                continue;
            }
            FileKind::Script if runs => report.counts.scripts += 1,
            FileKind::Damaged => {}
            FileKind::Script | FileKind::Data => continue,
        }
        closure.add_file(path);
    }
    report.counts.libraries = libraries.len();
    let (found, missing) = closure.search();
    let loaded: BTreeSet<PathBuf> = found.items.into_iter().map(|item| item.path).collect();
    report.errors.extend(missing.iter().map(told));
    report.warnings.extend(found.warnings.iter().map(told));
    // What no program needs is opened by some program at run time, which may have opened other things before.
    for path in libraries.into_iter().filter(|path| !loaded.contains(*path)) {
        closure.add_file(path);
    }
    let (found, more) = closure.search();
    report.warnings.extend(found.warnings.iter().map(told));
    let same_gap =
        |miss: &&Miss| missing.iter().any(|known| known.what == miss.what && known.needer() == miss.needer());
    for miss in more.iter().filter(|miss| !same_gap(miss)).cloned() {
        let place = miss.what.strip_prefix("library ").and_then(|name| elsewhere(name, walk));
        match place {
            Some(place) => {
                let only = format!("only programs find it that have loaded it before: it is {}", place.display());
                report.warnings.push(told(&Miss { why: Some(only), hint: None, ..miss }));
            }
            None => report.errors.push(told(&miss)),
        }
    }
    init(view, &mut closure, report);
}

fn told(miss: &Miss) -> String {
    format!("missing {miss}")
}

/// Where in the tree there is a file or link of this name.
fn elsewhere<'a>(name: &str, walk: &'a Walk) -> Option<&'a Path> {
    let paths = walk.files.iter().map(|(path, _)| path).chain(&walk.links);
    paths.into_iter().find(|path| path.file_name() == Some(name.as_ref())).map(PathBuf::as_path)
}

fn init(view: &dyn View, closure: &mut Closure<'_>, report: &mut Report) {
    let end = match resolve(view, Path::new(INIT)) {
        Ok(end) => end,
        Err(Unresolved::Missing { path, links }) if links.is_empty() && path == Path::new(INIT) => {
            report.errors.push(format!("there is no {INIT}: the kernel would not use the image at all"));
            return;
        }
        Err(error) => {
            report.errors.push(format!("{INIT} cannot be started: {error}"));
            return;
        }
    };
    let why = match end.node {
        Node::File { mode, .. } if mode & 0o111 == 0 => Some("it has no execute bit"),
        // A library can be run as well; the loader does so with itself.
        Node::File { .. } => match closure.kind(&end.path) {
            FileKind::Data => Some("it is neither an ELF program nor a script with '#!'"),
            // What is missing for it, or damaged, is told already.
            _ => None,
        },
        _ => Some("it is no regular file"),
    };
    match why {
        Some(why) => report.errors.push(format!("{} cannot be started: {why}", end.path.display())),
        None => report.init = Some(end.path),
    }
}
