//! Running a program and looking at its output line by line.

use std::io::pipe;
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec::command::{code_of, quote};
use crate::exec::stream;

/// What to look at; the rest goes where our own goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// stdout and stderr, in the order in which they were written.
    Both,
    /// stderr only.
    Stderr,
}

/// Runs a program, hands each line (with its newline) to `each` as it comes, and returns the exit
/// status as a shell would give it.
///
/// It returns when the program ends, not when its output does: a daemon that a package's script
/// has started keeps the pipe open for ever.
///
/// # Errors
/// When the program cannot be started or waited for, and whatever `each` returns.
pub(super) fn lines(mut command: Command, streams: Streams, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<u8> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|w| quote(&w.to_string_lossy())).collect::<Vec<_>>().join(" ");
    let (reader, writer) = pipe().context("making a pipe")?;
    if streams == Streams::Both {
        command.stdout(writer.try_clone().context("making a pipe")?);
    }
    let mut child = command.stderr(writer).spawn().with_context(|| format!("starting {line}"))?;
    // It holds our copies of the pipe's writing end.
    drop(command);
    stream::lines(
        reader,
        || Ok(child.try_wait().with_context(|| format!("waiting for {line}"))?.is_some()),
        &mut each,
    )?;
    let status = child.wait().with_context(|| format!("waiting for {line}"))?;
    // Statuses fit: a shell's rule (128 + signal) is at most 192.
    Ok(u8::try_from(code_of(status)).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn run(script: &str) -> (u8, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut seen = Vec::new();
        let keep = |line: &[u8]| {
            seen.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        let code = lines(command, Streams::Both, keep).unwrap();
        (code, seen)
    }

    #[test]
    fn both_streams_come_in_order_with_the_status() {
        let (code, seen) = run("echo one; echo two >&2; printf three; exit 4");
        assert_eq!((code, seen), (4, vec!["one\n".to_owned(), "two\n".to_owned(), "three".to_owned()]));
        assert_eq!(run("kill -9 $$").0, 137);
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_open_is_not_waited_for() {
        let start = Instant::now();
        let (code, seen) = run("echo started; sleep 20 & exit 0");
        assert_eq!((code, seen), (0, vec!["started\n".to_owned()]));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
