//! The root tree as a stack of layers.
//!
//! The tree is an overlay: closed layers below, one open layer on top that takes all changes. A
//! layer is closed at the end of each phase and after expensive hooks, so that each holds what a
//! known piece of work changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{HostNotReady, on};

use super::mount::{Mount, Overlay, mounted_below};

/// Mount options of a layer in which hooks work.
const USUAL: &[&str] = &["redirect_dir=on", "volatile"];
/// Mount options of a layer that changes every file, but not its content.
const ATTRIBUTES: &[&str] = &["metacopy=on", "index=on", "redirect_dir=on", "volatile"];

/// One closed layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What made it: `install.d`, or `install.d/50-name`.
    pub made_by: String,
    /// The directory of its files, with overlayfs's marks for what it removes.
    pub dir: PathBuf,
}

/// The stack, mounted at the tree's place.
#[derive(Debug)]
pub struct LayerStack {
    // Declared before the paths that it covers: dropped first.
    mount: Option<Mount>,
    dir: PathBuf,
    tree: PathBuf,
    closed: Vec<Layer>,
    made: usize,
}

impl LayerStack {
    /// Mounts an empty tree at `tree`, with its layers in `dir`.
    ///
    /// # Errors
    /// When the directories cannot be made or the kernel has no overlayfs.
    pub fn new(dir: &Path, tree: &Path) -> Result<Self> {
        // An overlay needs something below; this stays empty. Its mode becomes the tree's.
        fs::create_dir_all(dir.join("base")).with_context(|| on("making", dir))?;
        fs::create_dir_all(tree).with_context(|| on("making", tree))?;
        let mut stack = Self { mount: None, dir: dir.to_owned(), tree: tree.to_owned(), closed: Vec::new(), made: 0 };
        stack.open(USUAL).map_err(|error| {
            let hint = "overlayfs needs a work directory on a filesystem like ext4, xfs or tmpfs: build in memory (without \
                        --no-tmpfs), or set TMPDIR to such a place";
            HostNotReady::new(format!("the layers of the root tree cannot be mounted: {error:#}"), hint)
        })?;
        Ok(stack)
    }

    /// The closed layers, oldest first.
    pub fn layers(&self) -> &[Layer] {
        &self.closed
    }

    fn open_dir(&self) -> PathBuf {
        self.dir.join(self.made.to_string())
    }

    fn open(&mut self, options: &[&str]) -> Result<()> {
        self.made += 1;
        let (files, work) = (self.open_dir().join("files"), self.open_dir().join("work"));
        for dir in [&files, &work] {
            fs::create_dir_all(dir).with_context(|| on("making", dir))?;
        }
        // The root directory of the tree is the uppermost layer's: it must go on looking as before.
        let below = self.closed.last().map_or_else(|| self.dir.join("base"), |l| l.dir.clone());
        let meta = fs::metadata(&below).with_context(|| on("looking at", &below))?;
        fs::set_permissions(&files, meta.permissions()).with_context(|| on("setting the mode of", &files))?;
        let lower = self.closed.iter().rev().map(|l| l.dir.clone()).chain([self.dir.join("base")]).collect();
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        let overlay = Overlay { lower, upper: Some((files, work)), options };
        // Without them (`volatile` came with Linux 5.10) it only takes longer.
        let mounted = Mount::overlay(&overlay, &self.tree).or_else(|_| {
            let plain = Overlay { options: vec![], ..overlay.clone() };
            Mount::overlay(&plain, &self.tree)
        })?;
        self.mount = Some(mounted);
        Ok(())
    }

    /// Closes the open layer, names it, and opens the next one; what hooks have mounted in the tree
    /// stays mounted. Does nothing if something keeps the tree busy: then the layer goes on.
    ///
    /// # Errors
    /// When the tree cannot be put together again.
    pub fn close_layer(&mut self, made_by: &str) -> Result<()> {
        self.close_layer_and_open(made_by, USUAL)
    }

    /// As [`LayerStack::close_layer`]; the next layer takes owners, modes and attributes without the files'
    /// content, and files with several names stay one file.
    ///
    /// # Errors
    /// As there.
    pub fn open_for_attributes(&mut self, made_by: &str) -> Result<()> {
        self.close_layer_and_open(made_by, ATTRIBUTES)
    }

    fn close_layer_and_open(&mut self, made_by: &str, options: &[&str]) -> Result<()> {
        let stash = Stash::take(&self.tree, &self.dir.join(format!("stash{}", self.made)))?;
        let free = self.mount.as_ref().is_none_or(|m| umount2(m.target(), MntFlags::empty()).is_ok());
        if free {
            // It is undone already; its guard must not undo what comes to its place.
            if let Some(mount) = self.mount.take() {
                std::mem::forget(mount);
            }
            self.closed.push(Layer { made_by: made_by.to_owned(), dir: self.open_dir().join("files") });
            self.open(options)?;
        }
        stash.put_back()
    }

    /// Shows the tree at another place instead; what is mounted in it goes along.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn move_to(&mut self, tree: &Path) -> Result<()> {
        if let Some(mount) = &mut self.mount {
            mount.move_to(tree)?;
        }
        self.tree = tree.to_owned();
        Ok(())
    }

    /// Unmounts the tree.
    ///
    /// # Errors
    /// When something keeps it busy.
    pub fn close(mut self) -> Result<()> {
        self.mount.take().map_or(Ok(()), Mount::close)
    }
}

/// Mounts below the tree, moved aside while the tree is mounted anew.
struct Stash(Vec<(PathBuf, PathBuf)>);

impl Stash {
    fn take(tree: &Path, stash: &Path) -> Result<Self> {
        let tree = tree.canonicalize().with_context(|| on("finding", tree))?;
        let points: Vec<PathBuf> = mounted_below(&tree)?.into_iter().filter(|p| *p != tree).collect();
        let is_top = |p: &PathBuf| !points.iter().any(|other| other != p && p.starts_with(other));
        let mut moved = Vec::new();
        // Newest first: of two mounts at one place the upper one has to go first.
        for (i, point) in points.iter().filter(|p| is_top(p)).rev().enumerate() {
            let aside = stash.join(i.to_string());
            if point.is_dir() {
                fs::create_dir_all(&aside).with_context(|| on("making", &aside))?;
            } else {
                fs::create_dir_all(stash).with_context(|| on("making", stash))?;
                fs::write(&aside, "").with_context(|| on("making", &aside))?;
            }
            move_mount(point, &aside)?;
            moved.push((point.clone(), aside));
        }
        Ok(Self(moved))
    }

    fn put_back(self) -> Result<()> {
        self.0.iter().rev().try_for_each(|(point, aside)| move_mount(aside, point))
    }
}

fn move_mount(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .with_context(|| format!("moving the mount at {} to {}", from.display(), to.display()))
}
