//! A tree of files in one input. Each file begins with a line `==> PATH`, each link is a line `==> PATH -> TARGET`;
//! what is before the first of them is no file.

#![allow(dead_code, reason = "each target uses a part")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use image_create::assemble::initramfs::view::{Node, View};

const MARK: &[u8] = b"==> ";

enum File {
    Dir,
    Bytes(Vec<u8>),
    Link(PathBuf),
}

/// The tree. All files can be run.
pub struct Files(BTreeMap<PathBuf, File>);

impl Files {
    /// Takes an input apart.
    pub fn new(input: &[u8]) -> Self {
        let mut files = Self(BTreeMap::from([(PathBuf::from("/"), File::Dir)]));
        let starts: Vec<usize> = (0..input.len())
            .filter(|&at| input[at..].starts_with(MARK) && (at == 0 || input[at - 1] == b'\n'))
            .chain([input.len()])
            .collect();
        for pair in starts.windows(2) {
            let part = &input[pair[0] + MARK.len()..pair[1]];
            let end = part.iter().position(|&b| b == b'\n').unwrap_or(part.len());
            let (name, content) = (&part[..end], &part[(end + 1).min(part.len())..]);
            match name.windows(4).position(|w| w == b" -> ") {
                Some(at) => files.put(&name[..at], File::Link(OsStr::from_bytes(&name[at + 4..]).into())),
                None => files.put(name, File::Bytes(content.to_vec())),
            }
        }
        files
    }

    /// Puts a file in place of whatever is there; where a file is in the way, nothing is done.
    pub fn add(&mut self, path: &Path, bytes: Vec<u8>) {
        self.put(path.as_os_str().as_bytes(), File::Bytes(bytes));
    }

    fn put(&mut self, name: &[u8], file: File) {
        let parts = name.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b"." && *part != b"..");
        let path: PathBuf = std::iter::once(OsStr::new("/")).chain(parts.map(OsStr::from_bytes)).collect();
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        let blocked = above.iter().any(|dir| matches!(self.0.get(*dir), Some(File::Bytes(_) | File::Link(_))));
        if blocked || matches!(self.0.get(&path), Some(File::Dir)) {
            return;
        }
        for dir in above {
            self.0.insert(dir.to_owned(), File::Dir);
        }
        self.0.insert(path, file);
    }

    /// The paths of all files, links left out.
    pub fn paths(&self) -> Vec<PathBuf> {
        let files = self.0.iter().filter(|(_, file)| matches!(file, File::Bytes(_)));
        files.map(|(path, _)| path.clone()).collect()
    }
}

impl View for Files {
    fn get(&self, path: &Path) -> io::Result<Option<Node>> {
        Ok(self.0.get(path).map(|file| match file {
            File::Dir => Node::Dir,
            File::Bytes(bytes) => Node::File { mode: 0o755, len: bytes.len() as u64 },
            File::Link(target) => Node::Link(target.clone()),
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.0.get(path) {
            Some(File::Bytes(bytes)) => Ok(bytes.clone()),
            Some(_) => Err(io::ErrorKind::InvalidInput.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        match self.0.get(dir) {
            Some(File::Dir) => {}
            Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let inside = self.0.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()).map(OsStr::to_owned).collect())
    }
}
