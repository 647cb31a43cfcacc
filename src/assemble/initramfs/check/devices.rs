//! Which device of a machine would have no driver.

use serde::Serialize;

use super::Report;
use super::modules::There;
use crate::assemble::initramfs::modules::{Index, Profile};

/// A device of the profile, and its driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceState {
    /// Where it is below `/sys`, if the profile says so.
    pub path: Option<String>,
    /// What the kernel says to ask for its driver.
    pub modalias: String,
    /// What was found.
    #[serde(flatten)]
    pub driver: Driver,
}

/// The driver of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum Driver {
    /// At least one of its modules is there.
    Module {
        /// Those that are there.
        modules: Vec<String>,
    },
    /// It is part of the kernel.
    BuiltIn {
        /// The names.
        modules: Vec<String>,
    },
    /// The settings in the tree keep its modules from being loaded for it.
    Blacklisted {
        /// The names.
        modules: Vec<String>,
    },
    /// The kernel has modules for it, and none is there.
    Missing {
        /// Those that it has.
        modules: Vec<String>,
    },
    /// No module that is known is for it: it needs none, or the kernel has none.
    Unknown,
}

/// Finds the driver of each device in the kernel of the tree (of several, the best outcome counts).
pub fn check(profile: &Profile, kernels: &[There], full: Option<&Index>, report: &mut Report) {
    for device in &profile.devices {
        let found = kernels.iter().map(|kernel| driver(&device.modalias, kernel, full));
        let driver = found.min_by_key(rank).unwrap_or(Driver::Unknown);
        report.devices.push(DeviceState { path: device.path.clone(), modalias: device.modalias.clone(), driver });
    }
}

fn rank(driver: &Driver) -> u8 {
    match driver {
        Driver::Module { .. } => 0,
        Driver::BuiltIn { .. } => 1,
        Driver::Blacklisted { .. } => 2,
        Driver::Missing { .. } => 3,
        Driver::Unknown => 4,
    }
}

fn driver(modalias: &str, kernel: &There, full: Option<&Index>) -> Driver {
    let full = full.filter(|full| full.kernel == kernel.index.kernel);
    let indexes = || [Some(&kernel.index), full].into_iter().flatten();
    let is_builtin = |name: &str| indexes().any(|index| index.builtin.contains(name));
    // What counts while booting are the settings in the tree itself.
    let settings = &kernel.index.settings;
    let set = settings.aliases.find(modalias);
    let candidates: Vec<&str> = match set.is_empty() {
        true => indexes().flat_map(|index| index.aliases.find(modalias)).collect(),
        false => set.into_iter().filter(|name| is_builtin(name) || indexes().any(|i| i.get(name).is_some())).collect(),
    };
    let mut known: Vec<String> = Vec::new();
    for name in candidates {
        if !known.iter().any(|n| n == name) {
            known.push(name.to_owned());
        }
    }
    let (blacklisted, known): (Vec<_>, Vec<_>) = known.into_iter().partition(|name| settings.blacklist.contains(name));
    let there: Vec<String> = known.iter().filter(|name| kernel.present.contains(*name)).cloned().collect();
    if !there.is_empty() {
        return Driver::Module { modules: there };
    }
    let (named, known): (Vec<_>, Vec<_>) = known.into_iter().partition(|name| is_builtin(name));
    let builtin = indexes().map(|index| index.builtin_aliases.find(modalias)).find(|found| !found.is_empty());
    match builtin {
        _ if !named.is_empty() => Driver::BuiltIn { modules: named },
        Some(found) => Driver::BuiltIn { modules: found.into_iter().map(str::to_owned).collect() },
        None if !known.is_empty() => Driver::Missing { modules: known },
        None if !blacklisted.is_empty() => Driver::Blacklisted { modules: blacklisted },
        None => Driver::Unknown,
    }
}
