//! Walks an image from its beginning to its end: padding, plain archives and compressed ones, as `unpack_to_rootfs`
//! of Linux (`init/initramfs.c`) takes them.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::compression::Compression;
use super::cpio::{Damage, Format, Item, Reader};
use super::entry::{Entry, escaped};
use super::input::{Capped, Input, TooMuch};
use crate::error::{Fault, Faults, Place, on};

/// Unpacked data that is read at a time.
const BUFFER: usize = 128 << 10;
/// Bytes that tell what begins: the magic numbers, and the check of an xz stream.
const FIRST: usize = 8;

/// How much is read of an image, against files that unpack to more than any machine has.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that all compressed segments may unpack to.
    pub unpacked: u64,
    /// Entries in all segments.
    pub entries: u64,
}

impl Default for Limits {
    /// 8 GiB and two million: an initramfs lies in memory.
    fn default() -> Self {
        Self { unpacked: 8 << 30, entries: 2_000_000 }
    }
}

/// An initramfs that is to be read.
#[derive(Debug, Clone)]
pub struct Image {
    source: Source,
    limits: Limits,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Bytes(PathBuf, Arc<[u8]>),
}

/// What a segment turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// From 1.
    pub number: usize,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes in the file, without padding behind it.
    pub len: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// The format of its last entry; `None` if it has none.
    pub format: Option<Format>,
    /// Entries, without those that end archives.
    pub entries: u64,
    /// Bytes of its archives.
    pub unpacked: u64,
    /// Archives that end as they should. The kernel takes those that do not.
    pub trailers: u64,
    /// Why the kernel would not take it, though it can be read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// The number of the segment, from 1.
    pub segment: usize,
    /// The number of the entry in the segment, from 0.
    pub index: u64,
    /// Its first byte in what the segment unpacks to.
    pub offset: u64,
}

/// What a walk comes to.
pub enum Step<'a> {
    /// An entry. A regular file has [`super::entry::Content::Unread`] and is read from `body`, as far as one likes.
    Entry {
        /// Where it stands.
        at: At,
        /// What it is.
        entry: Entry,
        /// The content of a regular file.
        body: &'a mut dyn Read,
    },
    /// The end of an archive: numbers of hard links begin anew.
    Trailer,
    /// The end of a segment.
    Segment(&'a Segment),
}

/// A visitor of a walk.
type Visit<'a> = dyn FnMut(Step<'_>) -> Result<()> + 'a;

impl Image {
    /// An image in a file, which is opened by each walk.
    pub fn new(path: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { source: Source::File(path.into()), limits }
    }

    /// An image in memory; `name` is for messages.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: impl Into<Arc<[u8]>>, limits: Limits) -> Self {
        Self { source: Source::Bytes(name.into(), bytes.into()), limits }
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        match &self.source {
            Source::File(path) | Source::Bytes(path, _) => path,
        }
    }

    /// Opens the file at its beginning.
    ///
    /// # Errors
    /// When it cannot be opened, as a mistake in the request.
    pub fn bytes(&self) -> Result<Box<dyn Read + '_>> {
        Ok(match &self.source {
            Source::File(path) => {
                let fault = |err| Fault::at(Place::file(path), format!("cannot be read: {err}"));
                Box::new(File::open(path).map_err(|err| Faults::from(fault(err)))?)
            }
            Source::Bytes(_, bytes) => Box::new(&bytes[..]),
        })
    }

    /// Opens the file at one of its bytes.
    ///
    /// # Errors
    /// As [`Image::bytes`].
    pub fn bytes_from(&self, offset: u64) -> Result<Box<dyn Read + '_>> {
        Ok(match &self.source {
            Source::File(path) => {
                let mut file = File::open(path).with_context(|| on("opening", path))?;
                file.seek(SeekFrom::Start(offset)).with_context(|| on("reading", path))?;
                Box::new(file)
            }
            Source::Bytes(_, bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Box::new(&bytes[from..])
            }
        })
    }

    /// Reads one segment that [`Image::walk`] has found once more.
    ///
    /// # Errors
    /// As [`Image::walk`]; also when something else stands there now.
    pub fn walk_segment(&self, segment: &Segment, visit: &mut Visit<'_>) -> Result<()> {
        let input = Input::new(self.bytes_from(segment.offset)?, segment.offset);
        let mut walk = Walk { image: self, input, left: self.limits, before: segment.number - 1, segments: Vec::new() };
        walk.segment(visit)?;
        if walk.segments.first() != Some(segment) {
            bail!("{} was changed while it was read", self.path().display());
        }
        Ok(())
    }

    /// Reads the whole image and shows every entry to `visit`. Gives the segments.
    ///
    /// # Errors
    /// [`Faults`] with file, segment and offset for what is damaged; those of `visit`; failures to read.
    pub fn walk(&self, visit: &mut Visit<'_>) -> Result<Vec<Segment>> {
        let input = Input::new(self.bytes()?, 0);
        let mut walk = Walk { image: self, input, left: self.limits, before: 0, segments: Vec::new() };
        while walk.segment(visit)? {}
        if walk.segments.is_empty() {
            let fault = Fault::at(Place::file(self.path()), "no initramfs: it is empty or has only zeros");
            return Err(Faults::from(fault).into());
        }
        Ok(walk.segments)
    }
}

struct Walk<'a> {
    image: &'a Image,
    input: Input<Box<dyn Read + 'a>>,
    left: Limits,
    /// Segments that were passed over.
    before: usize,
    segments: Vec<Segment>,
}

impl Walk<'_> {
    /// Reads one segment; false at the end of the file.
    fn segment(&mut self, visit: &mut Visit<'_>) -> Result<bool> {
        let path = self.image.path();
        let reading = || on("reading", path);
        self.input.pass_zeros().with_context(reading)?;
        let offset = self.input.offset();
        let first = self.input.peek(FIRST).with_context(reading)?;
        if first.is_empty() {
            return Ok(false);
        }
        let compression = if first[0] == b'0' && offset.is_multiple_of(4) {
            Compression::None
        } else if let Some(compression) = Compression::detect(first) {
            compression
        } else {
            return Err(self.unknown(offset));
        };
        let mut segment = Segment {
            number: self.before + self.segments.len() + 1,
            offset,
            len: 0,
            compression,
            format: None,
            entries: 0,
            unpacked: 0,
            trailers: 0,
            warning: doubt(compression, first),
        };
        if compression == Compression::None {
            plain(self.image, &mut self.input, &mut segment, &mut self.left, visit)?;
        } else {
            compressed(self.image, &mut self.input, &mut segment, &mut self.left, visit)?;
        }
        segment.len = self.input.offset() - offset;
        visit(Step::Segment(&segment))?;
        self.segments.push(segment);
        Ok(true)
    }

    /// Neither a header nor a compression that the kernel knows.
    fn unknown(&mut self, offset: u64) -> anyhow::Error {
        let first = self.input.peek(6).map(<[u8]>::to_vec).unwrap_or_default();
        let number = self.before + self.segments.len() + 1;
        let place = Place::file(self.image.path());
        let bytes = escaped(&first);
        let fault = if first.starts_with(b"07070") {
            let what = format!("segment {number}: a cpio header at byte {offset}, which is no multiple of four");
            Fault::at(place, what).hint("the kernel reads it only there: put zeros before it")
        } else if number == 1 {
            let what = format!("segment 1: no initramfs: it begins with '{bytes}'");
            Fault::at(place, what).hint("an initramfs begins with a cpio archive, plain or compressed")
        } else {
            let what = format!(
                "segment {number}: at byte {offset} stands '{bytes}', neither a cpio header nor a compression that the kernel knows"
            );
            Fault::at(place, what)
                .hint(format!("what begins there is no part of an initramfs: cut the file to {offset} bytes"))
        };
        Faults::from(fault).into()
    }
}

/// The kernel's xz decoder knows no check but CRC32 (`lib/xz/xz_dec_stream.c`).
fn doubt(compression: Compression, first: &[u8]) -> Option<String> {
    let check = first.get(7).filter(|_| compression == Compression::Xz)?;
    (*check > 1).then(|| "its check is not CRC32, which is all that the kernel knows (xz --check=crc32)".to_owned())
}

/// Reads a plain archive up to its end, or to what is no header any more.
fn plain(
    image: &Image,
    input: &mut Input<Box<dyn Read + '_>>,
    segment: &mut Segment,
    left: &mut Limits,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut reader = Reader::new(input);
    loop {
        let more = entry(image, &mut reader, segment, left, visit)?;
        if segment.trailers > 0 || more != More::Entries {
            return Ok(());
        }
    }
}

/// Reads one compressed member, with all archives in it.
fn compressed(
    image: &Image,
    input: &mut Input<Box<dyn Read + '_>>,
    segment: &mut Segment,
    left: &mut Limits,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let damaged = |cause: std::io::Error, segment: &Segment| {
        let damage = Damage {
            offset: 0,
            what: format!("the {} header is damaged", segment.compression),
            cause: Some(cause.to_string()),
        };
        located(image, segment, &damage)
    };
    let mut unpacked = left.unpacked;
    let decoder = segment.compression.decoder(input).map_err(|err| damaged(err, segment))?;
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, Capped::new(decoder, &mut unpacked)));
    loop {
        match entry(image, &mut reader, segment, left, visit)? {
            More::Entries => {}
            More::End => break,
            More::Other => {
                let what = "something that is no cpio header follows inside the compressed data".to_owned();
                return Err(located(image, segment, &Damage { offset: reader.offset(), what, cause: None }));
            }
        }
    }
    drop(reader);
    left.unpacked = unpacked;
    Ok(())
}

#[derive(PartialEq, Eq)]
enum More {
    Entries,
    Other,
    End,
}

/// Reads one entry, or the end of an archive.
fn entry<R: std::io::BufRead>(
    image: &Image,
    reader: &mut Reader<R>,
    segment: &mut Segment,
    left: &mut Limits,
    visit: &mut Visit<'_>,
) -> Result<More> {
    let item = reader.item();
    segment.unpacked = reader.offset();
    let result = match item {
        Ok(Item::End) => return Ok(More::End),
        Ok(Item::Other) => return Ok(More::Other),
        Ok(Item::Trailer) => {
            segment.trailers += 1;
            visit(Step::Trailer)
        }
        Ok(Item::Entry(entry)) => {
            let Some(rest) = left.entries.checked_sub(1) else {
                let most = image.limits.entries;
                let what = format!("there are more than {most} entries, which no initramfs has");
                return Err(located(image, segment, &Damage { offset: reader.offset(), what, cause: None }));
            };
            left.entries = rest;
            segment.format = reader.format();
            let at = At { segment: segment.number, index: segment.entries, offset: reader.start() };
            segment.entries += 1;
            visit(Step::Entry { at, entry, body: reader })
        }
        Err(err) => Err(err.into()),
    };
    let Err(err) = result else { return Ok(More::Entries) };
    if err.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(too_much)) {
        let fault = Fault::at(
            Place::file(image.path()),
            format!(
                "segment {} ({}, from byte {} of the file): it unpacks to more than {} bytes",
                segment.number, segment.compression, segment.offset, image.limits.unpacked
            ),
        );
        return Err(Faults::from(fault.hint("if it is meant to, allow it with --max-unpacked")).into());
    }
    match reader.take_damage() {
        Some(damage) => Err(located(image, segment, &damage)),
        None => Err(err).with_context(|| on("reading", image.path())),
    }
}

fn too_much(err: &std::io::Error) -> bool {
    err.get_ref().is_some_and(|inner| inner.is::<TooMuch>())
}

/// Damage as a fault that says where it is.
fn located(image: &Image, segment: &Segment, damage: &Damage) -> anyhow::Error {
    let where_in = if segment.compression == Compression::None { "byte" } else { "unpacked byte" };
    let mut what = format!(
        "segment {} ({}, from byte {} of the file), {where_in} {}: {}",
        segment.number,
        match segment.compression {
            Compression::None => "plain cpio".to_owned(),
            compression => compression.to_string(),
        },
        segment.offset,
        damage.offset,
        damage.what
    );
    if let Some(cause) = &damage.cause {
        what.push_str(&format!(" ({cause})"));
    }
    let fault = Fault::at(Place::file(image.path()), what);
    Faults::from(fault.hint("the file is incomplete or damaged: fetch or build it again")).into()
}

/// Fails with a message that names `path` unless `segment` is one of an image's.
///
/// # Errors
/// As said.
pub fn known_segment(path: &Path, segments: &[Segment], segment: usize) -> Result<()> {
    if (1..=segments.len()).contains(&segment) {
        return Ok(());
    }
    let fault = Fault::at(Place::file(path), format!("there is no segment {segment}"));
    bail!(Faults::from(fault.hint(format!("it has {} (see image-create initramfs info)", segments.len()))))
}
