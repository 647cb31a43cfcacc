//! Files with holes: made, and copied without filling the holes.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::error::on;
use crate::plan::disk::Extent;

/// Makes a file of `size` bytes that takes no room; an old one is replaced.
///
/// # Errors
/// When it cannot be written.
pub fn create(path: &Path, size: u64) -> Result<()> {
    let file = File::create(path).with_context(|| on("making", path))?;
    file.set_len(size).with_context(|| on("making", path))
}

/// Copies what is not a hole to a new file.
///
/// # Errors
/// When one of them cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = File::open(from).with_context(|| on("opening", from))?;
    let size = source.metadata().with_context(|| on("looking at", from))?.len();
    let target = File::create(to).with_context(|| on("making", to))?;
    target.set_len(size).with_context(|| on("making", to))?;
    copy_data(&source, &target, size).with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn copy_data(source: &File, target: &File, size: u64) -> io::Result<()> {
    let mut position = 0;
    while let Some(start) = seek(source, position, Whence::SeekData)? {
        let end = seek(source, start, Whence::SeekHole)?.unwrap_or(size);
        let (mut from, mut to) = (source, target);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        // io::copy uses copy_file_range where it can.
        let copied = io::copy(&mut io::Read::take(from, end - start), &mut to)?;
        if copied < end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        position = end;
    }
    Ok(())
}

/// Copies what is not a hole in `source`, from byte `from` on, to `extent` of `target`, where nothing but zeroes may be.
///
/// # Errors
/// When one of them cannot be read or written.
pub fn copy_range(source: &File, from: u64, target: &File, extent: Extent) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for range in data_ranges_in(source, from, from + extent.length)? {
        let (mut at, end) = (range.start, range.start + range.length);
        while at < end {
            let length = (end - at).min(buffer.len() as u64) as usize;
            source.read_exact_at(&mut buffer[..length], at)?;
            target.write_all_at(&buffer[..length], extent.start + at - from)?;
            at += length as u64;
        }
    }
    Ok(())
}

/// The parts of a file of `size` bytes that are not holes, in order.
///
/// # Errors
/// When the file cannot be read.
pub fn data_ranges(file: &File, size: u64) -> io::Result<Vec<Extent>> {
    data_ranges_in(file, 0, size)
}

fn data_ranges_in(file: &File, from: u64, limit: u64) -> io::Result<Vec<Extent>> {
    let (mut ranges, mut position) = (Vec::new(), from);
    while let Some(start) = seek(file, position, Whence::SeekData)?.filter(|start| *start < limit) {
        let end = seek(file, start, Whence::SeekHole)?.map_or(limit, |end| end.min(limit));
        ranges.push(Extent { start, length: end - start });
        position = end;
    }
    Ok(ranges)
}

/// The next data or hole at or after `from`; `None` beyond the last data.
fn seek(file: &File, from: u64, whence: Whence) -> io::Result<Option<u64>> {
    match lseek(file.as_fd(), from as i64, whence) {
        Ok(at) => Ok(Some(at as u64)),
        Err(Errno::ENXIO) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        create(&a, 100 << 20).unwrap();
        let file = File::options().write(true).open(&a).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(&[7; 9000], 50 << 20).unwrap();
        file.sync_all().unwrap();
        copy(&a, &b).unwrap();
        assert!(std::fs::read(&a).unwrap() == std::fs::read(&b).unwrap());
        assert!(b.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
