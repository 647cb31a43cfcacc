//! The tree of an initramfs while it is filled from a root tree.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::assemble::initramfs::closure::Item;
use crate::assemble::initramfs::entry::{Content, Entry, REGULAR};
use crate::assemble::initramfs::tree::{Tree, new_dir, new_link};
use crate::assemble::initramfs::view::{Node, RootDir, View, resolve};
use crate::error::on;

/// Directories that may be links in a root tree; they are the same in the initramfs, so that a path leads to one place
/// by all its names.
const MERGED: [&str; 7] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr/sbin"];

/// An initramfs that is being filled.
pub struct Stage {
    root: RootDir,
    tree: Tree,
    time: u32,
}

impl Stage {
    /// Starts with the directories and links that the root tree has at its top.
    ///
    /// # Errors
    /// When the root tree cannot be read.
    pub fn new(root: RootDir, time: u32) -> Result<Self> {
        let mut stage = Self { root, tree: Tree::new(), time };
        stage.tree.insert(new_dir(b".", time)).map_err(|why| anyhow!("making the root: {why}"))?;
        for path in MERGED.map(Path::new) {
            if let Some(Node::Link(target)) = stage.root.get(path).with_context(|| on("reading", path))? {
                if let Ok(end) = resolve(&stage.root, path) {
                    stage.put_dir(&end.path)?;
                }
                stage.put_link(path, &target)?;
            }
        }
        Ok(stage)
    }

    /// The root tree.
    pub fn root(&self) -> &RootDir {
        &self.root
    }

    /// What was put together.
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// Whether something is at a path, links followed.
    pub fn has(&self, path: &str) -> bool {
        self.tree.follow(path).is_some()
    }

    fn put(&mut self, mut entry: Entry) -> Result<()> {
        let shown = entry.shown();
        let doing = |why: String| anyhow!("putting {shown} into the initramfs: {why}");
        for dir in self.tree.missing_dirs(&entry.name).map_err(doing)? {
            self.tree.insert(new_dir(&dir, self.time)).map_err(doing)?;
        }
        entry.mtime = self.time;
        self.tree.insert(entry).map_err(doing)
    }

    /// Puts a directory there, and those above it. One that is there stays.
    ///
    /// # Errors
    /// When something else is there.
    pub fn put_dir(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match self.tree.follow(bytes(path)) {
            Some((_, entry)) if entry.is_dir() => Ok(()),
            _ => self.put(new_dir(bytes(path), self.time)),
        }
    }

    /// Puts a link there.
    ///
    /// # Errors
    /// When it cannot stand there.
    pub fn put_link(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<()> {
        self.put(new_link(bytes(path.as_ref()), target.as_ref().as_os_str().as_bytes(), self.time))
    }

    /// Puts a device node there.
    ///
    /// # Errors
    /// When it cannot stand there.
    pub fn put_node(&mut self, path: &str, mode: u32, rdev: (u32, u32)) -> Result<()> {
        let mut entry = Entry::new(path, mode);
        entry.rdev = rdev;
        self.put(entry)
    }

    /// Puts a file with this content there.
    ///
    /// # Errors
    /// When it cannot stand there.
    pub fn put_bytes(&mut self, path: impl AsRef<Path>, mode: u32, content: &[u8]) -> Result<()> {
        self.put(Entry::new(bytes(path.as_ref()), REGULAR | mode).with(Content::Bytes(content.into())))
    }

    /// Puts a file of the host there, with its own permissions if none are given.
    ///
    /// # Errors
    /// When it is no regular file or cannot stand there.
    pub fn put_host_file(&mut self, source: &Path, place: &str, mode: Option<u32>) -> Result<()> {
        let meta = fs::metadata(source).with_context(|| on("reading", source))?;
        if !meta.is_file() {
            bail!("{} is no regular file", source.display());
        }
        let mode = mode.unwrap_or(meta.permissions().mode() & 0o7777);
        let entry = Entry::new(place.as_bytes(), REGULAR | mode);
        self.put(entry.with(Content::File(source.to_path_buf())))
    }

    /// Puts a file of the root tree there, links in the tree followed.
    ///
    /// # Errors
    /// As [`Stage::put_host_file`].
    pub fn put_from_tree(&mut self, path: &Path, place: &str, mode: Option<u32>) -> Result<()> {
        let found = resolve(&self.root, path)?;
        let source = self.on_host(&found.path);
        self.put_host_file(&source, place, mode)
    }

    /// Puts there what a closure has found in the root tree, by the same names.
    ///
    /// # Errors
    /// When something cannot stand there.
    pub fn put_items(&mut self, items: &[Item]) -> Result<()> {
        for item in items {
            match &item.node {
                Node::Dir => self.put_dir(&item.path)?,
                Node::Link(target) if self.tree.get(bytes(&item.path)).is_none() => {
                    self.put_link(&item.path, target)?
                }
                Node::File { mode, .. } => {
                    let entry = Entry::new(bytes(&item.path), REGULAR | mode);
                    self.put(entry.with(Content::File(self.on_host(&item.path))))?;
                }
                Node::Link(_) | Node::Other => {}
            }
        }
        Ok(())
    }

    /// Where a path of the root tree, without links in it, is on the host.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        self.root.root().join(path.strip_prefix("/").unwrap_or(path))
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
