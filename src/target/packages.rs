//! `package-installs-v2 --phase PHASE [--uninstall] [-n] FILE`: installs or removes what
//! `package-installs-squash` has put together for a phase (contract 4.2).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::output::{Streams, lines};
use super::pkg_map::Names;
use super::{out, package_requests, say};
use crate::error::on;
use crate::exec::command::quote;

const USAGE: &str = "usage: package-installs-v2 --phase PHASE [--uninstall] [-n|--noop] FILE";

#[derive(Default)]
struct Options {
    phase: Option<String>,
    uninstall: bool,
    noop: bool,
    file: Option<String>,
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--phase" => options.phase = Some(args.next().context("--phase needs a value")?),
                "--uninstall" => options.uninstall = true,
                "-n" | "--noop" => options.noop = true,
                "-v" | "--verbose" => {}
                other if other.starts_with("--phase=") => options.phase = Some(other["--phase=".len()..].to_owned()),
                other if other.starts_with('-') => bail!("unknown option {other}\n{USAGE}"),
                _ if options.file.is_some() => bail!("more than one file is given\n{USAGE}"),
                _ => options.file = Some(arg),
            }
        }
        Ok(options)
    }
}

/// Installs, or removes, or (with `--noop`) prints the command line.
///
/// # Errors
/// When the file cannot be read or is of another shape, when a pkg-map is malformed, or when
/// `install-packages` cannot be started.
pub fn run(args: Vec<String>) -> Result<u8> {
    if args.iter().any(|a| a == "-h" || a == "--help") {
        return out(USAGE).map(|()| 0);
    }
    let options = Options::parse(args)?;
    let phase = options.phase.with_context(|| format!("--phase has to be given\n{USAGE}"))?;
    let file = options.file.with_context(|| format!("a file has to be given\n{USAGE}"))?;
    let list = if options.uninstall { "uninstall" } else { "install" };
    let wanted = wanted(Path::new(&file), &phase, list)?;
    let mapped = map_all(&wanted, options.noop)?;
    let mut packages: Vec<String> = Vec::new();
    for (package, _) in &mapped {
        if !packages.contains(package) {
            packages.push(package.clone());
        }
    }
    if packages.is_empty() {
        return out(&format!("Nothing to {list}")).map(|()| 0);
    }
    let arguments = options.uninstall.then(|| "-e".to_owned()).into_iter().chain(packages);
    let asked_by = package_requests::asked_by(mapped.iter().map(|(package, element)| (package.as_str(), *element)));
    call_install_packages(arguments.collect(), &asked_by, options.noop)
}

/// Runs `install-packages`, the target's own if it has one, with its output marked by `> `.
fn call_install_packages(arguments: Vec<String>, asked_by: &str, noop: bool) -> Result<u8> {
    let words: Vec<String> = arguments.iter().map(|a| quote(a)).collect();
    out(&format!("install-packages {}", words.join(" ")))?;
    if noop {
        return Ok(0);
    }
    let mut command = Command::new("install-packages");
    command.args(arguments).env(package_requests::ASKED_BY, asked_by).stdin(Stdio::null());
    let mark = |line: &[u8]| out(&format!("> {}", String::from_utf8_lossy(line).trim_end_matches(['\n', '\r'])));
    let code = lines(command, Streams::Both, mark)?;
    if code != 0 {
        say(&format!("install-packages failed with returncode {code}"))?;
        return Ok(1);
    }
    Ok(0)
}

/// The packages of a list, with the element that wants each.
fn wanted(file: &Path, phase: &str, list: &str) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(file).with_context(|| on("reading", file))?;
    let data: Value = serde_json::from_str(&text).with_context(|| on("reading", file))?;
    let Some(entries) = data.get(phase).and_then(|phase| phase.get(list)) else { return Ok(Vec::new()) };
    // Pairs of package and element.
    serde_json::from_value(entries.clone()).with_context(|| format!("{}: {phase}, {list}", on("reading", file)))
}

/// The distribution's packages with the element that asked for each, in the order in which they were asked for.
fn map_all(wanted: &[(String, String)], noop: bool) -> Result<Vec<(String, &str)>> {
    let mut packages = Vec::new();
    let mut elements: Vec<(&str, Result<Names>)> = Vec::new();
    for (name, element) in wanted {
        if !elements.iter().any(|(known, _)| known == element) {
            elements.push((element, Names::of_element(element)));
        }
        let names = elements.iter().find(|(known, _)| known == element).map(|(_, names)| names);
        let mapped = match names {
            Some(Ok(names)) => names.find_or_keep(name),
            // A dry run shows as much as it can.
            _ if noop => vec![name.clone()],
            Some(Err(e)) => return Err(anyhow!("pkg-map failed for element {element}: {e:#}")),
            None => Vec::new(),
        };
        packages.extend(mapped.into_iter().map(|package| (package, element.as_str())));
    }
    Ok(packages)
}
