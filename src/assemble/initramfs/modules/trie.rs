//! The binary indexes of kmod (`modules.*.bin`), which modprobe reads instead of the text files.
//!
//! Source of the format: `libkmod/libkmod-index.c` and `tools/depmod.c` of kmod. All numbers are big-endian.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xB007_F457;
/// Major 2, minor 1.
const VERSION: u32 = 0x0002_0001;

/// A node has letters before its own branch or value.
const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;
/// Offsets of nodes have so many bits.
const OFFSET: u32 = 0x0FFF_FFFF;

/// Keys with their values; each value has a priority, and the lowest comes first.
#[derive(Debug, Default)]
pub struct Trie(BTreeMap<Vec<u8>, Vec<(u32, String)>>);

impl Trie {
    /// Adds a value. Keys are ASCII: others cannot be looked up, and are left out.
    pub fn insert(&mut self, key: &str, value: &str, priority: u32) {
        if !key.is_ascii() || key.contains('\0') {
            return;
        }
        let values = self.0.entry(key.as_bytes().to_vec()).or_default();
        // Among equals, the last one first: as depmod does it.
        let at = values.iter().position(|(other, _)| *other >= priority).unwrap_or(values.len());
        values.insert(at, (priority, value.to_owned()));
    }

    /// The index file.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [MAGIC, VERSION, 0] {
            put(&mut out, word);
        }
        let entries: Vec<_> = self.0.iter().map(|(key, values)| (key.as_slice(), values.as_slice())).collect();
        let root = node(&mut out, &entries, 0, 0);
        out[8..12].copy_from_slice(&root.to_be_bytes());
        out
    }
}

type Entry<'a> = (&'a [u8], &'a [(u32, String)]);

fn put(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

/// Writes the node that holds `entries` (sorted), all of which have their first `from` bytes in common and used up, and
/// `prefix` more that this node is to name. Children come before their parent. Gives the offset with its flags.
fn node(out: &mut Vec<u8>, entries: &[Entry<'_>], from: usize, prefix: usize) -> u32 {
    let at = from + prefix;
    let own: &[(u32, String)] = entries.first().filter(|(key, _)| key.len() == at).map_or(&[], |(_, values)| values);
    let longer = &entries[usize::from(entries.first().is_some_and(|(key, _)| key.len() == at))..];
    let children: Vec<(u8, u32)> = longer
        .chunk_by(|a, b| a.0[at] == b.0[at])
        .map(|group| {
            let common = common(group, at + 1);
            (group[0].0[at], node(out, group, at + 1, common))
        })
        .collect();
    let mut offset = u32::try_from(out.len()).unwrap_or(OFFSET) & OFFSET;
    if prefix > 0 {
        out.extend_from_slice(&entries[0].0[from..at]);
        out.push(0);
        offset |= PREFIX;
    }
    if let (Some((first, _)), Some((last, _))) = (children.first(), children.last()) {
        out.extend([*first, *last]);
        for letter in *first..=*last {
            put(out, children.iter().find(|(l, _)| *l == letter).map_or(0, |(_, offset)| *offset));
        }
        offset |= CHILDREN;
    }
    if !own.is_empty() {
        put(out, own.len() as u32);
        for (priority, value) in own {
            put(out, *priority);
            out.extend_from_slice(value.as_bytes());
            out.push(0);
        }
        offset |= VALUES;
    }
    offset
}

/// How many bytes from `from` on all keys have in common.
fn common(entries: &[Entry<'_>], from: usize) -> usize {
    let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return 0 };
    // They are sorted: what the first and the last have in common, all have.
    first[from..].iter().zip(&last[from..]).take_while(|(a, b)| a == b).count()
}
