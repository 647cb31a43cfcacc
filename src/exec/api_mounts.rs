//! What a chroot of the tree sees of the kernel: /proc, a read-only /sys, and a /dev of its own.
//!
//! /dev is a small tmpfs with the usual nodes instead of the host's: a hook that writes to a disk
//! by mistake finds none, and nothing of the host's /dev can get into an archive of the tree.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::error::on;

use super::mount::{Mount, Mounts};

/// Name, major and minor number (the kernel's Documentation/admin-guide/devices.txt).
const NODES: &[(&str, u64, u64)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Name and target.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Mounts them all below `tree`.
///
/// # Errors
/// When a mount point cannot be made or the kernel refuses.
pub fn mount(tree: &Path) -> Result<Mounts> {
    let mut mounts = Mounts::new();
    for (name, mode) in [("proc", 0o555), ("sys", 0o555), ("dev", 0o755)] {
        mount_point(&tree.join(name), mode)?;
    }
    mounts.push(Mount::proc(&tree.join("proc"))?);
    mounts.push(Mount::sysfs_ro(&tree.join("sys"))?);
    let dev = tree.join("dev");
    mounts.push(Mount::tmpfs(&dev, "mode=0755,size=64k,nr_inodes=128")?);
    fill_dev(&dev)?;
    mounts.push(Mount::devpts(&dev.join("pts"))?);
    mounts.push(Mount::tmpfs(&dev.join("shm"), "mode=1777")?);
    Ok(mounts)
}

fn mount_point(path: &Path, mode: u32) -> Result<()> {
    if !path.is_dir() {
        fs::create_dir_all(path).with_context(|| on("making", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| on("setting the mode of", path))?;
    }
    Ok(())
}

fn fill_dev(dev: &Path) -> Result<()> {
    for (name, major, minor) in NODES {
        let path = dev.join(name);
        mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(*major, *minor))
            .with_context(|| on("making", &path))?;
        // mknod's mode went through the umask.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
            .with_context(|| on("setting the mode of", &path))?;
    }
    for (name, target) in LINKS {
        let path = dev.join(name);
        symlink(target, &path).with_context(|| on("making", &path))?;
    }
    for name in ["pts", "shm"] {
        mount_point(&dev.join(name), 0o755)?;
    }
    Ok(())
}
