//! QEMU's control channel (QMP): one JSON object a line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the channel's command mode and gives one command that takes no arguments. Works once a channel.
///
/// # Errors
/// When QEMU does not answer in time, or refuses.
pub fn command(channel: &mut UnixStream, name: &str) -> Result<()> {
    channel.set_read_timeout(Some(PATIENCE)).context("setting a time limit")?;
    let mut answers = BufReader::new(channel.try_clone().context("duplicating a file descriptor")?);
    // Until `qmp_capabilities` is given, QEMU takes no other command.
    for step in ["qmp_capabilities", name] {
        let request = serde_json::json!({ "execute": step });
        writeln!(channel, "{request}").with_context(|| format!("sending {step} to QEMU"))?;
        answer(&mut answers).with_context(|| format!("telling QEMU {step}"))?;
    }
    Ok(())
}

/// Reads past the greeting and events to the answer.
fn answer(lines: &mut impl BufRead) -> Result<()> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            bail!("QEMU closed its control channel");
        }
        let message: Value = serde_json::from_str(&line).context("reading an answer of QEMU")?;
        if message.get("return").is_some() {
            return Ok(());
        }
        if let Some(error) = message.get("error") {
            bail!("QEMU refused: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greeting_and_events_are_no_answers() {
        let lines = "{\"QMP\": {}}\n{\"event\": \"RESUME\"}\n{\"return\": {}}\n";
        answer(&mut lines.as_bytes()).unwrap();
        let refused = "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n";
        assert!(answer(&mut refused.as_bytes()).unwrap_err().to_string().contains("CommandNotFound"));
        assert!(answer(&mut "".as_bytes()).is_err());
    }
}
