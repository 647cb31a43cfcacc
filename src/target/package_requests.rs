//! Who asked for which package: `install-packages` writes it down in the target, and the manifest of rpm systems
//! tells it (see [`super::rpm_manifest`]).
//!
//! The file has a line for each package: what is known (`asked`, `brought` along by a request, `bootstrap`), the element, the
//! package's name, separated by tabs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::var;
use crate::error::on;

/// The file, in the target. The end of the build empties /tmp.
pub(super) const FILE: &str = "/tmp/package-requests";

/// The element whose hook is running; set by the engine, `-p` for the packages of that option.
pub const HOOK_ELEMENT: &str = "IMAGE_HOOK_ELEMENT";

/// Who asked for the packages of this call, for the tools that call on behalf of elements: lines of element, blank, name.
pub(super) const ASKED_BY: &str = "IMAGE_PACKAGES_ASKED_BY";

/// The value of [`ASKED_BY`] for pairs of package and element.
pub(super) fn asked_by<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pairs.into_iter().map(|(package, element)| format!("{element} {package}\n")).collect()
}

/// A request that is about to be run.
pub(super) struct Request {
    /// Element and package.
    asked: Vec<(String, String)>,
    before: BTreeSet<String>,
}

impl Request {
    /// Looks at what is installed. `None` where nobody wants to know: in a system without rpm, or not in a target.
    pub(super) fn begin(packages: &[String]) -> Option<Self> {
        if !Path::new("/tmp/in_target.d").is_dir() {
            return None;
        }
        let before = installed(&["-qa"])?;
        let asked = match var(ASKED_BY) {
            Some(lines) => pairs(&lines),
            None => {
                let element = var(HOOK_ELEMENT).filter(|e| !e.is_empty())?;
                packages.iter().map(|p| (element.clone(), p.clone())).collect()
            }
        };
        Some(Self { asked, before })
    }

    /// Writes down what came of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn end(self) -> Result<()> {
        let mut lines = String::new();
        let mut named = BTreeSet::new();
        for (element, package) in &self.asked {
            // A request may name a version as well, which rpm understands.
            for name in installed(&["-q", "--", package]).unwrap_or_default() {
                lines += &format!("asked\t{element}\t{name}\n");
                named.insert(name);
            }
        }
        let elements: BTreeSet<&String> = self.asked.iter().map(|(element, _)| element).collect();
        for name in installed(&["-qa"]).unwrap_or_default() {
            if !self.before.contains(&name) && !named.contains(&name) {
                elements.iter().for_each(|element| lines += &format!("brought\t{element}\t{name}\n"));
            }
        }
        let path = Path::new(FILE);
        let file = File::options().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(lines.as_bytes())).with_context(|| on("writing", path))
    }
}

fn pairs(lines: &str) -> Vec<(String, String)> {
    let split = lines.lines().filter_map(|line| line.split_once(' '));
    split.map(|(element, package)| (element.to_owned(), package.to_owned())).collect()
}

/// The names of installed packages by a query of rpm. `None` when there is no rpm.
fn installed(query: &[&str]) -> Option<BTreeSet<String>> {
    // A marker, because "package x is not installed" stands on stdout too. Its status counts those.
    let output = std::process::Command::new("rpm").args(["--qf", "=%{NAME}\n"]).args(query).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().filter_map(|line| line.strip_prefix('=')).map(str::to_owned).collect())
}

/// What is known about a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// The elements that asked for it, each once, in the order in which they did.
    pub elements: Vec<String>,
    /// The elements whose requests brought it along.
    pub brought_by: Vec<String>,
}

/// Reads the file.
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn origins() -> Result<BTreeMap<String, Origin>> {
    match fs::read_to_string(FILE) {
        Ok(text) => Ok(parse(&text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(e).with_context(|| on("reading", Path::new(FILE))),
    }
}

fn parse(text: &str) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::<String, Origin>::new();
    for line in text.lines() {
        let [kind, element, package] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let origin = origins.entry(package.to_owned()).or_default();
        let list = if kind == "brought" { &mut origin.brought_by } else { &mut origin.elements };
        if !list.iter().any(|known| known == element) {
            list.push(element.to_owned());
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_what_is_known_about_each_package() {
        let origins =
            parse("bootstrap\tos\tbash\nasked\tone\tgit\nbrought\tone\tperl\nasked\ttwo\tgit\nasked\tone\tgit\n");
        assert_eq!(origins["bash"].elements, ["os"]);
        assert_eq!(origins["git"].elements, ["one", "two"]);
        assert_eq!(origins["perl"], Origin { elements: vec![], brought_by: vec!["one".into()] });
    }

    #[test]
    fn callers_name_the_elements_that_they_call_for() {
        let text = asked_by([("git", "one"), ("curl", "two")]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(pairs(&text), [pair("one", "git"), pair("two", "curl")]);
    }
}
