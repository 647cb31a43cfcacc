//! A file that is read once from its beginning to its end, with a look ahead.

use std::io::{self, BufRead, Read};

/// Read at a time.
const CHUNK: usize = 256 << 10;

/// Counts what is taken, and can look at the next bytes without taking them.
pub(super) struct Input<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl<R: Read> Input<R> {
    /// Reads `inner`, which stands at the byte `offset` of the file.
    pub(super) fn new(inner: R, offset: u64) -> Self {
        Self { inner, buffer: vec![0; CHUNK], start: 0, end: 0, offset }
    }

    /// Bytes that were taken.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, `n` of them unless the file ends before.
    pub(super) fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        if self.end - self.start < n {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < n {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(got) => self.end += got,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + n)])
    }

    /// Takes zeros, as many as there are.
    pub(super) fn pass_zeros(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.fill_buf()?;
            let zeros = buffer.iter().take_while(|b| **b == 0).count();
            let more = zeros > 0 && zeros == buffer.len();
            self.consume(zeros);
            if !more {
                return Ok(());
            }
        }
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Large reads need no copy in between.
        if self.start == self.end && buf.len() >= CHUNK {
            let n = self.inner.read(buf)?;
            self.offset += n as u64;
            return Ok(n);
        }
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)?;
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        self.offset += n as u64;
    }
}

/// Stops with [`TooMuch`] when more comes than allowed.
pub(super) struct Capped<'a, R> {
    inner: R,
    left: &'a mut u64,
}

/// More was unpacked than allowed.
#[derive(Debug, thiserror::Error)]
#[error("more than allowed")]
pub(super) struct TooMuch;

impl<'a, R> Capped<'a, R> {
    pub(super) fn new(inner: R, left: &'a mut u64) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for Capped<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        *self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(n)
    }
}
