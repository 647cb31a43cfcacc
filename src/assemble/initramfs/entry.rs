//! What an initramfs consists of: names with their metadata and content.

use std::path::PathBuf;
use std::sync::Arc;

/// The bits of a mode that hold the type of a file.
pub const TYPE_MASK: u32 = 0o170_000;
/// The type bits of a directory.
pub const DIRECTORY: u32 = 0o040_000;
/// The type bits of a regular file.
pub const REGULAR: u32 = 0o100_000;
/// The type bits of a symbolic link.
pub const LINK: u32 = 0o120_000;
/// The type bits of a character device.
pub const CHARACTER: u32 = 0o020_000;
/// The type bits of a block device.
pub const BLOCK: u32 = 0o060_000;
/// The type bits of a named pipe.
pub const FIFO: u32 = 0o010_000;
/// The type bits of a socket.
pub const SOCKET: u32 = 0o140_000;

/// One entry of a cpio archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Bytes as they stand in the archive, without a leading `/` or `./`; the root itself is `.`.
    pub name: Vec<u8>,
    /// Permissions and type bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970; the format has 32 bits and no sign.
    pub mtime: u32,
    /// Number of names that the archive gives to this file; more than 1 only for hard links.
    pub nlink: u32,
    /// Inode number; names with the same number and device (and `nlink` above 1) are hard links.
    pub ino: u32,
    /// Major and minor number of the device that the file was on when it was packed.
    pub dev: (u32, u32),
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// What is in a regular file, or the target of a symbolic link.
    pub content: Content,
}

/// The content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// None: directories, devices, further names of a hard link.
    Empty,
    /// Held in memory.
    Bytes(Arc<[u8]>),
    /// Read from a file of the host when the image is written.
    File(PathBuf),
}

impl Entry {
    /// Gives the type bits.
    #[must_use]
    pub fn kind(&self) -> u32 {
        self.mode & TYPE_MASK
    }
}
