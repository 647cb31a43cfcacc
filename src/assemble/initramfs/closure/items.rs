//! What has to be in the tree, and for whose sake.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::assemble::initramfs::view::{Node, Resolved};

/// For whose sake something is needed: the nearest first, the one who asked last. May be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain(Vec<String>);

impl Chain {
    /// The chain of something that `who` asked for.
    pub fn asked_by(who: impl Into<String>) -> Self {
        Self(vec![who.into()])
    }

    /// The chain of what `needer`, which has this chain itself, needs.
    #[must_use]
    pub fn below(&self, needer: impl Into<String>) -> Self {
        let mut names = Vec::with_capacity(self.0.len() + 1);
        names.push(needer.into());
        names.extend(self.0.iter().cloned());
        Self(names)
    }

    /// The names, the nearest first.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Chain {
    /// `, needed by Y, needed by Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, ", needed by {name}"))
    }
}

/// One path that has to be in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The path in the view; no part of it above the last is a link.
    pub path: PathBuf,
    /// A file to copy, a directory or a link on the way to one.
    pub node: Node,
    /// For whose sake; of several, who came first.
    pub needed_by: Chain,
}

/// Paths that have to be in the tree, each once.
#[derive(Debug, Clone, Default)]
pub struct Items(BTreeMap<PathBuf, (Node, Chain)>);

impl Items {
    /// Adds the end of a walk and all that was passed on the way.
    pub fn add(&mut self, found: &Resolved, needed_by: &Chain) {
        let end = (found.path.clone(), found.node.clone());
        for (path, node) in found.passed.iter().cloned().chain([end]) {
            self.0.entry(path).or_insert_with(|| (node, needed_by.clone()));
        }
    }

    /// Whether a path is among them.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// Takes over all of `other` that is not among them yet.
    pub fn extend(&mut self, other: Vec<Item>) {
        for item in other {
            self.0.entry(item.path).or_insert((item.node, item.needed_by));
        }
    }

    /// All of them, sorted by path: a directory comes before what is in it.
    #[must_use]
    pub fn into_vec(self) -> Vec<Item> {
        self.0.into_iter().map(|(path, (node, needed_by))| Item { path, node, needed_by }).collect()
    }
}
