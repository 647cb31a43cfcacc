//! What a build with the element would stop for or warn of: names in element-deps that nothing has, mistakes
//! in package lists and maps.

use crate::element::catalog::{Element, ElementCatalog};
use crate::error::Fault;
use crate::package::installs::{self, Findings};
use crate::package::map::ElementMap;

use super::Finding;
use super::check::Check;

/// All of it.
pub fn element(element: &Element, catalog: &ElementCatalog) -> Vec<Finding> {
    let mut faults = Vec::new();
    match element.deps() {
        Ok(names) => {
            for dep in names {
                let found = catalog.get(&dep.name).is_some() || !catalog.providers(&dep.name).is_empty();
                if !found {
                    let fault = Fault::at(dep.place, format!("Element '{}' not found", dep.name));
                    faults.push(Fault { hint: catalog.hint_for(&dep.name), ..fault });
                }
            }
        }
        Err(fault) => faults.push(fault),
    }
    for name in installs::FILES {
        let file = element.dir.join(name);
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let mut findings = Findings::default();
        installs::parse(&text, &file, &mut findings);
        faults.extend(findings.faults.into_iter().chain(findings.warnings));
    }
    match ElementMap::load(&element.dir.join("pkg-map")) {
        Ok(Some((_, warnings))) => faults.extend(warnings),
        Ok(None) => {}
        Err(found) => faults.extend(found.0),
    }
    faults.into_iter().map(|fault| Finding { check: Check::Definition, fault }).collect()
}
