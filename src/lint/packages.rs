//! Names in package lists that a map has rows for, but not for every family that it knows.

use std::collections::BTreeSet;
use std::fs;

use crate::distro::FAMILIES;
use crate::element::catalog::Element;
use crate::package::installs::{self, Findings};
use crate::package::map::{ElementMap, Target, map};
use crate::package::shared::SharedMaps;

use super::Finding;
use super::check::Check;

/// The names of the element's package lists that lack a row for a family, while another family has one.
pub fn element(element: &Element, shared: &SharedMaps) -> Vec<Finding> {
    let Ok(Some((rows, _))) = ElementMap::load(&element.dir.join("pkg-map")) else { return Vec::new() };
    let mut found = Vec::new();
    for file in installs::FILES.map(|name| element.dir.join(name)) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let mut told = BTreeSet::new();
        for wish in installs::parse(&text, &file, &mut Findings::default()) {
            let lacking = families_without(&wish.package, &rows, shared);
            if lacking.is_empty() || !told.insert(wish.package.clone()) {
                continue;
            }
            let message = format!("'{}' has no row for {} in the pkg-map", wish.package, lacking.join(" and "));
            let fault = crate::error::Fault::at(wish.place.clone(), message);
            found.push(Finding { check: Check::MapRow, fault }.hint(format!(
                "other families have one; there the name itself is installed. Add a row: \"{}\": \"...\"",
                wish.package
            )));
        }
    }
    found
}

/// The families that the map has rows for, but none for this name. Nothing if no family has one.
fn families_without(name: &str, rows: &ElementMap, shared: &SharedMaps) -> Vec<&'static str> {
    // Any release of any distribution: what one has says that somebody thought of the family.
    let own = |distros: &[&str]| distros.iter().any(|d| rows.has_row(name, shared.family(d), d));
    let of_all = |distros: &[&str]| {
        distros.iter().any(|distro| map(name, None, shared, Target { distro, release: "" }).is_some())
    };
    if !FAMILIES.iter().any(|(_, distros)| own(distros)) {
        return Vec::new();
    }
    let known = FAMILIES.iter().filter(|(family, distros)| rows.knows(family, distros));
    known.filter(|(_, distros)| !own(distros) && !of_all(distros)).map(|(family, _)| *family).collect()
}
