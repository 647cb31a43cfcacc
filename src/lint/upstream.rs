//! The checks of diskimage-builder's own linter (contract 1.9).

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::element::catalog::Element;
use crate::plan::disk::variables;
use crate::yaml;

use super::Finding;
use super::check::Check;
use super::file::{self, File};

/// Folders whose hooks run on the host, or did once: sudo is looked at there.
const SUDO_FOLDERS: [&str; 5] = ["root.d", "extra-data.d", "block-device.d", "finalise.d", "cleanup.d"];

/// Words that show that a line with sudo is about the tree.
const SAFE_SUDO: [&str; 6] = [
    "TARGET_ROOT",
    "IMAGE_BLOCK_DEVICE",
    "TMP_MOUNT_PATH",
    "TMP_IMAGE_PATH",
    "install-packages",
    "dib-lint: safe_sudo",
];

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static ODD_INDENT: LazyLock<Regex> = LazyLock::new(|| regex("^(?: {4})* {1,3}[^ ]"));
static EXPORT: LazyLock<Regex> = LazyLock::new(|| regex(r"export .*\$\("));
static WHICH: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:^|[;|&(`{!]|\b(?:if|then|do|else|elif|while|until|exec|sudo))\s*\bwhich "));
static SET_E: LazyLock<Regex> = LazyLock::new(|| regex("(?m)^set -[^ ]*e"));
static SET_U: LazyLock<Regex> = LazyLock::new(|| regex("(?m)^set -[^ ]*u"));
static SET_PIPEFAIL: LazyLock<Regex> = LazyLock::new(|| regex("(?m)^set -o pipefail"));

/// Whether a script stops at variables that are not set.
pub fn sets_u(text: &str) -> bool {
    SET_U.is_match(text)
}

/// What an element must have as a whole.
pub fn element(element: &Element, files: &[File]) -> Vec<Finding> {
    let has_readme = element.dir.join("README.rst").is_file();
    let readme = (!has_readme && !element.name.starts_with('.')).then(|| {
        let file = element.dir.join("README.rst");
        Finding::of(Check::Readme, &file, "the element has no README.rst")
            .hint("say what the element is for, and its variables")
    });
    let documents = files.iter().filter(|f| f.has_ending("md"));
    let documents = documents.map(|f| {
        Finding::of(Check::MdDocs, &f.path, "documents of elements are reStructuredText").hint("write a .rst file")
    });
    readme.into_iter().chain(documents).collect()
}

/// All checks of one file.
pub fn file(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    if !["rst", "yaml", "py"].iter().any(|ending| file.has_ending(ending)) {
        source_repository(file, &mut found);
        deps_order(file, &mut found);
        environment(file, &mut found);
        lines(file, &mut found);
        if file.is_script() {
            script(file, &mut found);
        }
    }
    if file.has_ending("rst") || file.executable {
        found.extend(whitespace(file));
    }
    if file.has_ending("yaml")
        && let Err(fault) = yaml::parse(&with_defaults(file), &file.path)
    {
        found.push(Finding { check: Check::Yaml, fault });
    }
    if file.name() == "pkg-map"
        && !file.executable
        && let Err(e) = serde_json::from_str::<serde_json::Value>(&file.text)
    {
        found.push(Finding::at(Check::PkgMapJson, &file.path, e.line(), format!("a pkg-map is JSON: {e}")));
    }
    found
}

/// The text of a file; of a disk layout the one that a caller gets who sets none of its variables.
fn with_defaults(file: &File) -> Cow<'_, str> {
    let is_layout = file.name().starts_with("block-device-");
    let expanded = is_layout.then(|| variables::expand(&file.text, &|_| None).ok()).flatten();
    expanded.map_or(Cow::Borrowed(&file.text), Cow::Owned)
}

/// Tabs in front of lines, and the newline at the end: also for shell libraries.
pub fn whitespace(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    let tabs = file.lines().find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'));
    if let Some((line, _)) = tabs {
        found.push(Finding::at(Check::TabIndent, &file.path, line, "a tab in front of the line").hint("use spaces"));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        found.push(Finding::of(Check::Newline, &file.path, "no newline at the end of the file"));
    }
    found
}

fn source_repository(file: &File, found: &mut Vec<Finding>) {
    if file.name().starts_with("source-repository-") && !file.text.ends_with('\n') {
        let finding = Finding::of(Check::SourceRepository, &file.path, "no newline at the end of the file");
        found.push(finding.hint("the last line may not be read without one"));
    }
}

fn deps_order(file: &File, found: &mut Vec<Finding>) {
    if file.name() != "element-deps" {
        return;
    }
    let names: Vec<_> = file.lines().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).collect();
    if let Some([(_, before), (line, name)]) = names.array_windows().find(|[(_, a), (_, b)]| a > b) {
        let finding = Finding::at(Check::DepsOrder, &file.path, *line, "the names are not in alphabetical order");
        found.push(finding.hint(format!("'{name}' belongs before '{before}'")));
    }
}

fn environment(file: &File, found: &mut Vec<Finding>) {
    if file.folder() != Some("environment.d") {
        return;
    }
    for (line, _) in file.lines().filter(|(_, l)| l.contains("set -x")) {
        let message = "environment.d is sourced before every phase: it must not turn on tracing";
        found.push(Finding::at(Check::Environment, &file.path, line, message));
    }
    if file.executable {
        let finding = Finding::of(Check::Environment, &file.path, "a file of environment.d is sourced, not run");
        found.push(finding.hint(format!("chmod -x {}", file.path.display())));
    }
}

/// Checks of single lines.
fn lines(file: &File, found: &mut Vec<Finding>) {
    let on_host = file.path.parent().is_some_and(|dir| SUDO_FOLDERS.iter().any(|f| dir.to_string_lossy().contains(f)));
    let is_shell = file.folder() == Some("environment.d") || (file.is_script() && !file.is_python());
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let mut add = |check, number, message: &str, hint: &str| {
        found.push(Finding::at(check, &file.path, number, message).hint(hint));
    };
    for (number, _) in file.lines().filter(|(_, line)| !is_comment(line) && EXPORT.is_match(line)) {
        let message = "export hides the status of the command whose output it takes";
        add(Check::ExportSubstitution, number, message, "assign in one line and export in the next");
    }
    for (number, line) in file::joined(&file.text).into_iter().filter(|(_, line)| !is_comment(line)) {
        if on_host && line.contains("sudo ") && !SAFE_SUDO.iter().any(|word| line.contains(word)) {
            let message = "sudo on the host, and not about the image's tree";
            add(Check::SafeSudo, number, message, "name the tree, or end the line with '# dib-lint: safe_sudo'");
        }
        if is_shell && WHICH.is_match(&line) && !line.contains("dib-lint: which") {
            add(Check::Which, number, "'which' is no part of a minimal system", "use 'command -v' or 'type -p'");
        }
    }
}

fn script(file: &File, found: &mut Vec<Finding>) {
    if !file.executable {
        let finding = Finding::at(Check::Executable, &file.path, 1, "the script is not executable");
        found.push(finding.hint(format!("chmod +x {}", file.path.display())));
    }
    if file.is_python() {
        return;
    }
    let odd: Vec<_> = file.lines().filter(|(_, l)| ODD_INDENT.is_match(l)).collect();
    if let Some((line, _)) = odd.first() {
        let more = if odd.len() > 1 { format!(", and {} more lines", odd.len() - 1) } else { String::new() };
        let message = format!("indented by something else than a multiple of four{more}");
        found.push(Finding::at(Check::Indent, &file.path, *line, message));
    }
    if !file.is_bash() {
        return;
    }
    if file.first_line() != "#!/bin/bash" {
        let finding = Finding::at(Check::Interpreter, &file.path, 1, "bash is called #!/bin/bash everywhere");
        found.push(finding.hint("other paths may not be there while the image is built"));
        return;
    }
    let options = [
        (Check::SetE, &SET_E, "set -e"),
        (Check::SetU, &SET_U, "set -u"),
        (Check::SetPipefail, &SET_PIPEFAIL, "set -o pipefail"),
    ];
    for (check, pattern, option) in options {
        if !pattern.is_match(&file.text) {
            found.push(Finding::of(check, &file.path, format!("no line that starts with '{option}'")));
        }
    }
    if !file.text.contains("DIB_DEBUG_TRACE") {
        let finding = Finding::of(Check::DibDebugTrace, &file.path, "it cannot be traced");
        found.push(finding.hint("add: if [ \"${DIB_DEBUG_TRACE:-0}\" -gt 0 ]; then set -x; fi"));
    }
}
