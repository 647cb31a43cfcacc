//! `image-create element lint`, and what it has in common with `dib-lint`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cli::build::BuildArgs;
use crate::cli::element::LintArgs;
use crate::cli::old_names::LintFormat;
use crate::element::catalog::{Element, ElementCatalog};
use crate::element::resolve::BASE;
use crate::error::{EXIT_DEFINITION, Fault, Faults};
use crate::exec::command::Cmd;
use crate::host::Host;
use crate::lint::check::Check;
use crate::lint::{self, Finding, Report, Scope, settings};
use crate::package::shared::SharedMaps;
use crate::report::Reporter;
use crate::request::{BuildRequest, Surroundings};

/// Prints what is found in the named elements, or in all that are not built in. The status is 2 if anything is.
///
/// # Errors
/// When an element is not found, or there is none to check.
pub fn run(args: &LintArgs, element_dirs: &[PathBuf], json: bool) -> Result<u8> {
    let mut surroundings = Surroundings::read().context("reading the working directory")?;
    let inherited = surroundings.variables.get("ELEMENTS_PATH").cloned().unwrap_or_default();
    let paths: Vec<PathBuf> =
        element_dirs.iter().cloned().chain(inherited.split(':').filter(|p| !p.is_empty()).map(PathBuf::from)).collect();
    // They are given as directories below.
    surroundings.variables.remove("ELEMENTS_PATH");
    let mut scope = scope(&paths, surroundings)?;
    if !args.names.is_empty() {
        scope.elements = named(&args.names, &scope.catalog)?;
    }
    if scope.elements.is_empty() {
        let fault = Fault::new("there is nothing to check: no element is named, and no directory of elements");
        let hint = "name elements, or give a directory: image-create element lint --elements DIR";
        return Err(Faults::from(fault.hint(hint)).into());
    }
    let report = report(&mut scope)?;
    print(&report, if json { LintFormat::Json } else { args.format })?;
    Ok(if report.findings.is_empty() { 0 } else { EXIT_DEFINITION })
}

fn named(names: &[String], catalog: &ElementCatalog) -> Result<Vec<Element>, Faults> {
    let (mut elements, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        match catalog.get(name) {
            Some(element) => elements.push(element.clone()),
            None => {
                faults.push(Fault { hint: catalog.hint_for(name), ..Fault::new(format!("Element '{name}' not found")) })
            }
        }
    }
    Faults::or(faults, elements)
}

/// The elements in `paths`, and what is known besides: `ELEMENTS_PATH`, the built-in elements and package maps.
///
/// # Errors
/// When a path is no directory.
pub fn scope(paths: &[PathBuf], surroundings: Surroundings) -> Result<Scope> {
    let build = BuildArgs { elements: vec![BASE.into()], element_dirs: paths.to_vec(), ..Default::default() };
    let request = BuildRequest::new(&build, surroundings)?;
    let builtin = request.builtin()?;
    let (catalog, _) = ElementCatalog::load(&request.elements_path, Some(&builtin.elements))?;
    let mut elements = Vec::new();
    for path in paths {
        let (own, _) = ElementCatalog::load(std::slice::from_ref(path), None)?;
        elements.extend(own.iter().filter(|e| !e.name.starts_with('.')).cloned());
    }
    elements.iter_mut().for_each(|e| e.dir = shown(&e.dir, &request.surroundings.cwd));
    Ok(Scope { elements, catalog, shared: SharedMaps::load(&builtin.package_maps)?, ..Default::default() })
}

/// A path below the working directory as people write it.
fn shown(path: &Path, cwd: &Path) -> PathBuf {
    path.strip_prefix(cwd).map_or_else(|_| path.to_owned(), Path::to_owned)
}

/// Runs the checks. What git ignores, and what the tox.ini of the working directory turns off, is left out.
///
/// # Errors
/// When git or flake8 cannot be started.
pub fn report(scope: &mut Scope) -> Result<Report> {
    let host = Host::this();
    let tox = std::fs::read_to_string("tox.ini").unwrap_or_default();
    scope.disabled = settings::disabled(&tox);
    if host.has("git") {
        scope.ignored = ignored(&lint::files(scope))?;
    }
    let mut report = lint::run(scope);
    if !report.python.is_empty() {
        match host.has("flake8") {
            true => report.add(flake8(&report.python)?),
            false => Reporter::plain().info("flake8 is not installed: the style of Python scripts is not checked"),
        }
    }
    Ok(report)
}

/// The files that git ignores; none outside of a repository.
fn ignored(files: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut ignored = BTreeSet::new();
    // An argument list has a limit.
    for some in files.chunks(500) {
        let mut lines = Vec::new();
        let cmd = Cmd::new("git").args(["-c", "core.quotePath=false", "check-ignore", "--"]).args(some);
        let exit = cmd.stream(|line| lines.push(PathBuf::from(line)))?;
        // 1: none of them; 128: no repository.
        if exit.code == 0 {
            ignored.extend(lines);
        }
    }
    // Elements that lie in a folder which is ignored as a whole are meant all the same.
    Ok(if ignored.len() == files.len() { BTreeSet::new() } else { ignored })
}

fn flake8(files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    Cmd::new("flake8").args(files).stream(|line| {
        // FILE:LINE:COLUMN: CODE TEXT
        let mut parts = line.splitn(4, ':');
        if let (Some(file), Some(number), Some(_), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
            && let Ok(number) = number.parse()
        {
            findings.push(Finding::at(Check::PythonStyle, Path::new(file), number, text.trim()));
        }
    })?;
    Ok(findings)
}

/// Prints a report to stdout.
///
/// # Errors
/// When it is no JSON, which would be a fault of the program.
pub fn print(report: &Report, format: LintFormat) -> Result<()> {
    let text = match format {
        LintFormat::Text => report.to_text(),
        LintFormat::Json => serde_json::to_string_pretty(&report.to_json()).context("writing JSON")?,
    };
    Reporter::result(&text);
    Ok(())
}
