//! Writes images: beside their target, segment by segment, and renamed when they are whole.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::compression::{Encoder, Packing};
use super::cpio::Writer;
use crate::assemble::publish::Partial;
use crate::error::on;

/// Plain segments start at multiples of this.
const ALIGNMENT: u64 = 4;
/// Zeros before each segment but the first: what is compressed with lz4 ends only with the file or with these.
const GAP: u64 = 4;
/// Bytes that are given to a compressor at a time.
const BUFFER: usize = 256 << 10;

/// Where the entries of one segment are written.
pub type SegmentWriter<'a> = Writer<BufWriter<Encoder<&'a mut Counted>>>;

/// An image that is being written; removed unless it is published.
pub struct ImageWriter {
    target: PathBuf,
    partial: Partial,
    out: Counted,
    latest: Option<u32>,
}

/// The file, with a count of what went in.
#[derive(Debug)]
pub struct Counted {
    out: BufWriter<File>,
    offset: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.offset += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl ImageWriter {
    /// Starts an image that is to be at `target`. Times of entries after `latest` (seconds since 1970) become `latest`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(target: &Path, latest: Option<u32>) -> Result<Self> {
        let partial = Partial::beside(target)?;
        let file = File::create(partial.path()).with_context(|| on("creating", partial.path()))?;
        let out = Counted { out: BufWriter::with_capacity(BUFFER, file), offset: 0 };
        Ok(Self { target: target.to_owned(), partial, out, latest })
    }

    /// Bytes that were written.
    pub fn offset(&self) -> u64 {
        self.out.offset
    }

    /// Writes zeros as a new segment wants them before it.
    ///
    /// # Errors
    /// When writing fails.
    pub fn gap(&mut self) -> Result<()> {
        let at = self.out.offset;
        let gap = if at == 0 { 0 } else { (at + GAP).next_multiple_of(ALIGNMENT) - at };
        io::copy(&mut io::repeat(0).take(gap), &mut self.out).with_context(|| on("writing", self.partial.path()))?;
        Ok(())
    }

    /// Copies `len` bytes as they are.
    ///
    /// # Errors
    /// When reading or writing fails, or there are fewer.
    pub fn copy(&mut self, from: &mut dyn Read, len: u64) -> Result<()> {
        let copied =
            io::copy(&mut from.take(len), &mut self.out).with_context(|| on("writing", self.partial.path()))?;
        anyhow::ensure!(
            copied == len,
            "copying a segment: it has {copied} of {len} bytes; was the file changed meanwhile?"
        );
        Ok(())
    }

    /// Writes a segment with the entries that `fill` writes.
    /// Gives the bytes that it unpacks to.
    ///
    /// # Errors
    /// Those of `fill`, and when writing fails.
    pub fn segment(
        &mut self,
        packing: Packing,
        fill: &mut dyn FnMut(&mut SegmentWriter<'_>) -> Result<()>,
    ) -> Result<u64> {
        let writing = on("writing", self.partial.path());
        self.gap()?;
        let encoder = Encoder::new(&mut self.out, packing).with_context(|| writing.clone())?;
        let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, encoder), self.latest);
        fill(&mut writer).with_context(|| writing.clone())?;
        let (buffered, unpacked) = writer.finish().with_context(|| writing.clone())?;
        let encoder = buffered.into_inner().map_err(io::IntoInnerError::into_error).with_context(|| writing.clone())?;
        encoder.finish().with_context(|| writing.clone())?;
        Ok(unpacked)
    }

    /// Puts the image into its place. Gives its length.
    ///
    /// # Errors
    /// When writing or renaming fails.
    pub fn publish(mut self) -> Result<u64> {
        self.out.flush().with_context(|| on("writing", self.partial.path()))?;
        self.partial.place(&self.target)?;
        Ok(self.out.offset)
    }
}
