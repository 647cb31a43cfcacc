//! What the tree's administrator or distribution tells modprobe: `modprobe.d(5)`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::assemble::initramfs::view::{View, read, resolve};

use super::aliases::Aliases;
use super::names;

/// Settings by which modprobe chooses modules.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Aliases that come before those of the modules themselves. What they name need not be there (`off`).
    pub aliases: Aliases,
    /// Modules that no alias loads.
    pub blacklist: HashSet<String>,
}

impl Settings {
    /// Takes the settings from the words of lines.
    pub(super) fn new(lines: &[Vec<String>]) -> Self {
        let mut pairs = Vec::new();
        let mut blacklist = HashSet::new();
        for words in lines {
            match words.as_slice() {
                [keyword, pattern, module, ..] if keyword == "alias" => {
                    pairs.push((pattern.clone(), names::plain(module)));
                }
                [keyword, module, ..] if keyword == "blacklist" => drop(blacklist.insert(names::plain(module))),
                _ => {}
            }
        }
        Self { aliases: Aliases::new(pairs), blacklist }
    }
}

/// Where the files are; one hides those of its name in later directories.
const DIRS: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];

/// The files that count, sorted by name, as they are asked for.
pub fn files(view: &dyn View) -> Vec<PathBuf> {
    let mut files = BTreeMap::new();
    for dir in DIRS {
        let Ok(end) = resolve(view, Path::new(dir)) else { continue };
        for name in view.list(&end.path).unwrap_or_default() {
            if name.as_encoded_bytes().ends_with(b".conf") {
                files.entry(name.clone()).or_insert_with(|| Path::new(dir).join(name));
            }
        }
    }
    files.into_values().collect()
}

/// The words of all lines, those that go on behind a `\` joined. Files that cannot be read are passed over.
pub fn lines(view: &dyn View) -> Vec<Vec<String>> {
    let files = files(view);
    let texts = files.iter().filter_map(|path| read(view, path).ok());
    texts.flat_map(|bytes| words(&String::from_utf8_lossy(&bytes))).collect()
}

fn words(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).filter(|w: &Vec<_>| !w.is_empty()).collect()
}
