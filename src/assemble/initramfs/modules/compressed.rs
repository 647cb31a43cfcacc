//! Files that are compressed one by one: modules and firmware.

use std::io::{self, Read};

/// No module is larger; a file that claims to be is damaged or meant to harm.
const LIMIT: u64 = 512 << 20;

/// The content of a file that may be compressed with gzip, xz or zstd; the first bytes tell.
///
/// # Errors
/// Damaged, or longer than any module.
pub fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match bytes.as_slice() {
        [0x1f, 0x8b, ..] => whole(flate2::read::MultiGzDecoder::new(bytes.as_slice())),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => whole(liblzma::read::XzDecoder::new_multi_decoder(bytes.as_slice())),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => whole(zstd::stream::read::Decoder::new(bytes.as_slice())?),
        _ => Ok(bytes),
    }
}

fn whole(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder.take(LIMIT + 1).read_to_end(&mut out)?;
    if out.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than 512 MiB when unpacked"));
    }
    Ok(out)
}
