//! Where things lie: a system's tree, /boot, the folder that GRUB reads.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::envblock::EnvBlock;
use super::menu;

/// Calls that are known by their numbers: `linux/fs.h`.
mod calls {
    #![allow(missing_docs)]
    nix::ioctl_readwrite!(fifreeze, b'X', 119, i32);
    nix::ioctl_readwrite!(fithaw, b'X', 120, i32);
}

/// A system's tree, `/` for the one that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tree.
    pub root: PathBuf,
}

impl Place {
    /// The system in that tree.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// `/boot`.
    #[must_use]
    pub fn boot(&self) -> PathBuf {
        self.root.join("boot")
    }

    /// The folder of a slot's kernel.
    #[must_use]
    pub fn slot(&self, slot: &str) -> PathBuf {
        self.boot().join("slots").join(slot)
    }

    /// GRUB's folder: that with a `grub.cfg`, else the one that is there; Red Hat's name comes first.
    ///
    /// # Errors
    /// When there is none.
    pub fn grub(&self) -> Result<PathBuf> {
        let all: Vec<PathBuf> = ["grub2", "grub"].iter().map(|name| self.boot().join(name)).collect();
        let found = all.iter().find(|p| p.join("grub.cfg").is_file()).or_else(|| all.iter().find(|p| p.is_dir()));
        found.cloned().with_context(|| {
            format!("{} has neither grub2 nor grub: GRUB 2 has to be installed first", self.boot().display())
        })
    }

    /// The block that GRUB chooses by; an empty one if there is none.
    ///
    /// # Errors
    /// When the file is there and no block.
    pub fn env(&self) -> Result<EnvBlock> {
        let path = self.grub()?.join(menu::ENV_FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(EnvBlock::default()),
            bytes => {
                EnvBlock::parse(&bytes.with_context(|| format!("reading {}", path.display()))?).with_context(|| {
                    format!("{} is no environment block: remove it and run 'image-slots setup'", path.display())
                })
            }
        }
    }

    /// Writes the block: over the bytes that are there, as GRUB does. GRUB reads the disk without the journal of the file
    /// system, so a file that is replaced would be seen only some time after it was written.
    ///
    /// # Errors
    /// When the variables do not fit, or what cannot be written.
    pub fn write_env(&self, env: &EnvBlock) -> Result<()> {
        let path = self.grub()?.join(menu::ENV_FILE);
        let bytes = env.to_bytes().with_context(|| format!("writing {}", path.display()))?;
        if fs::metadata(&path).is_ok_and(|m| m.len() == bytes.len() as u64) {
            let mut file =
                OpenOptions::new().write(true).open(&path).with_context(|| format!("opening {}", path.display()))?;
            file.write_all(&bytes).and_then(|()| file.sync_all()).with_context(|| format!("writing {}", path.display()))
        } else {
            replace(&path, &bytes)?;
            self.settle()
        }
    }

    /// Has everything that was written below /boot come to lie where GRUB finds it, which does not read journals: the file
    /// system is frozen for a moment. Only where /boot is one of its own, as in every system with slots.
    ///
    /// # Errors
    /// When the folder cannot be opened or synced.
    pub fn settle(&self) -> Result<()> {
        let boot = self.boot();
        let folder = File::open(&boot).with_context(|| format!("opening {}", boot.display()))?;
        nix::unistd::syncfs(&folder).with_context(|| format!("syncing {}", boot.display()))?;
        let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
        if device(&boot) == device(&self.root) || device(&boot) == device(Path::new("/")) {
            return Ok(());
        }
        let mut unused = 0;
        // SAFETY: FIFREEZE and FITHAW take a descriptor of a file system, which `folder` is; their argument is not used.
        unsafe {
            if calls::fifreeze(folder.as_raw_fd(), &raw mut unused).is_ok() {
                calls::fithaw(folder.as_raw_fd(), &raw mut unused)
                    .with_context(|| format!("thawing {}: run 'fsfreeze --unfreeze /boot'", boot.display()))?;
            }
        }
        Ok(())
    }

    /// Puts the folder `made` in the place of a slot's, in one step.
    ///
    /// # Errors
    /// What cannot be moved.
    pub fn put_slot(&self, slot: &str, made: &Path) -> Result<()> {
        let target = self.slot(slot);
        if target.symlink_metadata().is_err() {
            fs::rename(made, &target)
                .with_context(|| format!("renaming {} to {}", made.display(), target.display()))?;
        } else {
            match renameat2(AT_FDCWD, made, AT_FDCWD, &target, RenameFlags::RENAME_EXCHANGE) {
                Ok(()) => remove(made)?,
                // An image that is being built, in layers: nothing can interrupt what nobody starts from.
                Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS) => {
                    remove(&target)?;
                    fs::rename(made, &target).with_context(|| format!("renaming {}", made.display()))?;
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("exchanging {} and {}", made.display(), target.display()));
                }
            }
        }
        self.settle()
    }

    /// An empty folder beside those of the slots, in which a new one is made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_slot(&self, slot: &str) -> Result<PathBuf> {
        let made = self.slot(&format!(".{slot}.new"));
        remove(&made)?;
        fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
        Ok(made)
    }

    /// Removes what a slot starts with. A kernel of an interrupted installation goes too.
    ///
    /// # Errors
    /// What cannot be removed.
    pub fn clear_slot(&self, slot: &str) -> Result<()> {
        let gone = self.slot(&format!(".{slot}.gone"));
        remove(&gone)?;
        remove(&self.slot(&format!(".{slot}.new")))?;
        match fs::rename(self.slot(slot), &gone) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done.with_context(|| format!("renaming {}", self.slot(slot).display()))?,
        }
        self.settle()?;
        remove(&gone)
    }
}

/// Writes a file beside `path` and renames it.
///
/// # Errors
/// What cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_added_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Copies a file's bytes to the disk.
///
/// # Errors
/// What cannot be read or written; a disk that is full among it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::copy(from, to)?;
        File::open(to)?.sync_all()
    };
    copy().with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Whether a slot's folder holds what it takes to start.
///
/// # Errors
/// What is missing.
pub fn is_bootable(folder: &Path) -> Result<()> {
    for name in ["vmlinuz", "initramfs.img", "version.json"] {
        let path = folder.join(name);
        ensure!(path.is_file(), "there is no {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_with_a_grub_cfg_is_grubs() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path());
        assert!(place.grub().unwrap_err().to_string().contains("neither grub2 nor grub"));
        fs::create_dir_all(dir.path().join("boot/grub")).unwrap();
        assert!(place.grub().unwrap().ends_with("boot/grub"));
        fs::create_dir_all(dir.path().join("boot/grub2")).unwrap();
        assert!(place.grub().unwrap().ends_with("boot/grub2"));
        fs::write(dir.path().join("boot/grub/grub.cfg"), "").unwrap();
        assert!(place.grub().unwrap().ends_with("boot/grub"));
    }

    #[test]
    fn the_block_is_written_over_in_place() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("boot/grub2")).unwrap();
        let place = Place::at(dir.path());
        let mut env = place.env().unwrap();
        env.set("slots_good", "root");
        place.write_env(&env).unwrap();
        let path = dir.path().join("boot/grub2/slots.env");
        let inode = fs::metadata(&path).unwrap().ino();
        env.set("slots_next", "back");
        place.write_env(&env).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(place.env().unwrap(), env);
        fs::write(&path, "garbage").unwrap();
        assert!(format!("{:#}", place.env().unwrap_err()).contains("run 'image-slots setup'"));
        place.write_env(&env).unwrap();
        assert_eq!(place.env().unwrap(), env);
    }

    #[test]
    fn a_slot_is_exchanged_whole_and_removed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path());
        for content in ["one", "two"] {
            let made = place.new_slot("back").unwrap();
            assert!(is_bootable(&made).is_err());
            for name in ["vmlinuz", "initramfs.img", "version.json"] {
                fs::write(made.join(name), content).unwrap();
            }
            place.put_slot("back", &made).unwrap();
            is_bootable(&place.slot("back")).unwrap();
            assert_eq!(fs::read_to_string(place.slot("back").join("vmlinuz")).unwrap(), content);
            assert!(!made.exists());
        }
        place.new_slot("back").unwrap();
        place.clear_slot("back").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("boot/slots")).unwrap().count(), 0);
        place.clear_slot("back").unwrap();
    }
}
