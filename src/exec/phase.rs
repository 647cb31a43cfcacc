//! Running one phase: its environment, its hooks in order, what they leave behind.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::element::run_order;
use crate::error::{ExitWith, on};
use crate::report::{Event, Reporter};
use crate::target::package_requests::HOOK_ELEMENT;

use super::breakpoint::{Breakpoints, Shell};
use super::command::{Cmd, Exit};
use super::environment::{Environment, Sourcing};
use super::explained::{Explained, indented};
use super::leftovers;

/// A phase about to run.
pub struct PhaseRun<'a> {
    /// `install`
    pub name: &'a str,
    /// The merged hook tree, on the host.
    pub hooks: &'a Path,
    /// The tree to run in; `None` for a phase on the host.
    pub chroot: Option<&'a Path>,
    /// The environment before environment.d.
    pub base: &'a Environment,
    /// Working directory of hooks on the host.
    pub cwd: &'a Path,
    /// Where the caller wants a shell.
    pub breakpoints: &'a Breakpoints,
    /// Which element a hook of this phase is from.
    pub element_of: &'a dyn Fn(&str) -> String,
    /// Called after each hook with its name and how long it took (seconds).
    pub after_hook: &'a mut dyn FnMut(&str, f64) -> Result<()>,
    /// Where the log is, for messages.
    pub log: Option<&'a Path>,
    /// Told what happens.
    pub reporter: &'a Reporter,
}

/// Where the hook tree is in the chroot.
pub const IN_TARGET: &str = "/tmp/in_target.d";

impl PhaseRun<'_> {
    fn prefix(&self) -> Vec<OsString> {
        self.chroot.map(|tree| vec!["chroot".into(), tree.into()]).unwrap_or_default()
    }

    /// The hook tree as the hooks see it.
    fn seen_hooks(&self) -> PathBuf {
        if self.chroot.is_some() { IN_TARGET.into() } else { self.hooks.to_owned() }
    }

    /// Runs the phase.
    ///
    /// # Errors
    /// [`ExitWith`] with a hook's (or environment file's) own status when one fails.
    pub fn run(mut self) -> Result<()> {
        let (before, after) = (format!("before-{}", self.name), format!("after-{}", self.name));
        let dir = self.hooks.join(format!("{}.d", self.name));
        // The files of environment.d may be the very thing to look at, so the shell comes before them.
        self.stop_at(&before, true, self.base);
        let environment = self.source()?;
        let hooks = self.list(&dir, &environment)?;
        let start = Instant::now();
        self.reporter.event(&Event::PhaseStarted { phase: self.name, hooks: hooks.len() });
        for hook in &hooks {
            self.hook(hook, &environment)?;
        }
        self.end_leftovers("")?;
        let seconds = start.elapsed().as_secs_f64();
        self.reporter.event(&Event::PhaseFinished { phase: self.name, seconds });
        self.stop_at(&after, self.chroot.is_some(), &environment);
        Ok(())
    }

    fn stop_at(&self, place: &str, own_command: bool, environment: &Environment) {
        let prefix = self.prefix();
        let shell = Shell { prefix: &prefix, environment, cwd: self.cwd };
        self.breakpoints.stop_at(place, own_command, shell, self.reporter);
    }

    fn source(&self) -> Result<Environment> {
        let mut files = file_names(&self.hooks.join("environment.d"))?;
        files.retain(|f| run_order::is_environment_file(f));
        run_order::sort_environment(&mut files);
        let dir = self.seen_hooks().join("environment.d");
        let sourcing = Sourcing { prefix: &self.prefix(), dir: &dir, files: &files, cwd: self.cwd };
        match sourcing.run(self.base, self.reporter)? {
            Ok(environment) => Ok(environment),
            Err((status, tail)) => {
                let what = format!(
                    "the environment of phase {} could not be made (environment.d, status {status})",
                    self.name
                );
                Err(self.failure(what, status, &tail, self.base))
            }
        }
    }

    /// The hooks that will run, in order.
    fn list(&self, dir: &Path, environment: &Environment) -> Result<Vec<String>> {
        let regex = environment.get(std::ffi::OsStr::new("RUN_PARTS_REGEX")).and_then(|v| v.to_str());
        let pattern = run_order::pattern(regex).map_err(crate::error::Faults::from)?;
        let mut hooks = Vec::new();
        for name in file_names(dir)? {
            let path = dir.join(&name);
            // A link to nowhere does not run either; element checks have reported it.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_file() && run_order::runs(&name, meta.permissions().mode(), &pattern).is_ok() {
                hooks.push(name);
            }
        }
        run_order::sort(&mut hooks);
        Ok(hooks)
    }

    fn hook(&mut self, hook: &str, environment: &Environment) -> Result<()> {
        let element = (self.element_of)(hook);
        let (phase, start) = (self.name, Instant::now());
        self.stop_at(&format!("before-{phase}/{hook}"), true, environment);
        self.reporter.event(&Event::HookStarted { phase, hook, element: &element });
        let path = self.seen_hooks().join(format!("{phase}.d")).join(hook);
        let mut argv = self.prefix();
        argv.push(path.into_os_string());
        let mut own = environment.clone();
        own.insert(HOOK_ELEMENT.into(), element.clone().into());
        let cmd = Cmd::new(&argv[0]).args(&argv[1..]).full_env(own).dir(self.cwd);
        let exit = cmd.stream(|line| self.reporter.output(line))?;
        let seconds = start.elapsed().as_secs_f64();
        self.reporter.event(&Event::HookFinished { phase, hook, element: &element, status: exit.code, seconds });
        if exit.code != 0 {
            return Err(self.hook_failure(hook, &element, &exit, seconds, environment));
        }
        (self.after_hook)(hook, seconds)?;
        self.stop_at(&format!("after-{phase}/{hook}"), true, environment);
        Ok(())
    }

    fn hook_failure(
        &self,
        hook: &str,
        element: &str,
        exit: &Exit,
        seconds: f64,
        environment: &Environment,
    ) -> anyhow::Error {
        let place = if self.chroot.is_some() { "in the chroot" } else { "on the host" };
        let of = if element.is_empty() { String::new() } else { format!(" of element {element}") };
        let mut what =
            format!("hook {}.d/{hook}{of} failed {place} with status {} after {seconds:.1} s", self.name, exit.code);
        what.push_str(match exit.code {
            126 => "\n    (126: the file could not be executed)",
            127 => "\n    (127: a program was not found, or the script's interpreter is not installed)",
            _ => "",
        });
        let mut error = self.failure(what, exit.code, &exit.tail, environment);
        if let Some(exit) = error.downcast_mut::<ExitWith>() {
            exit.hints.push(format!("to open a shell there: --break before-{}/{hook}", self.name));
        }
        error
    }

    /// Stops at after-error and makes the error.
    fn failure(&self, mut what: String, status: i32, tail: &[String], environment: &Environment) -> anyhow::Error {
        let explained = Explained::find(tail);
        what.push_str(&explained.as_ref().map_or_else(|| indented(tail), Explained::text));
        // A shell that shows the state of things must still find it.
        let prefix = if self.breakpoints.outside { vec![] } else { self.prefix() };
        let shell = Shell { prefix: &prefix, environment, cwd: self.cwd };
        self.breakpoints.stop_at("after-error", true, shell, self.reporter);
        let hint = self.log.map_or_else(
            || "to keep the whole log: --logfile FILE".to_owned(),
            |log| format!("the whole log is in {}", log.display()),
        );
        let mut hints = explained.map(|explained| explained.hints).unwrap_or_default();
        hints.push(hint);
        ExitWith { message: what, code: u8::try_from(status).unwrap_or(1), hints }.into()
    }

    fn end_leftovers(&self, hook: &str) -> Result<()> {
        for leftover in leftovers::end_all()? {
            let after = if hook.is_empty() { self.name } else { hook };
            self.reporter.warn(format!("{after} left a process running, which was ended: {}", leftover.command));
        }
        Ok(())
    }
}

/// The names of all files in a directory that may be missing; not those that start with a dot.
fn file_names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(e).with_context(|| on("reading", dir)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| on("reading", dir))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && !entry.path().is_dir()
        {
            names.push(name);
        }
    }
    Ok(names)
}
