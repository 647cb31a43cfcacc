//! Elements: catalog, expansion, hook tree, selection of scripts, lint. Deciding half, except
//! [`materialize`], which writes a hook tree that was decided here.

pub mod catalog;
pub mod describe;
pub mod export;
pub mod hooks;
pub mod materialize;
pub mod phase;
pub mod resolve;
pub mod run_order;

use crate::error::Fault;

/// Something in an element that is not wrong enough to stop for, with its place and what to do; shown by
/// [`Fault::sentence`].
pub type Warning = Fault;

#[cfg(test)]
pub(crate) mod fixture {
    //! Element trees that tests write into a temporary directory.

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    /// A temporary element directory.
    pub struct Elements(tempfile::TempDir);

    impl Elements {
        pub fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// The directory, as the catalog will name it.
        pub fn path(&self) -> PathBuf {
            self.0.path().canonicalize().unwrap()
        }

        /// Writes an element with its deps and provides (space separated).
        pub fn element(&self, name: &str, deps: &str, provides: &str) -> &Self {
            fs::create_dir_all(self.path().join(name)).unwrap();
            for (file, names) in [("element-deps", deps), ("element-provides", provides)] {
                if !names.is_empty() {
                    self.file(&format!("{name}/{file}"), &(names.replace(' ', "\n") + "\n"), 0o644);
                }
            }
            self
        }

        /// Writes a file with its mode, and the directories above it.
        pub fn file(&self, path: &str, text: &str, mode: u32) -> &Self {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            self
        }

        /// Makes a symbolic link.
        pub fn link(&self, path: &str, target: impl AsRef<Path>) -> &Self {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
            self
        }
    }
}

#[cfg(test)]
mod builtin_tests;
