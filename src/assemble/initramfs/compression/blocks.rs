//! Formats that are unpacked a block at a time, read as one stream.

use std::io::{self, Read};

/// What gives the blocks.
pub trait Source {
    /// Unpacks the next block into `block`, in the place of what is there; false at the end.
    ///
    /// # Errors
    /// When a block is damaged, or reading fails.
    fn next_block(&mut self, block: &mut Vec<u8>) -> io::Result<bool>;
}

/// The blocks of a source, one after another.
pub struct Blocks<S: Source> {
    source: S,
    block: Vec<u8>,
    done: usize,
    ended: bool,
}

impl<S: Source> Blocks<S> {
    /// Starts before the first block.
    pub(super) fn of(source: S) -> Self {
        Self { source, block: Vec::new(), done: 0, ended: false }
    }
}

impl<S: Source> Read for Blocks<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.done == self.block.len() {
            if self.ended || !self.source.next_block(&mut self.block)? {
                self.ended = true;
                return Ok(0);
            }
            self.done = 0;
        }
        let n = buf.len().min(self.block.len() - self.done);
        buf[..n].copy_from_slice(&self.block[self.done..self.done + n]);
        self.done += n;
        Ok(n)
    }
}

/// Reads the `len` bytes of a packed block into `packed`, in the place of what is there.
///
/// # Errors
/// When there are fewer.
pub(super) fn read_packed(input: &mut impl Read, len: u32, packed: &mut Vec<u8>) -> io::Result<()> {
    packed.clear();
    let got = input.take(u64::from(len)).read_to_end(packed)?;
    if got < len as usize {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("a block has {got} of its {len} bytes")));
    }
    Ok(())
}

/// The error for data that no packer makes.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
