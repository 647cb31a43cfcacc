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

use std::fmt;

use crate::error::{Fault, Place};

/// Something in an element that is not wrong enough to stop for, with its place and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands, if it stands in a file.
    pub place: Option<Place>,
    /// What is odd: no full stop.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Warning {
    /// A warning without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), hint: None }
    }

    /// A warning with a place.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into(), hint: None }
    }

    /// The same warning with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Fault> for Warning {
    fn from(fault: Fault) -> Self {
        Self { place: fault.place, message: fault.message, hint: fault.hint }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

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
