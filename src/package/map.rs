//! What a distribution calls a package: an element's `pkg-map` (contract 4.1), then the maps that
//! all elements share, one for each package family.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::installs::Findings;
pub use super::shared::SharedMaps;
use crate::distro;
use crate::error::{Fault, Faults, Place};
use crate::near::near;
use crate::yaml::{self, Node};

/// The system that names are looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `DISTRO_NAME`.
    pub distro: &'a str,
    /// `DIB_RELEASE`; may be empty.
    pub release: &'a str,
}

/// Releases that are also known by another key, as pkg-map files have it. `9-stream` is not one of
/// them: files in the wild have a `9` row that is meant for the point releases only.
const RELEASE_ALIASES: &[(&str, &str)] = &[("8-stream", "8")];

/// Generic name to the distribution's names, separated by blanks; empty means that there is none.
pub(super) type Table = BTreeMap<String, (String, Place)>;

/// An element's pkg-map file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElementMap {
    default: Table,
    family: BTreeMap<String, Table>,
    distro: BTreeMap<String, Table>,
    release: BTreeMap<String, BTreeMap<String, Table>>,
}

/// The section of a pkg-map file that a name was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `default`
    Default,
    /// `family`, and which.
    Family(String),
    /// `distro`, and which.
    Distro(String),
    /// `release`, the distribution, and the release's key.
    Release(String, String),
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Row::Default => f.write_str("default"),
            Row::Family(family) => write!(f, "family {family}"),
            Row::Distro(distro) => write!(f, "distro {distro}"),
            Row::Release(distro, release) => write!(f, "release {distro} {release}"),
        }
    }
}

/// Who chose a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The element's own map: the line, and the section that it stands in.
    Element(Place, Row),
    /// The family's shared map: the line.
    Shared(Place),
    /// Nobody: the generic name is used as it is.
    Itself,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Element(place, row) => write!(f, "{place} ({row})"),
            Source::Shared(place) => write!(f, "{place}"),
            Source::Itself => f.write_str("no map"),
        }
    }
}

/// The outcome for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The distribution's packages: none, one or several.
    pub packages: Vec<String>,
    /// Who chose them.
    pub source: Source,
}

impl Mapped {
    /// The name as it is, for a name that no map has.
    pub fn itself(name: &str) -> Self {
        Self { packages: vec![name.to_owned()], source: Source::Itself }
    }

    fn new(value: &str, source: Source) -> Self {
        Self { packages: value.split_whitespace().map(str::to_owned).collect(), source }
    }
}

/// Looks a name up: the element's map first, then the shared map of the distribution's family.
/// `None` when neither has it.
pub fn map(name: &str, element: Option<&ElementMap>, shared: &SharedMaps, target: Target) -> Option<Mapped> {
    let family = shared.family(target.distro);
    if let Some((value, place, row)) = element.and_then(|e| e.find(name, family, target)) {
        return Some(Mapped::new(value, Source::Element(place.clone(), row)));
    }
    let (value, place) = shared.find(name, family?)?;
    Some(Mapped::new(value, Source::Shared(place.clone())))
}

impl ElementMap {
    /// Reads the text of a pkg-map file, JSON or YAML; `file` is only named in places.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str, file: &Path) -> Result<(Self, Vec<Fault>), Faults> {
        let mut found = Findings::default();
        let root = yaml::parse_lenient(text, file, &mut found.warnings)?;
        let mut map = Self::default();
        for (key, section) in pairs(&root, "a map of sections", &mut found) {
            let name = key.text().unwrap_or_default();
            match name {
                "default" => map.default = table(section, &mut found),
                "family" => map.family = families(section, &mut found),
                "distro" => map.distro = tables(section, &mut found),
                "release" => {
                    for (distro, releases) in pairs(section, "a map of distributions", &mut found) {
                        let releases = tables(releases, &mut found);
                        map.release.insert(distro.text().unwrap_or_default().to_owned(), releases);
                    }
                }
                _ => found.warnings.push(unknown(key, "section", &["default", "family", "distro", "release"])),
            }
        }
        Faults::or(found.faults, (map, found.warnings))
    }

    /// Reads a pkg-map file; `None` when it does not exist. Warnings come with the map.
    ///
    /// # Errors
    /// Every mistake in it; a file that cannot be read.
    pub fn load(file: &Path) -> Result<Option<(Self, Vec<Fault>)>, Faults> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file).map(Some),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Fault::at(Place::file(file), format!("cannot be read: {e}")).into()),
        }
    }

    /// Whether there is a row for `name` in any section that a distribution's builds look at.
    pub fn has_row(&self, name: &str, family: Option<&str>, distro: &str) -> bool {
        let in_releases = self.release.get(distro).is_some_and(|r| r.values().any(|table| table.contains_key(name)));
        in_releases || self.find(name, family, Target { distro, release: "" }).is_some()
    }

    /// Whether there is a section for a family or one of its distributions.
    pub fn knows(&self, family: &str, distros: &[&str]) -> bool {
        let of = |distro: &&str| self.distro.contains_key(*distro) || self.release.contains_key(*distro);
        self.family.contains_key(family) || distros.iter().any(of)
    }

    fn find(&self, name: &str, family: Option<&str>, target: Target) -> Option<(&str, &Place, Row)> {
        let Target { distro, release } = target;
        let alias = RELEASE_ALIASES.iter().find(|(known, _)| *known == release).map(|(_, key)| *key);
        let releases = [Some(release), alias].into_iter().flatten();
        let by_release = releases.filter_map(|key| {
            let table = self.release.get(distro)?.get(key)?;
            Some((table, Row::Release(distro.to_owned(), key.to_owned())))
        });
        let by_distro = self.distro.get(distro).map(|table| (table, Row::Distro(distro.to_owned())));
        let by_family = family.and_then(|f| Some((self.family.get(f)?, Row::Family(f.to_owned()))));
        let rows = by_release.chain(by_distro).chain(by_family).chain([(&self.default, Row::Default)]);
        rows.into_iter().find_map(|(table, row)| {
            let (value, place) = table.get(name)?;
            Some((value.as_str(), place, row))
        })
    }
}

pub(super) fn pairs<'a>(node: &'a Node, expected: &str, found: &mut Findings) -> &'a [(Node, Node)] {
    if node.as_map().is_none() && !node.is_null() {
        found.faults.push(node.fault(format!("{expected} is expected, not {}", node.kind())));
    }
    node.as_map().unwrap_or_default()
}

pub(super) fn table(node: &Node, found: &mut Findings) -> Table {
    let mut table = Table::new();
    for (key, value) in pairs(node, "a map of package names", found) {
        let name = key.text().unwrap_or_default();
        // `null` means: no package.
        let Some(packages) = (if value.is_null() { Some("") } else { value.text() }) else {
            let message =
                format!("package names, separated by blanks, are expected for '{name}', not {}", value.kind());
            found.faults.push(value.fault(message));
            continue;
        };
        table.insert(name.to_owned(), (packages.trim().to_owned(), key.place.clone()));
    }
    table
}

pub(super) fn tables(node: &Node, found: &mut Findings) -> BTreeMap<String, Table> {
    let sections = pairs(node, "a map", found);
    sections.iter().map(|(key, section)| (key.text().unwrap_or_default().to_owned(), table(section, found))).collect()
}

fn families(node: &Node, found: &mut Findings) -> BTreeMap<String, Table> {
    let known: Vec<&str> = distro::FAMILIES.iter().map(|(family, _)| *family).collect();
    for (key, _) in node.as_map().unwrap_or_default() {
        if !key.text().is_some_and(|name| known.contains(&name)) {
            found.warnings.push(unknown(key, "family", &known));
        }
    }
    tables(node, found)
}

fn unknown(key: &Node, what: &str, known: &[&str]) -> Fault {
    let name = key.text().unwrap_or_default();
    let hint = match near(name, known.iter().copied()).first() {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("known: {}", known.join(", ")),
    };
    key.fault(format!("unknown {what} '{name}' in a pkg-map")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"{
        "release": {"centos": {"8": {"p": "by-release"}, "9": {"p": "nine"}}},
        "distro": {"centos": {"p": "by-distro"}},
        "family": {"redhat": {"p": "by-family", "several": "one two"}},
        "default": {"p": "by-default", "none": "", "null": null}
    }"#;

    fn found(name: &str, distro: &str, release: &str) -> Option<(String, String)> {
        let (element, _) = ElementMap::parse(MAP, Path::new("pkg-map")).unwrap();
        let mapped = map(name, Some(&element), &SharedMaps::default(), Target { distro, release })?;
        Some((mapped.packages.join("+"), mapped.source.to_string()))
    }

    fn pair(packages: &str, source: &str) -> Option<(String, String)> {
        Some((packages.to_owned(), source.to_owned()))
    }

    #[test]
    fn p9_release_beats_distro_beats_family_beats_default() {
        assert_eq!(found("p", "centos", "8"), pair("by-release", "pkg-map:2:38 (release centos 8)"));
        assert_eq!(found("p", "centos", "8-stream"), pair("by-release", "pkg-map:2:38 (release centos 8)"));
        assert_eq!(found("p", "centos", "9-stream"), pair("by-distro", "pkg-map:3:31 (distro centos)"));
        assert_eq!(found("p", "rocky", "9"), pair("by-family", "pkg-map:4:31 (family redhat)"));
        assert_eq!(found("p", "debian", "trixie"), pair("by-default", "pkg-map:5:21 (default)"));
        assert_eq!(found("p", "slackware", ""), pair("by-default", "pkg-map:5:21 (default)"));
    }

    #[test]
    fn p11_an_empty_value_drops_the_package_and_one_with_blanks_is_several() {
        assert_eq!(found("none", "debian", "").unwrap().0, "");
        assert_eq!(found("null", "debian", "").unwrap().0, "");
        assert_eq!(found("several", "fedora", "").unwrap().0, "one+two");
        assert_eq!(found("other", "fedora", ""), None);
    }

    #[test]
    fn shared_maps_come_after_the_elements_own() {
        let mut shared = SharedMaps::default();
        shared.add(r#"{"p": "shared", "ssh": "openssh-server"}"#, Path::new("maps/redhat.json")).unwrap();
        let (element, _) = ElementMap::parse(MAP, Path::new("pkg-map")).unwrap();
        let rocky = Target { distro: "rocky", release: "9" };
        let of = |name| map(name, Some(&element), &shared, rocky).map(|m| (m.packages.concat(), m.source.to_string()));
        assert_eq!(of("p").unwrap().0, "by-family");
        assert_eq!(of("ssh"), pair("openssh-server", "maps/redhat.json:1:17"));
        assert_eq!(of("other"), None);
        assert_eq!(map("ssh", None, &shared, Target { distro: "debian", release: "" }), None);
    }

    #[test]
    fn mistakes_have_places() {
        let (_, warnings) = ElementMap::parse(r#"{"familly": {}, "family": {"debain": {}}}"#, Path::new("m")).unwrap();
        assert_eq!(warnings[0].to_string(), "m:1:2: unknown section 'familly' in a pkg-map");
        assert_eq!(warnings[1].hint.as_deref(), Some("did you mean 'debian'?"));
        let faults = ElementMap::parse(r#"{"default": {"a": ["b"]}, "distro": 5}"#, Path::new("m")).unwrap_err();
        assert_eq!(faults.0.len(), 2);
        assert!(ElementMap::parse("{", Path::new("m")).is_err());
        let (map, warnings) =
            ElementMap::parse(r#"{"default": {"a": "b"}, "default": {"a": "c"}}"#, Path::new("m")).unwrap();
        assert_eq!(map.default["a"].0, "c");
        assert!(warnings[0].to_string().contains("'default' stands twice"), "{warnings:?}");
    }
}
