//! Shells at chosen places of a build (contract 2.13).

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::Reporter;

use super::environment::Environment;

/// Where the caller wants a shell, and which.
#[derive(Debug, Clone, Default)]
pub struct Breakpoints {
    /// `before-PHASE`, `after-PHASE`, `before-PHASE/HOOK`, `after-PHASE/HOOK`, `after-error`.
    pub places: Vec<String>,
    /// What to run instead of bash: a shell command line.
    pub command: Option<String>,
    /// Run after-error ones on the host, also for a phase in the chroot.
    pub outside: bool,
}

/// Where a shell runs.
#[derive(Debug, Clone, Copy)]
pub struct Shell<'a> {
    /// The words before the shell: `chroot TREE`, or nothing.
    pub prefix: &'a [OsString],
    /// Its environment.
    pub environment: &'a Environment,
    /// Its working directory on the host.
    pub cwd: &'a Path,
}

impl Breakpoints {
    /// Whether `place` is one of them.
    pub fn includes(&self, place: &str) -> bool {
        self.places.iter().any(|p| p == place)
    }

    /// Opens a shell if `place` is one of them. `own_command`: run the caller's command, not bash.
    pub fn stop_at(&self, place: &str, own_command: bool, shell: Shell<'_>, reporter: &Reporter) {
        if !self.includes(place) {
            return;
        }
        reporter.warn("Starting debug shell. Exit to resume building.");
        reporter.warn(format!("At stage {place}"));
        let mut argv = shell.prefix.to_vec();
        match self.command.as_deref().filter(|_| own_command) {
            Some(command) => argv.extend(["bash", "-c", command].map(OsString::from)),
            None => argv.push("bash".into()),
        }
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().envs(shell.environment).current_dir(shell.cwd).stdin(Stdio::inherit());
        if let Err(error) = command.status() {
            reporter.warn(format!("the shell could not be started: {error}"));
        }
        reporter.warn("Resuming");
    }
}
