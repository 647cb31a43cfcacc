//! The files of an element as the checks see them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// The line by which a file excludes itself from checks.
const DISABLE: &str = "# dib-lint: disable=";

/// Directories that hold nothing of an element's own.
const SKIPPED: [&str; 2] = [".git", "__pycache__"];

/// A regular file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// Its path in the element.
    pub relative: PathBuf,
    /// Its text; what is not UTF-8 is replaced.
    pub text: String,
    /// Whether any execute bit is set.
    pub executable: bool,
    /// The checks that it excludes itself from.
    pub disabled: Vec<String>,
}

impl File {
    fn read(dir: &Path, path: PathBuf) -> Option<Self> {
        // What vanishes or cannot be read is no linter's business.
        let text = String::from_utf8_lossy(&fs::read(&path).ok()?).into_owned();
        let executable = fs::metadata(&path).ok()?.permissions().mode() & 0o111 != 0;
        let disabled = text.lines().filter_map(|l| l.strip_prefix(DISABLE));
        let disabled = disabled.flat_map(str::split_whitespace).map(str::to_owned).collect();
        Some(Self { relative: path.strip_prefix(dir).unwrap_or(&path).to_owned(), path, text, executable, disabled })
    }

    /// Its first line.
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Whether it starts with the name of an interpreter.
    pub fn is_script(&self) -> bool {
        self.text.starts_with("#!")
    }

    /// Whether that interpreter is bash.
    pub fn is_bash(&self) -> bool {
        self.is_script() && self.first_line().contains("bash")
    }

    /// Whether that interpreter is a Python.
    pub fn is_python(&self) -> bool {
        self.is_script() && self.first_line().contains("python")
    }

    /// Whether a style checker for Python would not find it by its name.
    pub fn is_python_for_others(&self) -> bool {
        self.is_python() && (!self.has_ending("py") || self.first_line().contains("dib-python"))
    }

    /// Whether its name ends in `.ENDING`.
    pub fn has_ending(&self, ending: &str) -> bool {
        self.path.extension().is_some_and(|e| e == ending)
    }

    /// Its own name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The folder of the element that it lies in, if it lies in one.
    pub fn folder(&self) -> Option<&str> {
        self.relative.parent()?.components().next()?.as_os_str().to_str()
    }

    /// Its lines, with their numbers from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }
}

/// The lines of a text as a shell sees them: what a backslash continues is one, with the number of its first.
pub fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (i, line) in text.lines().enumerate() {
        let (part, goes_on) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut().filter(|_| continued) {
            Some((_, start)) => start.push_str(part),
            None => lines.push((i + 1, part.to_owned())),
        }
        continued = goes_on;
    }
    lines
}

/// The regular files below `dir`, sorted.
pub fn paths(dir: &Path) -> Vec<PathBuf> {
    let walk = WalkDir::new(dir).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|e| !SKIPPED.iter().any(|skipped| e.file_name() == *skipped));
    walk.flatten().filter(|e| e.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// The files below `dir` without the `ignored` ones and editors' backups.
pub fn read_all(dir: &Path, ignored: &BTreeSet<PathBuf>) -> Vec<File> {
    let wanted = |path: &PathBuf| !ignored.contains(path) && !path.to_string_lossy().ends_with('~');
    paths(dir).into_iter().filter(wanted).filter_map(|path| File::read(dir, path)).collect()
}
