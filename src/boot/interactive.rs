//! The guest's serial console on our terminal.

use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::guest::Guest;
use super::signals;
use crate::report::Reporter;

/// Ctrl-A, then this, ends the guest; as in QEMU's own terminal mode.
const END: u8 = b'x';
const CTRL_A: u8 = 1;

/// The terminal without line editing and without signals from keys; dropping it puts it back.
struct RawTerminal {
    old: Termios,
}

impl RawTerminal {
    /// None when stdin is no terminal.
    fn enter() -> Result<Option<Self>> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let old = tcgetattr(stdin.as_fd()).context("reading the terminal's settings")?;
        let mut raw = old.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).context("changing the terminal's settings")?;
        Ok(Some(Self { old }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _gone = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.old);
    }
}

/// What keys mean to us.
#[derive(Debug, Default)]
struct Keys {
    after_ctrl_a: bool,
}

impl Keys {
    /// The bytes for the guest, or none when the guest is to end. Ctrl-A twice types one Ctrl-A.
    fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut for_guest = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (std::mem::take(&mut self.after_ctrl_a), byte) {
                (false, CTRL_A) => self.after_ctrl_a = true,
                (true, b) if b.to_ascii_lowercase() == END => return None,
                (_, b) => for_guest.push(b),
            }
        }
        Some(for_guest)
    }
}

impl Guest {
    /// Connects terminal and console until the guest ends or the user ends it.
    ///
    /// # Errors
    /// [`crate::error::Interrupted`] after a signal; else when the terminal cannot be used.
    pub fn interact(&mut self, reporter: &Reporter) -> Result<()> {
        reporter.info("serial console; Ctrl-A X ends the guest");
        let terminal = RawTerminal::enter()?;
        self.show_on_terminal();
        let mut keys = Keys { after_ctrl_a: false };
        let mut input_open = true;
        loop {
            signals::check()?;
            let running = self.is_running()?;
            if !self.fall_back(!running)? && !running {
                return Ok(());
            }
            if !input_open {
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
            let Some(bytes) = typed(100)? else { continue };
            // Without a terminal every byte is for the guest, and the end of the input is not its end.
            input_open = !bytes.is_empty();
            let bytes = if terminal.is_some() { keys.take(&bytes) } else { Some(bytes) };
            match bytes {
                None => return Ok(()),
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => self.send_bytes(&bytes)?,
            }
        }
    }
}

/// What was typed within `milliseconds`: none if nothing, no bytes at the end of the input.
fn typed(milliseconds: u16) -> Result<Option<Vec<u8>>> {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(milliseconds)) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error).context("waiting for the terminal"),
    }
    // Not through stdin's buffer, which would hold bytes back from the next poll.
    let mut file = std::fs::File::from(stdin.as_fd().try_clone_to_owned().context("opening stdin")?);
    let mut bytes = vec![0; 4096];
    let length = file.read(&mut bytes).context("reading the terminal")?;
    bytes.truncate(length);
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_a_x_ends_and_ctrl_a_twice_types_it() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"ls\r"), Some(b"ls\r".to_vec()));
        assert_eq!(keys.take(b"\x01"), Some(vec![]));
        assert_eq!(keys.take(b"\x01a"), Some(b"\x01a".to_vec()));
        assert_eq!(keys.take(b"b\x01X"), None);
    }
}
