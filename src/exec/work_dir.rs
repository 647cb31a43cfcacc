//! The directory that a build works in, and what an earlier build that was killed left behind.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::error::{HostNotReady, on};

use super::mount::mounted_below;

/// Work directories are named as diskimage-builder names them; the lock file marks ours.
const PREFIX: &str = "dib_build.";
const LOCK: &str = ".image-create.lock";

/// A work directory, removed when dropped. The lock on a file in it says that the build is alive.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    _lock: Flock<File>,
    keep: bool,
}

/// The places in a work directory.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The work directory itself.
    pub work: PathBuf,
    /// `TMP_BUILD_DIR`: hooks, tree and states.
    pub build: PathBuf,
    /// `TMP_HOOKS_PATH`: the merged hook tree.
    pub hooks: PathBuf,
    /// `TMP_MOUNT_PATH`: the root tree.
    pub tree: PathBuf,
    /// The layers that the root tree is a stack of.
    pub layers: PathBuf,
    /// `TMP_IMAGE_DIR`: disks before they are converted.
    pub image: PathBuf,
    /// The request, for the executor.
    pub request: PathBuf,
}

impl Paths {
    /// The places below `work`.
    pub fn below(work: &Path) -> Self {
        // Elements take what follows the last dot of TMP_MOUNT_PATH for the name of a build, up to the slash.
        let name = work.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = name.rsplit('.').next().unwrap_or_default();
        let build = work.join(format!("{PREFIX}{own}"));
        Self {
            hooks: build.join("hooks"),
            tree: build.join("mnt"),
            layers: build.join("layers"),
            image: work.join(format!("dib_image.{own}")),
            request: work.join("request.json"),
            work: work.to_owned(),
            build,
        }
    }
}

impl WorkDir {
    /// Makes a work directory below `base`, after removing those that killed builds left there.
    ///
    /// # Errors
    /// When `base` is missing or may not be written to.
    pub fn create(base: &Path) -> Result<Self> {
        remove_stale(base);
        let dir = tempfile::Builder::new().prefix(PREFIX).rand_bytes(8).tempdir_in(base).map_err(|e| {
            let message = format!("making a work directory in {}: {e}", base.display());
            HostNotReady::new(message, "set TMPDIR to a directory that exists, may be written to and has space")
        })?;
        // From here on the directory is removed by this type: TempDir's drop knows nothing of mounts.
        let path = dir.keep();
        let lock = lock(&path.join(LOCK)).context("locking the new work directory")?;
        Ok(Self { path, _lock: lock, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it in place when dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing can be done about a failure here; the next build tries again.
            remove(&self.path).ok();
        }
    }
}

/// Whether the build that owns `work` is gone.
pub fn is_abandoned(work: &Path) -> bool {
    lock(&work.join(LOCK)).is_ok()
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).with_context(|| on("opening", path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| io::Error::from(errno))
        .with_context(|| on("locking", path))
}

/// Removes what killed builds left in `base`: directories of our name, with our lock file, whose
/// lock nobody holds. Whatever cannot be removed stays for the next time.
fn remove_stale(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX) && path.join(LOCK).is_file();
        if ours && is_abandoned(&path) {
            remove(&path).ok();
        }
    }
}

/// Removes a work directory; never across a mount.
fn remove(path: &Path) -> Result<()> {
    let mounts = mounted_below(path)?;
    if !mounts.is_empty() {
        bail!("{} stays: something is still mounted at {}", path.display(), mounts[0].display());
    }
    remove_tree(path, fs::symlink_metadata(path)?.dev())
}

/// `rm -rf --one-file-system`: a mount that appears meanwhile is an error, not a loss.
fn remove_tree(path: &Path, device: u64) -> Result<()> {
    for entry in fs::read_dir(path).with_context(|| on("reading", path))? {
        let entry = entry.with_context(|| on("reading", path))?;
        let meta = entry.metadata().with_context(|| on("looking at", &entry.path()))?;
        if meta.dev() != device {
            bail!("{} is on another filesystem", entry.path().display());
        }
        if meta.is_dir() {
            remove_tree(&entry.path(), device)?;
        } else {
            fs::remove_file(entry.path()).with_context(|| on("removing", &entry.path()))?;
        }
    }
    fs::remove_dir(path).with_context(|| on("removing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_work_directory_is_gone_and_a_held_one_survives_the_next_build() {
        let base = tempfile::tempdir().unwrap();
        let first = WorkDir::create(base.path()).unwrap();
        let second = WorkDir::create(base.path()).unwrap();
        assert!(first.path().exists());
        let path = second.path().to_owned();
        fs::create_dir(path.join("build")).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_build_left_is_removed_and_what_others_left_is_not() {
        let base = tempfile::tempdir().unwrap();
        let dead = base.path().join("dib_build.deadbeef");
        fs::create_dir_all(dead.join("build/mnt")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let foreign = base.path().join("dib_build.foreign1");
        fs::create_dir(&foreign).unwrap();
        drop(WorkDir::create(base.path()).unwrap());
        assert!(!dead.exists());
        assert!(foreign.exists());
    }

    #[test]
    fn a_base_that_is_not_there_is_the_hosts_fault() {
        let error = WorkDir::create(Path::new("/no/such/place")).unwrap_err();
        assert_eq!(crate::error::exit_code(&error), crate::error::EXIT_HOST);
    }
}
