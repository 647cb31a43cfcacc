//! Other programs, run with their output kept for the message if they fail.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::command::shown;
use crate::steps::machine::end_with;

/// Whether a program is there to be run.
#[must_use]
pub fn has(name: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(name).is_file())
}

/// A program with its arguments, in the language that messages are matched in.
pub fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"));
    // A program that is left behind would keep the volume in use that the next installation is to fill.
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec there are system calls only, and nothing is allocated.
    unsafe {
        command.pre_exec(move || end_with(parent));
    }
    command
}

/// Runs a program and gives what it printed.
///
/// # Errors
/// When it cannot be started or fails, with the last lines of what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{} failed ({}): {}", shown(command), output.status, said(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and gives its end.
///
/// # Errors
/// When it cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("starting {}", shown(command)))
}

/// The last lines of what a program said.
#[must_use]
pub fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(8)..];
    if last.is_empty() { "it said nothing".into() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = run(&mut command("sh", ["-c", "echo no room >&2; exit 4"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("no room") && error.contains('4'), "{error}");
        assert_eq!(run(&mut command("echo", ["yes"])).unwrap(), "yes\n");
        assert!(run(&mut command("/no/such", [""; 0])).is_err());
    }
}
