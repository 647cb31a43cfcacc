//! Proof that nothing is left: mounts, loop devices and processes before and after.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a run could leave behind, as it was before it.
///
/// Tests run side by side, so loop devices and processes count when they have to do with `dir`, the
/// place where a test works; mounts count all, for builds mount in namespaces of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaks {
    dir: PathBuf,
    mounts: BTreeSet<String>,
    loops: BTreeSet<String>,
    processes: BTreeSet<String>,
}

/// How long the kernel may take to finish what the end of a namespace started.
const GRACE: Duration = Duration::from_secs(5);

impl Leaks {
    /// Looks at the machine.
    pub fn before(dir: &Path) -> Self {
        let dir = dir.canonicalize().unwrap();
        Self { mounts: mounts(), loops: loops(&dir), processes: processes(&dir), dir }
    }

    /// Fails the test when something has come.
    #[track_caller]
    pub fn assert_same_after(&self) {
        let start = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(start.elapsed() < GRACE, "left behind:\n{}", left.join("\n"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What there is now and was not before, a line each.
    pub fn left(&self) -> Vec<String> {
        let now = Self::before(&self.dir);
        let mut left = Vec::new();
        for (kind, now, before) in [
            ("mount", &now.mounts, &self.mounts),
            ("loop device", &now.loops, &self.loops),
            ("process", &now.processes, &self.processes),
        ] {
            left.extend(now.difference(before).map(|line| format!("{kind}: {line}")));
        }
        left
    }
}

fn mounts() -> BTreeSet<String> {
    fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned).collect()
}

fn loops(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let Ok(file) = fs::read_to_string(entry.path().join("loop/backing_file")) else { continue };
        if file.contains(&*dir.to_string_lossy()) {
            found.insert(format!("{} {}", entry.file_name().to_string_lossy(), file.trim()));
        }
    }
    found
}

/// Processes that work in `dir` or were started with its name: in an argument, as TMPDIR, as working or root directory.
fn processes(dir: &Path) -> BTreeSet<String> {
    let needle = dir.as_os_str().as_bytes();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let proc = entry.path();
        let files = ["cmdline", "environ"].map(|name| fs::read(proc.join(name)).unwrap_or_default());
        let links = ["cwd", "root"].map(|name| {
            let link = fs::read_link(proc.join(name)).unwrap_or_default();
            link.as_os_str().as_bytes().to_vec()
        });
        if files.iter().chain(&links).any(|text| contains(text, needle)) {
            let line = String::from_utf8_lossy(&files[0]).replace('\0', " ");
            found.insert(format!("{pid} {line}"));
        }
    }
    found
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}
