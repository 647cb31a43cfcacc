//! The elements that can be used: every sub-directory of every entry of `ELEMENTS_PATH` (contract 3.1).
//!
//! Loading lists directories only. What an element needs and provides is read when somebody asks,
//! so a tree of a thousand elements costs a build only the ones that it uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::element::Warning;
use crate::error::{Fault, Faults, Place};
use crate::near::{near, quoted};

/// One element: a folder of hook scripts and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The base name of the directory's real path.
    pub name: String,
    /// The directory: an absolute path without symbolic links.
    pub dir: PathBuf,
}

/// A name in `element-deps` or `element-provides`, with the line that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The file and line.
    pub place: Place,
}

impl Element {
    /// The names in `element-deps`, in the order of the file. No file means no names.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn deps(&self) -> Result<Vec<Named>, Fault> {
        read_names(&self.dir.join("element-deps"))
    }

    /// The names in `element-provides`, in the order of the file. No file means no names.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn provides(&self) -> Result<Vec<Named>, Fault> {
        read_names(&self.dir.join("element-provides"))
    }
}

/// Reads one name per line. Blank lines and repeated names are dropped; there are no comments:
/// diskimage-builder takes `# x` for a name, and an element that works here should work there too.
fn read_names(file: &Path) -> Result<Vec<Named>, Fault> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Fault::at(Place::file(file), format!("reading it failed: {e}"))),
    };
    let mut seen = BTreeSet::new();
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    Ok(lines
        .filter(|(_, name)| !name.is_empty() && seen.insert(*name))
        .map(|(line, name)| Named { name: name.to_owned(), place: Place::line(file, line) })
        .collect())
}

/// All elements that can be used, by name.
#[derive(Debug, Clone, Default)]
pub struct ElementCatalog {
    elements: BTreeMap<String, Element>,
    /// Elements hidden by one of the same name in an earlier entry, nearest first.
    overridden: BTreeMap<String, Vec<PathBuf>>,
    /// Names of symbolic links that are not the name of what they point to.
    aliases: BTreeMap<String, String>,
}

impl ElementCatalog {
    /// Lists the elements in `path_entries`, earlier entries first, and then in `builtin`.
    ///
    /// # Errors
    /// One fault for each entry that is not a directory or cannot be listed, and one when there is no entry at all.
    pub fn load(path_entries: &[PathBuf], builtin: Option<&Path>) -> Result<(Self, Vec<Warning>), Faults> {
        let mut catalog = Self::default();
        let mut warnings = Vec::new();
        let mut faults = Vec::new();
        if path_entries.is_empty() && builtin.is_none() {
            faults.push(Fault::new("$ELEMENTS_PATH must be set."));
        }
        for entry in path_entries.iter().map(PathBuf::as_path).chain(builtin) {
            if !entry.is_dir() {
                let message = format!("ELEMENTS_PATH entry '{}' is not a directory", entry.display());
                faults.push(Fault::new(message).hint("each entry must be a directory of elements, none may be empty"));
                continue;
            }
            match list(entry) {
                Ok(found) => found.into_iter().for_each(|f| catalog.add(f, &mut warnings)),
                Err(e) => faults.push(Fault::at(Place::file(entry), format!("listing its elements failed: {e}"))),
            }
        }
        Faults::or(faults, (catalog, warnings))
    }

    fn add(&mut self, found: Found, warnings: &mut Vec<Warning>) {
        let Found { entry_name, element } = found;
        if entry_name != element.name {
            self.aliases.entry(entry_name).or_insert_with(|| element.name.clone());
        }
        match self.elements.get(&element.name) {
            None => {
                self.elements.insert(element.name.clone(), element);
            }
            Some(winner) if winner.dir == element.dir => {}
            Some(winner) => {
                let text = format!("Element <{}> overrides <{}>", winner.dir.display(), element.dir.display());
                warnings.push(Warning::new(text));
                self.overridden.entry(element.name).or_default().push(element.dir);
            }
        }
    }

    /// The element of this name.
    pub fn get(&self, name: &str) -> Option<&Element> {
        self.elements.get(name)
    }

    /// All elements, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Element> {
        self.elements.values()
    }

    /// The directories that the element of this name hides, nearest first.
    pub fn overridden(&self, name: &str) -> &[PathBuf] {
        self.overridden.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of the elements that provide `name`. Reads every element's `element-provides`; those
    /// that cannot be read count as providing nothing.
    pub fn providers(&self, name: &str) -> Vec<&str> {
        let provides = |e: &&Element| e.provides().is_ok_and(|names| names.iter().any(|n| n.name == name));
        self.iter().filter(provides).map(|e| e.name.as_str()).collect()
    }

    /// What a user may have meant by a name that no element has.
    pub fn hint_for(&self, name: &str) -> Option<String> {
        if name.starts_with('#') {
            return Some("each line of this file is a name: it cannot have comments".into());
        }
        if let Some(real) = self.aliases.get(name) {
            return Some(format!("'{name}' is a link to the element '{real}', which goes by its own name"));
        }
        let providers = self.providers(name);
        if !providers.is_empty() {
            return Some(format!("it is provided by {}: name one of them", quoted(&providers)));
        }
        let near = near(name, self.elements.keys().map(String::as_str));
        (!near.is_empty()).then(|| format!("did you mean {}?", quoted(&near)))
    }
}

/// A sub-directory of an entry: its name there, and the element that it is.
struct Found {
    entry_name: String,
    element: Element,
}

/// The elements in one entry, real directories first (a link must not hide the directory that has the
/// name), then by name.
fn list(entry: &Path) -> io::Result<Vec<Found>> {
    let real_entry = entry.canonicalize()?;
    let mut found = Vec::new();
    for item in fs::read_dir(&real_entry)? {
        let item = item?;
        let kind = item.file_type()?;
        let path = item.path();
        let dir = if kind.is_symlink() {
            // A link that points nowhere is no element.
            match path.canonicalize() {
                Ok(real) if real.is_dir() => real,
                _ => continue,
            }
        } else if kind.is_dir() {
            path
        } else {
            continue;
        };
        let Some(name) = dir.file_name() else { continue };
        let element = Element { name: name.to_string_lossy().into_owned(), dir };
        found.push(Found { entry_name: item.file_name().to_string_lossy().into_owned(), element });
    }
    found.sort_by(|a, b| {
        let key = |f: &Found| (f.entry_name != f.element.name, f.entry_name.clone());
        key(a).cmp(&key(b))
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::fixture::Elements;

    fn load(entries: &[PathBuf]) -> (ElementCatalog, Vec<Warning>) {
        ElementCatalog::load(entries, None).unwrap()
    }

    #[test]
    fn e4_an_entry_that_is_no_directory_is_named_and_so_is_every_other() {
        let ok = Elements::new();
        let faults = ElementCatalog::load(&[ok.path(), "/not/a/dir".into(), "".into()], None).unwrap_err();
        let messages: Vec<_> = faults.0.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            messages,
            ["ELEMENTS_PATH entry '/not/a/dir' is not a directory", "ELEMENTS_PATH entry '' is not a directory"]
        );
    }

    #[test]
    fn e14_no_entry_at_all_is_a_fault() {
        let faults = ElementCatalog::load(&[], None).unwrap_err();
        assert_eq!(faults.0[0].message, "$ELEMENTS_PATH must be set.");
    }

    #[test]
    fn e13_the_earlier_entry_wins_with_a_warning_and_the_built_in_directory_comes_last() {
        let (first, second, builtin) = (Elements::new(), Elements::new(), Elements::new());
        first.element("x", "", "");
        second.element("x", "", "").element("y", "", "");
        builtin.element("y", "", "").element("z", "", "");
        let entries = [first.path(), second.path()];
        let (catalog, warnings) = ElementCatalog::load(&entries, Some(&builtin.path())).unwrap();
        assert_eq!(catalog.get("x").unwrap().dir, first.path().join("x"));
        assert_eq!(catalog.get("y").unwrap().dir, second.path().join("y"));
        assert_eq!(catalog.overridden("x"), [second.path().join("x")]);
        let expected =
            format!("Element <{}> overrides <{}>", first.path().join("x").display(), second.path().join("x").display());
        assert_eq!(warnings[0].message, expected);
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn a_link_is_known_by_the_name_of_what_it_points_to() {
        let (elements, elsewhere) = (Elements::new(), Elements::new());
        elsewhere.element("real", "", "");
        elements.link("alias", elsewhere.path().join("real")).link("broken", "/nowhere").file("file", "", 0o644);
        let (catalog, warnings) = load(&[elements.path()]);
        let names: Vec<_> = catalog.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["real"]);
        assert_eq!(warnings, []);
        assert!(catalog.hint_for("alias").unwrap().contains("'real'"));
    }

    #[test]
    fn a_directory_wins_over_a_link_of_the_same_name() {
        let (elements, elsewhere) = (Elements::new(), Elements::new());
        elsewhere.element("real", "", "");
        elements.element("real", "", "").link("alias", elsewhere.path().join("real"));
        let (catalog, warnings) = load(&[elements.path()]);
        assert_eq!(catalog.get("real").unwrap().dir, elements.path().join("real"));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn names_are_stripped_and_collapsed_and_keep_their_line() {
        let elements = Elements::new();
        elements.file("x/element-deps", "\n  a \n\nb\t\r\na\n# x\n", 0o644);
        let (catalog, _) = load(&[elements.path()]);
        let deps = catalog.get("x").unwrap().deps().unwrap();
        let seen: Vec<_> = deps.iter().map(|d| (d.name.as_str(), d.place.line.unwrap())).collect();
        assert_eq!(seen, [("a", 2), ("b", 4), ("# x", 6)]);
        assert_eq!(catalog.get("x").unwrap().provides().unwrap(), []);
    }

    #[test]
    fn a_file_that_is_not_text_is_a_fault() {
        let elements = Elements::new();
        elements.element("x", "", "");
        fs::write(elements.path().join("x/element-deps"), b"\xff\xfe").unwrap();
        let (catalog, _) = load(&[elements.path()]);
        let fault = catalog.get("x").unwrap().deps().unwrap_err();
        assert_eq!(fault.place.unwrap().file, elements.path().join("x/element-deps"));
    }

    #[test]
    fn near_names_are_offered_nearest_first() {
        let elements = Elements::new();
        elements.element("vm", "", "").element("debian-minimal", "", "").element("debian", "", "");
        let (catalog, _) = load(&[elements.path()]);
        assert_eq!(catalog.hint_for("vmm").unwrap(), "did you mean 'vm'?");
        assert_eq!(catalog.hint_for("debian-minmal").unwrap(), "did you mean 'debian-minimal'?");
        assert_eq!(catalog.hint_for("slackware"), None);
    }
}
