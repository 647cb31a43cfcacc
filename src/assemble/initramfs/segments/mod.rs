//! Walks an image from its beginning to its end: padding, plain archives and compressed ones, as `unpack_to_rootfs`
//! of Linux (`init/initramfs.c`) takes them.

#[cfg(test)]
mod tests;
mod walk;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::compression::Compression;
use super::cpio::Format;
use super::entry::Entry;
use super::input::Input;
use crate::error::{Fault, Faults, Place, on};
use walk::Walk;

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
