//! The signature of a bundle's manifest, as `openssl dgst -verify` of any age checks it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::assemble::host;
use crate::plan::output::Tool;

/// Signs `file` with a private key; the signature is put beside it as `FILE.sig`.
///
/// # Errors
/// When openssl is missing or does not take the key.
pub fn sign(file: &Path, key: &Path) -> Result<()> {
    let mut target = file.as_os_str().to_owned();
    target.push(".sig");
    let program = host::find(Tool::OPENSSL)?;
    let mut command = std::process::Command::new(program);
    command.args(["dgst", "-sha256", "-sign"]).arg(key).arg("-out").arg(&target).arg(file);
    let out = command.stdin(std::process::Stdio::null()).output().context("starting openssl")?;
    anyhow::ensure!(
        out.status.success(),
        "signing with the key {} (UPGRADE_TINY_KEY): {}",
        key.display(),
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(())
}
