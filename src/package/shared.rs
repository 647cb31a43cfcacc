//! The maps in `package-maps/` that all elements share: which family a distribution belongs to, what each family
//! calls packages with generic names, and what it calls those that are given by Debian's names.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::installs::Findings;
use super::map::{Table, pairs, table, tables};
use crate::distro;
use crate::error::{Fault, Faults, Place};
use crate::yaml::{self, Node};

/// The maps that all elements share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedMaps {
    tables: BTreeMap<String, Table>,
    /// Distribution to family, where `families.json` says so.
    families: BTreeMap<String, String>,
    /// Family to table, for names of Debian that reach another system's package manager.
    from_debian: BTreeMap<String, Table>,
}

impl SharedMaps {
    /// The file that assigns distributions to families: `{FAMILY: [DISTRO, …]}`.
    pub const FAMILIES: &'static str = "families.json";

    /// The file with what other families call Debian's packages: `{FAMILY: {NAME: NAMES}}`.
    pub const FROM_DEBIAN: &'static str = "from-debian.json";

    /// Reads `families.json`, `from-debian.json` and every `FAMILY.json` of a directory. One that does not exist is empty.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn load(dir: &Path) -> Result<Self, Faults> {
        let unreadable = |path: &Path, e: &std::io::Error| Fault::at(Place::file(path), format!("cannot be read: {e}"));
        let mut files = Vec::new();
        match fs::read_dir(dir) {
            Ok(entries) => files.extend(entries.flatten().map(|e| e.path())),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(unreadable(dir, &e).into()),
        }
        files.retain(|f| f.extension().is_some_and(|e| e == "json"));
        files.sort();
        let mut maps = Self::default();
        let mut faults = Vec::new();
        for file in files {
            match fs::read_to_string(&file) {
                Ok(text) => faults.extend(maps.add(&text, &file).err().into_iter().flat_map(|f| f.0)),
                Err(e) => faults.push(unreadable(&file, &e)),
            }
        }
        Faults::or(faults, maps)
    }

    /// Adds the text of one file: a `FAMILY.json`, or one of those that concern all families.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn add(&mut self, text: &str, file: &Path) -> Result<(), Faults> {
        let root = yaml::parse(text, file)?;
        let mut found = Findings::default();
        if file.file_name().is_some_and(|n| n == Self::FAMILIES) {
            for (family, members) in pairs(&root, "a map of families", &mut found) {
                let members = members.as_list().unwrap_or_default().iter().filter_map(Node::text);
                let family = family.text().unwrap_or_default();
                self.families.extend(members.map(|m| (m.to_owned(), family.to_owned())));
            }
        } else if file.file_name().is_some_and(|n| n == Self::FROM_DEBIAN) {
            self.from_debian = tables(&root, &mut found);
        } else {
            let family = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let rows = table(&root, &mut found);
            self.tables.insert(family, rows);
        }
        Faults::or(found.faults, ())
    }

    /// What the families' own map has for a generic name, and where.
    pub(super) fn find(&self, name: &str, family: &str) -> Option<&(String, Place)> {
        self.tables.get(family)?.get(name)
    }

    /// What a family calls a package that is given by Debian's name (contract 4.4): what the table says, else
    /// NAME-devel for NAME-dev. `None` for all other names: they are taken to be the family's own.
    pub fn from_debian(&self, name: &str, family: &str) -> Option<Vec<String>> {
        let table = self.from_debian.get(family)?;
        if let Some((value, _)) = table.get(name) {
            return Some(value.split_whitespace().map(str::to_owned).collect());
        }
        name.ends_with("-dev").then(|| vec![format!("{name}el")])
    }

    /// The family of a distribution, if it has one.
    pub fn family<'a>(&'a self, distro: &str) -> Option<&'a str> {
        self.families.get(distro).map(String::as_str).or_else(|| distro::family(distro))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_debian_are_known_to_families_that_have_a_table() {
        let mut shared = SharedMaps::default();
        let text = r#"{"redhat": {"libssl-dev": "openssl-devel", "build": "gcc make", "ucf": ""}}"#;
        shared.add(text, Path::new("from-debian.json")).unwrap();
        let of = |name| shared.from_debian(name, "redhat").map(|names| names.join("+"));
        assert_eq!(of("libssl-dev").as_deref(), Some("openssl-devel"));
        assert_eq!(of("build").as_deref(), Some("gcc+make"));
        assert_eq!(of("ucf").as_deref(), Some(""));
        assert_eq!(of("libfoo-dev").as_deref(), Some("libfoo-devel"));
        assert_eq!(of("libfoo"), None);
        assert_eq!(shared.from_debian("libssl-dev", "debian"), None);
    }

    #[test]
    fn families_can_be_extended_by_data() {
        let mut shared = SharedMaps::default();
        shared.add(r#"{"redhat": ["nobara"]}"#, Path::new("families.json")).unwrap();
        assert_eq!(shared.family("nobara"), Some("redhat"));
        assert_eq!(shared.family("rocky"), Some("redhat"));
        assert_eq!(shared.family("slackware"), None);
    }
}
