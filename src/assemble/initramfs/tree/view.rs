//! The tree as something that closures look into.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{File, ROOT, Tree, components};
use crate::assemble::initramfs::entry::{Content, DIRECTORY, Entry, LINK, REGULAR, shown};
use crate::assemble::initramfs::view::{Node, View};

impl Tree {
    /// Looks up a path without following any link.
    fn exact(&self, path: &Path) -> Option<&File> {
        let mut id = ROOT;
        for name in components(path.as_os_str().as_bytes()).iter().rev() {
            id = *self.files[id].children.get(name)?;
        }
        Some(&self.files[id])
    }
}

impl View for Tree {
    fn get(&self, path: &Path) -> io::Result<Option<Node>> {
        let Some(file) = self.exact(path) else { return Ok(None) };
        let entry = &file.entry;
        Ok(Some(match entry.kind() {
            DIRECTORY => Node::Dir,
            REGULAR => Node::File { mode: entry.mode & 0o7777, len: entry.content.size()? },
            LINK => Node::Link(PathBuf::from(OsStr::from_bytes(entry.target().unwrap_or_default()))),
            _ => Node::Other,
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.exact(path).ok_or(io::ErrorKind::NotFound)?;
        content(&file.entry).map(|bytes| bytes.to_vec())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let file = self.exact(dir).ok_or(io::ErrorKind::NotFound)?;
        if !file.entry.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(file.children.keys().map(|name| OsString::from_vec(name.clone())).collect())
    }
}

/// The content of a regular file.
pub(super) fn content(entry: &Entry) -> io::Result<Arc<[u8]>> {
    if entry.kind() != REGULAR {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    match &entry.content {
        Content::Empty => Ok(Arc::default()),
        Content::Bytes(bytes) => Ok(bytes.clone()),
        Content::File(path) => std::fs::read(path).map(Arc::from),
        Content::Unread(_) => Err(io::Error::other(format!("the content of {} was not kept", shown(&entry.name)))),
    }
}
