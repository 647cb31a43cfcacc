//! Releases of other projects that tests need, from the index that pip is configured for: fetched once, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{repository, skip};

/// The archive of a release, in target/test-data/pypi/; none, after saying so, when it cannot be had.
/// `kind` is pip's option that chooses the form.
fn fetched(release: &str, kind: &str) -> Option<PathBuf> {
    let dir = repository().join("target/test-data/pypi").join(release.replace("==", "-"));
    let only_file = |dir: &Path| fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).find(|p| p.is_file());
    if let Some(file) = only_file(&dir) {
        return Some(file);
    }
    fs::create_dir_all(&dir).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:", "-d"]).arg(&dir).arg(release);
    let fetched = pip.status().is_ok_and(|s| s.success());
    let file = only_file(&dir);
    if skip((!fetched || file.is_none()).then(|| format!("{release}, which pip cannot fetch"))) {
        return None;
    }
    file
}

/// A wheel.
pub fn wheel(release: &str) -> Option<PathBuf> {
    fetched(release, "--only-binary")
}
