//! `package-installs-squash --elements "a b" --path P1:P2 OUT`: writes the packages of all phases
//! to a file, for `package-installs-v2` to install from (contract 4.2).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{out, say};
use crate::error::on;
use crate::package::{known, squash};

const USAGE: &str = "usage: package-installs-squash --elements \"NAME...\" --path DIR[:DIR...] OUT";

/// Writes the file.
///
/// # Errors
/// Every mistake in the elements' files; a file that cannot be read or written.
pub fn run(args: Vec<String>) -> Result<u8> {
    let (mut elements, mut path, mut output) = (None, None, None);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let (name, given) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        let mut value = || given.clone().or_else(|| args.next()).with_context(|| format!("{name} needs a value"));
        match name {
            "--elements" => elements = Some(value()?),
            "--path" => path = Some(value()?),
            "-h" | "--help" => return out(USAGE).map(|()| 0),
            _ if name.starts_with('-') || output.is_some() => bail!("cannot use argument {arg}\n{USAGE}"),
            _ => output = Some(PathBuf::from(arg)),
        }
    }
    let (Some(elements), Some(path), Some(output)) = (elements, path, output) else {
        bail!("elements, path and output have to be given\n{USAGE}");
    };
    write(&directories(&elements, &path), &output)
}

/// Name and directory of each element: the first one on the path, as the build itself chooses.
/// Names without a directory are virtual ones and have no packages.
pub(super) fn directories(elements: &str, path: &str) -> Vec<(String, PathBuf)> {
    let find = |element: &str| path.split(':').map(|p| Path::new(p).join(element)).find(|dir| dir.is_dir());
    elements.split_whitespace().filter_map(|e| Some((e.to_owned(), find(e)?))).collect()
}

fn write(elements: &[(String, PathBuf)], output: &Path) -> Result<u8> {
    // Variables that are not UTF-8 cannot be compared with anything in a package-installs file.
    let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let environment: BTreeMap<String, String> = variables.collect();
    let (squashed, warnings) = squash::squash(elements, &known(&environment))?;
    for warning in warnings {
        let hint = warning.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        say(&format!("warning: {warning}{hint}"))?;
    }
    let text = serde_json::to_string_pretty(&squashed.to_json()).context("writing JSON")?;
    fs::write(output, text + "\n").with_context(|| on("writing", output))?;
    Ok(0)
}
