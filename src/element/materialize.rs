//! Writes a merged hook tree to disk: the one part of this folder that changes something.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::element::hooks::{HookTree, Kind, TreeEntry};
use crate::error::on;

/// Copies the tree to `dest`, which is made if need be and must not hold any of it yet: modes,
/// modification times, links as links, and owners where the process may set them.
///
/// # Errors
/// When a file cannot be read or written.
pub fn materialize(tree: &HookTree, dest: &Path) -> Result<()> {
    fs::create_dir_all(dest).with_context(|| on("creating", dest))?;
    for (path, entry) in &tree.entries {
        let to = dest.join(path);
        write(entry, &to).with_context(|| on("writing", &to)).with_context(|| on("copying", &entry.source))?;
    }
    // Writing into a directory changes its time and needs its write bit: inner ones first, at the end.
    for (path, entry) in tree.entries.iter().rev().filter(|(p, e)| e.kind == Kind::Dir && p.components().count() > 1) {
        let to = dest.join(path);
        copy_attributes(entry, &to).with_context(|| on("setting the mode and times of", &to))?;
    }
    Ok(())
}

fn write(entry: &TreeEntry, to: &Path) -> io::Result<()> {
    match &entry.kind {
        // The merged directories at the top belong to no element: they are plain new ones.
        Kind::Dir => fs::create_dir(to),
        Kind::File { .. } => {
            fs::copy(&entry.source, to)?;
            copy_attributes(entry, to)
        }
        Kind::Link { target } => {
            symlink(target, to)?;
            copy_attributes(entry, to)
        }
    }
}

/// Owner first: changing it clears the set-user-ID bits.
fn copy_attributes(entry: &TreeEntry, to: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(&entry.source)?;
    match lchown(to, Some(meta.uid()), Some(meta.gid())) {
        Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(e),
        _ => {}
    }
    if meta.is_symlink() {
        let time = TimeSpec::new(meta.mtime(), meta.mtime_nsec());
        return Ok(utimensat(AT_FDCWD, to, &time, &time, UtimensatFlags::NoFollowSymlink)?);
    }
    let modified = meta.modified()?;
    File::open(to)?.set_times(FileTimes::new().set_modified(modified).set_accessed(modified))?;
    fs::set_permissions(to, Permissions::from_mode(meta.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::catalog::ElementCatalog;
    use crate::element::fixture::Elements;
    use crate::element::resolve::{Request, resolve};
    use crate::element::{hooks, run_order};

    #[test]
    fn modes_links_and_times_are_kept_and_directories_merge() {
        let elements = Elements::new();
        elements
            .element("a", "", "operating-system")
            .element("b", "a", "")
            .file("a/install.d/10-x", "#!/bin/sh\n", 0o750)
            .link("a/install.d/20-y", "10-x")
            .file("a/static/etc/a", "a", 0o600)
            .file("b/static/etc/b", "b", 0o444)
            .file("b/static/etc/.hidden", "h", 0o644)
            .file("b/install.d/.dropped", "h", 0o644)
            .file("b/README.rst", "b", 0o644);
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
        let times = FileTimes::new().set_modified(old);
        File::open(elements.path().join("a/install.d/10-x")).unwrap().set_times(times).unwrap();
        let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
        let request = Request { implicit: vec![], ..Request::build(&["b"], "amd64") };
        let resolution = resolve(&catalog, &request).unwrap();
        let (tree, _) = hooks::merge(&resolution.elements, &run_order::pattern(None).unwrap()).unwrap();

        let out = tempfile::tempdir().unwrap();
        let dest = out.path().join("hooks");
        materialize(&tree, &dest).unwrap();
        let script = fs::metadata(dest.join("install.d/10-x")).unwrap();
        assert_eq!(script.mode() & 0o7777, 0o750);
        assert_eq!(script.modified().unwrap(), old);
        assert_eq!(fs::read_link(dest.join("install.d/20-y")).unwrap(), Path::new("10-x"));
        assert_eq!(fs::read_to_string(dest.join("static/etc/a")).unwrap(), "a");
        assert_eq!(fs::metadata(dest.join("static/etc/b")).unwrap().mode() & 0o777, 0o444);
        assert!(dest.join("static/etc/.hidden").exists());
        assert!(!dest.join("install.d/.dropped").exists());
        assert!(dest.join("README.rst").exists());
    }
}
