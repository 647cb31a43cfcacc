//! What an image unpacks to, in memory: all segments merged as the kernel would, with lookups that follow links inside it.

mod unpack;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::entry::{Content, DIRECTORY, Entry, LINK, REGULAR, plain_name};
use super::segments::{At, Image, Segment, Step};

/// Links that are followed on the way to one file, as in Linux.
const MOST_LINKS: usize = 40;
/// The file whose children are those of `/`.
const ROOT: usize = 0;

/// A tree of files.
#[derive(Debug, Clone)]
pub struct Tree {
    files: Vec<File>,
    /// Hard links of the archive that is being unpacked: the kernel's table.
    links: HashMap<(u32, (u32, u32), u32), usize>,
    lost: Vec<Lost>,
}

/// What several names can lead to.
#[derive(Debug, Clone)]
struct File {
    /// Its `name` says nothing.
    entry: Entry,
    /// Of a directory.
    children: BTreeMap<Vec<u8>, usize>,
    /// Which entry gave the content.
    from: Option<At>,
}

/// An entry that the kernel passes over in silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Where it stands; `None` for one that was added.
    pub at: Option<At>,
    /// Its name.
    pub name: Vec<u8>,
    /// Why it is passed over.
    pub why: String,
}

/// Whether a tree keeps the contents of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Contents, in memory.
    Contents,
    /// Lengths only ([`Content::Unread`]).
    Lengths,
}

/// Where a path leads.
struct Lead {
    /// Names and files on the way that are there, links replaced by what they lead to.
    there: Vec<(Vec<u8>, usize)>,
    /// Names that are not there.
    missing: Vec<Vec<u8>>,
    /// Why nothing can be there.
    blocked: Option<String>,
}

impl Lead {
    fn id(&self) -> Option<usize> {
        let there = self.missing.is_empty() && self.blocked.is_none();
        there.then(|| self.there.last().map_or(ROOT, |(_, id)| *id))
    }

    /// The path without links, without a leading `/`.
    fn path(&self) -> Vec<u8> {
        let names: Vec<&[u8]> =
            self.there.iter().map(|(name, _)| &name[..]).chain(self.missing.iter().map(|n| &n[..])).collect();
        if names.is_empty() { b".".to_vec() } else { names.join(&b'/') }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree with nothing but its root, a directory of mode 755.
    #[must_use]
    pub fn new() -> Self {
        let root = File { entry: Entry::new(".", DIRECTORY | 0o755), children: BTreeMap::new(), from: None };
        Self { files: vec![root], links: HashMap::new(), lost: Vec::new() }
    }

    /// Unpacks an image into a new tree. Gives the segments too.
    ///
    /// # Errors
    /// Those of [`Image::walk`].
    pub fn read(image: &Image, keep: Keep) -> Result<(Self, Vec<Segment>)> {
        let mut tree = Self::new();
        let segments = image.walk(&mut |step| {
            match step {
                Step::Entry { at, mut entry, body } => {
                    if let (Keep::Contents, Content::Unread(len)) = (keep, &entry.content) {
                        entry.content = Content::Bytes(read_whole(body, *len)?);
                    }
                    tree.unpack(entry, Some(at));
                }
                Step::Trailer => tree.forget_links(),
                Step::Segment(_) => {}
            }
            Ok(())
        })?;
        Ok((tree, segments))
    }

    /// Entries that the kernel would pass over.
    #[must_use]
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }

    fn lead(&self, path: &[u8], follow_last: bool) -> Lead {
        let mut lead = Lead { there: Vec::new(), missing: Vec::new(), blocked: None };
        let mut todo: Vec<Vec<u8>> = components(path);
        let mut followed = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                if lead.missing.pop().is_none() {
                    lead.there.pop();
                }
                continue;
            }
            let dir = lead.there.last().map_or(ROOT, |(_, id)| *id);
            if !self.files[dir].entry.is_dir() {
                lead.blocked = Some(format!("{} is no directory", super::entry::shown(&lead.path())));
                return lead;
            }
            let child = if lead.missing.is_empty() { self.files[dir].children.get(&name) } else { None };
            let Some(&id) = child else {
                lead.missing.push(name);
                continue;
            };
            match self.files[id].entry.target() {
                Some(target) if follow_last || !todo.is_empty() => {
                    followed += 1;
                    if followed > MOST_LINKS {
                        lead.blocked = Some(format!("{} leads in a circle", super::entry::shown(path)));
                        return lead;
                    }
                    if target.first() == Some(&b'/') {
                        lead.there.clear();
                    }
                    todo.extend(components(target));
                }
                _ => lead.there.push((name, id)),
            }
        }
        lead
    }

    /// What a path names, links in its directories followed. A link that it names itself is given as such.
    #[must_use]
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Entry> {
        self.lead(path.as_ref(), false).id().map(|id| &self.files[id].entry)
    }

    /// What a path leads to, all links followed, and its path without links.
    #[must_use]
    pub fn follow(&self, path: impl AsRef<[u8]>) -> Option<(Vec<u8>, &Entry)> {
        let lead = self.lead(path.as_ref(), true);
        lead.id().map(|id| (lead.path(), &self.files[id].entry))
    }

    /// The path without links that a file would have if it were put at `path`: `lib/x` is `usr/lib/x`
    /// where `lib` is a link to `usr/lib`. A link that stands at `path` itself is not followed.
    ///
    /// # Errors
    /// A reason why nothing can be put there.
    pub fn land(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, String> {
        let lead = self.lead(path.as_ref(), false);
        match &lead.blocked {
            Some(why) => Err(why.clone()),
            None if !self.files[lead.there.last().map_or(ROOT, |(_, id)| *id)].entry.is_dir()
                && !lead.missing.is_empty() =>
            {
                Err(format!("{} is no directory", super::entry::shown(&lead.path())))
            }
            None => Ok(lead.path()),
        }
    }

    /// The directories above `path` that are not there, the outermost first, by their paths without links.
    ///
    /// # Errors
    /// As [`Tree::land`].
    pub fn missing_dirs(&self, path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, String> {
        let place = self.land(path)?;
        let ends = place.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        Ok(ends.map(|end| place[..end].to_vec()).filter(|dir| self.get(dir).is_none()).collect())
    }

    /// Puts an entry into the tree; its directory has to be there.
    ///
    /// # Errors
    /// A reason why it cannot be.
    pub fn insert(&mut self, entry: Entry) -> Result<(), String> {
        let before = self.lost.len();
        self.unpack(entry, None);
        match self.lost.len() > before {
            true => Err(self.lost.pop().map(|lost| lost.why).unwrap_or_default()),
            false => Ok(()),
        }
    }

    /// Takes a name away, a directory with all in it. Tells whether it was there.
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> bool {
        let lead = self.lead(path.as_ref(), false);
        if lead.id().is_none() {
            return false;
        }
        let mut there = lead.there;
        let Some((name, _)) = there.pop() else { return false };
        let dir = there.last().map_or(ROOT, |(_, id)| *id);
        self.files[dir].children.remove(&name).is_some()
    }

    /// The names in a directory, sorted; links on the way and at its end are followed. `None` if it is no directory.
    #[must_use]
    pub fn names(&self, dir: impl AsRef<[u8]>) -> Option<Vec<Vec<u8>>> {
        let file = &self.files[self.lead(dir.as_ref(), true).id()?];
        file.entry.is_dir().then(|| file.children.keys().cloned().collect())
    }

    /// All links that lead to directories, with the paths of those. They give what is in the directories more names.
    #[must_use]
    pub fn dir_links(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let links = self.entries().into_iter().filter(|entry| entry.kind() == LINK);
        let to_dir = |link: Entry| {
            let (dir, _) = self.follow(&link.name).filter(|(_, end)| end.is_dir())?;
            Some((link.name, dir))
        };
        links.filter_map(to_dir).collect()
    }

    /// Which entry of the image gave a file its content (of other things: made it), by its path without links.
    #[must_use]
    pub fn from(&self, path: impl AsRef<[u8]>) -> Option<At> {
        self.lead(path.as_ref(), false).id().and_then(|id| self.files[id].from)
    }

    /// All entries, directories before what is in them, names sorted. Of hard links, the last name has the content.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<(Vec<u8>, usize)> = vec![(b".".to_vec(), ROOT)];
        self.collect(ROOT, b"", &mut all);
        let mut names: HashMap<usize, (u32, usize)> = HashMap::new();
        for (at, (_, id)) in all.iter().enumerate() {
            let (count, last) = names.entry(*id).or_default();
            *count += 1;
            *last = at;
        }
        let entry = |(at, (name, id)): (usize, (Vec<u8>, usize))| {
            let mut entry = self.files[id].entry.clone();
            let (count, last) = names.get(&id).copied().unwrap_or((1, at));
            entry.name = name;
            entry.nlink = if entry.is_dir() { 2 } else { count };
            // More files than fit into 32 bits fit into no image.
            entry.ino = id as u32;
            entry.dev = (0, 0);
            if at != last && entry.kind() == REGULAR {
                entry.content = Content::Empty;
            }
            entry
        };
        all.into_iter().enumerate().map(entry).collect()
    }

    fn collect(&self, dir: usize, prefix: &[u8], all: &mut Vec<(Vec<u8>, usize)>) {
        // A stack of its own: names of 4095 bytes can be 2000 directories deep.
        let mut todo: Vec<(Vec<u8>, usize)> = self.children(dir, prefix);
        while let Some((path, id)) = todo.pop() {
            if self.files[id].entry.is_dir() {
                todo.extend(self.children(id, &path));
            }
            all.push((path, id));
        }
    }

    /// The children of a directory with their paths, the last first.
    fn children(&self, dir: usize, prefix: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let path = |name: &[u8]| if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') };
        self.files[dir].children.iter().rev().map(|(name, id)| (path(name), *id)).collect()
    }
}

/// The names of a path, the last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/').rev().filter(|name| !matches!(name, [] | [b'.'])).map(<[u8]>::to_vec).collect()
}

/// Reads a content that claims to have `len` bytes, and takes no memory for those that are not there.
///
/// # Errors
/// When reading fails.
pub fn read_whole(body: &mut dyn Read, len: u64) -> std::io::Result<Arc<[u8]>> {
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0).min(1 << 20));
    body.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A directory's entry as it is made for what is put into it.
#[must_use]
pub fn new_dir(path: &[u8], mtime: u32) -> Entry {
    let mut entry = Entry::new(plain_name(path), DIRECTORY | 0o755);
    entry.mtime = mtime;
    entry.nlink = 2;
    entry
}

/// A link's entry.
#[must_use]
pub fn new_link(path: &[u8], target: &[u8], mtime: u32) -> Entry {
    let mut entry = Entry::new(plain_name(path), LINK | 0o777).with(Content::Bytes(target.into()));
    entry.mtime = mtime;
    entry
}

impl Tree {
    /// Reads a file of the tree, all links followed.
    ///
    /// # Errors
    /// When it is not there, is no regular file, or was not kept.
    pub fn content(&self, path: impl AsRef<[u8]>) -> Result<Arc<[u8]>> {
        let shown = || super::entry::shown(path.as_ref());
        let (_, entry) = self.follow(path.as_ref()).with_context(|| format!("{} is not there", shown()))?;
        view::content(entry).with_context(|| format!("reading {}", shown()))
    }
}
