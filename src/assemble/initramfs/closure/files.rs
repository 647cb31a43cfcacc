//! What the files of a view are, each read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::assemble::initramfs::view::{Resolved, View, resolve};

use super::elf::{self, Object};
use super::script::{self, Script};

/// What a file is to whoever wants to run or load it.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A program or library.
    Elf(Rc<Object>),
    /// Begins with `#!`.
    Script(Script),
    /// Anything else.
    Data,
    /// Begins as an ELF file and does not go on as one; or cannot be read. A sentence about it.
    Damaged(String),
}

/// A view with a memory.
pub struct Files<'a> {
    /// Where the files are.
    pub view: &'a dyn View,
    ends: HashMap<PathBuf, Option<Rc<Resolved>>>,
    kinds: HashMap<PathBuf, Kind>,
}

impl<'a> Files<'a> {
    /// Nothing is known yet.
    pub fn new(view: &'a dyn View) -> Self {
        Self { view, ends: HashMap::new(), kinds: HashMap::new() }
    }

    /// Where a path leads to, if it leads to a regular file.
    pub fn file(&mut self, path: &Path) -> Option<Rc<Resolved>> {
        if let Some(known) = self.ends.get(path) {
            return known.clone();
        }
        let end = resolve(self.view, path).ok().filter(Resolved::is_file).map(Rc::new);
        self.ends.insert(path.to_owned(), end.clone());
        end
    }

    /// What a file is. `path` has no links in it.
    pub fn kind(&mut self, path: &Path) -> Kind {
        if let Some(kind) = self.kinds.get(path) {
            return kind.clone();
        }
        let kind = match self.view.read(path) {
            Err(error) => Kind::Damaged(format!("{} cannot be read: {error}", path.display())),
            Ok(bytes) => kind_of(path, &bytes),
        };
        self.kinds.insert(path.to_owned(), kind.clone());
        kind
    }
}

fn kind_of(path: &Path, bytes: &[u8]) -> Kind {
    if !elf::is_elf(bytes) {
        return script::parse(bytes).map_or(Kind::Data, Kind::Script);
    }
    match elf::parse(bytes) {
        Ok(object) => Kind::Elf(Rc::new(object)),
        Err(why) => Kind::Damaged(format!("{} is a damaged ELF file: {why}", path.display())),
    }
}
