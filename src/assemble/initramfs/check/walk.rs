//! Everything that is in a tree.

use std::io;
use std::path::{Path, PathBuf};

use super::Report;
use crate::assemble::initramfs::view::{Node, Unresolved, View, resolve};

/// Filled only when the system runs: links into them lead nowhere before.
const AT_RUN_TIME: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// The files and links of a tree, in order.
pub struct Walk {
    /// Regular files with their modes.
    pub files: Vec<(PathBuf, u32)>,
    /// Symbolic links.
    pub links: Vec<PathBuf>,
}

impl Walk {
    /// Walks through the whole tree. Links are not followed.
    pub fn of(view: &dyn View) -> io::Result<Self> {
        let mut walk = Self { files: vec![], links: vec![] };
        let mut dirs = vec![PathBuf::from("/")];
        while let Some(dir) = dirs.pop() {
            for name in view.list(&dir)? {
                let path = dir.join(name);
                match view.get(&path)? {
                    Some(Node::Dir) => dirs.push(path),
                    Some(Node::Link(_)) => walk.links.push(path),
                    Some(Node::File { mode, .. }) => walk.files.push((path, mode)),
                    Some(Node::Other) | None => {}
                }
            }
        }
        walk.files.sort();
        walk.links.sort();
        Ok(walk)
    }
}

/// Warns of links that lead nowhere.
pub fn links(view: &dyn View, walk: &Walk, report: &mut Report) {
    report.counts.links = walk.links.len();
    for link in &walk.links {
        match resolve(view, link) {
            Err(Unresolved::Missing { path, .. }) if AT_RUN_TIME.iter().any(|dir| path.starts_with(dir)) => {}
            Err(error) => report.warnings.push(format!("the link {} leads nowhere: {}", link.display(), shown(&error))),
            Ok(_) => {}
        }
    }
}

fn shown(error: &Unresolved) -> String {
    match error {
        Unresolved::Missing { path, .. } => format!("{} is not there", path.display()),
        error => error.to_string(),
    }
}

/// Whether a path is among the firmware, which is for devices and not for the system.
pub fn is_firmware(path: &Path) -> bool {
    path.starts_with("/lib/firmware") || path.starts_with("/usr/lib/firmware")
}
