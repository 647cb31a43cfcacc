//! `diskimage-builder`: image builds described in YAML files (contract 1.4). Deciding half.
//!
//! [`keys`] says what an image may have and which arguments it becomes, [`read`] checks the files,
//! and [`Build`] is the command that comes out. [`crate::cmd::diskimage_builder`] runs it.

pub mod keys;
mod merge;
mod read;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::cli::old_names::{DISK_IMAGE_CREATE, RAMDISK_IMAGE_CREATE};
use crate::error::{Fault, Faults, Place};
use crate::exec::command::quote;

use keys::{ENVIRONMENT, KEYS, Key, RAMDISK, Setting};
use merge::Image;

/// One image to build: a program, its arguments, and variables on top of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// `disk-image-create` or `ramdisk-image-create`.
    pub program: &'static str,
    /// Its arguments, in the fixed order of [`KEYS`].
    pub arguments: Vec<String>,
    /// Variables, in the order in which the files name them first.
    pub environment: Vec<(String, String)>,
}

impl Build {
    fn new(image: &Image) -> Self {
        let ramdisk = image.get(RAMDISK) == Some(&Setting::Flag(true));
        let environment = match image.get(ENVIRONMENT) {
            Some(Setting::Map(variables)) => variables.clone(),
            _ => Vec::new(),
        };
        let arguments = |key: &Key| image.get(key.name).map(|setting| key.arguments(setting)).unwrap_or_default();
        Self {
            program: if ramdisk { RAMDISK_IMAGE_CREATE } else { DISK_IMAGE_CREATE },
            arguments: KEYS.iter().flat_map(arguments).collect(),
            environment,
        }
    }

    /// The command as it could be typed into a shell: assignments, program, arguments.
    pub fn command_line(&self) -> String {
        let variables = self.environment.iter().map(|(name, value)| format!("{name}={}", quote(value)));
        let words = std::iter::once(self.program.to_owned()).chain(self.arguments.iter().map(|a| quote(a)));
        variables.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// The builds that files describe, one for each image name, in the order in which the names appear.
///
/// # Errors
/// Every mistake in every file.
pub fn builds(files: &[PathBuf]) -> Result<Vec<Build>, Faults> {
    let mut faults = Vec::new();
    let mut images = Vec::new();
    for file in files {
        match std::fs::read_to_string(file) {
            Ok(text) => images.extend(read::images(&text, file, &mut faults)),
            Err(e) => faults.push(Fault::at(Place::file(file), format!("reading it failed: {e}"))),
        }
    }
    Faults::or(faults, merge::merge(images).iter().map(Build::new).collect())
}
