//! What a kernel can unpack, as far as its configuration is there to be read.

use std::path::Path;

use anyhow::{Result, bail};

use crate::assemble::initramfs::compression::{Compression, Packing};

/// The switches of the kernel's configuration.
const SWITCHES: [(Compression, &str); 7] = [
    (Compression::Gzip, "CONFIG_RD_GZIP"),
    (Compression::Xz, "CONFIG_RD_XZ"),
    (Compression::Lzma, "CONFIG_RD_LZMA"),
    (Compression::Zstd, "CONFIG_RD_ZSTD"),
    (Compression::Lz4, "CONFIG_RD_LZ4"),
    (Compression::Bzip2, "CONFIG_RD_BZIP2"),
    (Compression::Lzo, "CONFIG_RD_LZO"),
];

/// The kernel's configuration, where distributions leave it.
fn configuration(root: &Path, kernel: &str) -> Option<String> {
    let places = [
        format!("boot/config-{kernel}"),
        format!("usr/lib/modules/{kernel}/config"),
        format!("lib/modules/{kernel}/config"),
    ];
    places.iter().find_map(|place| std::fs::read_to_string(root.join(place)).ok())
}

fn can(configuration: &str, compression: Compression) -> bool {
    let switch = SWITCHES.iter().find(|(c, _)| *c == compression);
    switch.is_none_or(|(_, name)| configuration.lines().any(|l| l.strip_prefix(name) == Some("=y")))
}

/// The best that a kernel is known to unpack: zstd, else gzip, which all can.
#[must_use]
pub fn best_packing(root: &Path, kernel: &str) -> Packing {
    let zstd = configuration(root, kernel).is_none_or(|text| can(&text, Compression::Zstd));
    if zstd { Compression::Zstd.into() } else { Compression::Gzip.into() }
}

/// Checks that a kernel can unpack what shall be packed. A kernel without a configuration is believed to.
///
/// # Errors
/// It cannot.
pub fn check_packing(root: &Path, kernel: &str, packing: Packing) -> Result<()> {
    let Some(text) = configuration(root, kernel) else { return Ok(()) };
    if can(&text, packing.compression) {
        return Ok(());
    }
    let known = SWITCHES.iter().filter(|(c, _)| can(&text, *c)).map(|(c, _)| c.name()).collect::<Vec<_>>();
    bail!("the kernel {kernel} cannot unpack {}: its configuration has {}", packing.compression, known.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_kernel_decides() {
        let dir = tempfile::tempdir().unwrap();
        let packing = |c: Compression| Packing::from(c);
        assert_eq!(best_packing(dir.path(), "6.1"), packing(Compression::Zstd));
        std::fs::create_dir(dir.path().join("boot")).unwrap();
        std::fs::write(
            dir.path().join("boot/config-3.10"),
            "CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\n# CONFIG_RD_ZSTD is not set\n",
        )
        .unwrap();
        assert_eq!(best_packing(dir.path(), "3.10"), packing(Compression::Gzip));
        let refused = check_packing(dir.path(), "3.10", packing(Compression::Zstd)).unwrap_err().to_string();
        assert_eq!(refused, "the kernel 3.10 cannot unpack zstd: its configuration has gzip, xz");
        assert!(check_packing(dir.path(), "3.10", packing(Compression::None)).is_ok());
        assert!(check_packing(dir.path(), "6.1", packing(Compression::Zstd)).is_ok());
    }
}
