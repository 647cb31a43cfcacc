//! The only printer: progress, log lines, warnings and machine-readable events.
//!
//! A [`Reporter`] is a handle that is cheap to clone; the rest of the program tells it what
//! happens and never writes to the terminal itself. Everything goes to stderr; stdout belongs
//! to results ([`Reporter::result`]).

use std::io::Write;
use std::sync::{Arc, Mutex};

/// Receives what happens; see the module.
pub trait Sink: Send {
    /// A line of output of a program that runs for us.
    fn output(&mut self, line: &str);
    /// A sentence of ours about what is being done.
    fn info(&mut self, message: &str);
    /// Something that the user should look at.
    fn warn(&mut self, message: &str);
}

/// A handle to the sink in use.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<dyn Sink>>);

impl Reporter {
    /// A reporter that writes into `sink`.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    /// A reporter that drops everything: for tests and for helpers whose output nobody wants.
    pub fn quiet() -> Self {
        Self::new(Quiet)
    }

    /// A reporter that writes plain lines to stderr.
    pub fn plain() -> Self {
        Self::new(Plain)
    }

    /// Passes on a line of a child's output.
    pub fn output(&self, line: &str) {
        self.with(|s| s.output(line));
    }

    /// Says what is being done.
    pub fn info(&self, message: impl AsRef<str>) {
        self.with(|s| s.info(message.as_ref()));
    }

    /// Warns.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.with(|s| s.warn(message.as_ref()));
    }

    /// Writes a result line to stdout. A closed pipe is not an error: whoever reads has seen enough.
    pub fn result(text: &str) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").ok();
        out.flush().ok();
    }

    fn with(&self, f: impl FnOnce(&mut dyn Sink)) {
        // A poisoned lock means that another thread panicked while printing; printing on is right.
        let mut sink = self.0.lock().unwrap_or_else(|e| e.into_inner());
        f(&mut *sink);
    }
}

struct Quiet;

impl Sink for Quiet {
    fn output(&mut self, _: &str) {}
    fn info(&mut self, _: &str) {}
    fn warn(&mut self, _: &str) {}
}

struct Plain;

impl Sink for Plain {
    fn output(&mut self, line: &str) {
        writeln!(std::io::stderr().lock(), "{line}").ok();
    }
    fn info(&mut self, message: &str) {
        writeln!(std::io::stderr().lock(), "{message}").ok();
    }
    fn warn(&mut self, message: &str) {
        writeln!(std::io::stderr().lock(), "warning: {message}").ok();
    }
}
