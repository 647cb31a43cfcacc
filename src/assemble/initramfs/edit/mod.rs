//! Edits an image in a stream: segments that stay as they are are copied byte for byte, the others are written anew
//! with their entries in the same order. New entries go to the end, where they win over everything before them.
//!
//! The image is read twice: once without contents, to know what will be where, and once to copy.

mod add;
mod closure;
mod modules;
mod slots;
mod unit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::compression::{Compression, Packing};
use super::entry::{Content, Entry};
use super::names::NamePattern;
use super::segments::{Image, Segment, Step};
use super::tree::{Tree, read_whole};
use super::write::{ImageWriter, SegmentWriter};
use crate::error::{Fault, Faults, Place};
pub use closure::{additions, cache_over, companions, is_cache};
pub use modules::{ModuleWish, modules};
use slots::Slots;

/// How a new last segment is compressed if nothing is asked for and there is none that could be taken over.
const NEW_SEGMENT: Compression = Compression::Zstd;

/// Something that is put into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addition {
    /// A file or directory of the host with the path that it gets. A directory brings all in it. Owner is root,
    /// mode and time are those of the host; a link at `source` is followed, links in a directory are kept.
    Copy {
        /// On the host.
        source: PathBuf,
        /// In the image.
        dest: Vec<u8>,
    },
    /// An entry as it is; its name is the path that it gets. It replaces what is there unless both are directories.
    Entry(Entry),
    /// A systemd unit: it replaces the one of its name, or is enabled as its `[Install]` section says.
    Unit(PathBuf),
}

/// What is to change.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Names that go, directories with all in them.
    pub remove: Vec<NamePattern>,
    /// Files of the host, with the file in the image whose content they become.
    pub replace: Vec<(PathBuf, Vec<u8>)>,
    /// What comes in, in this order.
    pub add: Vec<Addition>,
    /// How the last segment is compressed; `None`: as it was.
    pub packing: Option<Packing>,
    /// No time of an entry is later (seconds since 1970).
    pub latest: Option<u32>,
}

/// The base as it is before anything is added.
pub struct Base<'a> {
    /// As it was read. Contents are kept only of the indexes of kernel modules and of the loader's cache.
    pub before: &'a Tree,
    /// Without what is removed.
    pub tree: &'a Tree,
}

/// Changes that depend on what the base holds.
#[derive(Debug, Default)]
pub struct More {
    /// What comes in.
    pub add: Vec<Addition>,
    /// Paths that go.
    pub remove: Vec<Vec<u8>>,
}

/// Says what else is to change, once the base is known.
pub type Decide<'a> = dyn FnMut(&Base<'_>) -> Result<More> + 'a;

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// Entries that are gone.
    pub removed: usize,
    /// Files with another content.
    pub replaced: usize,
    /// Entries that are new or stand in place of others.
    pub added: usize,
    /// Segments that were copied as they are.
    pub copied: usize,
    /// Bytes of the image.
    pub len: u64,
    /// Bytes that the last segment unpacks to.
    pub unpacked: u64,
}

/// Everything that is known before anything is written.
struct Plan {
    slots: Slots,
    segments: Vec<Segment>,
    added: Vec<Entry>,
    /// Numbers of segments that are written anew.
    rewritten: BTreeSet<usize>,
    /// The packing of a segment after all others, if the last one cannot take the additions.
    extra: Option<Packing>,
    removed: usize,
}

/// Writes `base` with `edits`, and what `decide` adds to them, to `target`, which may be the same file.
///
/// # Errors
/// [`Faults`], all at once, for edits that cannot be done and for a damaged base; failures to read and write; those of
/// `decide`.
pub fn edit(base: &Image, target: &Path, edits: &Edits, decide: &mut Decide<'_>) -> Result<Edited> {
    let plan = plan(base, edits, decide)?;
    let mut image = ImageWriter::create(target, edits.latest)?;
    let mut unpacked = 0;
    let mut copied = 0;
    let mut before = None;
    for (n, segment) in plan.segments.iter().enumerate() {
        let next = plan.segments.get(n + 1);
        if !plan.rewritten.contains(&segment.number) {
            // With the zeros that belong to it, also those at the beginning of the file.
            let from = if n == 0 { 0 } else { segment.offset };
            let end = next.map_or(segment.offset + segment.len, |next| next.offset);
            if before == Some(true) {
                image.gap()?;
            }
            image.copy(&mut base.bytes_from(from)?, end - from)?;
            copied += 1;
        } else {
            let last = next.is_none();
            let packing = edits.packing.filter(|_| last).unwrap_or(segment.compression.into());
            unpacked = image.segment(packing, &mut |writer| {
                plan.slots.write(base, segment, writer)?;
                if last { append(&plan.added, writer) } else { Ok(()) }
            })?;
        }
        before = Some(plan.rewritten.contains(&segment.number));
    }
    if let Some(packing) = plan.extra {
        unpacked = image.segment(packing, &mut |writer| append(&plan.added, writer))?;
    }
    let len = image.publish()?;
    Ok(Edited { removed: plan.removed, replaced: edits.replace.len(), added: plan.added.len(), copied, len, unpacked })
}

fn append(added: &[Entry], writer: &mut SegmentWriter<'_>) -> Result<()> {
    added.iter().try_for_each(|entry| writer.write(entry))
}

/// Reads the base and decides about everything; finds all mistakes at once.
fn plan(base: &Image, edits: &Edits, decide: &mut Decide<'_>) -> Result<Plan> {
    let mut slots = Slots::default();
    let mut tree = Tree::new();
    let segments = base.walk(&mut |step| {
        match step {
            Step::Entry { at, entry, body } => {
                let mut kept = entry.clone();
                if let (Content::Unread(len), true) = (&entry.content, is_kept(&entry.name)) {
                    kept.content = Content::Bytes(read_whole(body, *len)?);
                }
                let path = tree.unpack(kept, Some(at));
                slots.push(at, entry, path);
            }
            Step::Trailer => {
                tree.forget_links();
                slots.end_archive();
            }
            Step::Segment(_) => slots.end_archive(),
        }
        Ok(())
    })?;
    let mut faults = Vec::new();
    let before = tree.clone();
    let removed = remove(base, edits, &mut slots, &mut tree, &mut faults);
    for (source, dest) in &edits.replace {
        if let Err(fault) = replace(base, source, dest, &mut slots, &tree) {
            faults.push(fault);
        }
    }
    Faults::or(std::mem::take(&mut faults), ())?;
    let more = decide(&Base { before: &before, tree: &tree })?;
    for path in &more.remove {
        slots.replace(path);
        tree.remove(path);
    }
    let mut adding = add::Adding::new(base, &mut tree, &mut slots);
    more.add.iter().chain(&edits.add).for_each(|addition| adding.add(addition));
    let (added, more) = adding.finish();
    faults.extend(more);
    Faults::or(faults, ())?;
    slots.settle_links();
    let mut plan = Plan { rewritten: slots.changed(), slots, segments, added, extra: None, removed };
    plan.place_additions(edits);
    plan.check_compressions(base, edits)?;
    Ok(plan)
}

/// Whether a file of the base is one that is read, and not only passed on.
fn is_kept(name: &[u8]) -> bool {
    modules::is_index(name) || is_cache(name)
}

impl Plan {
    /// Decides which segment gets the additions.
    fn place_additions(&mut self, edits: &Edits) {
        let Some(last) = self.segments.last() else { return };
        let early = last.compression == Compression::None && self.slots.is_early(last.number);
        if early && (!self.added.is_empty() || edits.packing.is_some()) {
            self.extra = (!self.added.is_empty()).then(|| edits.packing.unwrap_or(NEW_SEGMENT.into()));
        } else {
            self.rewritten.insert(last.number);
        }
    }

    fn check_compressions(&self, base: &Image, edits: &Edits) -> Result<()> {
        let last = self.segments.last().map(|segment| segment.number);
        for segment in self.segments.iter().filter(|s| self.rewritten.contains(&s.number)) {
            let chosen = edits.packing.is_some() && Some(segment.number) == last;
            if segment.compression == Compression::Lzo && !chosen {
                let what = format!("segment {} is compressed with lzo, which is only read", segment.number);
                let fault = Fault::at(Place::file(base.path()), what);
                return Err(Faults::from(fault.hint("choose another compression with --compress")).into());
            }
        }
        Ok(())
    }
}

/// Takes the names away that patterns match. Gives the number of entries.
fn remove(base: &Image, edits: &Edits, slots: &mut Slots, tree: &mut Tree, faults: &mut Vec<Fault>) -> usize {
    let mut removed = 0;
    let links = tree.dir_links();
    for pattern in &edits.remove {
        let gone = slots.drop_matching(pattern, &links);
        if gone.is_empty() {
            let what = format!("nothing in it matches '{}', which is to be removed", pattern.given());
            let fault = Fault::at(Place::file(base.path()), what);
            faults.push(match pattern.literal() {
                Some(name) => slots.with_near(fault, name),
                None => fault.hint("'*' stays within one directory, '**' does not"),
            });
        }
        removed += gone.len();
        for name in &gone {
            // It may be gone with its directory.
            tree.remove(name);
        }
    }
    removed
}

/// Gives a file that is there another content. Owner and mode stay; the time is that of the new content.
fn replace(base: &Image, source: &Path, dest: &[u8], slots: &mut Slots, tree: &Tree) -> Result<(), Fault> {
    let shown = super::entry::shown(super::entry::plain_name(dest));
    let at = Place::file(base.path());
    let Some((path, entry)) = tree.follow(dest) else {
        let fault = Fault::at(at, format!("there is no {shown} in it that could be replaced"));
        let fault = slots.with_near(fault, &String::from_utf8_lossy(dest));
        return Err(if fault.hint.is_some() { fault } else { fault.hint("add it with --add") });
    };
    if entry.kind() != super::entry::REGULAR {
        return Err(Fault::at(at, format!("{shown} is no regular file, and only those can be replaced")));
    }
    let (content, mtime) = add::host_file(source)?;
    match tree.from(&path).and_then(|from| slots.at(from)) {
        Some(slot) => {
            slot.entry.mtime = mtime;
            slot.entry.content = content;
            slot.changed = true;
            Ok(())
        }
        None => Err(Fault::at(at, format!("{shown} was removed by another option, and cannot be replaced"))),
    }
}

/// The content of an entry that is written from a file of the host.
fn content_of(path: &Path) -> Content {
    Content::File(path.to_owned())
}

/// Reads what an option names; a file that cannot be read is a mistake in the request.
fn unreadable(path: &Path, err: &std::io::Error) -> Fault {
    Fault::at(Place::file(path), format!("cannot be read: {err}"))
}

/// Copies one entry as it is, or as it was changed.
fn write_slot(writer: &mut SegmentWriter<'_>, entry: &Entry, body: &mut dyn std::io::Read) -> Result<()> {
    match &entry.content {
        Content::Unread(len) => writer.write_from(entry, *len, body),
        _ => writer.write(entry),
    }
    .with_context(|| format!("copying {}", entry.shown()))
}
