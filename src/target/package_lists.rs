//! `package-installs -d DIR` and `package-uninstalls -d DIR`: the older package lists, files called
//! `package-installs-ELEMENT` in a phase's directory (contract 4.3).
//!
//! A package with a leading dash is installed at the start of the phase and removed at its end.
//! diskimage-builder passes that dash on to pkg-map when the element has a map, which then fails;
//! here it is taken off.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::pkg_map::Names;
use super::{out, package_requests};
use crate::error::on;
use crate::exec::command::code_of;
use crate::package::lists::{self, Line};

/// Installs all packages of the lists.
///
/// # Errors
/// When the lists or a pkg-map cannot be read or `install-packages` cannot be started.
pub fn run_installs(args: Vec<String>) -> Result<u8> {
    run("package-installs", &args, &[], |_| true)
}

/// Removes the packages that have a dash.
///
/// # Errors
/// As [`run_installs`].
pub fn run_uninstalls(args: Vec<String>) -> Result<u8> {
    run("package-uninstalls", &args, &["-e"], |line| line.build_only)
}

fn run(tool: &str, args: &[String], options: &[&str], select: fn(&Line) -> bool) -> Result<u8> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let dir = match args[..] {
        ["-d", dir, ..] => Path::new(dir),
        ["-h" | "--help", ..] => return out(&format!("usage: {tool} -d DIR")).map(|()| 0),
        _ => bail!("a directory has to be given; usage: {tool} -d DIR"),
    };
    let mut packages = Vec::new();
    for (element, text) in read_lists(dir)? {
        let names = Names::of_element(&element)?;
        for line in lists::parse(&text).filter(select) {
            packages.extend(names.find_or_keep(line.package).into_iter().map(|package| (package, element.clone())));
        }
    }
    if packages.is_empty() {
        return Ok(0);
    }
    let asked_by = package_requests::asked_by(packages.iter().map(|(p, element)| (p.as_str(), element.as_str())));
    let names = packages.iter().map(|(package, _)| package);
    let mut command = Command::new("install-packages");
    let status = command.args(options).args(names).env(package_requests::ASKED_BY, asked_by).status();
    let code = code_of(status.context("starting install-packages")?);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// The lists of a directory: element and text, by name.
fn read_lists(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| on("reading", dir))? {
        let entry = entry.with_context(|| on("reading", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(element) = lists::element(&name) {
            let text = fs::read_to_string(entry.path()).with_context(|| on("reading", &entry.path()))?;
            found.push((element.to_owned(), text));
        }
    }
    found.sort();
    Ok(found)
}
