//! Programs that descriptions bring, run by `image-init` at stages of the boot.

use std::fs;

use anyhow::{Context, Result};

use crate::assemble::initramfs::closure::script;
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
        let bytes = fs::read(file).with_context(|| on("reading", file))?;
        let program = script::parse(&bytes).map(|script| script.by_env.unwrap_or(script.interpreter));
        found.extend(program.map(|program| (program, file.display().to_string())));
    }
    Ok(found)
}
