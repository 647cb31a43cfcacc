//! Writes what the kernel can unpack. The bytes depend on the input and the level alone, not on the number of
//! processors.

use std::io::{self, Write};
use std::num::NonZero;

use bzip2::write::BzEncoder;
use liblzma::stream::{Check, LzmaOptions, MtStreamBuilder, Stream};
use liblzma::write::XzEncoder;

use super::pieces::{Gzip, Lz4, Pieces};
use super::{Compression, Packing};

/// What xz compresses on its own, so that another processor can take the next: three times the window of level 6.
const XZ_BLOCK: u64 = 24 << 20;

/// Compresses what is written to it; [`Encoder::finish`] completes the member.
pub enum Encoder<W: Write> {
    /// Passes on.
    Plain(W),
    /// One member, made of pieces.
    Gzip(Pieces<W, Gzip>),
    /// xz and lzma.
    Xz(Box<XzEncoder<W>>),
    /// One frame.
    Zstd(zstd::stream::write::Encoder<'static, W>),
    /// One legacy frame.
    Lz4(Pieces<W, Lz4>),
    /// One stream.
    Bzip2(Box<BzEncoder<W>>),
}

impl<W: Write> Encoder<W> {
    /// Starts a member in `out`, on all processors where the format allows it.
    ///
    /// # Errors
    /// When the level does not exist, or the compression cannot be written.
    pub fn new(out: W, packing: Packing) -> io::Result<Self> {
        let level = packing.level.or(packing.compression.levels().map(|(_, default)| default)).unwrap_or(0);
        let threads = u32::try_from(threads()).unwrap_or(1);
        Ok(match packing.compression {
            Compression::None => Self::Plain(out),
            Compression::Gzip => Self::Gzip(Pieces::new(out, Gzip::new(level))?),
            Compression::Xz => {
                let mut builder = MtStreamBuilder::new();
                let stream =
                    builder.preset(level).threads(threads).check(Check::Crc32).block_size(XZ_BLOCK).encoder()?;
                Self::Xz(Box::new(XzEncoder::new_stream(out, stream)))
            }
            Compression::Lzma => {
                let stream = Stream::new_lzma_encoder(&LzmaOptions::new_preset(level)?)?;
                Self::Xz(Box::new(XzEncoder::new_stream(out, stream)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level.cast_signed())?;
                // With workers the result is the same for any number of them, but differs from none.
                encoder.multithread(threads)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Compression::Lz4 => Self::Lz4(Pieces::new(out, Lz4::new(level))?),
            Compression::Bzip2 => Self::Bzip2(Box::new(BzEncoder::new(out, bzip2::Compression::new(level)))),
            Compression::Lzo => return Err(io::Error::new(io::ErrorKind::Unsupported, "lzo is only read")),
        })
    }

    /// Completes the member and gives back what it was written to.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(pieces) => pieces.finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Lz4(pieces) => pieces.finish(),
            Self::Bzip2(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(pieces) => pieces.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Lz4(pieces) => pieces.write(bytes),
            Self::Bzip2(encoder) => encoder.write(bytes),
        }
    }

    /// Nothing: a flush in the middle would change the compressed bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Processors that may be used.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
