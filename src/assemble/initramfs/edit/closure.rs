//! Puts what a closure has found in a root tree into a base that may name its directories otherwise.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Addition;
use crate::assemble::initramfs::closure::{Cache, Item};
use crate::assemble::initramfs::entry::{Content, Entry, REGULAR, plain_name};
use crate::assemble::initramfs::tree::{Tree, new_link};
use crate::assemble::initramfs::view::{Node, RootDir, read, resolve};

/// What glibc's loader knows about libraries outside of its default directories.
const CACHE: &str = "etc/ld.so.cache";

/// Whether a file of an image is the loader's cache.
#[must_use]
pub fn is_cache(name: &[u8]) -> bool {
    plain_name(name) == CACHE.as_bytes()
}

/// The base's cache with the libraries of `cache` in it. Of the same name, these come first: what comes along was built
/// with them.
#[must_use]
pub fn cache_over(mut cache: Cache, base: &Tree) -> Addition {
    let path = Path::new("/").join(CACHE);
    cache.extend(Cache::parse(&read(base, &path).unwrap_or_default()));
    let content = Content::Bytes(cache.write().into());
    Addition::Entry(Entry::new(CACHE.as_bytes(), REGULAR | 0o644).with(content))
}

/// What has to be added for `items` of the tree `root`, given what the base holds.
///
/// A root tree with merged `/usr` has `/lib` as a link. In a base where `/lib` is a directory, the files below the
/// link's target get links in that directory, so that programs find them by both names, and never an older copy.
#[must_use]
pub fn additions(root: &Path, items: &[Item], base: &Tree) -> Vec<Addition> {
    let mut additions = Vec::new();
    let mut parted: Vec<(&Path, PathBuf)> = Vec::new();
    for item in items {
        let dest = bytes(&item.path);
        match &item.node {
            Node::Dir | Node::Other => {}
            Node::File { .. } => {
                let source = root.join(item.path.strip_prefix("/").unwrap_or(&item.path));
                additions.push(Addition::Copy { source, dest: dest.to_vec() });
            }
            Node::Link(target) => match base.follow(dest) {
                Some((_, entry)) if entry.is_dir() => {
                    let there = base.get(dest).is_some_and(|entry| entry.is_dir());
                    if there {
                        parted.push((&item.path, absolute(&item.path, target)));
                    }
                }
                _ => additions.push(Addition::Entry(new_link(dest, bytes(target), 0))),
            },
        }
    }
    for (link, target) in parted {
        for item in items.iter().filter(|item| !matches!(item.node, Node::Dir)) {
            if let Ok(below) = item.path.strip_prefix(&target) {
                let place = link.join(below);
                // Only one of the two names is a directory's: what is the same place already needs no link.
                if base.land(bytes(&place)).ok() != base.land(bytes(&item.path)).ok() {
                    additions.push(Addition::Entry(new_link(bytes(&place), bytes(&item.path), 0)));
                }
            }
        }
    }
    additions
}

/// Libraries of glibc besides libc itself: all of a system have to be of one build, as they call each other by private names.
const GLIBC: &[&str] = &[
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnss_compat.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

/// Libraries of the base that have to come from `root` too, as `items` bring its libc: their paths in `root`.
#[must_use]
pub fn companions(root: &RootDir, items: &[Item], base: &Tree) -> Vec<PathBuf> {
    let has = |path: &Path| items.iter().any(|item| item.path == path);
    if !items.iter().any(|item| item.path.file_name() == Some("libc.so.6".as_ref())) {
        return Vec::new();
    }
    let entries = base.entries();
    let paths = entries.iter().map(|entry| Path::new("/").join(OsStr::from_bytes(&entry.name)));
    let paths = paths.filter(|path| GLIBC.iter().any(|name| path.file_name() == Some(name.as_ref())));
    paths.filter(|path| resolve(root, path).is_ok_and(|end| end.is_file() && !has(&end.path))).collect()
}

/// The target of a link as an absolute path, dots taken out.
fn absolute(link: &Path, target: &Path) -> PathBuf {
    let mut path = PathBuf::from("/");
    for part in link.parent().unwrap_or(link).join(target).components() {
        match part {
            std::path::Component::Normal(name) => path.push(name),
            std::path::Component::ParentDir => drop(path.pop()),
            _ => {}
        }
    }
    path
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
