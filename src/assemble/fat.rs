//! FAT, written in user space in one pass: no tool, no mount, no kernel support needed.
//!
//! The whole tree is known beforehand, so every file and directory lies in one piece, and whether it all fits
//! is known before the first byte is written. Format: Microsoft's FAT specification (fatgen103).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::fat_entry::{ARCHIVE, DIRECTORY, Directory, Stamp, VOLUME_LABEL};
use super::fat_geometry::{Geometry, Kind, Request};
use super::filesystem::{Job, TooSmall, human};
use super::identity::volume_id;
use crate::error::on;

/// A chain's last cluster.
const END_OF_CHAIN: u32 = 0x0fff_ffff;

/// Makes and fills it; see [`super::filesystem::fill`]. Owners and modes are lost, links and devices refused. The
/// extent must read as zeros.
///
/// # Errors
/// As there.
pub fn fill(job: &Job, source: Option<&Path>) -> Result<()> {
    let label = label(job)?;
    let mut request = Request::read(&job.filesystem.options)?;
    request.volume_id.get_or_insert(volume_id(job.uuid));
    let geometry =
        Geometry::choose(job.extent, job.sector_size, &request).map_err(|said| TooSmall::new(job, source, said))?;
    let mut root = Node { name: String::new(), content: Content::Directory(vec![]), stamp: Stamp::of(0), first: 0 };
    if let Some(source) = source {
        root = scan(source, String::new(), job.epoch)?;
    }
    let mut plan = Plan { geometry: &geometry, next: 2 };
    let fixed_root = geometry.kind != Kind::Fat32;
    plan.allocate(&mut root, !fixed_root, true)?;
    let root_size = root.directory_size(true);
    if fixed_root && root_size > geometry.root_entries * 32 {
        bail!("the root directory of a {} holds {} entries at most", geometry.kind, geometry.root_entries);
    }
    let used = plan.next - 2;
    if used > geometry.clusters {
        let needed = human(u64::from(used) * geometry.cluster_bytes());
        return Err(TooSmall::new(job, source, format!("its files and directories take {needed}")).into());
    }
    let file = File::options().read(true).write(true).open(job.image).with_context(|| on("opening", job.image))?;
    let writer = Writer { file: &file, start: job.extent.start, geometry: &geometry };
    let write = || -> Result<()> {
        writer.structures(&request, &label, used)?;
        writer.tables(&root, !fixed_root)?;
        writer.directory(&root, None, Some(&label))
    };
    write().with_context(|| on("writing", job.image))
}

/// The label as its directory entry has it: eleven bytes, filled up with blanks; nothing for an empty one.
fn label(job: &Job) -> Result<Option<[u8; 11]>> {
    let label = job.filesystem.label.to_uppercase();
    ensure!(label.is_ascii() && label.len() <= 11, "the FAT label '{label}' is not up to 11 ASCII letters");
    let mut padded = [b' '; 11];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    Ok((!label.is_empty()).then_some(padded))
}

/// A file or directory to store.
struct Node {
    name: String,
    content: Content,
    stamp: Stamp,
    /// Its first cluster; 0 for an empty file and for a root outside the clusters.
    first: u32,
}

enum Content {
    Directory(Vec<Node>),
    File { path: PathBuf, size: u32 },
}

impl Node {
    /// Bytes of a directory's entries.
    fn directory_size(&self, root: bool) -> u32 {
        let Content::Directory(children) = &self.content else { return 0 };
        // A root has the label, any other directory `.` and `..`.
        let own = if root { 1 } else { 2 };
        let entries: usize = children.iter().map(|c| Directory::entries_of(&c.name)).sum();
        (own + entries) as u32 * 32
    }
}

/// Reads the names and sizes of a tree.
fn scan(path: &Path, name: String, epoch: Option<i64>) -> Result<Node> {
    let meta = path.symlink_metadata().with_context(|| on("looking at", path))?;
    let stamp = Stamp::of(meta.mtime().min(epoch.unwrap_or(i64::MAX)));
    let content = if meta.is_dir() {
        Content::Directory(scan_children(path, epoch)?)
    } else if meta.is_file() {
        let size = u32::try_from(meta.len());
        let size = size.with_context(|| format!("{} is larger than the 4 GiB that FAT can store", path.display()))?;
        Content::File { path: path.to_owned(), size }
    } else {
        bail!("FAT holds files and directories only, and {} is neither", path.display());
    };
    Ok(Node { name, content, stamp, first: 0 })
}

fn scan_children(dir: &Path, epoch: Option<i64>) -> Result<Vec<Node>> {
    let mut children: BTreeMap<String, Node> = BTreeMap::new();
    for child in std::fs::read_dir(dir).with_context(|| on("listing", dir))? {
        let path = child.with_context(|| on("listing", dir))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).filter(|n| Directory::can_name(n));
        let name = name.with_context(|| format!("FAT cannot store the name of {}", path.display()))?.to_owned();
        let node = scan(&path, name.clone(), epoch)?;
        // FAT does not tell upper from lower case.
        if let Some(other) = children.insert(name.to_uppercase(), node) {
            bail!("{name} and {} in {} have the same name on FAT", other.name, dir.display());
        }
    }
    Ok(children.into_values().collect())
}

/// Gives out clusters, one after the other.
struct Plan<'a> {
    geometry: &'a Geometry,
    next: u32,
}

impl Plan<'_> {
    /// Gives clusters to a node (`itself`: unless it is a root outside the clusters) and all below it.
    fn allocate(&mut self, node: &mut Node, itself: bool, root: bool) -> Result<()> {
        let size = match &node.content {
            Content::File { size, .. } => *size,
            Content::Directory(_) => node.directory_size(root).max(1),
        };
        if itself && size > 0 {
            node.first = self.next;
            let clusters = self.geometry.clusters_of(size);
            self.next = self.next.checked_add(clusters).context("the content is larger than any FAT")?;
        }
        if let Content::Directory(children) = &mut node.content {
            for child in children {
                self.allocate(child, true, false)?;
            }
        }
        Ok(())
    }
}

/// Writes into the extent.
struct Writer<'a> {
    file: &'a File,
    start: u64,
    geometry: &'a Geometry,
}

impl Writer<'_> {
    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.start + at)
    }

    /// The boot sector, and for FAT32 its copy and the sector with the number of free clusters.
    fn structures(&self, request: &Request, label: &Option<[u8; 11]>, used: u32) -> io::Result<()> {
        let sector = u64::from(self.geometry.sector);
        let boot = self.geometry.boot_sector(request.volume_id.unwrap_or(0), label, self.start / sector);
        self.put(0, &boot)?;
        if self.geometry.kind == Kind::Fat32 {
            let info = self.geometry.info_sector(used);
            for copy in [0, 6] {
                self.put(copy * sector, &boot)?;
                self.put((copy + 1) * sector, &info)?;
            }
        }
        Ok(())
    }

    /// Both file allocation tables.
    fn tables(&self, root: &Node, root_too: bool) -> io::Result<()> {
        let geometry = self.geometry;
        // The first two entries are no clusters.
        let mut chains = vec![0x0fff_ff00 | u32::from(Geometry::MEDIA), END_OF_CHAIN];
        chain(root, geometry, true, root_too, &mut chains);
        let bytes = geometry.kind.encode(&chains);
        for copy in 0..2 {
            self.put(geometry.table_at(copy), &bytes)?;
        }
        Ok(())
    }

    /// A directory's entries, and everything in it.
    fn directory(&self, node: &Node, parent: Option<&Node>, label: Option<&Option<[u8; 11]>>) -> Result<()> {
        let Content::Directory(children) = &node.content else { return Ok(()) };
        let mut directory = Directory::default();
        match (parent, label) {
            (Some(parent), _) => directory.dots(node.first, parent_cluster(parent), node.stamp),
            (None, Some(Some(label))) => directory.raw(*label, VOLUME_LABEL, node.stamp, 0, 0),
            _ => {}
        }
        for child in children {
            let (attribute, size) = match &child.content {
                Content::Directory(_) => (DIRECTORY, 0),
                Content::File { size, .. } => (ARCHIVE, *size),
            };
            directory.add(&child.name, attribute, child.stamp, child.first, size)?;
        }
        let at = if node.first == 0 { self.geometry.root_at() } else { self.geometry.cluster_at(node.first) };
        self.put(at, directory.bytes())?;
        for child in children {
            match &child.content {
                Content::Directory(_) => self.directory(child, Some(node), None)?,
                Content::File { path, size } => {
                    self.content(path, *size, child.first).with_context(|| on("storing", path))?;
                }
            }
        }
        Ok(())
    }

    fn content(&self, path: &Path, size: u32, first: u32) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        let mut from = File::open(path)?.take(u64::from(size));
        let mut to = self.file;
        to.seek(SeekFrom::Start(self.start + self.geometry.cluster_at(first)))?;
        match io::copy(&mut from, &mut to)? {
            copied if copied == u64::from(size) => Ok(()),
            _ => Err(io::Error::other("it became shorter while it was read")),
        }
    }
}

/// What `..` says: a directory in the root has 0 there, whatever cluster the root has.
fn parent_cluster(parent: &Node) -> u32 {
    if parent.name.is_empty() { 0 } else { parent.first }
}

/// Appends the chains of a node and all below it, in the order in which clusters were given out.
fn chain(node: &Node, geometry: &Geometry, root: bool, itself: bool, chains: &mut Vec<u32>) {
    let size = match &node.content {
        Content::File { size, .. } => *size,
        Content::Directory(_) => node.directory_size(root).max(1),
    };
    if itself && size > 0 {
        let last = node.first + geometry.clusters_of(size) - 1;
        chains.extend(node.first + 1..=last);
        chains.push(END_OF_CHAIN);
    }
    if let Content::Directory(children) = &node.content {
        for child in children {
            chain(child, geometry, false, true, chains);
        }
    }
}
