//! Unpacks an image below a directory. Nothing outside it is touched: paths are those of a [`Tree`], without `..`
//! and links, and every directory on the way is opened without following links.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, geteuid, linkat, symlinkat, unlinkat};

use super::entry::{DIRECTORY, Entry, LINK, REGULAR, TYPE_MASK, shown};
use super::segments::{At, Image, Segment, Step, known_segment};
use super::tree::Tree;
use crate::error::{Fault, Faults, Place};

/// What is to be unpacked.
pub struct Selection<'a> {
    /// One segment alone.
    pub segment: Option<usize>,
    /// Names (without `/` before them) that are wanted.
    pub wanted: &'a dyn Fn(&[u8]) -> bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Extracted {
    /// Entries that were unpacked.
    pub entries: usize,
    /// Device nodes that only root may make, with `/` before their names.
    pub left_out: Vec<String>,
}

/// Unpacks what `selection` wants of `image` into `dir`, which is made if it is not there.
/// The image is read as a whole before anything is written.
///
/// # Errors
/// [`Faults`] for a damaged image, names with `..`, and entries that have no place; failures to write.
pub fn extract(image: &Image, dir: &Path, selection: &Selection<'_>) -> Result<Extracted> {
    let tree = plan(image, selection)?;
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let mut target = Target::open(dir)?;
    let entries = needed(&tree, selection);
    for entry in entries.iter().filter(|e| e.is_dir()) {
        target.dir(entry)?;
    }
    files(image, &tree, &entries, &mut target)?;
    let mut done = Extracted { entries: entries.len(), left_out: Vec::new() };
    for entry in &entries {
        target.other(entry, &mut done)?;
    }
    for entry in entries.iter().rev().filter(|e| e.is_dir()) {
        target.finish_dir(entry)?;
    }
    done.entries -= done.left_out.len();
    Ok(done)
}

/// Reads the image once, to know what will be where.
fn plan(image: &Image, selection: &Selection<'_>) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut faults = Vec::new();
    let segments = image.walk(&mut |step| {
        match step {
            Step::Entry { at, entry, .. } if selection.segment.is_none_or(|only| only == at.segment) => {
                let climbs = entry.name.split(|b| *b == b'/').any(|name| name == b"..");
                if climbs && (selection.wanted)(&entry.name) {
                    let what = format!("{} leads out of the tree", shown(&entry.name));
                    faults.push((at, what));
                }
                tree.unpack(entry, Some(at));
            }
            Step::Trailer => tree.forget_links(),
            _ => {}
        }
        Ok(())
    })?;
    if let Some(segment) = selection.segment {
        known_segment(image.path(), &segments, segment)?;
    }
    for lost in tree.lost().iter().filter(|lost| (selection.wanted)(&lost.name)) {
        if let Some(at) = lost.at {
            faults.push((at, format!("{} cannot be unpacked: {}", shown(&lost.name), lost.why)));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults.dedup_by_key(|(at, _)| *at);
    let faults = faults.into_iter().map(|(at, what)| located(image, &segments, at, &what)).collect();
    Ok(Faults::or(faults, tree)?)
}

fn located(image: &Image, segments: &[Segment], at: At, what: &str) -> Fault {
    let from = segments.get(at.segment - 1).map_or(0, |segment| segment.offset);
    let text = format!("segment {} (from byte {from} of the file), unpacked byte {}: {what}", at.segment, at.offset);
    Fault::at(Place::file(image.path()), text).hint("name what you want of the image after the directory")
}

/// What is wanted, and the directories above it.
fn needed(tree: &Tree, selection: &Selection<'_>) -> Vec<Entry> {
    let mut entries = tree.entries();
    let mut dirs: HashSet<Vec<u8>> = HashSet::new();
    for entry in entries.iter().filter(|e| (selection.wanted)(&e.name)) {
        let ends = entry.name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        dirs.extend(ends.map(|end| entry.name[..end].to_vec()));
        dirs.insert(entry.name.clone());
    }
    entries.retain(|e| dirs.contains(&e.name));
    entries
}

/// Reads the image again, for the contents of files.
fn files(image: &Image, tree: &Tree, entries: &[Entry], target: &mut Target) -> Result<()> {
    let mut first_names: HashMap<u32, &Entry> = HashMap::new();
    let mut sources: HashMap<At, &Entry> = HashMap::new();
    for entry in entries.iter().filter(|e| e.kind() == REGULAR) {
        if first_names.contains_key(&entry.ino) {
            continue;
        }
        first_names.insert(entry.ino, entry);
        sources.extend(tree.from(&entry.name).map(|at| (at, entry)));
    }
    image.walk(&mut |step| {
        if let Step::Entry { at, body, .. } = step
            && let Some(entry) = sources.get(&at)
        {
            target.file(entry, body)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// The directory that is unpacked into.
struct Target {
    path: PathBuf,
    root: OwnedFd,
    as_root: bool,
    /// The directory that was used last.
    recent: Option<(Vec<u8>, OwnedFd)>,
    /// First names of files, by their number in the tree.
    linked: HashMap<u32, Vec<u8>>,
}

const DIR_FLAGS: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Target {
    fn open(path: &Path) -> Result<Self> {
        // The user may name it by a link.
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root =
            openat(AT_FDCWD, path, flags, Mode::empty()).with_context(|| format!("opening {}", path.display()))?;
        let as_root = geteuid().is_root();
        Ok(Self { path: path.to_owned(), root, as_root, recent: None, linked: HashMap::new() })
    }

    fn doing(&self, what: &str, name: &[u8]) -> String {
        format!("{what} {}{}", self.path.display(), shown(name))
    }

    /// Opens the directory of `name`, and gives it with the last part of the name.
    fn parent<'a, 'n>(&'a mut self, name: &'n [u8]) -> Result<(BorrowedFd<'a>, &'n [u8])> {
        let Some(slash) = name.iter().rposition(|b| *b == b'/') else { return Ok((self.root.as_fd(), name)) };
        let (dir, last) = (&name[..slash], &name[slash + 1..]);
        if self.recent.as_ref().is_none_or(|(path, _)| path != dir) {
            let doing = self.doing("opening", dir);
            let mut fd: Option<OwnedFd> = None;
            for part in dir.split(|b| *b == b'/') {
                let at = fd.as_ref().map_or(self.root.as_fd(), OwnedFd::as_fd);
                fd = Some(openat(at, part, DIR_FLAGS, Mode::empty()).with_context(|| doing.clone())?);
            }
            self.recent = fd.map(|fd| (dir.to_vec(), fd));
        }
        Ok((self.recent.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()), last))
    }

    /// Makes a directory that only we may use yet.
    fn dir(&mut self, entry: &Entry) -> Result<()> {
        if entry.name == b"." {
            return Ok(());
        }
        let doing = self.doing("creating", &entry.name);
        let (dir, name) = self.parent(&entry.name)?;
        match mkdirat(dir, name, Mode::S_IRWXU) {
            // Opening it later fails if it is no directory.
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(err) => Err(err).context(doing),
        }
    }

    fn finish_dir(&mut self, entry: &Entry) -> Result<()> {
        if entry.name == b"." {
            return Ok(());
        }
        let doing = self.doing("setting the mode of", &entry.name);
        let as_root = self.as_root;
        let (dir, name) = self.parent(&entry.name)?;
        let set = || {
            let fd = openat(dir, name, DIR_FLAGS, Mode::empty())?;
            settle(&fd, entry, as_root)
        };
        set().context(doing)
    }

    /// Makes a file in place of what is there.
    fn file(&mut self, entry: &Entry, body: &mut dyn Read) -> Result<()> {
        let doing = self.doing("writing", &entry.name);
        let as_root = self.as_root;
        let (dir, name) = self.parent(&entry.name)?;
        clear(dir, name).with_context(|| doing.clone())?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).with_context(|| doing.clone())?;
        let mut file = File::from(fd);
        std::io::copy(body, &mut file).with_context(|| doing.clone())?;
        settle(&file, entry, as_root).context(doing)?;
        self.linked.insert(entry.ino, entry.name.clone());
        Ok(())
    }

    /// Makes what is neither a directory nor the first name of a file.
    fn other(&mut self, entry: &Entry, done: &mut Extracted) -> Result<()> {
        let doing = self.doing("creating", &entry.name);
        match entry.kind() {
            DIRECTORY => return Ok(()),
            REGULAR => return self.hard_link(entry),
            _ => {}
        }
        let as_root = self.as_root;
        let (dir, name) = self.parent(&entry.name)?;
        clear(dir, name).with_context(|| doing.clone())?;
        if entry.kind() == LINK {
            return link(dir, name, entry, as_root).context(doing);
        }
        let kind = SFlag::from_bits_truncate(entry.mode & TYPE_MASK);
        let (major, minor) = entry.rdev;
        match mknodat(dir, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, makedev(major.into(), minor.into())) {
            Ok(()) => settle_node(dir, name, entry, as_root).context(doing),
            Err(Errno::EPERM) => {
                done.left_out.push(shown(&entry.name));
                Ok(())
            }
            Err(err) => Err(err).context(doing),
        }
    }

    fn hard_link(&mut self, entry: &Entry) -> Result<()> {
        let Some(first) = self.linked.get(&entry.ino).filter(|first| **first != entry.name).cloned() else {
            return Ok(());
        };
        let doing = self.doing("linking", &entry.name);
        let (dir, name) = self.parent(&first)?;
        let dir = dir.try_clone_to_owned().with_context(|| doing.clone())?;
        let (new_dir, new_name) = self.parent(&entry.name)?;
        clear(new_dir, new_name).with_context(|| doing.clone())?;
        linkat(&dir, name, new_dir, new_name, AtFlags::empty()).context(doing)
    }
}

/// Removes a file that is in the way.
fn clear(dir: BorrowedFd<'_>, name: &[u8]) -> nix::Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(err) => Err(err),
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

/// Without the owner, nobody gets rights by running it.
fn mode(entry: &Entry, as_root: bool) -> Mode {
    Mode::from_bits_truncate(entry.mode & if as_root { 0o7777 } else { 0o1777 })
}

fn time(entry: &Entry) -> TimeSpec {
    TimeSpec::new(entry.mtime.into(), 0)
}

fn settle(file: &impl AsFd, entry: &Entry, as_root: bool) -> nix::Result<()> {
    if as_root {
        let (uid, gid) = owner(entry);
        fchown(file.as_fd(), uid, gid)?;
    }
    fchmod(file.as_fd(), mode(entry, as_root))?;
    futimens(file.as_fd(), &time(entry), &time(entry))
}

fn link(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry, as_root: bool) -> nix::Result<()> {
    symlinkat(entry.target().unwrap_or_default(), dir, name)?;
    settle_by_name(dir, name, entry, as_root)
}

fn settle_node(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry, as_root: bool) -> nix::Result<()> {
    settle_by_name(dir, name, entry, as_root)?;
    // Just made, and no link.
    fchmodat(dir, name, mode(entry, as_root), FchmodatFlags::FollowSymlink)
}

fn settle_by_name(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry, as_root: bool) -> nix::Result<()> {
    if as_root {
        let (uid, gid) = owner(entry);
        fchownat(dir, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    utimensat(dir, name, &time(entry), &time(entry), UtimensatFlags::NoFollowSymlink)
}
