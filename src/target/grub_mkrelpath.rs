//! `grub-mkrelpath`, answered from the planned disk layout: a path as seen from the root of the
//! filesystem that it will lie on. The real program looks at mounts, and the build's tree has none:
//! with a `/boot` of its own it would write `/boot/vmlinuz` where GRUB has to find `/vmlinuz`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::grub_probe::GrubLayout;
use super::out;

/// Prints the path relative to its filesystem's root, which itself is printed as an empty line.
///
/// # Errors
/// When the path does not exist or the layout has no filesystem for it.
pub fn run(args: Vec<String>) -> Result<u8> {
    let words: Vec<&str> =
        args.iter().map(String::as_str).filter(|a| !matches!(*a, "-r" | "--relative" | "--")).collect();
    let [path] = words[..] else { bail!("usage: grub-mkrelpath PATH") };
    let canonical = fs::canonicalize(path).with_context(|| format!("failed to get canonical path of '{path}'"))?;
    out(&relative(&GrubLayout::load()?, &canonical)?)?;
    Ok(0)
}

fn relative(layout: &GrubLayout, path: &Path) -> Result<String> {
    let filesystem =
        layout.of_path(path).with_context(|| format!("cannot find a filesystem for {}", path.display()))?;
    let below = path.strip_prefix(&filesystem.mount_point).context("comparing a path with its own mount point")?;
    // As the real program has it: no trailing slash, so that a caller can put one and a name behind it.
    Ok(if below.as_os_str().is_empty() { String::new() } else { format!("/{}", below.display()) })
}

#[cfg(test)]
mod tests {
    use super::super::grub_probe::tests::layout;
    use super::*;

    #[test]
    fn a_path_is_seen_from_its_own_filesystem() {
        let of = |path: &str| relative(&layout(), Path::new(path)).unwrap();
        assert_eq!(of("/boot"), "");
        assert_eq!(of("/boot/grub/grub.cfg"), "/grub/grub.cfg");
        assert_eq!(of("/usr/share/grub"), "/usr/share/grub");
        assert_eq!(of("/"), "");
    }
}
