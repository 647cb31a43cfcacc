//! The new system's root: paths are the system's own, and links are followed within it, never out of it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// As many links the kernel follows, too.
const MOST_LINKS: usize = 40;

/// The root directory of a system that does not run.
pub(super) struct Tree {
    root: PathBuf,
}

/// Whose a file is, and its permissions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Owner {
    /// Of root, with these permissions.
    pub(super) const fn root(mode: u32) -> Self {
        Self { uid: 0, gid: 0, mode }
    }
}

impl Tree {
    /// Opens it; the running system's own root is refused.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let root = fs::canonicalize(root).with_context(|| format!("finding the new system in {}", root.display()))?;
        ensure!(root != Path::new("/"), "the new system is not the running one: / was given as its root");
        Ok(Self { root })
    }

    /// Where a path is seen from here. Links among its directories are followed, and the last one if asked.
    fn place(&self, path: &str, last: bool) -> Result<PathBuf> {
        let mut rest: VecDeque<OsString> = words(Path::new(path));
        let mut place = self.root.clone();
        let mut links = 0;
        while let Some(word) = rest.pop_front() {
            if word == ".." {
                if place != self.root {
                    place.pop();
                }
                continue;
            }
            place.push(&word);
            if (rest.is_empty() && !last) || !place.is_symlink() {
                continue;
            }
            links += 1;
            ensure!(links <= MOST_LINKS, "{path} goes round in circles in the new system");
            let target = fs::read_link(&place).with_context(|| format!("reading {}", place.display()))?;
            if target.is_absolute() {
                place.clone_from(&self.root);
            } else {
                place.pop();
            }
            for word in words(&target).into_iter().rev() {
                rest.push_front(word);
            }
        }
        Ok(place)
    }

    /// Whether a path is there, links followed.
    pub(super) fn has(&self, path: &str) -> bool {
        self.place(path, true).is_ok_and(|place| place.exists())
    }

    /// Whether a path is a directory.
    pub(super) fn has_directory(&self, path: &str) -> bool {
        self.place(path, true).is_ok_and(|place| place.is_dir())
    }

    /// A file's content.
    pub(super) fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.place(path, true)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some).with_context(|| format!("reading {path} of the new system")),
        }
    }

    /// A file as text; letters that are no UTF-8 are replaced.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, sorted; none if there is no such directory.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.place(path, true)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("reading {path} of the new system"))?,
        };
        let names: std::io::Result<Vec<_>> =
            entries.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned())).collect();
        let mut names = names.with_context(|| format!("reading {path} of the new system"))?;
        names.sort();
        Ok(names)
    }

    /// Writes a file, so that there is never half of one; what was there, a link as well, is replaced.
    pub(super) fn write(&self, path: &str, bytes: &[u8], owner: Owner) -> Result<()> {
        let place = self.place(path, false)?;
        ensure!(!place.is_dir() || place.is_symlink(), "{path} is a directory in the new system");
        self.parents(path)?;
        let name =
            place.file_name().with_context(|| format!("{path} is no file's name"))?.to_string_lossy().into_owned();
        let new = place.with_file_name(format!(".{name}.upgrade-tiny"));
        let write = || -> Result<()> {
            let _ = fs::remove_file(&new);
            // Nobody else reads it before it has its owner.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            own(&new, owner)?;
            file.sync_all()?;
            Ok(fs::rename(&new, &place)?)
        };
        write()
            .inspect_err(|_| drop(fs::remove_file(&new)))
            .with_context(|| format!("writing {path} of the new system"))
    }

    /// Writes a file that keeps its owner and permissions; a new one is root's with 0644.
    pub(super) fn edit(&self, path: &str, text: &str) -> Result<()> {
        let place = self.place(path, true)?;
        let inside = place.strip_prefix(&self.root).unwrap_or(&place).to_string_lossy().into_owned();
        let owner = fs::metadata(&place).ok().as_ref().map_or(Owner::root(0o644), of);
        self.write(&inside, text.as_bytes(), owner)
    }

    /// Makes a symbolic link in place of what was there.
    pub(super) fn link(&self, path: &str, target: &str) -> Result<()> {
        self.parents(path)?;
        let place = self.place(path, false)?;
        let new = place.with_extension("upgrade-tiny");
        let link = || -> Result<()> {
            let _ = fs::remove_file(&new);
            symlink(target, &new)?;
            Ok(fs::rename(&new, &place)?)
        };
        link().with_context(|| format!("linking {path} of the new system to {target}"))
    }

    /// Makes a directory if it is not there, with its parents as root's; gives it owner and permissions in any case.
    pub(super) fn directory(&self, path: &str, owner: Owner) -> Result<()> {
        self.parents(path)?;
        let place = self.place(path, true)?;
        let make = || -> Result<()> {
            match fs::create_dir(&place) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && place.is_dir() => {}
                made => made?,
            }
            own(&place, owner)
        };
        make().with_context(|| format!("making {path} in the new system"))
    }

    /// Copies a directory's content, for an owner.
    pub(super) fn copy(&self, from: &str, to: &str, uid: u32, gid: u32) -> Result<()> {
        for name in self.names(from)? {
            let (source, target) = (format!("{from}/{name}"), format!("{to}/{name}"));
            let place = self.place(&source, false)?;
            let meta = fs::symlink_metadata(&place).with_context(|| format!("reading {source} of the new system"))?;
            let owner = Owner { uid, gid, mode: meta.mode() & 0o777 };
            if meta.is_dir() {
                self.directory(&target, owner)?;
                self.copy(&source, &target, uid, gid)?;
            } else if meta.is_symlink() {
                let link = fs::read_link(&place).with_context(|| format!("reading {source} of the new system"))?;
                self.link(&target, &link.to_string_lossy())?;
                let place = self.place(&target, false)?;
                forgive(lchown(&place, Some(uid), Some(gid))).with_context(|| format!("giving {target} its owner"))?;
            } else if meta.is_file() {
                self.write(&target, &self.bytes(&source)?.unwrap_or_default(), owner)?;
            }
        }
        Ok(())
    }

    fn parents(&self, path: &str) -> Result<()> {
        let Some(parent) = Path::new(path).parent().and_then(Path::to_str).filter(|p| !p.is_empty()) else {
            return Ok(());
        };
        let place = self.place(parent, true)?;
        if place.is_dir() {
            return Ok(());
        }
        if place.exists() {
            bail!("{parent} is no directory in the new system");
        }
        self.directory(parent, Owner::root(0o755))
    }
}

fn of(meta: &Metadata) -> Owner {
    Owner { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777 }
}

fn own(path: &Path, owner: Owner) -> Result<()> {
    forgive(chown(path, Some(owner.uid), Some(owner.gid)))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))?)
}

/// An ordinary user who rehearses gives nothing away.
fn forgive(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() => Ok(()),
        result => result,
    }
}

fn words(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(word) => Some(word.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_and_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("usr/etc")).unwrap();
        symlink("/usr/etc", root.join("etc")).unwrap();
        symlink("../../../../../usr/etc/target", root.join("usr/etc/file")).unwrap();
        let tree = Tree::open(root).unwrap();
        tree.write("etc/target", b"old", Owner::root(0o640)).unwrap();
        tree.edit("etc/file", "new").unwrap();
        assert_eq!(fs::read_to_string(root.join("usr/etc/target")).unwrap(), "new");
        assert_eq!(fs::metadata(root.join("usr/etc/target")).unwrap().mode() & 0o7777, 0o640);
        tree.write("/etc/file", b"a file", Owner::root(0o600)).unwrap();
        assert!(root.join("usr/etc/file").symlink_metadata().unwrap().is_file());
        tree.link("etc/file", "target").unwrap();
        assert_eq!(tree.text("etc/file").unwrap().unwrap(), "new");
        assert_eq!(tree.names("etc").unwrap(), ["file", "target"]);
        assert!(tree.write("usr", b"", Owner::root(0o600)).is_err());
    }

    #[test]
    fn circles_and_the_running_system_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        assert!(tree.bytes("a").unwrap_err().to_string().contains("circles"));
        assert!(Tree::open(Path::new("/")).is_err());
    }
}
