//! Directories that `/etc/ld.so.conf` names, as ldconfig(8) of glibc reads it.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::assemble::initramfs::view::{Node, View, read, resolve};

/// The directories in order, each once. Files that cannot be read are passed over, as ldconfig does.
pub fn directories(view: &dyn View) -> Vec<PathBuf> {
    let mut reading = Reading { view, files: HashSet::new(), found: vec![] };
    reading.file(Path::new("/etc/ld.so.conf"));
    reading.found
}

struct Reading<'a> {
    view: &'a dyn View,
    files: HashSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) {
        // A file that includes itself is read once.
        if !self.files.insert(path.to_owned()) {
            return;
        }
        let Ok(bytes) = read(self.view, path) else { return };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let line = line.split('#').next().unwrap_or("").trim();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("include") => words.for_each(|pattern| self.include(path, pattern)),
                // Capabilities of processors have no directories of their own here.
                Some("hwcap") | None => {}
                Some(_) => {
                    line.split([' ', '\t', ':', ',']).filter(|d| d.starts_with('/')).for_each(|dir| self.add(dir))
                }
            }
        }
    }

    fn add(&mut self, dir: &str) {
        // Old files name the type of the libraries behind a `=`.
        let dir = dir.split('=').next().unwrap_or(dir).trim_end_matches('/');
        let dir = PathBuf::from(if dir.is_empty() { "/" } else { dir });
        if !self.found.contains(&dir) {
            self.found.push(dir);
        }
    }

    fn include(&mut self, from: &Path, pattern: &str) {
        let pattern = from.parent().unwrap_or(Path::new("/")).join(pattern);
        for file in expand(self.view, &pattern) {
            self.file(&file);
        }
    }
}

/// The paths of the view that a pattern matches, sorted.
pub fn expand(view: &dyn View, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.components() {
        let Component::Normal(name) = part else { continue };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(&*name));
            continue;
        }
        let Ok(glob) = Pattern::new(&name) else { return vec![] };
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        found = found
            .iter()
            .flat_map(|dir| {
                let names =
                    resolve(view, dir).ok().filter(|d| d.node == Node::Dir).and_then(|d| view.list(&d.path).ok());
                let names = names.unwrap_or_default().into_iter();
                names
                    .filter(|n| glob.matches_with(&n.to_string_lossy(), options))
                    .map(|n| dir.join(n))
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    found.retain(|path| resolve(view, path).is_ok());
    found
}
