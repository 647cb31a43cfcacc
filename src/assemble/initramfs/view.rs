//! A tree of files that closures look into: a root directory, or what an initramfs unpacks to.

mod resolve;
mod root_dir;

pub use resolve::{Resolved, Unresolved, exists, read, resolve};
pub use root_dir::RootDir;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// A file as `lstat` would tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// Permissions, without type bits.
        mode: u32,
        /// Length in bytes.
        len: u64,
    },
    /// A symbolic link, with its target as written.
    Link(PathBuf),
    /// A device, pipe or socket.
    Other,
}

/// A tree of files. Paths are absolute within the tree (`/usr/bin/env`).
pub trait View: Sync {
    /// Looks up one path. Links in the directories above it are not followed: see [`resolve`].
    ///
    /// # Errors
    /// What the operating system says. A path that is not there is `Ok(None)`.
    fn get(&self, path: &Path) -> io::Result<Option<Node>>;

    /// Reads a regular file as a whole. Links are not followed: see [`read`].
    ///
    /// # Errors
    /// Not there, no regular file, or what the operating system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// Not there, no directory, or what the operating system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;
}
