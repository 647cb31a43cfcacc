//! Puts the package wishes of all elements together: one list to install and one to remove for
//! each phase (contract 4.2). Where this departs from diskimage-builder is written down in
//! `docs/decisions/0003-package-installs-differences.md`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Lookup;
use super::condition::Applies;
use super::installs::{self, Action, FILES, Findings, Phase, Wish};
use crate::error::{Fault, Faults, Place};

/// A package to install or remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its generic name, not yet mapped.
    pub package: String,
    /// The element that asks for it.
    pub element: String,
    /// Where it asks.
    pub place: Place,
    /// What must hold for it, as far as that is not known yet; empty when it is certain.
    pub conditions: Vec<String>,
}

/// The packages of one phase, in the order of elements and files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhasePackages {
    /// To install at the phase's start.
    pub install: Vec<Entry>,
    /// To remove at the phase's end.
    pub uninstall: Vec<Entry>,
}

/// The packages of all phases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Squashed([PhasePackages; 3]);

impl Squashed {
    /// The packages of a phase.
    pub fn phase(&self, phase: Phase) -> &PhasePackages {
        &self.0[phase as usize]
    }

    /// The file that `package-installs-v2` reads: `{PHASE: {"install": [[package, element], …],
    /// "uninstall": […]}}`; phases without packages are left out. Conditional entries count as certain.
    pub fn to_json(&self) -> Value {
        let list = |entries: &[Entry]| entries.iter().map(|e| json!([e.package, e.element])).collect::<Value>();
        let mut phases = Map::new();
        for phase in Phase::ALL {
            let PhasePackages { install, uninstall } = self.phase(phase);
            if !(install.is_empty() && uninstall.is_empty()) {
                phases.insert(phase.dir().into(), json!({"install": list(install), "uninstall": list(uninstall)}));
            }
        }
        Value::Object(phases)
    }

    /// Adds a wish that applies, and settles what it and earlier ones mean for each other.
    fn add(&mut self, wish: &Wish, element: &str, conditions: Vec<String>) {
        let PhasePackages { install, uninstall } = &mut self.0[wish.phase as usize];
        let entry =
            Entry { package: wish.package.clone(), element: element.to_owned(), place: wish.place.clone(), conditions };
        let certain = |entries: &[Entry]| entries.iter().any(|e| e.package == entry.package && e.conditions.is_empty());
        // Somebody wants it to stay: nobody may remove it.
        let wanted =
            wish.action != Action::Install && certain(install) && !uninstall.iter().any(|e| e.package == entry.package);
        match wish.action {
            Action::Install if entry.conditions.is_empty() => uninstall.retain(|e| e.package != entry.package),
            Action::Install => {
                let without = format!("not {}", entry.conditions.join(" and "));
                let removals = uninstall.iter_mut().filter(|e| e.package == entry.package);
                removals.for_each(|e| e.conditions.push(without.clone()));
            }
            Action::Uninstall | Action::BuildOnly if !wanted => uninstall.push(entry.clone()),
            Action::Uninstall | Action::BuildOnly => {}
        }
        if wish.action != Action::Uninstall {
            install.push(entry);
        }
    }
}

/// Reads the package-installs files of elements (name and directory, in build order) and puts
/// together what applies. A variable that is not known yet makes an entry conditional.
///
/// Returns the packages and the warnings.
///
/// # Errors
/// Every mistake in the files, and every `when` on a variable that is not set.
pub fn squash(elements: &[(String, PathBuf)], lookup: Lookup) -> Result<(Squashed, Vec<Fault>), Faults> {
    let mut findings = Findings::default();
    let mut squashed = Squashed::default();
    for (element, dir) in elements {
        let install_type = installs::install_type(element, lookup);
        for wish in FILES.iter().flat_map(|file| wishes(&dir.join(file), &mut findings)).collect::<Vec<_>>() {
            match wish.applies(&install_type, lookup) {
                Ok(Applies::Yes) => squashed.add(&wish, element, Vec::new()),
                Ok(Applies::If(conditions)) => squashed.add(&wish, element, conditions),
                Ok(Applies::No) => {}
                Err(fault) => findings.faults.push(fault),
            }
        }
    }
    Faults::or(findings.faults, (squashed, findings.warnings))
}

fn wishes(file: &Path, findings: &mut Findings) -> Vec<Wish> {
    match fs::read_to_string(file) {
        Ok(text) => installs::parse(&text, file, findings),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Vec::new(),
        Err(e) => {
            findings.faults.push(Fault::at(Place::file(file), format!("cannot be read: {e}")));
            Vec::new()
        }
    }
}

#[cfg(test)]
#[path = "squash_tests.rs"]
mod tests;
