//! The running system's configuration: collected by the bundle's own script, put into the new tree by `restore`.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image_init::hooks::executables;

use super::bundle::{Bundle, SCRIPT};
use crate::restore::restore;
use crate::slots::tools;

/// Where a tree's scripts find what was kept, as a path in the tree.
const BACKUP: &str = "run/upgrade-tiny/backup";

/// Scripts of the new system that put a vendor's configuration back.
const RESTORE: &str = "usr/lib/upgrade-tiny/restore.d";

/// What was kept. It has secrets in it, so it lies in memory and goes with the program.
#[derive(Debug)]
pub struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Kept {
    /// Collects it, below `run`.
    ///
    /// # Errors
    /// What the script says.
    pub fn collect(bundle: &Bundle, run: &Path) -> Result<Self> {
        let folder = run.join("image-slots/backup");
        let _ = fs::remove_dir_all(&folder);
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&folder)
            .with_context(|| format!("making {}", folder.display()))?;
        let kept = Self(folder);
        let mut script = tools::command("sh", [bundle.folder.join(SCRIPT)]);
        script.arg("--backup-only").arg(&kept.0).current_dir(&bundle.folder);
        tools::run(&mut script).context("collecting the configuration of this system")?;
        Ok(kept)
    }

    /// Puts it into a tree, whose /run is a file system of its own.
    ///
    /// # Errors
    /// What cannot be put back, or which script failed.
    pub fn restore(&self, root: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
        restore(&self.0, root, say).context("putting the configuration into the new system")?;
        let shown = root.join(BACKUP);
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&shown)
            .with_context(|| format!("making {}", shown.display()))?;
        copy_all(&self.0, &shown)?;
        for script in scripts(&root.join(RESTORE)) {
            say(&format!("running restore.d/{script}"));
            let mut command = tools::command("chroot", [root]);
            command.arg(format!("/{RESTORE}/{script}"));
            command.env("BACKUP", format!("/{BACKUP}")).env("BACKUP_DIR", format!("/{BACKUP}/vendor/{script}"));
            tools::run(&mut command).with_context(|| format!("restore.d/{script}"))?;
        }
        Ok(())
    }
}

/// The names of a folder's scripts.
fn scripts(folder: &Path) -> Vec<String> {
    let names = executables(folder).into_iter().filter_map(|script| script.file_name()?.to_str().map(str::to_owned));
    names.collect()
}

/// Copies a folder's files with their modes. Links and devices are no part of what is kept.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry.with_context(|| format!("reading {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().with_context(|| format!("reading {}", source.display()))?;
        if kind.is_dir() {
            DirBuilder::new().mode(0o700).create(&target).with_context(|| format!("making {}", target.display()))?;
            copy_all(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).with_context(|| format!("copying {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_copied_with_its_modes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("files/etc")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("files/etc/shadow"), "secret").unwrap();
        fs::set_permissions(from.join("files/etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
        copy_all(&from, &to).unwrap();
        let copied = fs::metadata(to.join("files/etc/shadow")).unwrap();
        assert_eq!(copied.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_executables_are_scripts() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("20-b", 0o755), ("10-a", 0o755), ("README", 0o644)] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(scripts(dir.path()), ["10-a", "20-b"]);
        assert!(scripts(&dir.path().join("none")).is_empty());
    }
}
