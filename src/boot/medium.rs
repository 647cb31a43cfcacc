//! What kind of image a file is, so that QEMU is told and never guesses.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::error::{Fault, Faults, HostNotReady, on};
use crate::exec::command::Cmd;

/// An image that a guest can be started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The file.
    pub path: PathBuf,
    /// QEMU's name of its format: `raw`, `qcow2`, `vmdk`, `vpc`, `vhdx` …
    pub format: String,
    /// A disc (ISO 9660) rather than a disk.
    pub disc: bool,
}

/// The part that we need of `qemu-img info --output=json`.
#[derive(Deserialize)]
struct Info {
    format: String,
}

impl Medium {
    /// Looks at `path`.
    ///
    /// # Errors
    /// [`Faults`] when there is no such file, [`HostNotReady`] when `qemu-img` is missing.
    pub fn detect(path: &Path) -> Result<Self> {
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Faults::from(Fault::new(format!("there is no image {}", path.display()))).into());
            }
            Err(error) => return Err(error).with_context(|| on("reading", path)),
            Ok(meta) if meta.is_dir() => {
                let fault = Fault::new(format!("{} is a directory, not an image", path.display()));
                return Err(Faults::from(fault).into());
            }
            Ok(_) => {}
        }
        if holds_iso9660(path).with_context(|| on("reading", path))? {
            return Ok(Self { path: path.to_owned(), format: "raw".into(), disc: true });
        }
        if !crate::host::Host::this().has("qemu-img") {
            let hint = crate::host::Host::this().install_hint(&["qemu-img"]);
            return Err(HostNotReady::new("qemu-img is not installed", hint).into());
        }
        // -U: an image that is being used (a guest with its own snapshot of it) may be looked at.
        let json = Cmd::new("qemu-img").args(["info", "-U", "--output=json"]).arg(path).read()?;
        let info: Info = serde_json::from_str(&json).context("reading the answer of qemu-img info")?;
        Ok(Self { path: path.to_owned(), format: info.format, disc: false })
    }
}

/// Whether a primary volume descriptor stands where ECMA-119 (section 8.1) wants it: sector 16 of 2048 bytes.
fn holds_iso9660(path: &Path) -> std::io::Result<bool> {
    let mut identifier = [0; 5];
    match File::open(path)?.read_exact_at(&mut identifier, 16 * 2048 + 1) {
        Ok(()) => Ok(&identifier == b"CD001"),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discs_are_told_from_disks() {
        let dir = tempfile::tempdir().unwrap();
        let disc = dir.path().join("x.iso");
        let mut bytes = vec![0; 17 * 2048];
        assert!(!{
            std::fs::write(&disc, &bytes[..100]).unwrap();
            holds_iso9660(&disc).unwrap()
        });
        bytes[16 * 2048 + 1..][..5].copy_from_slice(b"CD001");
        std::fs::write(&disc, &bytes).unwrap();
        assert!(holds_iso9660(&disc).unwrap());
    }

    #[test]
    fn a_missing_image_is_the_callers_mistake() {
        let error = Medium::detect(Path::new("/nonexistent/x.qcow2")).unwrap_err();
        assert_eq!(crate::error::exit_code(&error), crate::error::EXIT_DEFINITION);
    }
}
