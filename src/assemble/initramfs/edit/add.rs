//! What is put into an image.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::slots::Slots;
use super::{Addition, content_of, unit, unreadable};
use crate::assemble::initramfs::entry::{
    BLOCK, CHARACTER, Content, DIRECTORY, Entry, FIFO, LINK, REGULAR, SOCKET, plain_name, shown,
};
use crate::assemble::initramfs::segments::Image;
use crate::assemble::initramfs::tree::{Tree, new_dir};
use crate::error::{Fault, Place};

/// Collects additions; what they stand in place of is dropped from the base.
pub(super) struct Adding<'a> {
    base: &'a Image,
    pub(super) tree: &'a mut Tree,
    slots: &'a mut Slots,
    added: Vec<Entry>,
    faults: Vec<Fault>,
}

impl<'a> Adding<'a> {
    pub(super) fn new(base: &'a Image, tree: &'a mut Tree, slots: &'a mut Slots) -> Self {
        Self { base, tree, slots, added: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Entry>, Vec<Fault>) {
        (self.added, self.faults)
    }

    /// Takes one addition; its mistakes are kept.
    pub(super) fn add(&mut self, addition: &Addition) {
        let result = match addition {
            Addition::Copy { source, dest } => self.copy(source, plain_name(dest)),
            Addition::Entry(entry) => self.entry(entry.clone()),
            Addition::Unit(file) => unit::add(self, file),
        };
        self.faults.extend(result.err());
    }

    /// A fault of the base.
    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::at(Place::file(self.base.path()), what)
    }

    fn copy(&mut self, source: &Path, dest: &[u8]) -> Result<(), Fault> {
        let metadata = source.metadata().map_err(|err| unreadable(source, &err))?;
        if metadata.is_dir() {
            return self.copy_dir(source, dest, &metadata);
        }
        if self.tree.follow(dest).is_some_and(|(_, entry)| entry.is_dir()) {
            let file = source.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
            let whole = if dest == b"." { file.to_vec() } else { [dest, file].join(&b'/') };
            let what = format!("{} is a directory, and {} is none", shown(dest), source.display());
            return Err(self.fault(what).hint(format!("name the file, too: {}", shown(&whole))));
        }
        self.entry(host_entry(source, dest, &metadata)?)
    }

    fn copy_dir(&mut self, source: &Path, dest: &[u8], metadata: &Metadata) -> Result<(), Fault> {
        let walk = walkdir::WalkDir::new(source).sort_by_file_name().min_depth(1);
        // A directory that is there keeps its owner and mode.
        if self.tree.follow(dest).is_none_or(|(_, entry)| !entry.is_dir()) {
            self.entry(host_entry(source, dest, metadata)?)?;
        }
        for found in walk {
            let found = found.map_err(|err| Fault::at(Place::file(source), format!("cannot be read: {err}")))?;
            let below = found.path().strip_prefix(source).unwrap_or(found.path());
            let name = [dest, below.as_os_str().as_bytes()].join(&b'/');
            let metadata = found.metadata().map_err(|err| Fault::at(Place::file(found.path()), err.to_string()))?;
            if metadata.is_dir() && self.tree.follow(&name).is_some_and(|(_, entry)| entry.is_dir()) {
                continue;
            }
            self.entry(host_entry(found.path(), plain_name(&name), &metadata)?)?;
        }
        Ok(())
    }

    /// Puts an entry to where its name leads in the base, with the directories that it needs.
    pub(super) fn entry(&mut self, mut entry: Entry) -> Result<(), Fault> {
        let cannot = |why: String| format!("{} cannot be added: {why}", entry.shown());
        if entry.name == b"." || entry.name.split(|b| *b == b'/').any(|part| part == b"..") {
            return Err(self.fault(cannot("that is no name for it".to_owned())));
        }
        let path = self.tree.land(&entry.name).map_err(|why| self.fault(cannot(why)))?;
        let dirs = self.tree.missing_dirs(&path).map_err(|why| self.fault(cannot(why)))?;
        let old = self.tree.get(&path);
        let both_dirs = entry.is_dir() && old.is_some_and(Entry::is_dir);
        if !both_dirs && old.is_some_and(Entry::is_dir) {
            return Err(self
                .fault(cannot("a directory stands in its place".to_owned()))
                .hint("remove it with --remove"));
        }
        if old.is_some() && !both_dirs {
            self.tree.remove(&path);
            self.slots.replace(&path);
            self.added.retain(|added| added.name != path);
        }
        for dir in dirs {
            self.insert(new_dir(&dir, entry.mtime))?;
        }
        entry.name = path;
        self.insert(entry)
    }

    fn insert(&mut self, entry: Entry) -> Result<(), Fault> {
        let shown = entry.shown();
        self.tree.insert(entry.clone()).map_err(|why| self.fault(format!("{shown} cannot be added: {why}")))?;
        self.added.push(entry);
        Ok(())
    }
}

/// A regular file of the host as content, with its time.
pub(super) fn host_file(path: &Path) -> Result<(Content, u32), Fault> {
    let metadata = path.metadata().map_err(|err| unreadable(path, &err))?;
    // Found before anything is written.
    std::fs::File::open(path).map_err(|err| unreadable(path, &err))?;
    if !metadata.is_file() {
        return Err(Fault::at(Place::file(path), "is no regular file"));
    }
    let content = if metadata.len() == 0 { Content::Empty } else { content_of(path) };
    Ok((content, time(&metadata)))
}

fn time(metadata: &Metadata) -> u32 {
    // The format knows neither times before 1970 nor after 2106.
    u32::try_from(metadata.mtime().max(0)).unwrap_or(u32::MAX)
}

/// What a file of the host becomes in an image: of root, with its own mode and time.
fn host_entry(path: &Path, dest: &[u8], metadata: &Metadata) -> Result<Entry, Fault> {
    let kind = metadata.file_type();
    let (bits, content) = if kind.is_dir() {
        (DIRECTORY, Content::Empty)
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).map_err(|err| unreadable(path, &err))?;
        (LINK, Content::Bytes(target.as_os_str().as_bytes().into()))
    } else if kind.is_file() {
        (REGULAR, host_file(path)?.0)
    } else if kind.is_char_device() {
        (CHARACTER, Content::Empty)
    } else if kind.is_block_device() {
        (BLOCK, Content::Empty)
    } else if kind.is_fifo() {
        (FIFO, Content::Empty)
    } else {
        (SOCKET, Content::Empty)
    };
    let mut entry = Entry::new(dest, bits | metadata.mode() & 0o7777).with(content);
    entry.mtime = time(metadata);
    if matches!(bits, CHARACTER | BLOCK) {
        let device = metadata.rdev();
        let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        entry.rdev = (part(nix::sys::stat::major(device)), part(nix::sys::stat::minor(device)));
    }
    if bits == DIRECTORY {
        entry.nlink = 2;
    }
    Ok(entry)
}
