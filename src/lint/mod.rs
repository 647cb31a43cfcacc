//! What is wrong in elements, told without building anything: `dib-lint` and `image-create element lint`.
//!
//! [`upstream`] has the checks of diskimage-builder's linter (contract 1.9), under the names by which files
//! exclude themselves from them. The other modules see what those cannot: hooks that never run, variables
//! that nothing sets, phases that do not exist, data where hooks belong, names that a family has no package
//! for. All findings are collected and sorted.

pub mod check;
mod definitions;
mod file;
mod hooks;
mod packages;
mod print;
pub mod settings;
mod shell;
#[cfg(test)]
mod tests;
mod unset;
mod upstream;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::element::catalog::{Element, ElementCatalog};
use crate::error::{Fault, Place};
use crate::package::shared::SharedMaps;

use check::{Check, Severity};
use file::File;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check that found it.
    pub check: Check,
    /// What and where.
    pub fault: Fault,
}

impl Finding {
    /// A finding that concerns a whole file.
    pub fn of(check: Check, file: &Path, message: impl Into<String>) -> Self {
        Self { check, fault: Fault::at(Place::file(file), message) }
    }

    /// A finding in a line, from 1.
    pub fn at(check: Check, file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { check, fault: Fault::at(Place::line(file, line), message) }
    }

    /// The same with what can be done about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.fault.hint = Some(hint.into());
        self
    }

    fn key(&self) -> (PathBuf, usize, Check, &str) {
        let place = self.fault.place.as_ref();
        let file = place.map(|p| p.file.clone()).unwrap_or_default();
        (file, place.and_then(|p| p.line).unwrap_or(0), self.check, &self.fault.message)
    }
}

/// What is looked at, and what is known besides.
#[derive(Debug, Default)]
pub struct Scope {
    /// The elements to check.
    pub elements: Vec<Element>,
    /// Shell libraries to check.
    pub libraries: Vec<PathBuf>,
    /// All elements that these may name or get variables from.
    pub catalog: ElementCatalog,
    /// The package maps that all elements share.
    pub shared: SharedMaps,
    /// Files that are left out: git ignores them.
    pub ignored: BTreeSet<PathBuf>,
    /// Names of checks that are off everywhere.
    pub disabled: Vec<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Sorted by file and line.
    pub findings: Vec<Finding>,
    /// Files whose style another program has to check: Python without the ending `.py`.
    pub python: Vec<PathBuf>,
}

impl Report {
    /// Whether any finding is an error, by the rules of diskimage-builder's linter.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.check.severity() == Severity::Error)
    }

    /// Adds findings from elsewhere.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by(|a, b| a.key().cmp(&b.key()));
        self.findings.dedup();
    }
}

/// The files that [`run`] would read: what a caller has to ask git about.
pub fn files(scope: &Scope) -> Vec<PathBuf> {
    let below = |dir: &Path| file::paths(dir);
    scope.elements.iter().flat_map(|e| below(&e.dir)).chain(scope.libraries.iter().flat_map(|l| below(l))).collect()
}

/// Runs every check.
pub fn run(scope: &Scope) -> Report {
    let mut report = Report::default();
    let known = unset::Known::of(&scope.catalog);
    let mut findings = Vec::new();
    for element in &scope.elements {
        let files = file::read_all(&element.dir, &scope.ignored);
        let mut found = upstream::element(element, &files);
        files.iter().for_each(|file| found.extend(upstream::file(file)));
        found.extend(hooks::element(element, &files));
        found.extend(definitions::element(element, &scope.catalog));
        found.extend(packages::element(element, &scope.shared));
        found.extend(unset::element(&files, &known));
        found.retain(|finding| !is_disabled(finding, &files, &scope.disabled));
        findings.extend(found);
        report.python.extend(files.iter().filter(|f| f.is_python_for_others()).map(|f| f.path.clone()));
    }
    for library in &scope.libraries {
        let files = file::read_all(library, &scope.ignored);
        let mut found: Vec<_> = files.iter().flat_map(upstream::whitespace).collect();
        found.retain(|finding| !is_disabled(finding, &files, &scope.disabled));
        findings.extend(found);
    }
    report.add(findings);
    report
}

/// Whether the file says that it does not want this check, or the whole repository does.
fn is_disabled(finding: &Finding, files: &[File], everywhere: &[String]) -> bool {
    if !finding.check.can_be_disabled() {
        return false;
    }
    let name = finding.check.name();
    let path = finding.fault.place.as_ref().map(|p| &p.file);
    let in_file = files.iter().filter(|f| Some(&f.path) == path).flat_map(|f| &f.disabled);
    everywhere.iter().chain(in_file).any(|disabled| disabled == name)
}
