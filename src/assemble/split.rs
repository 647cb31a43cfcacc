//! Cuts one tree into what belongs to each filesystem: `/` without the content of `/boot`, and so on.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use super::kernel::MountPoint;
use crate::error::on;
use crate::exec::mount::{Mount, Mounts};

/// What one filesystem is filled from: a directory with the mount points of other filesystems empty.
#[derive(Debug)]
#[must_use = "dropping the guard unmounts the view"]
pub struct View {
    // In this order: mounts are undone before the directories that carry them go.
    mounts: Mounts,
    dirs: Vec<MountPoint>,
    path: PathBuf,
}

impl View {
    /// The view of `tree` for the filesystem at `point`, where `points` are all mount points of the layout.
    /// The directory of each mount point is made in the tree if it is missing. Must run in a private mount
    /// namespace; `work` holds the mount points.
    ///
    /// # Errors
    /// When a mount point is a symbolic link or a file in the tree, or a mount fails.
    pub fn of(tree: &Path, point: &str, points: &[&str], work: &Path) -> Result<Self> {
        ensure_directories(tree, points)?;
        let source = inside(tree, point);
        let mut view = Self { mounts: Mounts::new(), dirs: Vec::new(), path: source.clone() };
        let nested = topmost_below(point, points);
        if nested.is_empty() {
            return Ok(view);
        }
        let base = MountPoint::create(work, "view")?;
        view.path = base.0.clone();
        view.mounts.push(Mount::bind(&source, &base.0)?);
        view.dirs.push(base);
        for other in nested {
            let real = inside(tree, other);
            let empty = MountPoint::create(work, "empty")?;
            copy_attributes(&real, &empty.0)?;
            let relative = real.strip_prefix(&source).expect("a nested mount point lies below");
            view.mounts.push(Mount::bind(&empty.0, &view.path.join(relative))?);
            view.dirs.push(empty);
        }
        Ok(view)
    }

    /// The directory to read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// When it is busy.
    pub fn close(self) -> Result<()> {
        let Self { mounts, dirs, path: _ } = self;
        mounts.close()?;
        drop(dirs);
        Ok(())
    }
}

/// The path of the absolute path `point` below `tree`, without resolving anything.
pub fn inside(tree: &Path, point: &str) -> PathBuf {
    let relative = point.trim_matches('/');
    if relative.is_empty() { tree.to_owned() } else { tree.join(relative) }
}

/// Those of `points` that lie below `point` and not below another one of them.
fn topmost_below<'a>(point: &str, points: &[&'a str]) -> Vec<&'a str> {
    let below = |a: &str, b: &str| Path::new(a) != Path::new(b) && Path::new(a).starts_with(b);
    let nested: Vec<&str> = points.iter().copied().filter(|p| below(p, point)).collect();
    nested.iter().copied().filter(|p| !nested.iter().any(|other| below(p, other))).collect()
}

/// Makes the directories of mount points in the tree that are not there.
///
/// # Errors
/// When a mount point is a symbolic link or a file in the tree.
pub fn ensure_directories(tree: &Path, points: &[&str]) -> Result<()> {
    points.iter().try_for_each(|point| ensure_directory(tree, point))
}

/// Makes the directory `point` in the tree unless it is there.
fn ensure_directory(tree: &Path, point: &str) -> Result<()> {
    let mut path = tree.to_owned();
    for component in Path::new(point).components() {
        match component {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => path.push(name),
            _ => bail!("the mount point {point} is not a plain path"),
        }
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            // Following it could lead out of the tree, and what is mounted there at boot would not be this.
            Ok(meta) if meta.is_symlink() => {
                bail!("the mount point {point} leads through the symbolic link {}", path.display())
            }
            Ok(_) => bail!("the mount point {point} is not a directory in the tree"),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir(&path).with_context(|| on("making", &path))?;
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(&path, mode).with_context(|| on("making", &path))?;
            }
            Err(err) => return Err(err).with_context(|| on("looking at", &path)),
        }
    }
    Ok(())
}

/// Gives `to` the owner, mode, extended attributes and modification time of `from`.
fn copy_attributes(from: &Path, to: &Path) -> Result<()> {
    let meta = from.metadata().with_context(|| on("looking at", from))?;
    let setting = || on("setting the attributes of", to);
    for name in xattr::list(from).with_context(|| on("reading the attributes of", from))? {
        if let Some(value) = xattr::get(from, &name).with_context(|| on("reading the attributes of", from))? {
            xattr::set(to, &name, &value).with_context(setting)?;
        }
    }
    chown(to, Some(meta.uid()), Some(meta.gid())).with_context(setting)?;
    std::fs::set_permissions(to, meta.permissions()).with_context(setting)?;
    let modified = meta.modified().with_context(|| on("looking at", from))?;
    let times = std::fs::FileTimes::new().set_modified(modified).set_accessed(modified);
    File::open(to).and_then(|f| f.set_times(times)).with_context(setting)
}

/// Opens a file of the tree by the path that it has inside it: symbolic links are followed as if the tree
/// were the root, and never out of it.
///
/// # Errors
/// When it is missing.
pub fn open_inside(tree: &Path, path: &str) -> Result<File> {
    let opening = || format!("opening {path} in {}", tree.display());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root: OwnedFd = open(tree, flags, Mode::empty()).with_context(opening)?;
    let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut tries = 0;
    loop {
        match openat2(&root, path, how) {
            Ok(fd) => return Ok(File::from(fd)),
            // The kernel gives up when something on the host was renamed meanwhile.
            Err(Errno::EAGAIN) if tries < 16 => tries += 1,
            Err(err) => return Err(err).with_context(opening),
        }
    }
}

/// What a tree takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of disk, holes not counted, a file with several names counted once: what `du` says.
    pub bytes: u64,
    /// Files, directories and all else.
    pub inodes: u64,
}

/// Measures a tree (on its own filesystem only).
///
/// # Errors
/// When a directory cannot be read.
pub fn usage(tree: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut seen = HashSet::new();
    for entry in walkdir::WalkDir::new(tree).same_file_system(true) {
        let entry = entry.with_context(|| on("measuring", tree))?;
        let meta = entry.metadata().with_context(|| on("measuring", entry.path()))?;
        if meta.nlink() > 1 && !meta.is_dir() && !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        usage.bytes += meta.blocks() * 512;
        usage.inodes += 1;
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_topmost_mount_points_below_are_hidden() {
        let points = ["/", "/boot", "/boot/efi", "/var/log", "/varnish"];
        assert_eq!(topmost_below("/", &points), ["/boot", "/var/log", "/varnish"]);
        assert_eq!(topmost_below("/boot", &points), ["/boot/efi"]);
        assert_eq!(topmost_below("/boot/efi", &points), [] as [&str; 0]);
    }

    #[test]
    fn a_mount_point_that_is_a_link_is_refused() {
        let tree = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", tree.path().join("boot")).unwrap();
        let error = ensure_directory(tree.path(), "/boot/efi").unwrap_err().to_string();
        assert!(error.contains("leads through the symbolic link"), "{error}");
        ensure_directory(tree.path(), "/new/place").unwrap();
        assert!(tree.path().join("new/place").is_dir());
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("real")).unwrap();
        std::fs::write(tree.path().join("real/hostname"), "of the tree").unwrap();
        std::os::unix::fs::symlink("/real", tree.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/../../etc/passwd", tree.path().join("out")).unwrap();
        let text = std::io::read_to_string(open_inside(tree.path(), "/link/hostname").unwrap()).unwrap();
        assert_eq!(text, "of the tree");
        assert!(open_inside(tree.path(), "/out").is_err());
    }

    #[test]
    fn a_file_with_two_names_is_measured_once() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("a"), vec![1; 100_000]).unwrap();
        let one = usage(tree.path()).unwrap();
        std::fs::hard_link(tree.path().join("a"), tree.path().join("b")).unwrap();
        assert_eq!(usage(tree.path()).unwrap(), one);
    }
}
