//! A program's output, line by line, until the program ends.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long to wait for output before looking whether the program has ended, in milliseconds.
const WAIT: u8 = 100;
/// How long after the program's end anything is read: what it left running may go on talking.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Hands each line that arrives (with its newline) to `each`, until nobody can write any more or the
/// program has `ended`: a daemon that a package's script has started keeps the pipe open for ever.
///
/// All that the program wrote is read, however busy the machine is: its end is looked for before the
/// pipe is, and what was written by then is in the pipe.
///
/// # Errors
/// Those of `ended` and `each`, and when the pipe cannot be read.
pub fn lines(
    mut reader: PipeReader,
    mut ended: impl FnMut() -> Result<bool>,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let (mut pending, mut chunk) = (Vec::new(), [0; 8192]);
    let mut end: Option<Instant> = None;
    loop {
        if end.is_none() && ended()? {
            end = Some(Instant::now());
        }
        let over = end.is_some_and(|end| end.elapsed() > LAST_WORDS);
        let length = if !over && readable(&reader)? {
            reader.read(&mut chunk).context("reading a program's output")?
        } else if end.is_none() {
            continue;
        } else {
            0
        };
        pending.extend_from_slice(&chunk[..length]);
        while let Some(newline) = pending.iter().position(|byte| *byte == b'\n') {
            let rest = pending.split_off(newline + 1);
            each(&std::mem::replace(&mut pending, rest))?;
        }
        if length == 0 {
            // A last line may have no newline.
            return if pending.is_empty() { Ok(()) } else { each(&pending) };
        }
    }
}

/// Waits a moment for output, or for the end of all writers; false when there is neither.
fn readable(reader: &PipeReader) -> Result<bool> {
    let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(WAIT)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(e) => Err(e).context("waiting for a program's output"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;

    fn read(reader: PipeReader, ended: impl FnMut() -> Result<bool>) -> Vec<String> {
        let mut seen = Vec::new();
        let keep = |line: &[u8]| {
            seen.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        lines(reader, ended, keep).unwrap();
        seen
    }

    #[test]
    fn what_was_written_before_the_end_is_read_while_the_pipe_stays_open() {
        let (reader, mut writer) = pipe().unwrap();
        let all: String = (0..2000).map(|n| format!("line {n}\n")).collect();
        writer.write_all(all.as_bytes()).unwrap();
        writer.write_all(b"last").unwrap();
        let seen = read(reader, || Ok(true));
        assert_eq!((seen.len(), seen[1999].as_str(), seen[2000].as_str()), (2001, "line 1999\n", "last"));
        drop(writer);
    }

    #[test]
    fn the_end_of_all_writers_is_the_end() {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(b"a\n\nb").unwrap();
        drop(writer);
        assert_eq!(read(reader, || Ok(false)), ["a\n", "\n", "b"]);
    }
}
