//! `image-create initramfs cat`.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::not_there;
use crate::assemble::initramfs::entry::{REGULAR, shown};
use crate::assemble::initramfs::segments::{At, Image, Step};
use crate::assemble::initramfs::tree::{Keep, Tree, read_whole};
use crate::cli::initramfs::CatArgs;
use crate::error::{Fault, Faults, Place};
use crate::report::Reporter;

/// Prints files one after another, as the kernel would have them after unpacking all segments.
pub fn run(args: &CatArgs, image: &Image) -> Result<()> {
    let (tree, _) = Tree::read(image, Keep::Lengths)?;
    let mut faults = Vec::new();
    let sources: Vec<Option<At>> = args.paths.iter().map(|path| source(image, &tree, path, &mut faults)).collect();
    Faults::or(faults, ())?;
    let mut contents: HashMap<At, Arc<[u8]>> = HashMap::new();
    image.walk(&mut |step| {
        if let Step::Entry { at, entry, body } = step
            && sources.contains(&Some(at))
        {
            contents.insert(at, read_whole(body, entry.content.size()?)?);
        }
        Ok(())
    })?;
    for content in sources.iter().flatten().filter_map(|at| contents.get(at)) {
        Reporter::result_bytes(content).context("writing to standard output")?;
    }
    Ok(())
}

/// Which entry has the content of a file.
fn source(image: &Image, tree: &Tree, path: &str, faults: &mut Vec<Fault>) -> Option<At> {
    let Some((real, entry)) = tree.follow(path) else {
        let link = tree.get(path).and_then(|entry| entry.target());
        faults.push(match link {
            Some(target) => {
                let what =
                    format!("'{path}' is a link to {}, which is not in it", shown(target).trim_start_matches('/'));
                Fault::at(Place::file(image.path()), what)
            }
            None => not_there(image.path(), path, tree),
        });
        return None;
    };
    if entry.kind() != REGULAR {
        let what = format!("{} is no regular file", shown(&real));
        faults.push(Fault::at(Place::file(image.path()), what));
        return None;
    }
    tree.from(&real)
}
