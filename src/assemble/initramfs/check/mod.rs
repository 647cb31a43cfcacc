//! Proves a tree that a kernel is to start with: everything in it that can be run has what it needs.

mod devices;
mod modules;
mod programs;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::modules::{Index, Profile};
use super::view::View;

pub use devices::{DeviceState, Driver};
use walk::Walk;

/// What was found in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The program that the kernel starts, without links.
    pub init: Option<PathBuf>,
    /// Kernels that there are modules of.
    pub kernels: Vec<Kernel>,
    /// How many files were looked into.
    pub counts: Counts,
    /// What does not work.
    pub errors: Vec<String>,
    /// What may not work, or is untidy.
    pub warnings: Vec<String>,
    /// Firmware that modules name and that is not there: many name files that no release has.
    pub missing_firmware: Vec<String>,
    /// The devices of the hardware profile.
    pub devices: Vec<DeviceState>,
}

/// A kernel that there are modules of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// `6.1.0-56-amd64`
    pub version: String,
    /// How many module files there are.
    pub modules: usize,
}

/// How many files were looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// ELF programs.
    pub programs: usize,
    /// ELF libraries.
    pub libraries: usize,
    /// Scripts that can be run.
    pub scripts: usize,
    /// Symbolic links.
    pub links: usize,
}

impl Report {
    /// Whether nothing was found that does not work, and every device has its driver.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors.is_empty() && !self.devices.iter().any(|d| matches!(d.driver, Driver::Missing { .. }))
    }
}

/// Looks into everything. `profile` are the devices of a machine, `full` all modules of the kernel, of which the tree
/// has some: without it, a device whose driver the tree does not know at all cannot be told from one that needs none.
///
/// # Errors
/// The tree cannot be read. What is wrong in it is in the report.
pub fn check(view: &dyn View, profile: Option<&Profile>, full: Option<&Index>) -> io::Result<Report> {
    let walk = Walk::of(view)?;
    let mut report = Report::default();
    walk::links(view, &walk, &mut report);
    programs::check(view, &walk, &mut report);
    let indexes = modules::check(view, &walk, &mut report);
    if let Some(profile) = profile {
        devices::check(profile, &indexes, full, &mut report);
    }
    Ok(report)
}
