//! The tree's /etc/resolv.conf during the build (contract 2.9).
//!
//! The image's own file waits as `resolv.conf.ORIG`, a public name: an element that wants another
//! content in the image writes it there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::error::on;

/// What is used when the host has no resolver configuration.
const FALLBACK: &str = "nameserver 8.8.8.8\n";

fn places(tree: &Path) -> (PathBuf, PathBuf) {
    (tree.join("etc/resolv.conf"), tree.join("etc/resolv.conf.ORIG"))
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Puts the host's configuration in place of the image's.
///
/// # Errors
/// When the files cannot be moved or written.
pub fn put_hosts(tree: &Path) -> Result<()> {
    let (file, original) = places(tree);
    fs::create_dir_all(tree.join("etc")).with_context(|| on("making", &tree.join("etc")))?;
    if exists(&file) {
        fs::rename(&file, &original).with_context(|| on("moving aside", &file))?;
    }
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_else(|_| FALLBACK.to_owned());
    fs::write(&file, text).with_context(|| on("writing", &file))?;
    // World-writable: hooks that run as another user edit it too.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).with_context(|| on("setting the mode of", &file))
}

/// Puts the image's file back, unless a hook made a symlink or an immutable file of it on purpose.
///
/// # Errors
/// When the files cannot be moved or removed.
pub fn put_back(tree: &Path) -> Result<()> {
    let (file, original) = places(tree);
    if file.is_symlink() || is_immutable(&file) {
        if exists(&original) {
            fs::remove_file(&original).with_context(|| on("removing", &original))?;
        }
        return Ok(());
    }
    if exists(&file) {
        fs::remove_file(&file).with_context(|| on("removing", &file))?;
    }
    if exists(&original) {
        fs::rename(&original, &file).with_context(|| on("putting back", &file))?;
    }
    Ok(())
}

/// The inode flag `i`, as lsattr shows it; a host without lsattr knows no such file.
fn is_immutable(file: &Path) -> bool {
    let listing = Command::new("lsattr").arg(file).output();
    listing.is_ok_and(|out| {
        String::from_utf8_lossy(&out.stdout).split_whitespace().next().is_some_and(|f| f.contains('i'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(original: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        if let Some(text) = original {
            fs::write(dir.path().join("etc/resolv.conf"), text).unwrap();
        }
        put_hosts(dir.path()).unwrap();
        dir
    }

    fn content(dir: &tempfile::TempDir) -> Option<String> {
        fs::read_to_string(dir.path().join("etc/resolv.conf")).ok()
    }

    #[test]
    fn c18_an_untouched_file_comes_back() {
        let dir = tree(Some("nameserver 192.0.2.1\n"));
        assert_ne!(content(&dir).unwrap(), "nameserver 192.0.2.1\n");
        put_back(dir.path()).unwrap();
        assert_eq!(content(&dir).unwrap(), "nameserver 192.0.2.1\n");
    }

    #[test]
    fn c18_what_an_element_wrote_as_original_is_final() {
        let dir = tree(None);
        fs::write(dir.path().join("etc/resolv.conf.ORIG"), "wanted\n").unwrap();
        put_back(dir.path()).unwrap();
        assert_eq!(content(&dir).unwrap(), "wanted\n");
        assert!(!dir.path().join("etc/resolv.conf.ORIG").exists());
    }

    #[test]
    fn c18_a_symlink_made_by_an_element_stays() {
        let dir = tree(Some("old\n"));
        let file = dir.path().join("etc/resolv.conf");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("../run/resolv.conf", &file).unwrap();
        put_back(dir.path()).unwrap();
        assert_eq!(fs::read_link(&file).unwrap(), Path::new("../run/resolv.conf"));
        assert!(!dir.path().join("etc/resolv.conf.ORIG").exists());
    }

    #[test]
    fn c18_without_an_original_the_image_has_no_file() {
        let dir = tree(None);
        put_back(dir.path()).unwrap();
        assert_eq!(content(&dir), None);
    }
}
