//! `run-dnf PROGRAM OPTION... VERB ARGUMENT...`: runs dnf, with its output passed through, and says at the end in a few
//! words why it failed. Its status tells the kind: 1 the repositories or packages are at fault, 2 what
//! was asked for, 3 this machine.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::dnf_call::{Call, holds_no_key, tell};
use super::output::{Streams, lines};
use super::{clock, say, var};
use crate::package::dnf::{self, Explanation, Scriptlet, explain};

const USAGE: &str = "usage: run-dnf PROGRAM OPTION... VERB ARGUMENT...";

/// Runs dnf.
///
/// # Errors
/// When it cannot be started.
pub fn run(argv: Vec<String>) -> Result<u8> {
    let Some((program, arguments)) = argv.split_first() else {
        say(USAGE)?;
        return Ok(1);
    };
    let call = Call::new(&argv);
    if let Some(told) = wrong_key(&call) {
        tell("run-dnf", &told)?;
        return Ok(told.code);
    }
    let mut command = Command::new(program);
    command.args(arguments);
    let mut output = Output::default();
    let code = lines(command, Streams::Both, |line| {
        output.keep(line);
        std::io::stderr().lock().write_all(line).context("writing to stderr")
    })?;
    let Some(told) = output.explain(&call, code)? else { return Ok(0) };
    tell("run-dnf", &told)?;
    Ok(told.code)
}

/// What can be said of the repositories' keys before anything is downloaded.
fn wrong_key(call: &Call<'_>) -> Option<Explanation> {
    let repositories = call.repositories();
    let files =
        repositories.iter().flat_map(|repository| &repository.keys).filter_map(|key| key.strip_prefix("file://"));
    files.map(Path::new).find_map(|file| {
        let name = file.display().to_string();
        if holds_no_key(file) {
            return Some(explain::no_key(&name));
        }
        clock::future_key(file).map(|clock| explain::future_key(&name, clock))
    })
}

/// The output of a dnf, kept to be explained.
#[derive(Default)]
pub(super) struct Output(Vec<String>);

impl Output {
    /// Keeps a line.
    pub(super) fn keep(&mut self, line: &[u8]) {
        self.0.push(String::from_utf8_lossy(line).trim_end().to_owned());
    }

    /// Why `call` failed with `code`, if it did. dnf takes scripts that fail once the packages' files are
    /// there for warnings; an image with half-configured packages is a failure, unless the user wants it.
    pub(super) fn explain(&self, call: &Call<'_>, code: u8) -> Result<Option<Explanation>> {
        if code != 0 {
            let failure = dnf::failure(&self.0);
            return Ok(Some(failure.explain(&call.surroundings(&failure))));
        }
        let (tolerated, failed): (Vec<_>, Vec<_>) = dnf::scriptlets::failed(&self.0).into_iter().partition(may_fail);
        for Scriptlet { package, kind, end, .. } in tolerated {
            say(&format!("warning: the {kind} script of package {package} failed ({end}), which it may"))?;
        }
        Ok((!failed.is_empty()).then(|| explain::scriptlets(&failed)))
    }
}

fn may_fail(scriptlet: &Scriptlet) -> bool {
    let names = var("IMAGE_RPM_SCRIPTS_MAY_FAIL").unwrap_or_default();
    names.split_whitespace().any(|name| name == "*" || name == scriptlet.name())
}
