//! A program's output, line by line, until the program ends.

use std::io::{BufRead, BufReader, PipeReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

/// How long the output may be silent after the program's end until it counts as complete.
const SETTLE: Duration = Duration::from_millis(100);
/// How long after the program's end anything is read: what it left running may go on talking.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Hands each line that arrives (with its newline) to `each`, until nobody can write any more or the
/// program has `ended`: a daemon that a package's script has started keeps the pipe open for ever.
///
/// # Errors
/// Those of `ended` and `each`.
pub fn lines(
    reader: PipeReader,
    mut ended: impl FnMut() -> Result<bool>,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let arriving = read(reader);
    let mut end: Option<Instant> = None;
    loop {
        // Asked before the wait: what was written before the end then arrives within it.
        if end.is_none() && ended()? {
            end = Some(Instant::now());
        }
        match arriving.recv_timeout(SETTLE) {
            Ok(line) => each(&line)?,
            Err(RecvTimeoutError::Timeout) if end.is_none() => {}
            Err(_) => return Ok(()),
        }
        if end.is_some_and(|end| end.elapsed() > LAST_WORDS) {
            return Ok(());
        }
    }
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
