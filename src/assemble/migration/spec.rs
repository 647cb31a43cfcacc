//! How an element asks for a bundle.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use upgrade_tiny::manifest::InitramfsPolicy;

use crate::assemble::initramfs::compression::{Compression, Packing};
use crate::error::on;

/// The JSON that the element's finalise.d hook writes to `/tmp/image-bundle.json` in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSpec {
    /// What the payload's files are called.
    pub name: String,
    /// The version of the system, as its vendor counts.
    pub version: String,
    /// How the payload is packed.
    #[serde(deserialize_with = "packing")]
    pub compress: Packing,
    /// A private key (PEM) on the host, to sign with.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// What happens to the new system's initramfs on the machine.
    #[serde(default)]
    pub initramfs: InitramfsPolicy,
}

fn packing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Packing, D::Error> {
    let text = String::deserialize(deserializer)?;
    let packing: Packing = text.parse().map_err(serde::de::Error::custom)?;
    match packing.compression {
        Compression::Xz | Compression::Zstd => Ok(packing),
        _ => Err(serde::de::Error::custom(format!("'{text}' is no packing of payloads: there are xz and zstd"))),
    }
}

impl BundleSpec {
    /// Reads it; `None` if there is no such file.
    ///
    /// # Errors
    /// When it is not the JSON described.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).with_context(|| on("reading", path)),
        };
        let spec: Self = serde_json::from_str(&text).with_context(|| on("reading what is asked for in", path))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ensure!(
            !spec.name.is_empty() && spec.name.chars().all(plain) && !spec.name.starts_with(['.', '-']),
            "the name of a bundle's payload is '{}': letters, digits, '.', '_' and '-' are good (UPGRADE_TINY_NAME)",
            spec.name
        );
        ensure!(
            !spec.version.is_empty() && spec.version.chars().all(|c| plain(c) || "+~:".contains(c)),
            "the version '{}' is no word of letters, digits and '._-+~:' (UPGRADE_TINY_VERSION)",
            spec.version
        );
        Ok(Some(spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<BundleSpec>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        BundleSpec::read(file.path())
    }

    #[test]
    fn what_is_asked_for_is_read_and_checked() {
        let spec = read(r#"{"name": "va", "version": "9.4", "compress": "zstd:3"}"#).unwrap().unwrap();
        assert_eq!((spec.name.as_str(), spec.compress.to_string().as_str(), &spec.key), ("va", "zstd:3", &None));
        let wrong = |text: &str| format!("{:#}", read(text).unwrap_err());
        assert!(wrong(r#"{"name": "../va", "version": "1", "compress": "xz"}"#).contains("UPGRADE_TINY_NAME"));
        assert!(wrong(r#"{"name": "va", "version": "a b", "compress": "xz"}"#).contains("UPGRADE_TINY_VERSION"));
        assert!(wrong(r#"{"name": "va", "version": "1", "compress": "gzip"}"#).contains("xz and zstd"));
        assert!(BundleSpec::read(Path::new("/nonexistent/image-bundle.json")).unwrap().is_none());
    }
}
