//! The only printer: progress, log lines, warnings and machine-readable events.
//!
//! A [`Reporter`] is a handle that is cheap to clone; the rest of the program tells it what
//! happens ([`Event`]) and never writes to the terminal itself. Everything goes to stderr and the
//! files that were asked for; stdout belongs to results ([`Reporter::result`]).

mod events;
mod live;
mod plain;
mod table;

pub use events::EventFile;
pub use live::Live;
pub use plain::{LogFile, Plain};
pub use table::Timings;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::Serialize;

/// Something that happened during a build.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// A line of output of a program that runs for us.
    Output {
        /// The line, without its end.
        line: &'a str,
    },
    /// A sentence of ours about what is being done.
    Info {
        /// The sentence.
        message: &'a str,
    },
    /// Something that the user should look at.
    Warning {
        /// What it is.
        message: &'a str,
    },
    /// A phase begins.
    PhaseStarted {
        /// `install`
        phase: &'a str,
        /// Hooks that will run in it.
        hooks: usize,
    },
    /// A phase ended well.
    PhaseFinished {
        /// `install`
        phase: &'a str,
        /// How long it took.
        seconds: f64,
    },
    /// A hook begins.
    HookStarted {
        /// `install`
        phase: &'a str,
        /// `50-name`
        hook: &'a str,
        /// The element that it is from; empty when it appeared during the build.
        element: &'a str,
    },
    /// A hook ended.
    HookFinished {
        /// `install`
        phase: &'a str,
        /// `50-name`
        hook: &'a str,
        /// The element that it is from.
        element: &'a str,
        /// Its exit status.
        status: i32,
        /// How long it took.
        seconds: f64,
    },
    /// A step of assembling ended.
    StepFinished {
        /// What was done.
        step: &'a str,
        /// How long it took.
        seconds: f64,
    },
    /// What there is to say at the end: several lines.
    Summary {
        /// The lines.
        text: &'a str,
    },
    /// An output is at its place.
    OutputWritten {
        /// The file.
        path: &'a Path,
        /// Its length in bytes.
        bytes: u64,
    },
}

/// Receives what happens.
pub trait Sink: Send {
    /// Takes note of one event.
    fn event(&mut self, event: &Event<'_>);
}

/// A handle to the sinks in use.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<Vec<Box<dyn Sink>>>>);

impl Reporter {
    /// A reporter that tells all of `sinks`.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self(Arc::new(Mutex::new(sinks)))
    }

    /// A reporter that drops everything: for tests and for helpers whose output nobody wants.
    pub fn quiet() -> Self {
        Self::new(vec![])
    }

    /// A reporter that writes plain lines without timestamps to stderr.
    pub fn plain() -> Self {
        Self::new(vec![Box::new(Plain::new(false, false))])
    }

    /// Passes on an event.
    pub fn event(&self, event: &Event<'_>) {
        // A poisoned lock means that another thread panicked while printing; printing on is right.
        let mut sinks = self.0.lock().unwrap_or_else(|e| e.into_inner());
        for sink in sinks.iter_mut() {
            sink.event(event);
        }
    }

    /// Passes on a line of a child's output.
    pub fn output(&self, line: &str) {
        self.event(&Event::Output { line });
    }

    /// Says what is being done.
    pub fn info(&self, message: impl AsRef<str>) {
        self.event(&Event::Info { message: message.as_ref() });
    }

    /// Warns.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.event(&Event::Warning { message: message.as_ref() });
    }

    /// Does `work` and reports how long it took.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn step<T, E>(&self, step: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let start = std::time::Instant::now();
        self.info(step);
        let done = work()?;
        self.event(&Event::StepFinished { step, seconds: start.elapsed().as_secs_f64() });
        Ok(done)
    }

    /// Writes a result line to stdout. A closed pipe is not an error: whoever reads has seen enough.
    pub fn result(text: &str) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").ok();
        out.flush().ok();
    }

    /// Writes bytes to stdout as they are. A closed pipe is not an error here either.
    ///
    /// # Errors
    /// When writing fails, as on a full disk.
    pub fn result_bytes(bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => Err(err),
            _ => Ok(()),
        }
    }

    /// Writes an error text to stderr, for `main`.
    pub fn error(text: &str) {
        let mut err = std::io::stderr().lock();
        err.write_all(text.as_bytes()).ok();
        err.flush().ok();
    }
}
