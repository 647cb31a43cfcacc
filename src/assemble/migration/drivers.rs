//! Which devices the tiny system knows, in a form that a shell can look up.

use anyhow::{Context, Result};

use crate::assemble::initramfs::modules::Index;
use crate::assemble::initramfs::view::View;

/// The patterns of all drivers in an initramfs, modules and parts of the kernel: one a line, for `case` of a shell.
///
/// # Errors
/// When the initramfs has no modules of that kernel.
pub fn patterns(initramfs: &dyn View, kernel: &str) -> Result<String> {
    let index = Index::load(initramfs, kernel).with_context(|| format!("reading the modules of {kernel}"))?;
    let all = [&index.aliases, &index.builtin_aliases].into_iter().flat_map(|aliases| aliases.pairs());
    // Of a device only what buses call it matters; names like fs-ext4 are the kernel's own.
    let mut patterns: Vec<&str> = all.map(|(pattern, _)| pattern.as_str()).filter(|p| p.contains(':')).collect();
    patterns.sort_unstable();
    patterns.dedup();
    Ok(patterns.into_iter().flat_map(|pattern| [pattern, "\n"]).collect())
}
