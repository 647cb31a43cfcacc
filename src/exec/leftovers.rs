//! Processes that a hook left running.
//!
//! The build has a PID namespace of its own, so every process in it that is neither init nor this
//! one was started by a hook: no search by names or paths is needed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

/// A process that a hook left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its number in the build's namespace.
    pub pid: i32,
    /// Its command line, or its name in brackets where it has none.
    pub command: String,
}

/// The processes of the build's namespace besides init and this one. Zombies do not count.
///
/// # Errors
/// When /proc cannot be read.
pub fn find() -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("reading /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        if pid == 1 || pid == getpid().as_raw() {
            continue;
        }
        if let Some(command) = command_of(&entry.path()) {
            found.push(Leftover { pid, command });
        }
    }
    found.sort_by_key(|l| l.pid);
    Ok(found)
}

/// `None` for a zombie, or a process that ended meanwhile.
fn command_of(dir: &Path) -> Option<String> {
    let stat = std::fs::read_to_string(dir.join("stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    if rest.trim_start().starts_with(['Z', 'X']) {
        return None;
    }
    let line = std::fs::read(dir.join("cmdline")).ok()?;
    let words: Vec<_> = line.split(|b| *b == 0).filter(|w| !w.is_empty()).map(String::from_utf8_lossy).collect();
    Some(if words.is_empty() { format!("[{name}]") } else { words.join(" ") })
}

/// Ends all leftovers: SIGTERM, two seconds, SIGKILL. Returns those that there were.
///
/// # Errors
/// When /proc cannot be read.
pub fn end_all() -> Result<Vec<Leftover>> {
    let found = find()?;
    if found.is_empty() {
        return Ok(found);
    }
    signal_all(&found, Signal::SIGTERM);
    for _ in 0..40 {
        if find()?.is_empty() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // Those that appeared meanwhile are meant too.
    signal_all(&find()?, Signal::SIGKILL);
    for _ in 0..40 {
        if find()?.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(found)
}

fn signal_all(leftovers: &[Leftover], signal: Signal) {
    for leftover in leftovers {
        // It may have ended by itself.
        kill(Pid::from_raw(leftover.pid), signal).ok();
    }
}
