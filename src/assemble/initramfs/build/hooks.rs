//! Programs that descriptions bring, run by `image-init` at stages of the boot.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::error::on;
use crate::plan::initramfs::Spec;

use super::stage::Stage;

/// Where `image-init` looks for them.
const PLACE: &str = "/etc/initramfs/hooks.d";

/// Puts the hooks in their places. Their names begin with a number, so that they run in the order of the descriptions.
///
/// # Errors
/// When one cannot be read.
pub fn add(stage: &mut Stage, spec: &Spec) -> Result<()> {
    for (number, (point, file)) in spec.hooks.iter().enumerate() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        stage.put_host_file(file, &format!("{PLACE}/{point}/{number:03}-{name}"), Some(0o755))?;
    }
    Ok(())
}

/// The programs that hooks are scripts for, each with the hook that needs it. They come from the tree.
///
/// # Errors
/// When a hook cannot be read.
pub fn interpreters(spec: &Spec) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (_, file) in &spec.hooks {
        found.extend(interpreter(file)?.map(|program| (program, file.display().to_string())));
    }
    Ok(found)
}

/// What stands behind `#!`; with `env`, the program that it looks up.
fn interpreter(file: &Path) -> Result<Option<String>> {
    let bytes = fs::read(file).with_context(|| on("reading", file))?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let Some(line) = line.strip_prefix(b"#!") else { return Ok(None) };
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else { return Ok(None) };
    let looked_up = words.next().filter(|_| program.ends_with("/env"));
    Ok(Some(looked_up.unwrap_or(program).to_owned()))
}
