//! Mounts as values: made by a verb, undone when dropped.
//!
//! All of this happens in a private mount namespace ([`private_namespace`]), so whatever a guard does
//! not undo (because the process was killed) ends with the namespace.

use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::error::on;

/// mount(2) takes at most one page of option text.
const OPTIONS_MAX: usize = 4095;
/// How often, and how long apart, an unmount that finds the place busy is tried: a process that was just
/// killed lets go of its files a moment later.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Moves the calling thread into a mount namespace of its own whose mounts reach no other one.
/// To be called before the process has a second thread.
///
/// # Errors
/// Without the privilege for it.
pub fn private_namespace() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    private_propagation()
}

/// Makes all mounts of the current namespace private: for a namespace made by clone(2).
///
/// # Errors
/// Without the privilege for it.
pub fn private_propagation() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("making all mounts private")
}

/// The mount points below `dir` (or at it), in the order in which they were mounted.
///
/// # Errors
/// When /proc cannot be read.
pub fn mounted_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let dir = dir.canonicalize().with_context(|| on("finding", dir))?;
    // Not /proc/self: that is the main thread, which may be in another namespace.
    let text = std::fs::read("/proc/thread-self/mountinfo").context("reading /proc/thread-self/mountinfo")?;
    let points = text.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4)).map(unescape);
    Ok(points.filter(|p| p.starts_with(&dir)).collect())
}

/// mountinfo writes blank, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        match octal.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(value) if byte == b'\\' => {
                plain.push(value);
                rest = &tail[3..];
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(plain))
}

/// What an overlay consists of.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// The read-only directories, uppermost first.
    pub lower: Vec<PathBuf>,
    /// Where changes go, and the work directory beside it on the same filesystem; without it the overlay
    /// is read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Further mount options (`metacopy=off`, `volatile`, …).
    pub options: Vec<String>,
}

/// One mount, undone when dropped.
#[derive(Debug)]
#[must_use = "dropping the guard unmounts it"]
pub struct Mount {
    target: PathBuf,
    active: bool,
}

impl Mount {
    /// Shows `source` (a directory or a file) at `target` too. What is mounted below `source` does not come along.
    ///
    /// # Errors
    /// When one of them is missing or the kernel refuses.
    pub fn bind(source: &Path, target: &Path) -> Result<Self> {
        Self::make(Some(source), target, None, MsFlags::MS_BIND, "")
    }

    /// As [`Mount::bind`], read-only.
    ///
    /// # Errors
    /// As [`Mount::bind`].
    pub fn bind_read_only(source: &Path, target: &Path) -> Result<Self> {
        let mount = Self::bind(source, target)?;
        mount.remount_read_only()?;
        Ok(mount)
    }

    /// Mounts a stack of directories as one.
    ///
    /// # Errors
    /// When a directory is missing, there are too many, or the kernel refuses the options.
    pub fn overlay(overlay: &Overlay, target: &Path) -> Result<Self> {
        let plain = overlay.option_text(|p| Ok(p.as_os_str().as_bytes().to_vec()))?;
        if plain.len() <= OPTIONS_MAX && !overlay.needs_escape() {
            return Self::overlay_with(&plain, target);
        }
        // Names that are too long together, or that hold a separator, are given as open files instead:
        // the kernel resolves them while it mounts.
        let mut open_dirs = Vec::new();
        let text = overlay.option_text(|p| {
            let fd = open(p, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                .with_context(|| on("opening", p))?;
            let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            open_dirs.push(fd);
            Ok(name.into_bytes())
        })?;
        if text.len() > OPTIONS_MAX {
            bail!("{} layers are more than one overlay mount can take", overlay.lower.len());
        }
        Self::overlay_with(&text, target)
    }

    fn overlay_with(options: &[u8], target: &Path) -> Result<Self> {
        let options = CString::new(options).context("an overlay directory's name holds a zero byte")?;
        mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_c_str()))
            .with_context(|| format!("mounting an overlay ({}) at {}", options.to_string_lossy(), target.display()))?;
        Ok(Self { target: target.to_owned(), active: true })
    }

    /// Mounts an empty tmpfs with `options` such as `mode=0755,size=1g`.
    ///
    /// # Errors
    /// When the target is missing or an option is unknown.
    pub fn tmpfs(target: &Path, options: &str) -> Result<Self> {
        Self::make(Some(Path::new("tmpfs")), target, Some("tmpfs"), MsFlags::empty(), options)
    }

    /// Mounts an empty tmpfs that says of itself that it is the device `source`, as programs read it in
    /// /proc/self/mountinfo.
    ///
    /// # Errors
    /// When the target is missing.
    pub fn tmpfs_called(source: &Path, target: &Path) -> Result<Self> {
        Self::make(Some(source), target, Some("tmpfs"), MsFlags::empty(), "mode=0755")
    }

    /// Mounts a fresh /proc of the current PID namespace.
    ///
    /// # Errors
    /// When the target is missing.
    pub fn proc(target: &Path) -> Result<Self> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        Self::make(Some(Path::new("proc")), target, Some("proc"), flags, "")
    }

    /// Mounts a fresh read-only /sys.
    ///
    /// # Errors
    /// When the target is missing.
    pub fn sysfs_ro(target: &Path) -> Result<Self> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
        Self::make(Some(Path::new("sysfs")), target, Some("sysfs"), flags, "")
    }

    /// Mounts a /dev/pts of its own, with terminals of group tty (5) and a `ptmx` that anyone may open.
    ///
    /// # Errors
    /// When the target is missing.
    pub fn devpts(target: &Path) -> Result<Self> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let options = "newinstance,gid=5,mode=620,ptmxmode=0666";
        Self::make(Some(Path::new("devpts")), target, Some("devpts"), flags, options)
    }

    /// Mounts the filesystem on a block device.
    ///
    /// # Errors
    /// When the kernel does not know `kind`, or the device holds something else.
    pub fn device(device: &Path, target: &Path, kind: &str, flags: MsFlags, options: &str) -> Result<Self> {
        Self::make(Some(device), target, Some(kind), flags, options)
    }

    fn make(source: Option<&Path>, target: &Path, kind: Option<&str>, flags: MsFlags, options: &str) -> Result<Self> {
        let data = Some(options).filter(|o| !o.is_empty());
        mount(source, target, kind, flags, data).with_context(|| {
            let what = kind.map_or_else(|| "binding".to_owned(), |k| format!("mounting {k}"));
            let from = source.map(|s| format!(" {}", s.display())).unwrap_or_default();
            format!("{what}{from} at {}", target.display())
        })?;
        Ok(Self { target: target.to_owned(), active: true })
    }

    /// Where it is mounted.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Makes this mount (not what it shows elsewhere) read-only.
    ///
    /// # Errors
    /// When a file is open for writing through it.
    pub fn remount_read_only(&self) -> Result<()> {
        // A remount sets all flags anew: keep those that are there.
        let have = statvfs(&self.target).with_context(|| on("reading the flags of", &self.target))?.flags();
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        for (old, new) in [
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
            (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        ] {
            if have.contains(old) {
                flags |= new;
            }
        }
        mount(None::<&str>, &self.target, None::<&str>, flags, None::<&str>)
            .with_context(|| on("making read-only", &self.target))
    }

    /// Moves it, with everything mounted below it, to `target`.
    ///
    /// # Errors
    /// When the target is missing or the mount it lies in is shared.
    pub fn move_to(&mut self, target: &Path) -> Result<()> {
        mount(Some(&self.target), target, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .with_context(|| format!("moving the mount {} to {}", self.target.display(), target.display()))?;
        self.target = target.to_owned();
        Ok(())
    }

    /// Unmounts now and reports failure: for the success path.
    ///
    /// # Errors
    /// When it stays busy for a second.
    pub fn close(mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            match umount2(&self.target, MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) => break,
                Err(Errno::EBUSY) if tries < BUSY_TRIES => std::thread::sleep(BUSY_PAUSE),
                // Dropping self detaches it.
                Err(err) => return Err(err).with_context(|| on("unmounting", &self.target)),
            }
            tries += 1;
        }
        self.active = false;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.active {
            // A detach fails only when somebody else unmounted it before: nothing is left to do then.
            let _ = umount2(&self.target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        }
    }
}

impl Overlay {
    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.lower.iter().chain(self.upper.iter().flat_map(|(u, w)| [u, w]))
    }

    fn needs_escape(&self) -> bool {
        self.dirs().any(|d| d.as_os_str().as_bytes().iter().any(|b| b"\\:,\"".contains(b)))
    }

    fn option_text(&self, mut name: impl FnMut(&Path) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let mut lower = Vec::new();
        for dir in &self.lower {
            lower.push(name(dir)?);
        }
        let mut parts = vec![[b"lowerdir=".to_vec(), lower.join(&b':')].concat()];
        if let Some((upper, work)) = &self.upper {
            parts.push([b"upperdir=".to_vec(), name(upper)?].concat());
            parts.push([b"workdir=".to_vec(), name(work)?].concat());
        }
        parts.extend(self.options.iter().map(|o| o.clone().into_bytes()));
        Ok(parts.join(&b','))
    }
}

/// Mounts in the order in which they were made, undone newest first.
#[derive(Debug, Default)]
#[must_use = "dropping the guard unmounts them"]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the newest one.
    pub fn push(&mut self, mount: Mount) {
        self.0.push(mount);
    }

    /// Unmounts all of them, newest first, and reports the first failure; the others are tried all the same.
    ///
    /// # Errors
    /// As [`Mount::close`].
    pub fn close(mut self) -> Result<()> {
        let mut first = Ok(());
        while let Some(mount) = self.0.pop() {
            let closed = mount.close();
            if first.is_ok() {
                first = closed;
            }
        }
        first
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        // A Vec drops its items oldest first, which would unmount /dev before /dev/pts.
        while self.0.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `test` on a thread that has a mount namespace of its own.
    fn privately(test: impl FnOnce(&Path) + Send) {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let work = || {
                private_namespace().unwrap();
                // Overlay wants a filesystem that takes xattrs; a tmpfs also keeps the host clean.
                let space = Mount::tmpfs(dir.path(), "mode=0755").unwrap();
                test(dir.path());
                space.close().unwrap();
            };
            scope.spawn(work).join().unwrap();
        });
    }

    fn dirs<const N: usize>(base: &Path, names: [&str; N]) -> [PathBuf; N] {
        names.map(|n| {
            std::fs::create_dir_all(base.join(n)).unwrap();
            base.join(n)
        })
    }

    #[test]
    fn a_bind_shows_the_source_and_ends_with_its_guard() {
        privately(|base| {
            let [a, b] = dirs(base, ["a", "b"]);
            std::fs::write(a.join("file"), "x").unwrap();
            {
                let _bound = Mount::bind_read_only(&a, &b).unwrap();
                assert!(b.join("file").exists());
                assert!(std::fs::write(b.join("other"), "x").is_err());
            }
            assert!(!b.join("file").exists());
            std::fs::write(a.join("other"), "x").unwrap();
        });
    }

    #[test]
    fn an_overlay_takes_any_names_and_very_many_layers() {
        privately(|base| {
            let [upper, work, target] = dirs(base, ["upper, with: marks\\", "work", "target"]);
            let lower: Vec<PathBuf> = (0..150).map(|i| base.join(format!("a-rather-long-layer-name-{i}"))).collect();
            for (i, dir) in lower.iter().enumerate() {
                std::fs::create_dir(dir).unwrap();
                std::fs::write(dir.join(format!("f{i}")), "").unwrap();
            }
            let overlay = Overlay { lower, upper: Some((upper.clone(), work)), options: vec![] };
            let mount = Mount::overlay(&overlay, &target).unwrap();
            assert!(target.join("f0").exists() && target.join("f149").exists());
            std::fs::write(target.join("new"), "").unwrap();
            mount.close().unwrap();
            assert!(upper.join("new").exists());
        });
    }

    #[test]
    fn a_stack_is_undone_newest_first_and_can_be_listed() {
        privately(|base| {
            let [dev] = dirs(base, ["dev dir"]);
            let mut mounts = Mounts::new();
            mounts.push(Mount::tmpfs(&dev, "mode=0755").unwrap());
            let [pts, proc, sys] = dirs(&dev, ["pts", "proc", "sys"]);
            mounts.push(Mount::devpts(&pts).unwrap());
            mounts.push(Mount::proc(&proc).unwrap());
            mounts.push(Mount::sysfs_ro(&sys).unwrap());
            assert_eq!(mounted_below(&dev).unwrap(), [dev.clone(), pts, proc, sys]);
            mounts.close().unwrap();
            assert_eq!(mounted_below(&dev).unwrap(), [] as [PathBuf; 0]);
        });
    }

    #[test]
    fn a_busy_mount_is_an_error_of_close_and_is_gone_all_the_same() {
        privately(|base| {
            let [dir] = dirs(base, ["dir"]);
            let mount = Mount::tmpfs(&dir, "").unwrap();
            let _open = std::fs::File::create(dir.join("open")).unwrap();
            let error = format!("{:#}", mount.close().unwrap_err());
            assert!(error.contains("unmounting") && error.contains("EBUSY"), "{error}");
            assert_eq!(mounted_below(&dir).unwrap(), [] as [PathBuf; 0]);
        });
    }

    #[test]
    fn a_mount_moves_with_its_guard() {
        privately(|base| {
            let [a, b] = dirs(base, ["a", "b"]);
            let mut mount = Mount::tmpfs(&a, "").unwrap();
            mount.move_to(&b).unwrap();
            assert_eq!(mounted_below(&a).unwrap(), [] as [PathBuf; 0]);
            assert_eq!(mounted_below(&b).unwrap(), std::slice::from_ref(&b));
            mount.close().unwrap();
        });
    }
}
