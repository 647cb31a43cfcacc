//! `/etc/ld.so.cache`: read for proving an image, written for one whose libraries are not all in default directories.
//!
//! Source of the format: `sysdeps/generic/dl-cache.h` of glibc (`struct cache_file_new`, `glibc-ld.so.cache1.1`).

use std::cmp::Ordering;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use object::elf as e;

use super::elf::Abi;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// The older form that some caches begin with; the new one follows.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// Values of the byte that tells the order of bytes. Old caches have 0.
const LITTLE: u8 = 2;
const BIG: u8 = 3;
/// An ELF library for glibc 2 (`FLAG_ELF_LIBC6`).
const LIBC6: u32 = 3;
/// No path is longer (`PATH_MAX` of Linux).
const LONGEST_NAME: usize = 4096;
/// All names together are not longer than so many times the cache: entries share texts, but not by the thousand.
const MOST_NAMED: usize = 8;

/// One library that the loader can find.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    name: String,
    path: PathBuf,
    /// Which machine it is for, as ldconfig numbers them.
    flags: u32,
}

/// The libraries that the loader can find outside of its default directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    entries: Vec<Entry>,
    little: bool,
}

impl Cache {
    /// An empty cache for machines of this order of bytes.
    #[must_use]
    pub fn new(abi: Abi) -> Self {
        Self { entries: vec![], little: abi.little }
    }

    /// Reads a cache. A damaged one ends where the damage begins: the loader ignores it likewise. Entries for special
    /// processors are left out.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let cache = new_format(bytes).map_or(&[][..], |start| &bytes[start..]);
        let little = match cache.get(28) {
            Some(&BIG) => false,
            Some(&LITTLE) => true,
            _ => cfg!(target_endian = "little"),
        };
        let word = |at: usize| {
            let word: [u8; 4] = cache.get(at..at + 4)?.try_into().ok()?;
            Some(if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
        };
        // In a damaged cache, each of many entries can name the same long text.
        let mut left = cache.len().saturating_mul(MOST_NAMED);
        let mut text = |at: u32| {
            let rest = cache.get(at as usize..)?;
            let end = rest.iter().take(LONGEST_NAME).position(|&b| b == 0)?;
            left = left.checked_sub(end)?;
            Some(String::from_utf8_lossy(&rest[..end]).into_owned())
        };
        let entry = |index: usize| {
            let at = HEADER + index * ENTRY;
            let special = word(at + 16)? != 0 || word(at + 20)? != 0;
            let entry = Entry { name: text(word(at + 4)?)?, path: text(word(at + 8)?)?.into(), flags: word(at)? };
            Some((!special).then_some(entry))
        };
        let count = word(20).unwrap_or(0) as usize;
        let entries = (0..count.min(cache.len() / ENTRY)).map_while(entry).flatten().collect();
        Self { entries, little }
    }

    /// Adds the library that is found at `path` when `name` is asked for.
    pub fn add(&mut self, abi: Abi, name: &str, path: &Path) {
        let entry = Entry { name: name.to_owned(), path: path.to_owned(), flags: flags(abi) };
        if !self.entries.contains(&entry) {
            self.entries.push(entry);
        }
    }

    /// Adds what is in another cache; of the same name, its libraries come after these.
    pub fn extend(&mut self, other: Self) {
        let known: HashSet<Entry> = self.entries.iter().cloned().collect();
        self.entries.extend(other.entries.into_iter().filter(|entry| !known.contains(entry)));
    }

    /// The places of a library, for machines of every kind.
    pub fn paths<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Path> {
        self.entries.iter().filter(move |entry| entry.name == name).map(|entry| entry.path.as_path())
    }

    /// The file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut sorted: Vec<&Entry> = self.entries.iter().collect();
        // Downwards: the loader halves.
        sorted.sort_by(|a, b| compare(b.name.as_bytes(), a.name.as_bytes()).then(b.flags.cmp(&a.flags)));
        let mut out = MAGIC.to_vec();
        let mut strings = Vec::new();
        let start = HEADER + sorted.len() * ENTRY;
        let mut place = |text: &[u8]| {
            let at = start + strings.len();
            strings.extend_from_slice(text);
            strings.push(0);
            at as u32
        };
        let places: Vec<(u32, u32)> = sorted
            .iter()
            .map(|entry| (place(entry.name.as_bytes()), place(entry.path.as_os_str().as_encoded_bytes())))
            .collect();
        self.put(&mut out, &[sorted.len() as u32, strings.len() as u32]);
        out.extend([if self.little { LITTLE } else { BIG }, 0, 0, 0]);
        self.put(&mut out, &[0; 4]);
        for (entry, (name, path)) in sorted.iter().zip(places) {
            self.put(&mut out, &[entry.flags, name, path, 0, 0, 0]);
        }
        out.extend(strings);
        out
    }

    fn put(&self, out: &mut Vec<u8>, words: &[u32]) {
        words.iter().for_each(|word| out.extend(if self.little { word.to_le_bytes() } else { word.to_be_bytes() }));
    }
}

/// Where the new format begins.
fn new_format(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(MAGIC) {
        return Some(0);
    }
    let count: [u8; 4] = bytes.strip_prefix(OLD_MAGIC)?.get(0..4)?.try_into().ok()?;
    let end = (u32::from_ne_bytes(count) as usize).checked_mul(12)?.checked_add(16)?.checked_next_multiple_of(8)?;
    bytes.get(end..)?.starts_with(MAGIC).then_some(end)
}

/// What the loader of a machine accepts (`_DL_CACHE_DEFAULT_ID` of its `dl-cache.h`).
fn flags(abi: Abi) -> u32 {
    let is = |machine: e::Machine, is_64: bool| abi.machine == machine.0 && abi.is_64 == is_64;
    let machine = match () {
        () if is(e::EM_X86_64, true) => 0x0300,
        () if is(e::EM_X86_64, false) => 0x0800,
        () if is(e::EM_S390, true) => 0x0400,
        () if is(e::EM_PPC64, true) => 0x0500,
        () if is(e::EM_MIPS, true) => 0x0700,
        () if is(e::EM_ARM, false) => 0x0900,
        () if is(e::EM_AARCH64, true) => 0x0a00,
        () if is(e::EM_RISCV, true) => 0x1000,
        () if is(e::EM_LOONGARCH, true) => 0x1200,
        () => 0,
    };
    machine | LIBC6
}

/// The order of names: numbers in them count as numbers (`_dl_cache_libcmp` of `elf/dl-cache.c`).
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        let (first, second) = match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(first), Some(second)) => (*first, *second),
        };
        match (first.is_ascii_digit(), second.is_ascii_digit()) {
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (true, true) => match number(&mut a).cmp(&number(&mut b)) {
                Ordering::Equal => {}
                other => return other,
            },
            (false, false) if first != second => return first.cmp(&second),
            (false, false) => (a, b) = (&a[1..], &b[1..]),
        }
    }
}

fn number(text: &mut &[u8]) -> u64 {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    number.iter().fold(0_u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_is_in_the_order_of_the_loader() {
        let abi = Abi { is_64: true, little: true, machine: e::EM_X86_64.0 };
        let mut cache = Cache::new(abi);
        for name in ["libb.so.2", "libb.so.10", "liba.so", "libb.so.9"] {
            cache.add(abi, name, &Path::new("/opt").join(name));
        }
        let read = Cache::parse(&cache.write());
        let names: Vec<&str> = read.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["libb.so.10", "libb.so.9", "libb.so.2", "liba.so"]);
        assert_eq!(read.paths("liba.so").collect::<Vec<_>>(), [Path::new("/opt/liba.so")]);
        let big = Abi { little: false, machine: e::EM_S390.0, ..abi };
        let mut cache = Cache::new(big);
        cache.add(big, "libc.so.6", Path::new("/x/libc.so.6"));
        assert_eq!(Cache::parse(&cache.write()), cache);
    }

    #[test]
    fn a_small_cache_stays_small() {
        let abi = Abi { is_64: true, little: true, machine: e::EM_X86_64.0 };
        let mut cache = Cache::new(abi);
        (0..2000).for_each(|n| cache.add(abi, &format!("lib{n}.so"), Path::new("/opt/lib.so")));
        let mut bytes = cache.write();
        // All names are one long string at the end.
        let start = u32::try_from(bytes.len()).unwrap();
        bytes.extend([&[b'x'; 4000][..], &[0]].concat());
        for entry in 0..2000 {
            let at = HEADER + entry * ENTRY + 4;
            bytes[at..at + 4].copy_from_slice(&start.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&start.to_le_bytes());
        }
        let len: usize = Cache::parse(&bytes).entries.iter().map(|e| e.name.len() + e.path.as_os_str().len()).sum();
        assert!(len <= 16 * bytes.len(), "{} bytes make {len}", bytes.len());
        bytes.splice(start as usize.., [vec![b'x'; 5000], vec![0]].concat());
        assert!(Cache::parse(&bytes).entries.is_empty(), "a name that no path can have");
    }

    #[test]
    fn a_cache_of_ldconfig_is_read_and_written_in_its_order() {
        let Ok(bytes) = std::fs::read("/etc/ld.so.cache") else { return };
        let cache = Cache::parse(&bytes);
        let again = Cache::parse(&cache.write());
        let names = |cache: &Cache| cache.entries.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&again), names(&cache));
        assert!(cache.paths("libc.so.6").next().is_some());
    }
}
