//! `dib-lint`: checks the elements of the repository that it is started in.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cli::old_names::DibLintArgs;
use crate::error::{EXIT_BUILD, Fault, Faults};
use crate::request::Surroundings;

use super::lint;

/// Where elements are, if `ELEMENTS_DIR` does not say it: where diskimage-builder's linter looks, and where
/// its documentation says that it looks.
const ELEMENTS: [&str; 2] = ["diskimage_builder/elements", "elements"];

/// Prints what is found. The status is 1 if any of it is an error.
///
/// # Errors
/// When there are no elements.
pub fn run(args: &DibLintArgs) -> Result<u8> {
    let surroundings = Surroundings::read().context("reading the working directory")?;
    let variable = |name: &str| surroundings.variables.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let here = ELEMENTS.iter().map(PathBuf::from).find(|dir| dir.is_dir());
    let Some(elements) = variable("ELEMENTS_DIR").or(here).filter(|dir| dir.is_dir()) else {
        let fault = Fault::new("there is no directory of elements here");
        return Err(Faults::from(fault.hint("start it in the root of a repository, or set ELEMENTS_DIR")).into());
    };
    let library = variable("LIB_DIR").unwrap_or_else(|| "diskimage_builder/lib".into());
    let mut scope = lint::scope(&[elements], surroundings)?;
    scope.libraries.extend(Some(library).filter(|dir| dir.is_dir()));
    let report = lint::report(&mut scope)?;
    lint::print(&report, args.format)?;
    Ok(if report.has_errors() { EXIT_BUILD } else { 0 })
}
