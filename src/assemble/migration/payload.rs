//! The new system's files: one archive of the tree, with /boot in it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::assemble::archive::TarStream;
use crate::assemble::initramfs::compression::{Compression, Encoder, Packing};
use crate::assemble::split;
use crate::error::on;

/// What the file's name ends with.
///
/// # Errors
/// When payloads are not packed so.
pub fn suffix(packing: Packing) -> Result<&'static str> {
    match packing.compression {
        Compression::Xz => Ok("tar.xz"),
        Compression::Zstd => Ok("tar.zst"),
        other => bail!("payloads are packed with xz or zstd, not with {other}"),
    }
}

/// Writes it. Gives the bytes that the files take on a disk.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(tree: &Path, target: &Path, packing: Packing, epoch: Option<i64>) -> Result<u64> {
    let writing = || on("writing", target);
    let out = BufWriter::new(File::create(target).with_context(writing)?);
    let mut stream = TarStream::start(tree, epoch, true)?;
    let mut encoder = Encoder::new(out, packing).with_context(writing)?;
    io::copy(&mut stream, &mut encoder).with_context(writing)?;
    let out = encoder.finish().with_context(writing)?;
    out.into_inner().map_err(io::IntoInnerError::into_error).with_context(writing)?;
    stream.finish()?;
    Ok(split::usage(tree)?.bytes)
}
