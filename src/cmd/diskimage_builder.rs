//! `diskimage-builder`: runs the builds that YAML files describe, one after the other.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::cli::old_names::DiskimageBuilderArgs;
use crate::error::{EXIT_INTERRUPTED, Interrupted};
use crate::exec::command::code_of;
use crate::frontend::{self, Build};
use crate::report::Reporter;

/// Writes the command of each build to stderr and runs it. A failure does not keep the next build from
/// running unless that is asked for.
///
/// # Errors
/// [`crate::error::Faults`] of the files before anything runs, [`Interrupted`] after SIGINT, SIGTERM or SIGHUP, and
/// otherwise the last build that failed.
pub fn run(args: &DiskimageBuilderArgs) -> Result<u8> {
    let builds = frontend::builds(&args.files)?;
    let signals = block_signals()?;
    let mut failure = None;
    for build in &builds {
        let line = build.command_line();
        Reporter::error(&format!("{line}\n\n"));
        if args.dry_run {
            continue;
        }
        match supervise(start(build)?, &signals)? {
            0 => {}
            code if code == i32::from(EXIT_INTERRUPTED) => return Err(Interrupted.into()),
            code => {
                failure = Some(format!("this build ended with status {code}: {line}"));
                if args.stop_on_failure {
                    break;
                }
            }
        }
    }
    match failure {
        Some(failure) => bail!(failure),
        None => Ok(0),
    }
}

/// Starts this program again under the build's name: in the caller's directory, with the caller's variables.
fn start(build: &Build) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(build.program).args(&build.arguments);
    command.envs(build.environment.iter().map(|(name, value)| (name, value)));
    command.spawn().with_context(|| format!("starting {}", build.program))
}

fn block_signals() -> Result<SigSet> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    // Children start with none blocked: the standard library sees to that.
    signals.thread_block().context("blocking signals")?;
    Ok(signals)
}

/// Waits for a build's end and gives its status. A signal that would end this program is passed on, so that
/// the build can clean up first.
fn supervise(mut child: Child, signals: &SigSet) -> Result<i32> {
    let id = Pid::from_raw(child.id().try_into().context("the build's process number")?);
    let mut interrupted = false;
    loop {
        // Before the wait as well: the last child's SIGCHLD may stand for this one's too.
        if let Some(status) = child.try_wait().context("waiting for the build")? {
            return if interrupted { Err(Interrupted.into()) } else { Ok(code_of(status)) };
        }
        let signal = signals.wait().context("waiting for a signal")?;
        if signal != Signal::SIGCHLD {
            interrupted = true;
            // It may have ended by itself in this moment.
            kill(id, Signal::SIGTERM).ok();
        }
    }
}
