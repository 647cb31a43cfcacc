//! Dependencies that the tree's administrator or distribution adds: `modprobe.d(5)`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::assemble::initramfs::view::{View, read, resolve};

/// Where the files are; one hides those of its name in later directories.
const DIRS: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];

/// The words of all lines, those that go on behind a `\` joined. Files that cannot be read are passed over.
pub fn lines(view: &dyn View) -> Vec<Vec<String>> {
    let mut files = BTreeMap::new();
    for dir in DIRS {
        let Ok(end) = resolve(view, Path::new(dir)) else { continue };
        for name in view.list(&end.path).unwrap_or_default() {
            if name.as_encoded_bytes().ends_with(b".conf") {
                files.entry(name.clone()).or_insert_with(|| end.path.join(name));
            }
        }
    }
    let texts = files.values().filter_map(|path| read(view, path).ok());
    texts.flat_map(|bytes| words(&String::from_utf8_lossy(&bytes))).collect()
}

fn words(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).filter(|w: &Vec<_>| !w.is_empty()).collect()
}
