//! The packages of each phase, with the map that chose each name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::element::Warning;
use crate::element::resolve::Resolution;
use crate::error::{Fault, Faults, Place};
use crate::package::installs::Phase;
use crate::package::map::{ElementMap, SharedMaps, Target, map};
use crate::package::squash::{Entry, squash};
use crate::package::{Lookup, Var};

use super::environment::{StaticEnv, Value};

/// The packages of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PackagePlan {
    /// In the order of phases.
    pub lines: Vec<PackageLine>,
}

/// One package wish as it will be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageLine {
    /// `install.d`
    pub phase: String,
    /// Installed at the phase's start, or removed at its end.
    pub remove: bool,
    /// The element's name for it.
    pub name: String,
    /// The distribution's names; none means that there is nothing to install there.
    pub packages: Vec<String>,
    /// The element that asks.
    pub element: String,
    /// The map that chose the names.
    pub chosen_by: String,
    /// What must hold for it and is known only during the build; empty when it is certain.
    pub conditions: Vec<String>,
}

impl PackagePlan {
    /// Reads the wishes and the maps of all elements.
    ///
    /// # Errors
    /// Every mistake in package-installs files and in maps.
    pub fn new(
        resolution: &Resolution,
        environment: &StaticEnv,
        shared: &Path,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Faults> {
        let lookup: Lookup = &|name| match environment.values.get(name) {
            None => Var::Unset,
            Some(Value::Known(text)) => Var::Set(text.clone()),
            Some(Value::Unknown) => Var::Unknown,
        };
        let elements: Vec<(String, PathBuf)> =
            resolution.elements.iter().map(|e| (e.name.clone(), e.dir.clone())).collect();
        let mut faults = Vec::new();
        let squashed = squash(&elements, lookup).map_err(|f| faults.extend(f.0)).ok();
        let maps = element_maps(&elements, warnings, &mut faults);
        let shared = SharedMaps::load(shared).map_err(|f| faults.extend(f.0)).unwrap_or_default();
        let Some((squashed, found)) = squashed else { return Err(Faults(faults)) };
        Faults::or(faults, ())?;
        warnings.extend(found);

        let text = |name: &str| match lookup(name) {
            Var::Set(value) => value,
            Var::Unset | Var::Unknown => String::new(),
        };
        let (distro, release) = (text("DISTRO_NAME"), text("DIB_RELEASE"));
        let target = Target { distro: &distro, release: &release };
        let line = |phase: Phase, entry: &Entry, remove| {
            let mapped = map(&entry.package, maps.get(&entry.element), &shared, target);
            PackageLine {
                phase: phase.dir().to_owned(),
                remove,
                name: entry.package.clone(),
                chosen_by: mapped.as_ref().map_or_else(|| "no map".to_owned(), |m| m.source.to_string()),
                packages: mapped.map_or_else(|| vec![entry.package.clone()], |m| m.packages),
                element: entry.element.clone(),
                conditions: entry.conditions.clone(),
            }
        };
        let mut lines = Vec::new();
        for phase in Phase::ALL {
            let packages = squashed.phase(phase);
            lines.extend(packages.install.iter().map(|e| line(phase, e, false)));
            lines.extend(packages.uninstall.iter().map(|e| line(phase, e, true)));
        }
        Ok(Self { lines })
    }
}

fn element_maps(
    elements: &[(String, PathBuf)],
    warnings: &mut Vec<Warning>,
    faults: &mut Vec<Fault>,
) -> BTreeMap<String, ElementMap> {
    let mut maps = BTreeMap::new();
    for (name, dir) in elements {
        let file = dir.join("pkg-map");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                faults.push(Fault::at(Place::file(file), format!("reading it failed: {e}")));
                continue;
            }
        };
        match ElementMap::parse(&text, &file) {
            Ok((map, found)) => {
                warnings.extend(found);
                maps.insert(name.clone(), map);
            }
            Err(found) => faults.extend(found.0),
        }
    }
    maps
}
