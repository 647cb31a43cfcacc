//! Lines of text: on a terminal that is none, in a CI log, in the log file.
//!
//! Each line begins with the time in UTC, as callers of diskimage-builder expect (contract 1.8).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use chrono::Utc;

use super::{Event, Sink};

/// The line that an event is in a log, if it is one.
pub(super) fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Output { line } => (*line).to_owned(),
        Event::Info { message } => (*message).to_owned(),
        Event::Warning { message } => format!("warning: {message}"),
        Event::PhaseStarted { phase, hooks } => format!("Running hooks from {phase}.d ({hooks})"),
        Event::PhaseFinished { phase, seconds } => format!("{phase}.d completed in {seconds:.1} s"),
        Event::HookStarted { phase, hook, element } => match *element {
            "" => format!("dib-run-parts Running {phase}.d/{hook}"),
            element => format!("dib-run-parts Running {phase}.d/{hook} ({element})"),
        },
        Event::HookFinished { hook, status: 0, seconds, .. } => {
            format!("dib-run-parts {hook} completed ({seconds:.1} s)")
        }
        Event::HookFinished { hook, status, seconds, .. } => {
            format!("dib-run-parts {hook} failed with status {status} ({seconds:.1} s)")
        }
        Event::StepFinished { step, seconds } if *seconds >= 0.1 => format!("{step}: {seconds:.1} s"),
        Event::StepFinished { .. } => return None,
        Event::Summary { text } => (*text).to_owned(),
        Event::OutputWritten { path, .. } => format!("Image file {} created...", path.display()),
    })
}

fn stamp() -> String {
    Utc::now().format("%Y-%m-%d %H:%M:%S%.3f | ").to_string()
}

/// Lines on stderr.
pub struct Plain {
    stamped: bool,
    quiet: bool,
}

impl Plain {
    /// `stamped`: each line begins with the time. `quiet`: warnings only.
    pub fn new(stamped: bool, quiet: bool) -> Self {
        Self { stamped, quiet }
    }
}

impl Sink for Plain {
    fn event(&mut self, event: &Event<'_>) {
        if self.quiet && !matches!(event, Event::Warning { .. }) {
            return;
        }
        let Some(line) = line(event) else { return };
        let stamp = if self.stamped { stamp() } else { String::new() };
        writeln!(io::stderr().lock(), "{stamp}{line}").ok();
    }
}

/// Lines in a file, always with the time, appended.
pub struct LogFile(File);

impl LogFile {
    /// Opens it, making it if need be.
    ///
    /// # Errors
    /// When the directory is missing or may not be written to.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }
}

impl Sink for LogFile {
    fn event(&mut self, event: &Event<'_>) {
        if let Some(line) = line(event) {
            // One write a line: several writers may append to the same file.
            self.0.write_all(format!("{}{line}\n", stamp()).as_bytes()).ok();
        }
    }
}
