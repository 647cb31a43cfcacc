//! Elements as people and programs look at them: `element list`, `element show`, `element deps`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Serialize;

use crate::element::Warning;
use crate::element::catalog::{Element, ElementCatalog, Named};
use crate::element::hooks::{self, Hook};
use crate::element::phase::Phase;
use crate::element::resolve::{Resolution, ResolvedElement};
use crate::element::run_order;
use crate::error::{Fault, Faults};

/// Files larger than this are data that mentions no variable worth showing.
const LARGEST_SCRIPT: u64 = 1 << 20;

/// Files at the top of an element that the engine or its tools read.
const DATA_FILES: &[&str] = &[
    "package-installs.yaml",
    "package-installs.json",
    "pkg-map",
    "svc-map",
    "initramfs.json",
    "block-device-default.yaml",
];

/// One line of `element list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// The first sentence of its README.
    pub summary: Option<String>,
    /// The virtual names that it provides.
    pub provides: Vec<String>,
    /// Its directory.
    pub dir: PathBuf,
}

/// What `element show` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The name.
    pub name: String,
    /// The first paragraph of its README.
    pub summary: Option<String>,
    /// Its directory.
    pub dir: PathBuf,
    /// Directories of elements with the same name that it hides.
    pub overrides: Vec<PathBuf>,
    /// The elements that it needs.
    pub deps: Vec<String>,
    /// The virtual names that it provides.
    pub provides: Vec<String>,
    /// Its hooks by phase, in the order in which they run.
    pub hooks: BTreeMap<Phase, Vec<ShownHook>>,
    /// Its files in `environment.d`.
    pub environment: Vec<String>,
    /// Other files that the engine or its tools read: package lists, maps, repositories.
    pub files: Vec<String>,
    /// The `DIB_*` and `IMAGE_*` variables that its files mention.
    pub variables: Vec<String>,
}

/// A file in a phase directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownHook {
    /// The file name.
    pub name: String,
    /// Why it does not run; none when it runs.
    pub skipped: Option<String>,
}

/// One element of `element deps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether the user named it.
    pub requested: bool,
    /// The elements that need it.
    pub required_by: Vec<String>,
}

/// All elements, by name.
///
/// # Errors
/// One fault for each `element-provides` that cannot be read.
pub fn list(catalog: &ElementCatalog) -> Result<Vec<Listed>, Faults> {
    let mut faults = Vec::new();
    // `.git` in an element path is an element by the rules, and by nobody's intention.
    let elements = catalog.iter().filter(|e| !e.name.starts_with('.'));
    let listed = elements.map(|element| Listed {
        name: element.name.clone(),
        summary: readme(&element.dir).as_deref().and_then(first_paragraph).map(first_sentence),
        provides: names(element.provides(), &mut faults),
        dir: element.dir.clone(),
    });
    let listed = listed.collect();
    Faults::or(faults, listed)
}

/// `element list` as text: names, what they are, what they provide.
pub fn list_text(listed: &[Listed]) -> String {
    let width = listed.iter().map(|l| l.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for one in listed {
        let mut line = format!("{:width$}  {}", one.name, one.summary.as_deref().unwrap_or(""));
        if !one.provides.is_empty() {
            line.push_str(&format!(" [{}]", one.provides.join(", ")));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// All about one element, and what is odd about its hooks.
///
/// # Errors
/// When there is no such element, or its files cannot be read.
pub fn show(catalog: &ElementCatalog, name: &str) -> Result<(Shown, Vec<Warning>), Faults> {
    let Some(element) = catalog.get(name) else {
        let fault = Fault::new(format!("Element '{name}' not found"));
        return Err(Fault { hint: catalog.hint_for(name), ..fault }.into());
    };
    let mut faults = Vec::new();
    let deps = names(element.deps(), &mut faults);
    let provides = names(element.provides(), &mut faults);
    Faults::or(faults, ())?;
    let alone = ResolvedElement { name: name.into(), dir: element.dir.clone(), requested: true, required_by: vec![] };
    let (tree, warnings) = hooks::merge(&[alone], &run_order::pattern(None)?)?;
    let shown_hook = |h: &Hook| ShownHook { name: h.name.clone(), skipped: h.skip.map(|s| s.to_string()) };
    let shown = Shown {
        name: element.name.clone(),
        summary: readme(&element.dir).as_deref().and_then(first_paragraph),
        dir: element.dir.clone(),
        overrides: catalog.overridden(name).to_vec(),
        deps,
        provides,
        hooks: tree.phases.iter().map(|(phase, all)| (*phase, all.iter().map(shown_hook).collect())).collect(),
        environment: tree.environment.iter().map(|h| h.name.clone()).collect(),
        files: data_files(element),
        variables: variables(&element.dir),
    };
    Ok((shown, warnings))
}

/// `element show` as text.
pub fn show_text(shown: &Shown) -> String {
    let mut text = format!("{}\n", shown.name);
    if let Some(summary) = &shown.summary {
        let _ok = writeln!(text, "  {summary}");
    }
    let mut line = |label: &str, values: &[String]| {
        if !values.is_empty() {
            let _ok = writeln!(text, "{label:14}{}", values.join(" "));
        }
    };
    line("directory", &[shown.dir.display().to_string()]);
    let overrides: Vec<_> = shown.overrides.iter().map(|dir| dir.display().to_string()).collect();
    line("overrides", &overrides);
    line("needs", &shown.deps);
    line("provides", &shown.provides);
    line("files", &shown.files);
    line("environment", &shown.environment);
    line("variables", &shown.variables);
    for (phase, hooks) in &shown.hooks {
        let _ok = writeln!(text, "{}", phase.dir());
        for hook in hooks {
            let reason = hook.skipped.as_ref().map(|r| format!("  (does not run: {r})")).unwrap_or_default();
            let _ok = writeln!(text, "  {}{reason}", hook.name);
        }
    }
    text
}

/// The elements of a build with the reason for each.
pub fn deps(resolution: &Resolution) -> Vec<Dependency> {
    let dependency = |e: &ResolvedElement| Dependency {
        name: e.name.clone(),
        dir: e.dir.clone(),
        requested: e.requested,
        required_by: e.required_by.clone(),
    };
    resolution.elements.iter().map(dependency).collect()
}

/// `element deps` as text: one name per line.
pub fn deps_text(resolution: &Resolution) -> String {
    resolution.names().map(|name| format!("{name}\n")).collect()
}

fn names(read: Result<Vec<Named>, Fault>, faults: &mut Vec<Fault>) -> Vec<String> {
    match read {
        Ok(names) => names.into_iter().map(|n| n.name).collect(),
        Err(fault) => {
            faults.push(fault);
            Vec::new()
        }
    }
}

fn readme(dir: &Path) -> Option<String> {
    ["README.rst", "README.md"].iter().find_map(|name| fs::read_to_string(dir.join(name)).ok())
}

/// The first paragraph of a README that is not a title, a directive or a list, on one line.
fn first_paragraph(readme: &str) -> Option<String> {
    let ruler = |line: &str| {
        line.len() > 1
            && line.chars().all(|c| c == line.chars().next().unwrap_or(' '))
            && !line.starts_with(char::is_alphanumeric)
    };
    let prose = |block: &Vec<&str>| {
        let first = block[0];
        !block.iter().any(|line| ruler(line.trim_end())) && !first.starts_with(['.', '#', '*', '|', '+', '-', ' '])
    };
    let lines: Vec<&str> = readme.lines().collect();
    let blocks = lines.split(|line| line.trim().is_empty()).filter(|block| !block.is_empty()).map(<[&str]>::to_vec);
    let paragraph = blocks.into_iter().find(prose)?;
    Some(paragraph.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
}

fn first_sentence(paragraph: String) -> String {
    match paragraph.find(". ") {
        Some(end) => paragraph[..=end].to_owned(),
        None => paragraph,
    }
}

/// The data files of an element, by name.
fn data_files(element: &Element) -> Vec<String> {
    let Ok(entries) = fs::read_dir(&element.dir) else { return Vec::new() };
    let known = |name: &String| {
        DATA_FILES.contains(&name.as_str())
            || name.starts_with("source-repository-")
            || name.starts_with("block-device-")
    };
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).filter(known).collect();
    names.sort();
    names
}

/// The variables that the files of an element mention, its tests left out.
fn variables(dir: &Path) -> Vec<String> {
    let name = Regex::new(r"\b(?:DIB|IMAGE)_[A-Z0-9_]*[A-Z0-9]\b").expect("the pattern is well formed");
    let mut found = BTreeSet::new();
    let wanted = |e: &walkdir::DirEntry| !matches!(e.file_name().to_str(), Some("tests" | "test-elements" | ".git"));
    for entry in walkdir::WalkDir::new(dir).into_iter().filter_entry(wanted).flatten() {
        let small = entry.metadata().is_ok_and(|m| m.is_file() && m.len() <= LARGEST_SCRIPT);
        if let Some(text) = small.then(|| fs::read_to_string(entry.path()).ok()).flatten() {
            found.extend(name.find_iter(&text).map(|m| m.as_str().to_owned()));
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::fixture::Elements;
    use crate::element::resolve::{Request, resolve};

    const README: &str = "==\nvm\n==\n\n.. note:: x\n   y\n\nSets up a partitioned disk. It\nneeds a layout.\n\nEnvironment\n-----------\n\nmore\n";

    fn elements() -> Elements {
        let elements = Elements::new();
        elements
            .element("vm", "disk", "")
            .element("mbr", "", "disk operating-system")
            .file("vm/README.rst", README, 0o644)
            .file("vm/package-installs.yaml", "vim:\n", 0o644)
            .file("vm/source-repository-x", "x git /opt/x http://x\n", 0o644)
            .file("vm/environment.d/10-vm", "export DIB_X=${DIB_X:-1} IMAGE_Y=2 DIB_PREFIX_\n", 0o644)
            .file("vm/install.d/20-b", "#!/bin/bash\n", 0o755)
            .file("vm/install.d/10-a.sh", "#!/bin/bash\n", 0o755)
            .file("vm/tests/t", "DIB_TEST=1\n", 0o644);
        elements
    }

    #[test]
    fn the_list_has_the_first_sentence_and_what_is_provided() {
        let elements = elements();
        let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
        let text = list_text(&list(&catalog).unwrap());
        assert_eq!(text, "mbr   [disk, operating-system]\nvm   Sets up a partitioned disk.\n");
    }

    #[test]
    fn show_tells_hooks_files_and_variables() {
        let elements = elements();
        let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
        let (shown, warnings) = show(&catalog, "vm").unwrap();
        assert_eq!(warnings.len(), 1);
        let expected = format!(
            "vm
  Sets up a partitioned disk. It needs a layout.
directory     {}
needs         disk
files         package-installs.yaml source-repository-x
environment   10-vm
variables     DIB_X IMAGE_Y
install.d
  10-a.sh  (does not run: its name has a character other than letters, digits, '_' and '-')
  20-b
",
            elements.path().join("vm").display()
        );
        assert_eq!(show_text(&shown), expected);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["hooks"]["install"][1]["name"], "20-b");
        assert_eq!(show(&catalog, "wm").unwrap_err().0[0].hint.as_deref(), Some("did you mean 'vm'?"));
    }

    #[test]
    fn deps_are_in_order() {
        let elements = elements();
        let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
        let request = Request { implicit: vec![], ..Request::build(&["vm", "mbr"], "amd64") };
        let resolution = resolve(&catalog, &request).unwrap();
        assert_eq!(deps_text(&resolution), "mbr\nvm\n");
        assert_eq!(deps(&resolution)[0].required_by, ["vm"]);
    }
}
