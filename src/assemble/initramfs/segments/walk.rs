//! One pass over an image: finds where each segment begins, and reads the archives in it.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result};

use super::{At, Image, Limits, Segment, Step, Visit};
use crate::assemble::initramfs::compression::Compression;
use crate::assemble::initramfs::cpio::{Damage, Item, Reader};
use crate::assemble::initramfs::entry::escaped;
use crate::assemble::initramfs::input::{Capped, Input, TooMuch};
use crate::error::{Fault, Faults, Place, on};

/// Unpacked data that is read at a time.
const BUFFER: usize = 128 << 10;
/// Bytes that tell what begins: the magic numbers, and the check of an xz stream.
const FIRST: usize = 8;

pub(super) struct Walk<'a> {
    pub(super) image: &'a Image,
    pub(super) input: Input<Box<dyn Read + 'a>>,
    pub(super) left: Limits,
    /// Segments that were passed over.
    pub(super) before: usize,
    pub(super) segments: Vec<Segment>,
}

impl Walk<'_> {
    /// Reads one segment; false at the end of the file.
    pub(super) fn segment(&mut self, visit: &mut Visit<'_>) -> Result<bool> {
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
fn entry<R: BufRead>(
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
