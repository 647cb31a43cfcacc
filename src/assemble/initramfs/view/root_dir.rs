//! A directory of the host as a view.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use nix::fcntl::OFlag;

use super::{Node, View};

/// A directory of the host, which is never left: links are not the operating system's to follow.
#[derive(Debug)]
pub struct RootDir {
    root: PathBuf,
    /// Directories of the view that are known to be reached without links.
    known: Mutex<HashSet<PathBuf>>,
}

impl RootDir {
    /// A view of what is below `root`. Links in `root` itself are the host's and are followed.
    ///
    /// # Errors
    /// Not there or no directory.
    pub fn new(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, known: Mutex::new(HashSet::new()) })
    }

    /// The directory on the host.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of the view is on the host; `None` if a directory above it is missing or a link.
    fn host_path(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        let Some((last, above)) = parts.split_last() else { return Ok(Some(self.root.clone())) };
        let dir: PathBuf = above.iter().collect();
        if !self.is_plain_dir(&dir)? {
            return Ok(None);
        }
        Ok(Some(self.root.join(dir).join(last)))
    }

    /// Whether a directory (relative to the root) is there and no part of it is a link.
    fn is_plain_dir(&self, dir: &Path) -> io::Result<bool> {
        if dir.as_os_str().is_empty() {
            return Ok(true);
        }
        if self.known.lock().unwrap_or_else(|e| e.into_inner()).contains(dir) {
            return Ok(true);
        }
        if !self.is_plain_dir(dir.parent().unwrap_or(Path::new("")))? {
            return Ok(false);
        }
        let there = match fs::symlink_metadata(self.root.join(dir)) {
            Ok(meta) => meta.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if there {
            self.known.lock().unwrap_or_else(|e| e.into_inner()).insert(dir.to_owned());
        }
        Ok(there)
    }
}

impl View for RootDir {
    fn get(&self, path: &Path) -> io::Result<Option<Node>> {
        let Some(host) = self.host_path(path)? else { return Ok(None) };
        let meta = match fs::symlink_metadata(&host) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(if meta.is_dir() {
            Node::Dir
        } else if meta.is_symlink() {
            Node::Link(fs::read_link(&host)?)
        } else if meta.is_file() {
            Node::File { mode: meta.permissions().mode() & 0o7777, len: meta.len() }
        } else {
            Node::Other
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let host = self.host_path(path)?.ok_or(io::ErrorKind::NotFound)?;
        // Not blocking: opening a named pipe must not wait for its writer.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(host)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let host = self.host_path(dir)?.ok_or(io::ErrorKind::NotFound)?;
        if !fs::symlink_metadata(&host)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut names = fs::read_dir(host)?.map(|e| e.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{Unresolved, read, resolve};
    use super::*;

    fn tree() -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/lib/deep")).unwrap();
        fs::write(root.join("usr/lib/deep/file"), "inside").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/lib/deep", root.join("absolute")).unwrap();
        symlink("../../../../../../../../usr/lib/deep/file", root.join("usr/lib/up")).unwrap();
        symlink("/etc/passwd", root.join("outside")).unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let view = RootDir::new(root).unwrap();
        (dir, view)
    }

    #[test]
    fn links_are_followed_inside_and_told() {
        let (_dir, view) = tree();
        let found = resolve(&view, Path::new("/absolute/file")).unwrap();
        assert_eq!(found.path, Path::new("/usr/lib/deep/file"));
        assert_eq!(found.links().collect::<Vec<_>>(), [Path::new("/absolute"), Path::new("/lib")]);
        let dirs: Vec<_> = found.passed.iter().filter(|(_, n)| *n == Node::Dir).map(|(p, _)| p.as_path()).collect();
        assert_eq!(dirs, ["/usr", "/usr/lib", "/usr/lib/deep"].map(Path::new));
        assert_eq!(read(&view, Path::new("/lib/up")).unwrap(), b"inside");
        let dir = resolve(&view, Path::new("/lib/deep")).unwrap();
        assert_eq!((dir.path.as_path(), dir.node), (Path::new("/usr/lib/deep"), Node::Dir));
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let (_dir, view) = tree();
        match resolve(&view, Path::new("/outside")) {
            Err(Unresolved::Missing { path, links }) => {
                assert_eq!(path, Path::new("/etc/passwd"));
                assert_eq!(links, [Path::new("/outside")]);
            }
            other => panic!("{other:?}"),
        }
        assert!(view.read(Path::new("/outside")).is_err());
        assert!(view.read(Path::new("/../etc/passwd")).is_err());
        assert!(view.get(Path::new("/lib/deep")).unwrap().is_none(), "a link above is not followed by get");
        assert!(matches!(resolve(&view, Path::new("/a")), Err(Unresolved::Loop(_))));
    }
}
