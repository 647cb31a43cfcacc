//! Running a program and looking at its output line by line.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::exec::command::{code_of, quote};

/// How long the output may be silent after the program's end until it counts as complete.
const SETTLE: Duration = Duration::from_millis(200);

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
    let arriving = read(reader);
    while let Some(text) = next(&arriving, &mut child).with_context(|| format!("waiting for {line}"))? {
        each(&text)?;
    }
    let status = child.wait().with_context(|| format!("waiting for {line}"))?;
    // Statuses fit: a shell's rule (128 + signal) is at most 192.
    Ok(u8::try_from(code_of(status)).unwrap_or(1))
}

/// Reads lines in a thread of their own, until nobody wants them or nobody writes any more.
fn read(reader: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(n) if n > 0 && sender.send(line).is_ok() => {}
                _ => break,
            }
        }
    });
    receiver
}

/// The next line; `None` when the output is complete.
fn next(arriving: &Receiver<Vec<u8>>, child: &mut Child) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        // Asked before the wait: what was written before the end then arrives within it.
        let ended = child.try_wait()?.is_some();
        match arriving.recv_timeout(SETTLE) {
            Ok(line) => return Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) if !ended => {}
            Err(_) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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
