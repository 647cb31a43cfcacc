//! Reads the container of lzop as `lib/decompress_unlzo.c` of Linux does, and checks its sums.

use std::io::{self, BufRead, Read};

use super::blocks::{Blocks, Source, damaged, read_packed};

/// What a file begins with.
const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a];
/// The longest block that the kernel takes, and the one that lzop makes.
const BLOCK: u32 = 256 << 10;
/// Flags of the header: which sums stand before each block.
const ADLER32_UNPACKED: u32 = 0x001;
const ADLER32_PACKED: u32 = 0x002;
const CRC32_UNPACKED: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
/// An extra field follows the header.
const EXTRA_FIELD: u32 = 0x040;
/// A filter's number stands in the header.
const FILTER: u32 = 0x800;

/// Unpacks one file of lzop, one block at a time.
pub type Decoder<R> = Blocks<Lzop<R>>;

/// The blocks of a file.
pub struct Lzop<R: BufRead> {
    input: R,
    flags: u32,
    packed: Vec<u8>,
}

impl<R: BufRead> Decoder<R> {
    /// Takes the header.
    ///
    /// # Errors
    /// When it is none, or reading fails.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut magic = [0; 9];
        input.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged("no file of lzop"));
        }
        let version = be16(&mut input)?;
        // Versions of the library, and the one that is needed to extract.
        skip(&mut input, 2)?;
        if version >= 0x0940 {
            skip(&mut input, 2)?;
        }
        // Method and level.
        skip(&mut input, if version >= 0x0940 { 2 } else { 1 })?;
        let flags = be32(&mut input)?;
        if flags & FILTER != 0 {
            return Err(damaged("a filter of lzop, which the kernel does not undo either"));
        }
        // Mode and time.
        skip(&mut input, if version >= 0x0940 { 12 } else { 8 })?;
        let mut name = [0];
        input.read_exact(&mut name)?;
        // Name and the header's sum.
        skip(&mut input, u64::from(name[0]) + 4)?;
        if flags & EXTRA_FIELD != 0 {
            let len = be32(&mut input)?;
            skip(&mut input, u64::from(len) + 4)?;
        }
        Ok(Self::of(Lzop { input, flags, packed: Vec::new() }))
    }
}

impl<R: BufRead> Lzop<R> {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn sum(&mut self, flag: u32) -> io::Result<Option<u32>> {
        if self.has(flag) { be32(&mut self.input).map(Some) } else { Ok(None) }
    }
}

impl<R: BufRead> Source for Lzop<R> {
    fn next_block(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        let unpacked_len = be32(&mut self.input)?;
        if unpacked_len == 0 {
            return Ok(false);
        }
        let packed_len = be32(&mut self.input)?;
        if unpacked_len > BLOCK || packed_len > unpacked_len {
            return Err(damaged(&format!("a block of {packed_len} bytes for {unpacked_len} cannot be")));
        }
        let adler = self.sum(ADLER32_UNPACKED)?;
        let crc = self.sum(CRC32_UNPACKED)?;
        let stored = packed_len == unpacked_len;
        if !stored {
            // Sums of the packed bytes, which the others prove as well.
            self.sum(ADLER32_PACKED)?;
            self.sum(CRC32_PACKED)?;
        }
        read_packed(&mut self.input, packed_len, &mut self.packed)?;
        if stored {
            std::mem::swap(block, &mut self.packed);
        } else {
            block.resize(unpacked_len as usize, 0);
            let n = lzo::decompress_into(&self.packed, block).map_err(|e| damaged(&e.to_string()))?;
            if n != block.len() {
                return Err(damaged(&format!("a block unpacks to {n} bytes, not {unpacked_len}")));
            }
        }
        let wrong =
            adler.is_some_and(|sum| sum != adler32(block)) || crc.is_some_and(|sum| sum != crc32fast::hash(block));
        if wrong {
            return Err(damaged("a block's checksum is wrong"));
        }
        Ok(true)
    }
}

/// RFC 1950, part 9.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // The longest run that does not overflow.
    for run in bytes.chunks(5552) {
        for byte in run {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    b << 16 | a
}

fn be16(input: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    input.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

fn be32(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn skip(input: &mut impl Read, len: u64) -> io::Result<()> {
    let n = io::copy(&mut input.take(len), &mut io::sink())?;
    if n < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_rfc() {
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }
}
