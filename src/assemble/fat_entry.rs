//! Directory entries of FAT: short names, the long names before them, and times.

use std::collections::HashSet;

use anyhow::{Context, Result};

/// Attribute of a file that was changed since a backup: every new one.
pub const ARCHIVE: u8 = 0x20;
/// Attribute of a directory.
pub const DIRECTORY: u8 = 0x10;
/// Attribute of the entry with the volume's label.
pub const VOLUME_LABEL: u8 = 0x08;
/// Attribute of a part of a long name: a combination that old systems skip.
const LONG_NAME: u8 = 0x0f;
/// UTF-16 units in one entry of a long name.
const UNITS: usize = 13;
/// UTF-16 units of the longest name.
const NAME_MAX: usize = 255;

/// A date and time as FAT stores them: UTC here, though FAT does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    date: u16,
    time: u16,
}

impl Stamp {
    /// Of seconds since 1970, moved into the years that FAT knows (1980 to 2107).
    pub fn of(seconds: i64) -> Self {
        let moment = chrono::DateTime::from_timestamp(seconds.clamp(315_532_800, 4_354_819_199), 0).unwrap_or_default();
        use chrono::{Datelike, Timelike};
        let date = ((moment.year() as u32 - 1980) << 9) | (moment.month() << 5) | moment.day();
        let time = (moment.hour() << 11) | (moment.minute() << 5) | (moment.second() / 2);
        Self { date: date as u16, time: time as u16 }
    }
}

/// A directory's entries, in the making.
#[derive(Debug, Default)]
pub struct Directory {
    bytes: Vec<u8>,
    taken: HashSet<[u8; 11]>,
}

impl Directory {
    /// Whether a name can be stored.
    pub fn can_name(name: &str) -> bool {
        let bad = |c: char| c < ' ' || "\"*/:<>?\\|".contains(c);
        // Trailing dots and blanks are cut off by every reader.
        !name.is_empty()
            && !name.ends_with(['.', ' '])
            && !name.contains(bad)
            && name.encode_utf16().count() <= NAME_MAX
    }

    /// The number of entries that a name takes.
    pub fn entries_of(name: &str) -> usize {
        if plain(name).is_some() { 1 } else { 1 + name.encode_utf16().count().div_ceil(UNITS) }
    }

    /// The entries' bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a file or directory whose content starts at cluster `first`.
    ///
    /// # Errors
    /// When there are too many names that look alike.
    pub fn add(&mut self, name: &str, attribute: u8, stamp: Stamp, first: u32, size: u32) -> Result<()> {
        let short = match plain(name) {
            Some(short) => short,
            None => {
                let short = self.invent(name)?;
                self.long_name(name, &short);
                short
            }
        };
        self.taken.insert(short);
        self.raw(short, attribute, stamp, first, size);
        Ok(())
    }

    /// Adds `.` and `..`.
    pub fn dots(&mut self, own: u32, parent: u32, stamp: Stamp) {
        self.raw(*b".          ", DIRECTORY, stamp, own, 0);
        self.raw(*b"..         ", DIRECTORY, stamp, parent, 0);
    }

    /// Adds an entry with a short name.
    pub fn raw(&mut self, name: [u8; 11], attribute: u8, stamp: Stamp, first: u32, size: u32) {
        let mut entry = [0u8; 32];
        entry[..11].copy_from_slice(&name);
        entry[11] = attribute;
        entry[14..16].copy_from_slice(&stamp.time.to_le_bytes());
        entry[16..18].copy_from_slice(&stamp.date.to_le_bytes());
        entry[18..20].copy_from_slice(&stamp.date.to_le_bytes());
        entry[20..22].copy_from_slice(&((first >> 16) as u16).to_le_bytes());
        entry[22..24].copy_from_slice(&stamp.time.to_le_bytes());
        entry[24..26].copy_from_slice(&stamp.date.to_le_bytes());
        entry[26..28].copy_from_slice(&(first as u16).to_le_bytes());
        entry[28..].copy_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(&entry);
    }

    /// The parts of a long name, last one first, tied to the short name by its checksum.
    fn long_name(&mut self, name: &str, short: &[u8; 11]) {
        let sum = short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let units: Vec<u16> = name.encode_utf16().collect();
        let parts: Vec<&[u16]> = units.chunks(UNITS).collect();
        for (i, part) in parts.iter().enumerate().rev() {
            // A name that does not fill its last part ends in a zero and is filled up with ones.
            let mut padded = [0xffffu16; UNITS];
            padded[..part.len()].copy_from_slice(part);
            if let Some(end) = padded.get_mut(part.len()) {
                *end = 0;
            }
            let raw: Vec<u8> = padded.iter().flat_map(|u| u.to_le_bytes()).collect();
            let mut entry = [0u8; 32];
            entry[0] = (i + 1) as u8 | if i + 1 == parts.len() { 0x40 } else { 0 };
            entry[1..11].copy_from_slice(&raw[..10]);
            entry[11] = LONG_NAME;
            entry[13] = sum;
            entry[14..26].copy_from_slice(&raw[10..22]);
            entry[28..].copy_from_slice(&raw[22..]);
            self.bytes.extend_from_slice(&entry);
        }
    }

    /// A free short name for a long one: `LONGNA~1.EXT`.
    fn invent(&self, name: &str) -> Result<[u8; 11]> {
        let (base, extension) = match name.rsplit_once('.') {
            Some((base, extension)) if !base.is_empty() => (base, extension),
            _ => (name, ""),
        };
        let clean = |text: &str, length: usize| -> Vec<u8> {
            let letters = text.chars().filter(|c| *c != ' ' && *c != '.');
            letters.map(|c| if short_letter(c) { c.to_ascii_uppercase() as u8 } else { b'_' }).take(length).collect()
        };
        let extension = clean(extension, 3);
        for number in 1..1_000_000u32 {
            let tail = format!("~{number}");
            let base = clean(base, 8 - tail.len());
            let mut short = [b' '; 11];
            short[..base.len()].copy_from_slice(&base);
            short[base.len()..base.len() + tail.len()].copy_from_slice(tail.as_bytes());
            short[8..8 + extension.len()].copy_from_slice(&extension);
            if !self.taken.contains(&short) {
                return Ok(short);
            }
        }
        None.with_context(|| format!("there are too many names like {name} in one directory"))
    }
}

/// Whether a letter may stand in a short name (in upper case).
fn short_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(c)
}

/// The short name that says all of `name`, if there is one.
fn plain(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let good = |text: &str| text.chars().all(|c| short_letter(c) && !c.is_ascii_lowercase());
    // A tilde is left to invented names, so that those never meet a given one.
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3 && !name.ends_with('.') && !name.contains('~');
    if !(fits && good(base) && good(extension)) {
        return None;
    }
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    Some(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_used_where_they_say_it_all() {
        assert_eq!(plain("BOOTX64.EFI"), Some(*b"BOOTX64 EFI"));
        assert_eq!(plain("EFI"), Some(*b"EFI        "));
        for name in ["efi", "A.B.C", "LONGNAME1", "A.TEXT", "A B", "X~1", ".A"] {
            assert_eq!(plain(name), None, "{name}");
        }
    }

    #[test]
    fn long_names_get_short_ones_of_their_own() {
        let mut dir = Directory::default();
        for name in ["grub.cfg", "Grub Config.cfg", "grub config2.cfg", ".hidden", "naïve"] {
            assert!(Directory::can_name(name));
            dir.add(name, ARCHIVE, Stamp::of(0), 0, 0).unwrap();
        }
        let shorts: Vec<String> = dir
            .bytes()
            .chunks(32)
            .filter(|e| e[11] == ARCHIVE)
            .map(|e| String::from_utf8_lossy(&e[..11]).into_owned())
            .collect();
        assert_eq!(shorts, ["GRUB~1  CFG", "GRUBCO~1CFG", "GRUBCO~2CFG", "HIDDEN~1   ", "NA_VE~1    "]);
        assert_eq!(dir.bytes().len() / 32, [2, 3, 3, 2, 2].iter().sum::<usize>());
    }

    #[test]
    fn names_that_cannot_be_stored_are_known() {
        for name in ["a:b", "end.", "end ", "", "tab\t", "a\\b"] {
            assert!(!Directory::can_name(name), "{name:?}");
        }
        assert!(!Directory::can_name(&"x".repeat(256)));
    }

    #[test]
    fn times_are_within_what_fat_can_say() {
        // 2023-11-14 22:13:20
        assert_eq!(Stamp::of(1_700_000_000), Stamp { date: 43 << 9 | 11 << 5 | 14, time: 22 << 11 | 13 << 5 | 10 });
        assert_eq!(Stamp::of(0), Stamp { date: 1 << 5 | 1, time: 0 });
        assert_eq!(Stamp::of(i64::MAX), Stamp { date: 127 << 9 | 12 << 5 | 31, time: 23 << 11 | 59 << 5 | 29 });
    }
}
