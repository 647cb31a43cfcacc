//! What stage one collected: facts, links of the network, and files with the paths that they had.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The directory `backup/` of a migration.
pub(super) struct Backup {
    directory: PathBuf,
    facts: BTreeMap<String, String>,
}

impl Backup {
    /// Opens it.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        ensure!(directory.is_dir(), "there is no backup of the old system in {}", directory.display());
        let mut backup = Self { directory: directory.to_owned(), facts: BTreeMap::new() };
        let text = backup.own("facts")?;
        backup.facts = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Ok(backup)
    }

    /// A value of `facts`, never empty.
    pub(super) fn fact(&self, key: &str) -> Option<&str> {
        self.facts.get(key).map(String::as_str)
    }

    /// Names and addresses of physical interfaces: the names as the old system had them, addresses in small letters.
    pub(super) fn links(&self) -> Result<BTreeMap<String, String>> {
        let text = self.own("links")?;
        let words = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
        Ok(words
            .map(|(name, mac)| (name.to_owned(), mac.trim().to_lowercase()))
            .filter(|(_, m)| !m.is_empty())
            .collect())
    }

    /// Lines of `ip -o addr`, empty if they are not known.
    pub(super) fn live_addresses(&self) -> Result<String> {
        self.own("live-addresses")
    }

    /// A file of the old system by its path without the leading slash.
    pub(super) fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        read(&self.directory.join("files").join(path.trim_start_matches('/')))
    }

    /// A file as text; letters that are no UTF-8 are replaced.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names of the files in a directory of the old system, sorted.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>> {
        let directory = self.directory.join("files").join(path);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("reading {}", directory.display()))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", directory.display()))?;
            if entry.path().is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn own(&self, name: &str) -> Result<String> {
        Ok(read(&self.directory.join(name))?.map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default())
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).with_context(|| format!("reading {}", path.display())),
    }
}
