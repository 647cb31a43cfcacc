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
    /// In an image that was read without keeping the contents of files: only the length in bytes is known.
    Unread(u64),
    /// Read from a file of the host when the image is written.
    File(PathBuf),
}

impl Content {
    /// Bytes that stand in the archive for this; of a file of the host as it is now.
    ///
    /// # Errors
    /// When a file of the host cannot be looked at.
    pub fn size(&self) -> std::io::Result<u64> {
        Ok(match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Unread(len) => *len,
            Self::File(path) => std::fs::metadata(path)?.len(),
        })
    }
}

impl Entry {
    /// An entry of `root` with one name, whose mode is `mode` with type bits.
    pub fn new(name: impl AsRef<[u8]>, mode: u32) -> Self {
        Self {
            name: plain_name(name.as_ref()).to_vec(),
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            nlink: 1,
            ino: 0,
            dev: (0, 0),
            rdev: (0, 0),
            content: Content::Empty,
        }
    }

    /// The same with a content.
    #[must_use]
    pub fn with(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Gives the type bits.
    #[must_use]
    pub fn kind(&self) -> u32 {
        self.mode & TYPE_MASK
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind() == DIRECTORY
    }

    /// Whether it is one of the four kinds that have neither content nor children.
    #[must_use]
    pub fn is_special(&self) -> bool {
        matches!(self.kind(), CHARACTER | BLOCK | FIFO | SOCKET)
    }

    /// The target of a symbolic link.
    #[must_use]
    pub fn target(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Bytes(target) if self.kind() == LINK => Some(target),
            _ => None,
        }
    }

    /// The name for messages, with `/` before it.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.name)
    }
}

/// A name as messages show it: absolute, bytes that are no printable text as `\ooo`.
#[must_use]
pub fn shown(name: &[u8]) -> String {
    if name == b"." { "/".to_owned() } else { format!("/{}", escaped(name)) }
}

/// Bytes as text on one line: control characters, backslashes and what is not UTF-8 as `\ooo`.
#[must_use]
pub fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|b| text.push_str(&format!("\\{b:03o}")));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|b| text.push_str(&format!("\\{b:03o}")));
    }
    text
}

/// A name without `/` and `./` at its beginning and `/` at its end; `.` for the root itself.
#[must_use]
pub fn plain_name(mut name: &[u8]) -> &[u8] {
    loop {
        name = match name {
            [b'/', rest @ ..] | [b'.', b'/', rest @ ..] | [rest @ .., b'/'] => rest,
            [] => return b".",
            _ => return name,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_every_name_has() {
        for (given, plain) in [
            ("./bin/sh", "bin/sh"),
            ("//bin/", "bin"),
            ("/", "."),
            (".", "."),
            ("", "."),
            ("..a", "..a"),
            ("./.x", ".x"),
        ] {
            assert_eq!(plain_name(given.as_bytes()), plain.as_bytes(), "{given}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_on_one_line() {
        assert_eq!(shown(b"a\xffb\n\\"), "/a\\377b\\012\\134");
        assert_eq!(shown("größe".as_bytes()), "/größe");
        assert_eq!(shown(b"."), "/");
    }
}
