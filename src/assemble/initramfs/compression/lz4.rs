//! Reads lz4's legacy frame as `lib/decompress_unlz4.c` of Linux does.
//!
//! The frame has no end mark: it ends with the file, or with zeros that pad it. A magic number in place of
//! a block's length starts another frame, which continues the same data.

use std::io::{self, BufRead, Read};

use super::blocks::{Blocks, Source, damaged, read_packed};

/// What a frame begins with, in little endian.
pub const MAGIC: u32 = 0x184c_2102;
/// Bytes of unpacked data in each block but the last.
pub const CHUNK: usize = 8 << 20;
/// `LZ4_COMPRESSBOUND` of a block: a longer one is damaged.
const MOST: u32 = (CHUNK + CHUNK / 255 + 16) as u32;

/// Unpacks frames, one block at a time.
pub type Decoder<R> = Blocks<Frames<R>>;

/// The blocks of frames.
pub struct Frames<R: BufRead> {
    input: R,
    compressed: Vec<u8>,
}

impl<R: BufRead> Decoder<R> {
    /// Takes the magic number.
    ///
    /// # Errors
    /// When it is another one, or reading fails.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut magic = [0; 4];
        input.read_exact(&mut magic)?;
        if u32::from_le_bytes(magic) != MAGIC {
            return Err(damaged("no frame of lz4's legacy format"));
        }
        Ok(Self::of(Frames { input, compressed: Vec::new() }))
    }
}

impl<R: BufRead> Source for Frames<R> {
    fn next_block(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        let len = loop {
            let mut len = [0; 4];
            // Fewer than four bytes can only be padding.
            match read_up_to(&mut self.input, &mut len)? {
                4 => {}
                n if len[..n].iter().all(|b| *b == 0) => return Ok(false),
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            match u32::from_le_bytes(len) {
                0 => return Ok(false),
                MAGIC => {}
                len => break len,
            }
        };
        if len > MOST {
            let what =
                format!("a block of {len} bytes cannot be: something else than lz4 follows without zeros between");
            return Err(damaged(&what));
        }
        read_packed(&mut self.input, len, &mut self.compressed)?;
        block.resize(CHUNK, 0);
        let unpacked = lz4::block::decompress_to_buffer(&self.compressed, Some(CHUNK as i32), block)
            .map_err(|_| damaged("a block is no valid lz4"))?;
        block.truncate(unpacked);
        Ok(true)
    }
}

/// Reads until the buffer is full or the input ends, and gives the number of bytes.
fn read_up_to(input: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buf.len() {
        match input.read(&mut buf[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::super::Compression;
    use super::super::tests::packed;
    use super::*;

    #[test]
    fn frames_one_after_another_are_one_stream() {
        let mut file = packed(Compression::Lz4, b"one ");
        file.extend(packed(Compression::Lz4, b"two"));
        file.extend([0; 3]);
        let mut text = String::new();
        Decoder::new(&file[..]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn a_claimed_length_that_cannot_be_is_an_error() {
        let mut file = MAGIC.to_le_bytes().to_vec();
        file.extend(u32::MAX.to_le_bytes());
        let error = Decoder::new(&file[..]).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
