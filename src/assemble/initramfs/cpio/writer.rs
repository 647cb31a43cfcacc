//! Writes archives in the format newc. The bytes depend on the entries alone: files get new inode numbers in their
//! order, device 0:0, and, if wanted, no later time than a given one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{PATH_MAX, TRAILER, padding};
use crate::assemble::initramfs::entry::{Content, Entry, LINK};
use crate::error::on;

/// Archives are filled up to a multiple of this, as cpio does it.
const BLOCK: u64 = 512;

/// What makes names links to one file: inode number and device in the archive that was read.
type LinkKey = (u32, (u32, u32));

/// Writes one archive.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    offset: u64,
    inode: u32,
    links: HashMap<LinkKey, u32>,
    latest: Option<u32>,
}

impl<W: Write> Writer<W> {
    /// Starts an archive in `out`. Times after `latest` (seconds since 1970) become `latest`.
    pub fn new(out: W, latest: Option<u32>) -> Self {
        Self { out, offset: 0, inode: 0, links: HashMap::new(), latest }
    }

    /// Writes an entry whose content is at hand.
    ///
    /// # Errors
    /// When writing fails, a file of the host cannot be read, or something does not fit into the format.
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        match &entry.content {
            Content::Empty => self.write_from(entry, 0, &mut io::empty()),
            Content::Bytes(bytes) => self.write_from(entry, bytes.len() as u64, &mut &bytes[..]),
            Content::File(path) => self.write_file(entry, path),
            Content::Unread(_) => bail!("writing {}: its content was not read", entry.shown()),
        }
    }

    fn write_file(&mut self, entry: &Entry, path: &Path) -> Result<()> {
        let reading = || on("reading", path);
        let mut file = File::open(path).with_context(reading)?;
        let len = file.metadata().with_context(reading)?.len();
        self.write_from(entry, len, &mut file).with_context(reading)
    }

    /// Writes an entry with a content of `len` bytes from `content`.
    ///
    /// # Errors
    /// As [`Writer::write`]; also when `content` ends early.
    pub fn write_from(&mut self, entry: &Entry, len: u64, content: &mut dyn Read) -> Result<()> {
        let Ok(len32) = u32::try_from(len) else {
            bail!("{} has {len} bytes, more than the 4294967295 that fit into an initramfs", entry.shown());
        };
        if entry.name == TRAILER {
            bail!("{} cannot be in an initramfs: its name ends an archive", entry.shown());
        }
        if entry.kind() == LINK && !(1..=u64::from(PATH_MAX)).contains(&len) {
            bail!("{} leads to a path of {len} bytes; the kernel takes 1 to {PATH_MAX}", entry.shown());
        }
        let name_len = entry.name.len() as u64 + 1;
        if name_len > u64::from(PATH_MAX) {
            bail!("the name of {} is longer than the {} bytes that the kernel takes", entry.shown(), PATH_MAX - 1);
        }
        let inode = self.inode(entry);
        let mtime = self.latest.map_or(entry.mtime, |latest| entry.mtime.min(latest));
        let numbers = [
            inode,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.nlink.max(1),
            mtime,
            len32,
            0,
            0,
            entry.rdev.0,
            entry.rdev.1,
            name_len as u32,
            0,
        ];
        self.header(numbers, &entry.name)?;
        let copied = io::copy(&mut content.take(len), &mut self.out)?;
        if copied < len {
            bail!("writing {}: it ended after {copied} of {len} bytes", entry.shown());
        }
        self.offset += len;
        self.fill(padding(self.offset))?;
        Ok(())
    }

    fn inode(&mut self, entry: &Entry) -> u32 {
        // Two directories with one number are not one directory.
        if entry.nlink < 2 || entry.is_dir() {
            self.inode += 1;
            return self.inode;
        }
        let new = self.inode + 1;
        let number = *self.links.entry((entry.ino, entry.dev)).or_insert(new);
        self.inode = self.inode.max(number);
        number
    }

    fn header(&mut self, numbers: [u32; 13], name: &[u8]) -> io::Result<()> {
        let mut text = String::with_capacity(112);
        text.push_str("070701");
        numbers.iter().for_each(|number| text.push_str(&format!("{number:08X}")));
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(name)?;
        self.offset += text.len() as u64 + name.len() as u64;
        self.fill(1)?;
        self.fill(padding(self.offset))
    }

    fn fill(&mut self, zeros: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(zeros), &mut self.out)?;
        self.offset += zeros;
        Ok(())
    }

    /// Ends the archive and gives back what it was written to, and the bytes of the archive.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<(W, u64)> {
        let numbers = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, TRAILER.len() as u32 + 1, 0];
        self.header(numbers, TRAILER)?;
        self.fill(self.offset.next_multiple_of(BLOCK) - self.offset)?;
        Ok((self.out, self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Item, Reader};
    use super::*;
    use crate::assemble::initramfs::entry::{CHARACTER, DIRECTORY, REGULAR};

    fn archive(entries: &[Entry]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), Some(1000));
        entries.iter().for_each(|e| writer.write(e).unwrap());
        writer.finish().unwrap().0
    }

    fn contents(archive: &[u8]) -> Vec<(Entry, Vec<u8>)> {
        let mut reader = Reader::new(archive);
        let mut all = Vec::new();
        while let Item::Entry(entry) = reader.item().unwrap() {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            all.push((entry, content));
        }
        all
    }

    fn file(name: &str, content: &str) -> Entry {
        Entry::new(name, REGULAR | 0o644).with(Content::Bytes(content.as_bytes().into()))
    }

    #[test]
    fn what_is_written_is_read() {
        let mut device = Entry::new("dev/console", CHARACTER | 0o600);
        device.rdev = (5, 1);
        let mut late = file("late", "abcde");
        (late.mtime, late.uid, late.gid) = (2000, 7, 8);
        let link = Entry::new(b"l\xff", LINK | 0o777).with(Content::Bytes((&b"to/\xfe"[..]).into()));
        let entries = [Entry::new(".", DIRECTORY | 0o755), device, late, link];
        let archive = archive(&entries);
        assert_eq!(archive.len() % 512, 0);
        let back = contents(&archive);
        assert_eq!(back.len(), 4);
        assert_eq!(back[1].0.rdev, (5, 1));
        assert_eq!((back[2].0.mtime, back[2].0.uid, back[2].0.gid), (1000, 7, 8));
        assert_eq!(back[2].1, b"abcde");
        assert_eq!(back[3].0.name, b"l\xff");
        assert_eq!(back[3].0.target(), Some(&b"to/\xfe"[..]));
    }

    #[test]
    fn what_no_kernel_would_read_is_not_written() {
        let refused = |entry: &Entry| Writer::new(Vec::new(), None).write(entry).is_err();
        assert!(refused(&file("./TRAILER!!!", "x")));
        assert!(refused(&file(&"x".repeat(4096), "")));
        assert!(refused(&Entry::new("l", LINK | 0o777).with(Content::Bytes(vec![b'x'; 4097].into()))));
        assert!(refused(&Entry::new("l", LINK | 0o777)));
        assert!(!refused(&file(&"x".repeat(4095), "")));
    }

    #[test]
    fn a_link_needs_a_target() {
        let mut archive = archive(&[Entry::new("l", LINK | 0o777).with(Content::Bytes((&b"to"[..]).into()))]);
        archive[112] = 0;
        let mut reader = Reader::new(&archive[..]);
        assert!(reader.item().is_err());
        assert!(reader.take_damage().unwrap().what.contains("begins with a NUL"));
    }

    #[test]
    fn hard_links_stay_together_under_new_numbers() {
        let link = |name: &str, ino, content: &str| {
            let mut entry = file(name, content);
            (entry.nlink, entry.ino) = (2, ino);
            entry
        };
        let entries =
            [link("a", 900, ""), link("x", 901, ""), file("between", "y"), link("b", 900, "same"), link("z", 901, "z")];
        let numbers: Vec<u32> = contents(&archive(&entries)).iter().map(|(e, _)| e.ino).collect();
        assert_eq!(numbers, [1, 2, 3, 1, 2]);
    }

    #[test]
    fn damage_says_where_it_is() {
        let whole = archive(&[file("etc/one", "first"), file("etc/two", "second")]);
        let damage = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            loop {
                match reader.item() {
                    Ok(Item::End | Item::Trailer) => return String::new(),
                    Ok(_) => {}
                    Err(_) => return reader.take_damage().map(|d| format!("{}: {d}", d.offset)).unwrap(),
                }
            }
        };
        assert_eq!(damage(&whole), "");
        assert_eq!(damage(&whole[..50]), "0: the header is cut off after 50 of 110 bytes");
        assert_eq!(damage(&whole[..113]), "0: the name is cut off after 3 of 8 bytes");
        assert_eq!(damage(&whole[..122]), "122: 'etc/one' has 2 of its 5 bytes");
        // The second header, and the length in it.
        let mut absurd = whole.clone();
        absurd[128 + 54..128 + 62].copy_from_slice(b"FFFFFFFF");
        assert!(damage(&absurd).contains("'etc/two' has"), "{}", damage(&absurd));
        absurd[128 + 54] = b'x';
        assert_eq!(damage(&absurd), "128: 'xFFFFFFF' in a header is no hexadecimal number");
        absurd[128 + 5] = b'7';
        assert!(damage(&absurd).starts_with("128: an archive of the old format odc"));
    }

    #[test]
    fn sums_of_the_crc_format_are_checked() {
        let mut archive = archive(&[file("f", "abc")]);
        archive[5] = b'2';
        archive[102..110].copy_from_slice(b"00000126");
        assert_eq!(contents(&archive)[0].1, b"abc");
        archive[109] = b'7';
        let mut reader = Reader::new(&archive[..]);
        assert!(matches!(reader.item(), Ok(Item::Entry(_))));
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
        assert!(reader.take_damage().unwrap().what.contains("00000126, not 00000127"));
    }
}
