//! The entries of a base in their order, and what becomes of each.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;

use super::write_slot;
use crate::assemble::initramfs::entry::{Content, Entry, REGULAR};
use crate::assemble::initramfs::names::NamePattern;
use crate::assemble::initramfs::segments::{At, Image, Segment, Step};
use crate::assemble::initramfs::write::SegmentWriter;
use crate::error::Fault;
use crate::near::{near, quoted};

/// One entry of the base.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) at: At,
    pub(super) entry: Entry,
    /// Where the kernel puts it; `None` if it passes over it.
    path: Option<Vec<u8>>,
    /// Archives before its own: hard links do not go over their end.
    archive: usize,
    pub(super) dropped: bool,
    pub(super) changed: bool,
}

/// All entries of the base.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    by_place: HashMap<At, usize>,
    archive: usize,
}

impl Slots {
    pub(super) fn push(&mut self, at: At, entry: Entry, path: Option<Vec<u8>>) {
        self.by_place.insert(at, self.slots.len());
        self.slots.push(Slot { at, entry, path, archive: self.archive, dropped: false, changed: false });
    }

    pub(super) fn end_archive(&mut self) {
        self.archive += 1;
    }

    /// The entry at a place, unless it is dropped.
    pub(super) fn at(&mut self, at: At) -> Option<&mut Slot> {
        self.by_place.get(&at).map(|n| &mut self.slots[*n]).filter(|slot| !slot.dropped)
    }

    /// Drops what matches a pattern by its path or by a name that one of `links` (to directories) gives it; entries
    /// without a path by the name that they have. Gives the paths of those that were not dropped before.
    pub(super) fn drop_matching(&mut self, pattern: &NamePattern, links: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let by_link = |path: &[u8]| {
            links.iter().any(|(link, dir)| {
                let below = path.strip_prefix(&dir[..]).filter(|below| below.starts_with(b"/"));
                below.is_some_and(|below| pattern.matches_below(&[link, below].concat(), link.len()))
            })
        };
        let mut gone = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| !slot.dropped) {
            let path = slot.path.as_ref().unwrap_or(&slot.entry.name);
            if path != b"." && (pattern.matches(path) || by_link(path)) {
                slot.dropped = true;
                gone.push(path.clone());
            }
        }
        gone
    }

    /// Drops what a new entry stands in place of.
    pub(super) fn replace(&mut self, path: &[u8]) {
        for slot in self.slots.iter_mut().filter(|slot| slot.path.as_deref() == Some(path)) {
            slot.dropped = true;
        }
    }

    /// Makes hard links right after names were dropped: the content moves to the last name that is left.
    pub(super) fn settle_links(&mut self) {
        let mut groups: HashMap<(usize, u32, (u32, u32)), Vec<usize>> = HashMap::new();
        for (n, slot) in self.slots.iter().enumerate() {
            let entry = &slot.entry;
            if entry.nlink >= 2 && entry.kind() == REGULAR {
                groups.entry((slot.archive, entry.ino, entry.dev)).or_default().push(n);
            }
        }
        for group in groups.values() {
            if group.iter().any(|n| self.slots[*n].dropped) {
                self.settle_group(group);
            }
        }
    }

    fn settle_group(&mut self, group: &[usize]) {
        let left: Vec<usize> = group.iter().copied().filter(|n| !self.slots[*n].dropped).collect();
        let carries = |slot: &Slot| slot.entry.content != Content::Empty;
        let carrier = group.iter().copied().rev().find(|n| carries(&self.slots[*n]));
        if let (Some(last), Some(carrier)) = (left.last().copied(), carrier)
            && !left.iter().any(|n| carries(&self.slots[*n]))
        {
            // The content stands where it stands: the name moves to it.
            self.slots[carrier].entry.name = self.slots[last].entry.name.clone();
            self.slots[carrier].path = self.slots[last].path.clone();
            self.slots[carrier].dropped = false;
            self.slots[carrier].changed = true;
            self.slots[last].dropped = true;
        }
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        group.iter().for_each(|n| self.slots[*n].entry.nlink = count.max(1));
    }

    /// Numbers of the segments whose entries are not all as they were.
    pub(super) fn changed(&self) -> BTreeSet<usize> {
        self.slots.iter().filter(|slot| slot.dropped || slot.changed).map(|slot| slot.at.segment).collect()
    }

    /// Whether a segment holds what kernels look for before they unpack anything; it has to stay plain.
    pub(super) fn is_early(&self, segment: usize) -> bool {
        self.slots.iter().any(|slot| slot.at.segment == segment && slot.entry.name.starts_with(b"kernel/"))
    }

    /// A fault with names of the base that are spelt nearly alike, or are the same in another directory.
    pub(super) fn with_near(&self, fault: Fault, name: &str) -> Fault {
        let name = name.trim_matches('/');
        let names: Vec<&str> =
            self.slots.iter().filter_map(|slot| std::str::from_utf8(&slot.entry.name).ok()).collect();
        let last = name.rsplit('/').next();
        let mut found: Vec<&str> = names.iter().copied().filter(|n| n.rsplit('/').next() == last).take(3).collect();
        if found.is_empty() {
            found = near(name, names);
        }
        if found.is_empty() { fault } else { fault.hint(format!("did you mean {}?", quoted(&found))) }
    }

    /// Writes what is left of a segment.
    pub(super) fn write(&self, base: &Image, segment: &Segment, writer: &mut SegmentWriter<'_>) -> Result<()> {
        base.walk_segment(segment, &mut |step| match step {
            Step::Entry { at, body, .. } => match self.by_place.get(&at).map(|n| &self.slots[*n]) {
                Some(slot) if !slot.dropped => write_slot(writer, &slot.entry, body),
                _ => Ok(()),
            },
            _ => Ok(()),
        })
    }
}
