//! Reads one stream of archives as the kernel does, entry by entry, and never holds more than a name.

use std::io::{self, BufRead, Read};

use super::{Format, HEADER, PATH_MAX, TRAILER, padding};
use crate::assemble::initramfs::entry::{Content, Entry, LINK, REGULAR, escaped, plain_name};

/// What is wrong with an archive, and where.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct Damage {
    /// Bytes from the beginning of the stream.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// What the decoder said, if it could not go on.
    pub cause: Option<String>,
}

/// What stands next in a stream.
#[derive(Debug)]
pub enum Item {
    /// A file. The content of a regular file is read from the [`Reader`] next; other contents are in the entry.
    Entry(Entry),
    /// The end of an archive. Numbers of hard links before it mean nothing after it.
    Trailer,
    /// Something that is no header.
    Other,
    /// Nothing.
    End,
}

/// The content of the entry that was given last.
#[derive(Debug, Default)]
struct Body {
    left: u64,
    len: u64,
    sum: u32,
    expected: Option<u32>,
    /// For messages.
    name: Vec<u8>,
}

/// Reads a stream of archives; see [`Reader::item`]. As [`Read`] it gives the content of the last entry.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    offset: u64,
    /// Where the last header stands.
    start: u64,
    /// Where the next header may stand.
    next: u64,
    format: Option<Format>,
    body: Body,
    damage: Option<Damage>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`, whose first byte has the offset 0.
    pub fn new(input: R) -> Self {
        Self { input, offset: 0, start: 0, next: 0, format: None, body: Body::default(), damage: None }
    }

    /// Bytes that were taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the header of the last entry stands.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The format of the last header.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// The damage that ended the last call, if it was damage and not a failure of the machine.
    pub fn take_damage(&mut self) -> Option<Damage> {
        self.damage.take()
    }

    /// Skips what is left of the last entry and reads the next header. Zeros may stand between entries.
    ///
    /// # Errors
    /// When reading fails, or for damage, which [`Reader::take_damage`] has.
    pub fn item(&mut self) -> io::Result<Item> {
        io::copy(self, &mut io::sink())?;
        self.pass_padding()?;
        let byte = loop {
            match self.fill()?.first() {
                None => return Ok(Item::End),
                Some(0) => self.pass_zeros()?,
                Some(byte) => break *byte,
            }
        };
        if byte != b'0' {
            return Ok(Item::Other);
        }
        if !self.offset.is_multiple_of(4) {
            return Err(self.damaged("a header that does not start at a multiple of four bytes"));
        }
        self.entry()
    }

    fn entry(&mut self) -> io::Result<Item> {
        let start = self.offset;
        self.start = start;
        let mut header = [0; HEADER];
        let got = self.take(&mut header)?;
        if got < HEADER {
            return Err(self.damaged_at(start, format!("the header is cut off after {got} of {HEADER} bytes")));
        }
        let format = match &header[..6] {
            b"070701" => Format::Newc,
            b"070702" => Format::Crc,
            b"070707" => {
                let what = "an archive of the old format odc, which the kernel does not read (use cpio -H newc)";
                return Err(self.damaged_at(start, what));
            }
            other => {
                let what = format!("no cpio header: it begins with '{}', not with 070701 or 070702", escaped(other));
                return Err(self.damaged_at(start, what));
            }
        };
        self.format = Some(format);
        let mut numbers = [0; 13];
        for (number, digits) in numbers.iter_mut().zip(header[6..].chunks(8)) {
            *number = hexadecimal(digits).ok_or_else(|| {
                self.damaged_at(start, format!("'{}' in a header is no hexadecimal number", escaped(digits)))
            })?;
        }
        let [ino, mode, uid, gid, nlink, mtime, len, dev_major, dev_minor, rdev_major, rdev_minor, name_len, sum] =
            numbers;
        let raw = self.name(start, name_len)?;
        if raw == TRAILER {
            self.next = self.offset + padding(self.offset);
            return Ok(Item::Trailer);
        }
        let mut entry = Entry {
            name: plain_name(&raw).to_vec(),
            mode,
            uid,
            gid,
            mtime,
            nlink,
            ino,
            dev: (dev_major, dev_minor),
            rdev: (rdev_major, rdev_minor),
            content: Content::Empty,
        };
        if entry.kind() == LINK {
            entry.content = Content::Bytes(self.target(start, len)?.into());
        } else if entry.kind() == REGULAR {
            if len > 0 {
                entry.content = Content::Unread(u64::from(len));
            }
            self.body = Body {
                left: u64::from(len),
                len: u64::from(len),
                sum: 0,
                expected: (format == Format::Crc && len > 0).then_some(sum),
                name: raw,
            };
        } else if len > 0 {
            let what = format!("'{}' is neither a file nor a link (mode {mode:o}), but has {len} bytes", escaped(&raw));
            return Err(self.damaged_at(start, what));
        }
        self.next = self.offset + self.body.left;
        self.next += padding(self.next);
        Ok(Item::Entry(entry))
    }

    /// The name up to its NUL, with the padding behind it.
    fn name(&mut self, start: u64, len: u32) -> io::Result<Vec<u8>> {
        if len == 0 || len > PATH_MAX {
            let what = format!("a name of {len} bytes; the kernel takes 1 to {PATH_MAX}");
            return Err(self.damaged_at(start, what));
        }
        let mut name = vec![0; len as usize];
        let got = self.take(&mut name)?;
        if got < name.len() {
            return Err(self.damaged_at(start, format!("the name is cut off after {got} of {len} bytes")));
        }
        if name.pop() != Some(0) {
            return Err(self.damaged_at(start, format!("the name '{}' does not end in a NUL", escaped(&name))));
        }
        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
        self.next = self.offset + padding(self.offset);
        self.pass_padding()?;
        Ok(name)
    }

    fn target(&mut self, start: u64, len: u32) -> io::Result<Vec<u8>> {
        if len == 0 || len > PATH_MAX {
            let what = format!("a link target of {len} bytes; the kernel takes 1 to {PATH_MAX}");
            return Err(self.damaged_at(start, what));
        }
        let mut target = vec![0; len as usize];
        let got = self.take(&mut target)?;
        if got < target.len() {
            return Err(self.damaged_at(start, format!("the link target is cut off after {got} of {len} bytes")));
        }
        target.truncate(target.iter().position(|b| *b == 0).unwrap_or(target.len()));
        if target.is_empty() {
            return Err(self.damaged_at(start, "a link whose target begins with a NUL"));
        }
        Ok(target)
    }

    /// Goes to where the next thing may stand. The kernel does not care what is in the padding, nor whether it is there.
    fn pass_padding(&mut self) -> io::Result<()> {
        let mut rest = [0; 4];
        while self.offset < self.next {
            let n = usize::try_from(self.next - self.offset).unwrap_or(4).min(4);
            if self.take(&mut rest[..n])? < n {
                self.next = self.offset;
            }
        }
        Ok(())
    }

    fn pass_zeros(&mut self) -> io::Result<()> {
        let zeros = self.fill()?.iter().take_while(|b| **b == 0).count();
        self.input.consume(zeros);
        self.offset += zeros as u64;
        Ok(())
    }

    fn fill(&mut self) -> io::Result<&[u8]> {
        // Asked twice, as the borrow of a result that is returned early would last.
        if let Err(err) = self.input.fill_buf() {
            return Err(self.failed(err));
        }
        self.input.fill_buf()
    }

    /// Reads until the buffer is full or the input ends, and gives the number of bytes.
    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < buf.len() {
            match self.input.read(&mut buf[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(self.failed(err)),
            }
        }
        self.offset += got as u64;
        Ok(got)
    }

    /// What the input says: an error of the operating system has a number, one of a decoder means damage.
    fn failed(&mut self, err: io::Error) -> io::Error {
        if err.raw_os_error().is_some() {
            return err;
        }
        let ended = err.kind() == io::ErrorKind::UnexpectedEof;
        let what = if ended { "the compressed data ends too early" } else { "the compressed data is damaged" };
        self.damage = Some(Damage { offset: self.offset, what: what.to_owned(), cause: Some(err.to_string()) });
        err
    }

    fn damaged(&mut self, what: impl Into<String>) -> io::Error {
        self.damaged_at(self.offset, what)
    }

    fn damaged_at(&mut self, offset: u64, what: impl Into<String>) -> io::Error {
        let damage = Damage { offset, what: what.into(), cause: None };
        self.damage = Some(damage.clone());
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.body.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let n = match self.input.read(&mut buf[..most]) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => return Err(err),
            result => result.map_err(|err| self.failed(err))?,
        };
        let body = &mut self.body;
        if n == 0 {
            let what = format!("'{}' has {} of its {} bytes", escaped(&body.name), body.len - body.left, body.len);
            return Err(self.damaged(what));
        }
        self.offset += n as u64;
        body.left -= n as u64;
        if let Some(expected) = body.expected {
            body.sum = buf[..n].iter().fold(body.sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
            if body.left == 0 && body.sum != expected {
                let what = format!(
                    "the sum of the bytes of '{}' is {:08x}, not {expected:08x}",
                    escaped(&body.name),
                    body.sum
                );
                return Err(self.damaged(what));
            }
        }
        Ok(n)
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}
