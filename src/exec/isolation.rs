//! The namespaces of a build, and who waits for whom.
//!
//! The chain is made by starting this program again under other names instead of by fork(2): a new
//! process has one thread and a known state, and no unsafe code is needed.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{HostNotReady, Interrupted};

use super::mount::{Mount, private_namespace};
use super::{command, work_dir};

/// Name under which this program is process 1 of a build.
pub const INIT: &str = "image-create-init";
/// Name under which this program runs the phases.
pub const EXECUTOR: &str = "image-create-executor";

/// Runs the build in `work` in namespaces of its own and waits for its end. To be called while
/// this process has one thread.
///
/// # Errors
/// [`Interrupted`] on SIGINT, SIGTERM or SIGHUP: then every process of the build is gone.
/// [`HostNotReady`] without the privilege for namespaces.
pub fn supervise(work: &Path) -> Result<u8> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().context("blocking signals")?;
    // Concerns children only; the first one becomes process 1 of the new namespace.
    unshare(CloneFlags::CLONE_NEWPID).map_err(|e| {
        HostNotReady::new(
            format!("making a PID namespace: {e}"),
            "run as root, outside of containers that forbid namespaces",
        )
    })?;
    let mut init = start_as(INIT, work).context("starting the build's init")?;
    loop {
        let signal = signals.wait().context("waiting for a signal")?;
        if signal != Signal::SIGCHLD {
            init.kill().context("ending the build")?;
            init.wait().context("waiting for the build's end")?;
            return Err(Interrupted.into());
        }
        if let Some(status) = init.try_wait().context("waiting for the build's init")? {
            return Ok(u8::try_from(command::code_of(status)).unwrap_or(1));
        }
    }
}

fn start_as(name: &str, work: &Path) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).arg(work);
    command.spawn().with_context(|| format!("starting {name}"))
}

/// Process 1: dies with the supervisor, gives the build its namespaces, starts the executor, and
/// reaps whatever loses its parent. Its exit status is the executor's.
///
/// # Errors
/// Without the privilege for namespaces.
pub fn init(work: &OsStr) -> Result<u8> {
    let work = Path::new(work);
    prctl::set_pdeathsig(Signal::SIGKILL).context("binding the build to its supervisor")?;
    // If the supervisor died before the line above, nobody holds the lock any more.
    if work_dir::is_abandoned(work) {
        return Ok(1);
    }
    unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS).context("making namespaces")?;
    private_namespace()?;
    // The host's name must not get into the image.
    nix::unistd::sethostname("localhost").context("setting the host name of the build")?;
    let proc = Mount::proc(Path::new("/proc"))?;
    let executor = start_as(EXECUTOR, work)?;
    let executor = Pid::from_raw(executor.id().try_into().context("the executor's process number")?);
    let status = loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == executor => break code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == executor => break 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waiting for the executor"),
        }
    };
    // The end of this process ends all others and their mounts; undoing this one first would only fail.
    std::mem::forget(proc);
    Ok(u8::try_from(status).unwrap_or(1))
}
