//! Which devices the tiny system knows, in a form that a shell can look up.

use anyhow::{Context, Result};

use crate::assemble::initramfs::modules::Index;
use crate::assemble::initramfs::view::View;

/// The patterns of all drivers in an initramfs, modules and parts of the kernel: one a line, for `case` of a shell. Few kernels
/// tell what devices their own parts are for, so these are there by name as well: `builtin:nvme`.
///
/// # Errors
/// When the initramfs has no modules of that kernel.
pub fn patterns(initramfs: &dyn View, kernel: &str) -> Result<String> {
    let index = Index::load(initramfs, kernel).with_context(|| format!("reading the modules of {kernel}"))?;
    let all = [&index.aliases, &index.builtin_aliases].into_iter().flat_map(|aliases| aliases.pairs());
    // What buses call a device, and the names of file systems; other names are the kernel's own.
    let wanted = |pattern: &&str| pattern.contains(':') || pattern.starts_with("fs-");
    let patterns = all.map(|(pattern, _)| pattern.as_str()).filter(wanted).map(str::to_owned);
    let mut lines: Vec<String> = patterns.chain(index.builtin.iter().map(|name| format!("builtin:{name}"))).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}
