//! gzip and lz4 on all processors: the input is cut into pieces that are compressed apart and joined in order.
//!
//! The pieces of a gzip file are one member, unlike those of [`crate::assemble::archive`]: an archive must not go over the
//! end of a member (`unpack_to_rootfs` of Linux says "junk at the end of compressed archive").

use std::collections::VecDeque;
use std::io::{self, Write};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, FlushCompress, Status};
use lz4::block::CompressionMode;

use super::encoder::threads;
use super::lz4::{CHUNK, MAGIC};

/// A format that can be compressed in pieces.
pub trait Format {
    /// Bytes of input in a piece.
    const PIECE: usize;
    /// What the file begins with.
    fn header(&self) -> Vec<u8>;
    /// Takes note of a piece in the order of the input, and gives the work of compressing it.
    fn piece(&mut self, piece: Vec<u8>) -> Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>;
    /// What the file ends with.
    fn trailer(&self) -> Vec<u8>;
}

/// A file that is compressed in pieces.
pub struct Pieces<W: Write, F: Format> {
    out: W,
    format: F,
    piece: Vec<u8>,
    running: VecDeque<JoinHandle<io::Result<Vec<u8>>>>,
}

impl<W: Write, F: Format> Pieces<W, F> {
    /// Starts a file in `out`.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut out: W, format: F) -> io::Result<Self> {
        out.write_all(&format.header())?;
        Ok(Self { out, format, piece: Vec::new(), running: VecDeque::new() })
    }

    fn start(&mut self) -> io::Result<()> {
        if self.running.len() >= threads() {
            self.collect()?;
        }
        let work = self.format.piece(std::mem::take(&mut self.piece));
        self.running.push_back(std::thread::Builder::new().spawn(work)?);
        Ok(())
    }

    /// Writes the oldest piece that is not written yet.
    fn collect(&mut self) -> io::Result<()> {
        if let Some(oldest) = self.running.pop_front() {
            let done = oldest.join().map_err(|_| io::Error::other("a compressing thread died"))??;
            self.out.write_all(&done)?;
        }
        Ok(())
    }

    /// Compresses what is left.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.piece.is_empty() {
            self.start()?;
        }
        while !self.running.is_empty() {
            self.collect()?;
        }
        self.out.write_all(&self.format.trailer())?;
        Ok(self.out)
    }
}

impl<W: Write, F: Format> Write for Pieces<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(F::PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == F::PIECE {
            self.start()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// RFC 1952, without a name and a time. Each piece ends at a byte and knows the 32 KiB before it.
pub struct Gzip {
    level: u32,
    crc: crc32fast::Hasher,
    len: u32,
    before: Vec<u8>,
}

/// How far back a deflate stream can refer.
const DEFLATE_WINDOW: usize = 32 << 10;

impl Gzip {
    /// With a level from 1 to 9.
    pub fn new(level: u32) -> Self {
        Self { level, crc: crc32fast::Hasher::new(), len: 0, before: Vec::new() }
    }
}

impl Format for Gzip {
    const PIECE: usize = 1 << 20;

    fn header(&self) -> Vec<u8> {
        // Deflate, no flags, no time, no extra flags, made on Unix.
        vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]
    }

    fn piece(&mut self, piece: Vec<u8>) -> Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send> {
        self.crc.update(&piece);
        // The format counts modulo 2^32.
        self.len = self.len.wrapping_add(piece.len() as u32);
        let window = piece[piece.len().saturating_sub(DEFLATE_WINDOW)..].to_vec();
        let before = std::mem::replace(&mut self.before, window);
        let level = self.level;
        Box::new(move || deflate(&piece, &before, level))
    }

    fn trailer(&self) -> Vec<u8> {
        // An empty last block: a fixed one, as its end code is the shortest.
        let mut trailer = vec![3, 0];
        trailer.extend(self.crc.clone().finalize().to_le_bytes());
        trailer.extend(self.len.to_le_bytes());
        trailer
    }
}

fn deflate(piece: &[u8], before: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut deflate = Compress::new(Compression::new(level), false);
    if !before.is_empty() {
        deflate.set_dictionary(before)?;
    }
    let mut out = Vec::with_capacity(piece.len() / 2 + 64);
    loop {
        let done = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let status = deflate.compress_vec(&piece[done..], &mut out, FlushCompress::Sync)?;
        // With room left, everything is flushed.
        if out.len() < out.capacity() || status == Status::StreamEnd {
            return Ok(out);
        }
        out.reserve(piece.len() / 2 + 64);
    }
}

/// The legacy frame of lz4 (`lz4_Frame_format.md`): a magic number, then blocks of 8 MiB with their compressed length.
pub struct Lz4 {
    level: u32,
}

impl Lz4 {
    /// With a level from 1 to 12; from 3 up with the slow compressor.
    pub fn new(level: u32) -> Self {
        Self { level }
    }
}

impl Format for Lz4 {
    const PIECE: usize = CHUNK;

    fn header(&self) -> Vec<u8> {
        MAGIC.to_le_bytes().to_vec()
    }

    fn piece(&mut self, piece: Vec<u8>) -> Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send> {
        let mode = match self.level {
            0..3 => CompressionMode::DEFAULT,
            level => CompressionMode::HIGHCOMPRESSION(level.cast_signed()),
        };
        Box::new(move || {
            let block = lz4::block::compress(&piece, Some(mode), false)?;
            let len = u32::try_from(block.len()).map_err(io::Error::other)?;
            Ok([&len.to_le_bytes()[..], &block].concat())
        })
    }

    fn trailer(&self) -> Vec<u8> {
        Vec::new()
    }
}
