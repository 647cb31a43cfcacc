//! The compressions that the kernel unpacks an initramfs with, told apart by their first bytes as
//! `lib/decompress.c` of Linux does. Each decoder takes exactly one member, and leaves what follows it.

mod blocks;
mod encoder;
mod lz4;
mod lzop;
mod pieces;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::str::FromStr;

use liblzma::stream::Stream;
use serde::Serialize;

pub use encoder::Encoder;

/// Memory that a decoder may take for its window. Presets of xz and lzma need up to 65 MiB; more is a damaged header.
const WINDOW: u64 = 512 << 20;

/// A compression of initramfs images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None: plain cpio.
    None,
    /// RFC 1952.
    Gzip,
    /// With a CRC32 check: the kernel knows no other.
    Xz,
    /// The older "alone" format of the same algorithm.
    Lzma,
    /// RFC 8878.
    Zstd,
    /// The legacy frame: `lz4 -l`.
    Lz4,
    /// One stream.
    Bzip2,
    /// The container of lzop; read only.
    Lzo,
}

/// All of them, with the bytes that they begin with.
const MAGIC: &[(Compression, &[u8])] = &[
    (Compression::Gzip, &[0x1f, 0x8b]),
    (Compression::Bzip2, b"BZ"),
    (Compression::Lzma, &[0x5d, 0x00]),
    (Compression::Xz, &[0xfd, b'7']),
    (Compression::Lzo, &[0x89, b'L']),
    (Compression::Lz4, &[0x02, 0x21]),
    (Compression::Zstd, &[0x28, 0xb5]),
];

/// Names that `--compress` takes.
pub const WRITABLE: &[&str] = &["zstd", "xz", "gzip", "lzma", "lz4", "bzip2", "none"];

impl Compression {
    /// The compression that something with these first bytes has. `None` if the kernel would know none.
    #[must_use]
    pub fn detect(first: &[u8]) -> Option<Self> {
        MAGIC.iter().find(|(_, magic)| first.starts_with(magic)).map(|(compression, _)| *compression)
    }

    /// Unpacks one member that `input` stands at. At its end `input` stands behind it, checks included.
    ///
    /// # Errors
    /// When a decoder cannot be made. Reading fails for damaged or truncated input.
    pub fn decoder<'a, R: BufRead + 'a>(self, input: R) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(WINDOW, 0)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Lzma => {
                let stream = Stream::new_lzma_decoder(WINDOW)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame()),
            Self::Lz4 => Box::new(lz4::Decoder::new(input)?),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
            Self::Lzo => Box::new(lzop::Decoder::new(input)?),
        })
    }

    /// The name as `--compress` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzo => "lzo",
        }
    }

    /// The levels that it has, and the one that is taken if none is asked for.
    #[must_use]
    pub fn levels(self) -> Option<(std::ops::RangeInclusive<u32>, u32)> {
        match self {
            Self::None | Self::Lzo => None,
            Self::Gzip => Some((1..=9, 6)),
            Self::Xz | Self::Lzma => Some((0..=9, 6)),
            Self::Zstd => Some((1..=19, 9)),
            Self::Lz4 => Some((1..=12, 9)),
            Self::Bzip2 => Some((1..=9, 9)),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A compression with its level, as in `zstd` or `xz:9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// How to compress.
    pub compression: Compression,
    /// How hard; `None` for the compression's default.
    pub level: Option<u32>,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "{}:{level}", self.compression),
            None => self.compression.fmt(f),
        }
    }
}

impl From<Compression> for Packing {
    fn from(compression: Compression) -> Self {
        Self { compression, level: None }
    }
}

impl FromStr for Packing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let known = MAGIC.iter().map(|(c, _)| *c).chain([Compression::None]);
        let compression = known
            .filter(|c| WRITABLE.contains(&c.name()))
            .find(|c| c.name() == name)
            .ok_or_else(|| format!("there are {}", crate::near::quoted(WRITABLE)))?;
        let level = match (level, compression.levels()) {
            (None, _) => None,
            (Some(_), None) => return Err(format!("'{name}' has no level")),
            (Some(level), Some((levels, _))) => {
                let wrong = || format!("levels of '{name}' are {} to {}", levels.start(), levels.end());
                let level = level.parse().map_err(|_| wrong())?;
                if !levels.contains(&level) {
                    return Err(wrong());
                }
                Some(level)
            }
        };
        Ok(Self { compression, level })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ALL: [Compression; 7] = [
        Compression::None,
        Compression::Gzip,
        Compression::Xz,
        Compression::Lzma,
        Compression::Zstd,
        Compression::Lz4,
        Compression::Bzip2,
    ];

    pub(super) fn packed(compression: Compression, data: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), compression.into()).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn sample() -> Vec<u8> {
        (0..600_000u32).flat_map(|i| (i / 9).to_le_bytes()).collect()
    }

    #[test]
    fn what_is_packed_comes_back_and_what_follows_is_left() {
        let data = sample();
        for compression in ALL {
            let mut file = packed(compression, &data);
            assert!(file == packed(compression, &data), "{compression} is not reproducible");
            if compression == Compression::None {
                continue;
            }
            assert_eq!(Compression::detect(&file), Some(compression));
            file.extend([0; 12]);
            file.extend(b"070701");
            let mut input = &file[..];
            let mut back = Vec::new();
            compression.decoder(&mut input).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == data, "{compression}");
            let left = input.iter().skip_while(|b| **b == 0).copied().collect::<Vec<_>>();
            assert_eq!(left, b"070701", "{compression}");
        }
    }

    #[test]
    fn nothing_is_packed_too() {
        for compression in ALL {
            let file = packed(compression, b"");
            let mut back = Vec::new();
            compression.decoder(&file[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back.is_empty(), "{compression}");
        }
    }

    #[test]
    fn a_member_that_is_cut_off_is_an_error() {
        let data = sample();
        for compression in ALL.into_iter().filter(|c| *c != Compression::None) {
            let file = packed(compression, &data);
            for len in [file.len() - 1, file.len() / 2, 7] {
                let result = compression.decoder(&file[..len]).and_then(|mut d| d.read_to_end(&mut Vec::new()));
                assert!(result.is_err(), "{compression} {len} of {}", file.len());
            }
        }
    }

    #[test]
    fn packings_are_written_with_and_without_a_level() {
        let zstd: Packing = "zstd:19".parse().unwrap();
        assert_eq!(zstd, Packing { compression: Compression::Zstd, level: Some(19) });
        assert_eq!("none".parse(), Ok(Packing::from(Compression::None)));
        for wrong in ["zstd:20", "lzo", "zst", "none:1", "gzip:", "gzip:x"] {
            assert!(wrong.parse::<Packing>().is_err(), "{wrong}");
        }
    }
}
