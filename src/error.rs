//! What went wrong, how it is shown, and the exit code it ends in.
//!
//! Two tiers: the deciding half collects [`Fault`]s (file, line, hint) and reports them together
//! as [`Faults`]; the doing half uses [`anyhow::Error`] with a context line for each file or
//! process it touches, and one of the marker errors below where the exit code depends on it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Exit code: the build failed.
pub const EXIT_BUILD: u8 = 1;
/// Exit code: the request or an element is wrong.
pub const EXIT_DEFINITION: u8 = 2;
/// Exit code: the host is not ready (a tool, a privilege or space is missing).
pub const EXIT_HOST: u8 = 3;
/// Exit code: interrupted by SIGINT or SIGTERM.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Where a fault stands: a file, and a line and column in it where they are known (both from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
}

impl Place {
    /// A whole file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), line: None, column: None }
    }

    /// A line of a file.
    pub fn line(file: impl Into<PathBuf>, line: usize) -> Self {
        Self { file: file.into(), line: Some(line), column: None }
    }

    /// A position in a file.
    pub fn at(file: impl Into<PathBuf>, line: usize, column: usize) -> Self {
        Self { file: file.into(), line: Some(line), column: Some(column) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// One mistake in a request or an element: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, if it stands in a file.
    pub place: Option<Place>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault that stands in no file (the command line, say).
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), hint: None }
    }

    /// A fault with a place.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into(), hint: None }
    }

    /// The fault on one line, with its hint: for a fault that stops nothing.
    pub fn sentence(&self) -> String {
        self.hint.as_ref().map_or_else(|| self.to_string(), |hint| format!("{self} ({hint})"))
    }

    /// The same fault with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// All the mistakes found in one go; never empty. Ends in exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `value` if nothing was found, else the faults.
    pub fn or<T>(found: Vec<Fault>, value: T) -> Result<T, Faults> {
        if found.is_empty() { Ok(value) } else { Err(Faults(found)) }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The host lacks something: a tool, a privilege, space. Ends in exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HostNotReady {
    /// What is missing, and for what.
    pub message: String,
    /// What to do: the package to install, the option to give.
    pub hint: Option<String>,
}

impl HostNotReady {
    /// `message` says what is missing, `hint` how to get it.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// A signal ended the work. Ends in exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// A program of somebody else's failed and its exit status is to be ours (a hook, say).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitWith {
    /// The whole message.
    pub message: String,
    /// The exit status to end with.
    pub code: u8,
    /// Lines that tell the user what to do next.
    pub hints: Vec<String>,
}

/// The exit code that an error ends the program with.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Faults>() {
            return EXIT_DEFINITION;
        }
        if cause.is::<HostNotReady>() {
            return EXIT_HOST;
        }
        if cause.is::<Interrupted>() {
            return EXIT_INTERRUPTED;
        }
        if let Some(exit) = cause.downcast_ref::<ExitWith>() {
            return exit.code;
        }
    }
    EXIT_BUILD
}

/// The text that an error is shown as: `error:` lines, the chain of causes, then `hint:` lines.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut hints = Vec::new();
    if let Some(faults) = error.chain().find_map(|c| c.downcast_ref::<Faults>()) {
        for fault in &faults.0 {
            text.push_str(&format!("error: {fault}\n"));
            if let Some(hint) = &fault.hint {
                text.push_str(&format!("hint: {hint}\n"));
            }
        }
        return text;
    }
    for (i, cause) in error.chain().enumerate() {
        let head = if i == 0 { "error: " } else { "  because: " };
        text.push_str(&format!("{head}{cause}\n"));
        if let Some(host) = cause.downcast_ref::<HostNotReady>() {
            hints.extend(host.hint.clone());
        }
        if let Some(exit) = cause.downcast_ref::<ExitWith>() {
            hints.extend(exit.hints.iter().cloned());
        }
    }
    for hint in hints {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

/// The context line for reading or writing `path`: `reading /etc/x`.
pub fn on(doing: &str, path: &Path) -> String {
    format!("{doing} {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_marker_in_the_chain() {
        let faults = anyhow::Error::from(Faults::from(Fault::new("x"))).context("planning");
        assert_eq!(exit_code(&faults), EXIT_DEFINITION);
        let host = anyhow::Error::from(HostNotReady::new("no qemu-img", "apt-get install qemu-utils"));
        assert_eq!(exit_code(&host.context("converting")), EXIT_HOST);
        let hook = ExitWith { message: "hook failed".into(), code: 7, hints: vec![] };
        assert_eq!(exit_code(&anyhow::Error::from(hook)), 7);
        assert_eq!(exit_code(&anyhow::anyhow!("plain")), EXIT_BUILD);
    }

    #[test]
    fn every_fault_is_shown_with_its_place_and_hint() {
        let faults = Faults(vec![
            Fault::at(Place::line("/e/x/element-deps", 3), "no element is called 'vmm'").hint("did you mean 'vm'?"),
            Fault::new("second"),
        ]);
        assert_eq!(
            render(&faults.into()),
            "error: /e/x/element-deps:3: no element is called 'vmm'\nhint: did you mean 'vm'?\nerror: second\n"
        );
    }
}
