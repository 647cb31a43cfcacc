//! SIGINT, SIGTERM and SIGHUP while a guest runs: noted, so that the waiting loops end and guards run.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::error::Interrupted;

static CAUGHT: AtomicBool = AtomicBool::new(false);

const CAUGHT_SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Signals are noted as long as this lives; then they do again what they did before.
#[derive(Debug)]
#[must_use = "dropping it restores the signals' old actions"]
pub struct Signals {
    old: Vec<(Signal, SigAction)>,
}

extern "C" fn note(_: nix::libc::c_int) {
    CAUGHT.store(true, Ordering::SeqCst);
}

impl Signals {
    /// Starts to note signals.
    ///
    /// # Errors
    /// When the kernel refuses, which it has no reason to.
    pub fn catch() -> Result<Self> {
        CAUGHT.store(false, Ordering::SeqCst);
        // No SA_RESTART: a read of the terminal is to end.
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
        let mut caught = Self { old: Vec::new() };
        for signal in CAUGHT_SIGNALS {
            // SAFETY: the handler stores into an atomic and does nothing else.
            let old = unsafe { sigaction(signal, &action) }.context("catching signals")?;
            caught.old.push((signal, old));
        }
        Ok(caught)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, action) in &self.old {
            // SAFETY: puts back an action that was in force.
            let _refused = unsafe { sigaction(*signal, action) };
        }
    }
}

/// Fails after a signal.
///
/// # Errors
/// [`Interrupted`].
pub fn check() -> Result<()> {
    if CAUGHT.load(Ordering::SeqCst) { Err(Interrupted.into()) } else { Ok(()) }
}
