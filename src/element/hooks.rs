//! The hooks of all elements merged into one tree, as data (contract 3.3).
//!
//! Each sub-directory of an element is merged into the directory of the same name, each file beside
//! them goes to the top. [`crate::element::materialize`] writes the tree that is decided here.
//!
//! Where elements meet in one name: directories merge; an entry directly in a merged directory may
//! come from one element only; anything else is replaced by that of the later element, which is the
//! one that depends on the other, and the loss is reported.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::element::Warning;
use crate::element::phase::{Phase, Side};
use crate::element::resolve::ResolvedElement;
use crate::element::run_order::{self, Skip};
use crate::error::{Fault, Faults, Place};

/// Directories of an element that are no part of the hook tree: tests, caches, version control.
/// diskimage-builder copies the last four, which nothing reads.
const NOT_MERGED: &[&str] = &["tests", "__pycache__", "test-elements", ".git", ".hg", ".svn"];

/// The directory with the files that are sourced before the hooks of every phase.
pub const ENVIRONMENT_DIR: &str = "environment.d";

/// Links that are followed before a chain of them counts as a circle, as in the kernel.
const MOST_LINKS: usize = 40;

/// A script in a phase directory, or a file in `environment.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its file name.
    pub name: String,
    /// The element that it comes from.
    pub element: String,
    /// The file in the element.
    pub path: PathBuf,
    /// The permission bits of the file, or of what the link points to.
    pub mode: u32,
    /// Why it does not run; none when it runs.
    pub skip: Option<Skip>,
}

/// What an entry of the tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file with its permission bits.
    File {
        /// The permission bits.
        mode: u32,
    },
    /// A symbolic link, copied as such.
    Link {
        /// The text of the link.
        target: PathBuf,
    },
}

/// An entry of the merged tree and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// The element that it comes from; of a merged directory, the last one.
    pub element: String,
    /// Its path in that element.
    pub source: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// The merged tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookTree {
    /// The scripts of each phase that has any, in the order in which they run, skipped ones included.
    pub phases: BTreeMap<Phase, Vec<Hook>>,
    /// The files of `environment.d` that are sourced, in order.
    pub environment: Vec<Hook>,
    /// Every entry of the tree by its path in it; parents come before what they hold.
    pub entries: BTreeMap<PathBuf, TreeEntry>,
    /// The `block-device-*.yaml` files of the elements, with their elements' names.
    pub layouts: Vec<(String, PathBuf)>,
}

impl HookTree {
    /// The hooks of a phase that run, in order.
    pub fn running(&self, phase: Phase) -> impl Iterator<Item = &Hook> {
        self.phases.get(&phase).into_iter().flatten().filter(|h| h.skip.is_none())
    }

    /// The directories of this name in the elements' own words: every file below it in the merged tree.
    pub fn below<'t>(&'t self, dir: &'t str) -> impl Iterator<Item = (&'t Path, &'t TreeEntry)> {
        let inside = move |(path, _): &(&PathBuf, &TreeEntry)| path.starts_with(dir);
        let rest = self.entries.range(PathBuf::from(dir)..).take_while(inside).skip(1);
        rest.map(|(path, entry)| (path.as_path(), entry))
    }

    /// What an entry is in the end, with links followed inside the tree: a directory, or a file with
    /// its permission bits. None when the link leaves the tree or leads nowhere.
    fn followed(&self, path: &Path) -> Option<Kind> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            match &self.entries.get(&path)?.kind {
                Kind::Link { target } => path = inside_tree(path.parent()?, target)?,
                kind => return Some(kind.clone()),
            }
        }
        None
    }
}

/// Merges the elements in their order and decides what runs. `pattern` is what the names of scripts
/// have to match ([`run_order::pattern`]).
///
/// # Errors
/// Names that two elements have, entries that are neither file, directory nor link, and what cannot be read.
pub fn merge(elements: &[ResolvedElement], pattern: &Regex) -> Result<(HookTree, Vec<Warning>), Faults> {
    let mut merge = Merge::default();
    for element in elements {
        merge.element(element);
    }
    let Merge { mut tree, mut warnings, faults } = merge;
    Faults::or(faults, ())?;
    select(&mut tree, pattern, &mut warnings);
    Ok((tree, warnings))
}

#[derive(Default)]
struct Merge {
    tree: HookTree,
    warnings: Vec<Warning>,
    faults: Vec<Fault>,
}

impl Merge {
    fn element(&mut self, element: &ResolvedElement) {
        for (name, source, kind) in self.list(&element.dir) {
            let path = PathBuf::from(&name);
            // Links are followed at this level only, and one that leads nowhere is left alone.
            let Some(seen) = followed_kind(&source, kind) else { continue };
            if seen.is_dir() {
                if !NOT_MERGED.iter().any(|n| OsStr::new(n) == name) {
                    self.phase_misspelt(&path, &source);
                    self.directory(&element.name, path, source);
                }
            } else if seen.is_file() && path.extension() != Some(OsStr::new("pyc")) {
                if is_layout(&name) {
                    self.tree.layouts.push((element.name.clone(), source.clone()));
                }
                self.entry(&element.name, path, source, kind);
            }
        }
    }

    /// A directory of the element: its entries, without the hidden ones.
    fn directory(&mut self, element: &str, path: PathBuf, source: PathBuf) {
        let entries = self.list(&source);
        self.add(path.clone(), TreeEntry { element: element.to_owned(), source, kind: Kind::Dir });
        for (name, source, kind) in entries {
            if !name.as_encoded_bytes().starts_with(b".") {
                self.entry(element, path.join(name), source, kind);
            }
        }
    }

    /// An entry and, if it is a directory, all that it holds.
    fn entry(&mut self, element: &str, path: PathBuf, source: PathBuf, file_type: FileType) {
        let kind = match kind(&source, file_type) {
            Ok(Some(kind)) => kind,
            Ok(None) => {
                let message = "an element can hold files, directories and links only";
                return self.faults.push(Fault::at(Place::file(source), message));
            }
            Err(e) => return self.faults.push(unreadable(&source, &e)),
        };
        let inner = if kind == Kind::Dir { self.list(&source) } else { Vec::new() };
        if self.add(path.clone(), TreeEntry { element: element.to_owned(), source, kind }) {
            inner.into_iter().for_each(|(name, source, kind)| self.entry(element, path.join(name), source, kind));
        }
    }

    /// Puts an entry into the tree; false when another element's stands in the way.
    fn add(&mut self, path: PathBuf, new: TreeEntry) -> bool {
        if let Some(old) = self.tree.entries.get(&path) {
            let (old_dir, new_dir) = (old.kind == Kind::Dir, new.kind == Kind::Dir);
            if old_dir != new_dir || (!new_dir && path.components().count() == 2) {
                self.faults.push(duplicate(&path, old, &new));
                return false;
            }
            if !new_dir && !read_per_element(&path) && !same(old, &new) {
                self.warnings.push(overwritten(&path, old, &new));
            }
        }
        self.tree.entries.insert(path, new);
        true
    }

    /// Says that a directory is nearly, but not quite, called like a phase.
    fn phase_misspelt(&mut self, path: &Path, source: &Path) {
        let name = path.to_string_lossy();
        let near = |p: &Phase| {
            *name == *p.name() || *name == format!("{}.d", p.name().replace('-', "_")) || nearly(&name, p.dir())
        };
        if Phase::from_dir(&name).is_some() || name == ENVIRONMENT_DIR {
            return;
        }
        let Some(phase) = Phase::ALL.iter().find(|p| near(p)) else { return };
        // Data may be called anything; scripts in it show that somebody wants them to run.
        if self.list(source).iter().any(|(_, path, _)| starts_with_interpreter(path)) {
            let warning = Warning::at(Place::file(source), format!("no phase is called '{name}': nothing in it runs"));
            self.warnings.push(warning.hint(format!("did you mean '{}'?", phase.dir())));
        }
    }

    /// The names, paths and types of what is in a directory, sorted by name.
    fn list(&mut self, dir: &Path) -> Vec<(OsString, PathBuf, FileType)> {
        let read = || -> io::Result<Vec<_>> {
            let mut entries = Vec::new();
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                entries.push((entry.file_name(), entry.path(), entry.file_type()?));
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(entries)
        };
        read().unwrap_or_else(|e| {
            self.faults.push(unreadable(dir, &e));
            Vec::new()
        })
    }
}

/// Fills the phases and the environment from the entries.
fn select(tree: &mut HookTree, pattern: &Regex, warnings: &mut Vec<Warning>) {
    let mut phases: BTreeMap<Phase, Vec<Hook>> = BTreeMap::new();
    let mut environment = Vec::new();
    for (path, entry) in &tree.entries {
        let (Some(dir), Some(name)) = (path.parent().and_then(Path::to_str), path.file_name()) else { continue };
        let phase = Phase::from_dir(dir);
        if phase.is_none() && dir != ENVIRONMENT_DIR {
            continue;
        }
        let side = phase.map_or(Side::Chroot, Phase::side);
        let mode = match mode_in_tree(tree, path, entry, side) {
            Some(Kind::File { mode }) => mode,
            Some(_) => continue,
            None => {
                let message = format!(
                    "'{dir}/{}' of element '{}' will not run: it is a link that leads nowhere in the merged hook tree",
                    name.display(),
                    entry.element
                );
                warnings.push(Warning::at(Place::file(&entry.source), message));
                continue;
            }
        };
        let name = name.to_string_lossy().into_owned();
        let mut hook = Hook { element: entry.element.clone(), path: entry.source.clone(), name, mode, skip: None };
        match phase {
            Some(phase) => {
                hook.skip = run_order::runs(&hook.name, mode, pattern).err();
                warnings.extend(hook.skip.filter(|_| looks_like_script(&hook)).map(|skip| skipped(&hook, dir, skip)));
                phases.entry(phase).or_default().push(hook);
            }
            None if run_order::is_environment_file(&hook.name) => environment.push(hook),
            None => warnings.push(skipped(&hook, dir, Skip::BadName)),
        }
    }
    for hooks in phases.values_mut() {
        hooks.sort_by(|a, b| run_order::order_key(&a.name).cmp(&run_order::order_key(&b.name)));
    }
    environment.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    tree.phases = phases;
    tree.environment = environment;
}

/// [`HookTree::followed`], and on the host also what a link with an absolute path points to.
fn mode_in_tree(tree: &HookTree, path: &Path, entry: &TreeEntry, side: Side) -> Option<Kind> {
    match &entry.kind {
        Kind::Link { target } if target.is_absolute() && side == Side::Host => {
            let meta = fs::metadata(target).ok()?;
            Some(if meta.is_file() { Kind::File { mode: meta.mode() & 0o7777 } } else { Kind::Dir })
        }
        _ => tree.followed(path),
    }
}

/// Data lives beside scripts, so a file that does not run is worth a word only when somebody meant it
/// to: its name starts as hooks' names do, or its text starts as scripts do.
pub(crate) fn looks_like_script(hook: &Hook) -> bool {
    if hook.name.starts_with("package-installs-") {
        return false;
    }
    let number = hook.name.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = number.len() < hook.name.len() && number.starts_with(['-', '_', '.']);
    numbered || starts_with_interpreter(&hook.path)
}

fn starts_with_interpreter(path: &Path) -> bool {
    let mut start = [0; 2];
    let read = fs::File::open(path).and_then(|mut f| io::Read::read_exact(&mut f, &mut start));
    read.is_ok() && &start == b"#!"
}

pub(crate) fn skipped(hook: &Hook, dir: &str, skip: Skip) -> Warning {
    let (reason, hint) = match (dir, skip) {
        (ENVIRONMENT_DIR, _) => {
            ("its name has a character other than letters, digits, '_', '-' and '.'".into(), "rename it".into())
        }
        (_, Skip::NotExecutable) => (skip.to_string(), format!("chmod +x {}", hook.path.display())),
        (_, Skip::BadName) => (skip.to_string(), "rename it".into()),
    };
    let message = format!("'{dir}/{}' of element '{}' will not run: {reason}", hook.name, hook.element);
    Warning::at(Place::file(&hook.path), message).hint(hint)
}

/// What an entry is; its type is known from the directory, and a directory need not be looked at.
fn kind(source: &Path, file_type: FileType) -> io::Result<Option<Kind>> {
    Ok(if file_type.is_dir() {
        Some(Kind::Dir)
    } else if file_type.is_file() {
        Some(Kind::File { mode: fs::symlink_metadata(source)?.mode() & 0o7777 })
    } else if file_type.is_symlink() {
        Some(Kind::Link { target: fs::read_link(source)? })
    } else {
        None
    })
}

/// The type of what a path leads to; none when a link leads nowhere.
fn followed_kind(path: &Path, file_type: FileType) -> Option<FileType> {
    if file_type.is_symlink() { fs::metadata(path).ok().map(|meta| meta.file_type()) } else { Some(file_type) }
}

/// Whether a file of this name describes disks.
fn is_layout(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("block-device-") && name.ends_with(".yaml"))
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::at(Place::file(path), format!("reading it failed: {error}"))
}

fn duplicate(path: &Path, old: &TreeEntry, new: &TreeEntry) -> Fault {
    let message = format!("There is a duplicated hook in your elements: {}", path.display());
    let hint = format!(
        "elements '{}' ({}) and '{}' ({}) both have it: rename one",
        old.element,
        old.source.display(),
        new.element,
        new.source.display()
    );
    Fault::at(Place::file(&new.source), message).hint(hint)
}

fn overwritten(path: &Path, old: &TreeEntry, new: &TreeEntry) -> Warning {
    let (path, loser, lost) = (path.display(), &old.element, old.source.display());
    let message = format!("'{path}' of element '{}' replaces that of element '{loser}' ({lost})", new.element);
    Warning::at(Place::file(&new.source), message)
}

/// Files at the top of an element that are read from its own directory, or by people: losing one in
/// the merged tree loses nothing.
fn read_per_element(path: &Path) -> bool {
    const NAMES: &[&str] = &["element-deps", "element-provides", "host-tools", "pkg-map", "svc-map", "initramfs.json"];
    const STARTS: &[&str] = &["README", "LICENSE", "package-installs.", "block-device-", "."];
    let Some(name) = path.to_str().filter(|p| !p.contains('/')) else { return false };
    NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start)) || name.ends_with(".md")
}

/// Whether two entries are the same in content, so that replacing one by the other loses nothing.
fn same(old: &TreeEntry, new: &TreeEntry) -> bool {
    let read = |e: &TreeEntry| fs::read(&e.source).ok();
    old.kind == new.kind && (matches!(old.kind, Kind::Link { .. }) || read(old) == read(new))
}

/// Whether two directory names differ by a slip of the hand (`finalize.d`).
fn nearly(name: &str, phase_dir: &str) -> bool {
    name.ends_with(".d") && strsim::osa_distance(name, phase_dir) <= 1
}

/// The path in the tree of a link's target, seen from `dir`; none when it leads out of the tree.
fn inside_tree(dir: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = dir.to_owned();
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
