//! `image-create initramfs build`.

use std::path::PathBuf;

use clap::Args;

use crate::assemble::initramfs::compression::Packing;

/// Arguments of `image-create initramfs build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The system that programs, libraries and modules are taken from
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The kernel's version; not needed if the tree has one kernel
    #[arg(long, value_name = "KVER")]
    pub kernel: Option<String>,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// What it shall hold besides (initramfs.json); can be given several times
    #[arg(long, value_name = "FILE")]
    pub spec: Vec<PathBuf>,
    /// Hold only what --spec says, without the usual drivers of disks and their file systems
    #[arg(long, requires = "spec")]
    pub no_default: bool,
    /// Hold only drivers of the machine that this file describes (`image-create initramfs check --help` tells how it is made)
    #[arg(long, value_name = "PROFILE")]
    pub hostonly: Option<PathBuf>,
    /// Leave out the shell for when the root does not show up
    #[arg(long)]
    pub no_rescue: bool,
    /// How to pack it: zstd, xz, gzip, lzma, lz4, bzip2 or none, with a level as in zstd:19 [default: what the kernel can unpack, zstd if possible]
    #[arg(long, value_name = "HOW")]
    pub compress: Option<Packing>,
    /// Fail if it needs more memory than this at boot, in bytes or with K, M, G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_ram: Option<u64>,
    /// Print the sizes as JSON
    #[arg(long)]
    pub json: bool,
}

/// A number of bytes, with a suffix for multiples of 1024.
fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.trim_end_matches("iB").char_indices().next_back() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: Option<u64> = digits.parse().ok();
    number.and_then(|n| n.checked_mul(factor)).ok_or_else(|| "a size is a number, alone or with K, M or G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_with_and_without_suffix() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert!(size("M").is_err() && size("-1").is_err() && size("").is_err() && size("99999999999G").is_err());
    }
}
