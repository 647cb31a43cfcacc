//! Handing over: the mounted root becomes `/`, and its init the first process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chroot};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};

use crate::cmdline::CommandLine;
use crate::mounts;

/// Where an init may be, in the order in which the kernel looks.
const INITS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// Chooses the init of a mounted root: `init=`, or the first of the usual ones.
///
/// # Errors
/// That there is none, or that the named one cannot be run.
pub fn choose_init(root: &Path, line: &CommandLine) -> Result<String, String> {
    if let Some(named) = line.get("init") {
        return if can_run(root, named) {
            Ok(named.to_owned())
        } else {
            Err(format!("init={named} is no program on the root file system"))
        };
    }
    let found = INITS.into_iter().find(|init| can_run(root, init));
    found
        .map(str::to_owned)
        .ok_or_else(|| format!("the root file system has no init (looked for {})", INITS.join(", ")))
}

/// Whether a path in the root is an executable file; links are followed within the root.
fn can_run(root: &Path, program: &str) -> bool {
    let Some(path) = inside(root, Path::new(program), 0) else { return false };
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The place of a path of the root, seen from outside.
fn inside(root: &Path, path: &Path, depth: u32) -> Option<PathBuf> {
    let mut at = root.to_path_buf();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        match part {
            std::path::Component::RootDir | std::path::Component::CurDir => continue,
            std::path::Component::ParentDir => drop((at != root) && at.pop()),
            other => at.push(other),
        }
        if let Ok(target) = fs::read_link(&at) {
            if depth > 40 {
                return None;
            }
            at.pop();
            let base = if target.is_absolute() { PathBuf::new() } else { at.strip_prefix(root).ok()?.to_path_buf() };
            let rest = base.join(target.strip_prefix("/").unwrap_or(&target)).join(parts.as_path());
            return inside(root, &rest, depth + 1);
        }
    }
    Some(at)
}

/// Becomes the real init. Returns only if that fails.
///
/// # Errors
/// What failed, and why.
pub fn switch(root: &Path, init: &str, arguments: &[OsString]) -> io::Error {
    let prepared = mounts::move_api(root).and_then(|()| {
        let old = fs::metadata("/")?.dev();
        std::env::set_current_dir(root)?;
        // The initramfs is RAM; nobody can free it later. What is mounted on it is not touched.
        delete(Path::new("/"), old);
        mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
        chroot(".")?;
        std::env::set_current_dir("/")
    });
    if let Err(e) = prepared {
        return io::Error::other(format!("making {} the root: {e}", root.display()));
    }
    // Words that the kernel does not know are for init; it got them as arguments of this program.
    let error = Command::new(init).args(arguments).exec();
    io::Error::other(format!("running {init}: {error}"))
}

/// Deletes what is on the initramfs itself.
fn delete(dir: &Path, device: u64) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.dev() != device {
            continue;
        }
        if meta.is_dir() {
            delete(&path, device);
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn inits_are_found_behind_links_of_the_root() {
        let root = std::env::temp_dir().join(format!("switch-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("usr/lib/systemd")).unwrap();
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        symlink("usr/sbin", root.join("sbin")).unwrap();
        symlink("../lib/systemd/systemd", root.join("usr/sbin/init")).unwrap();
        fs::write(root.join("usr/lib/systemd/systemd"), "").unwrap();
        let line = CommandLine::parse("ro");
        assert!(choose_init(&root, &line).unwrap_err().contains("has no init"));
        fs::set_permissions(root.join("usr/lib/systemd/systemd"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(choose_init(&root, &line).unwrap(), "/sbin/init");
        assert!(choose_init(&root, &CommandLine::parse("init=/bin/bash")).is_err());
        symlink("/usr/sbin/init", root.join("absolute")).unwrap();
        assert_eq!(choose_init(&root, &CommandLine::parse("init=/absolute")).unwrap(), "/absolute");
        symlink("loop", root.join("loop")).unwrap();
        assert!(choose_init(&root, &CommandLine::parse("init=/loop")).is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
