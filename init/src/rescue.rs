//! When the boot cannot go on: why, and a shell if the image has one.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};

use crate::cmdline::CommandLine;
use crate::console;

/// What may be used as a shell, best first.
const SHELLS: [&str; 5] = ["/bin/sh", "/usr/bin/sh", "/bin/bash", "/usr/bin/bash", "/bin/busybox"];

/// Tells why the boot stopped and lets somebody mend it. Returns when the boot shall be tried again.
///
/// With `panic=SECONDS` on the command line (above zero) the machine reboots after that time instead.
pub fn rescue(why: &str, line: &CommandLine) {
    console::error(&format!("The boot stopped: {why}"));
    if let Some(seconds) = line.get("panic").and_then(|s| s.parse::<u64>().ok()).filter(|s| *s > 0) {
        console::error(&format!("Rebooting in {seconds} s."));
        sleep(Duration::from_secs(seconds));
        restart();
    }
    let allowed = !matches!(line.get("rd.shell"), Some("0" | "no"));
    match SHELLS.into_iter().find(|s| Path::new(s).exists()).filter(|_| allowed) {
        Some(shell) => {
            console::error("A shell follows; leave it with `exit` to try again. `dmesg` shows what happened.");
            if let Err(e) = run(shell) {
                console::error(&format!("running {shell}: {e}"));
                wait();
            }
        }
        None => {
            console::error("The initramfs has no shell. Trying again in 60 s; switch the machine off to stop.");
            wait();
        }
    }
}

/// Runs a shell on the console, with job control.
///
/// # Errors
/// What the operating system says.
pub fn run(shell: &str) -> io::Result<()> {
    // /dev/console cannot be a controlling terminal; the terminal behind it can.
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let terminal = active.split_whitespace().next_back().map(|name| Path::new("/dev").join(name));
    let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
    let terminal = terminal.and_then(|path| open(&path).ok()).map_or_else(|| open(Path::new("/dev/console")), Ok)?;
    let mut command = Command::new(shell);
    if shell.ends_with("busybox") {
        command.arg("sh");
    }
    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/")
        .env("TERM", "linux")
        .env("PS1", "(initramfs) ");
    command
        .stdin(Stdio::from(terminal.try_clone()?))
        .stdout(Stdio::from(terminal.try_clone()?))
        .stderr(Stdio::from(terminal));
    // SAFETY: both calls are made in the child between fork and exec, and neither allocates.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            // Without a controlling terminal there is no job control, but still a shell.
            let _ = steal_terminal(0, 0);
            Ok(())
        });
    }
    command.status().map(drop)
}

nix::ioctl_write_int_bad!(
    /// `TIOCSCTTY`.
    steal_terminal, 0x540E);

fn wait() {
    sleep(Duration::from_secs(60));
}

/// Reboots the machine at once.
fn restart() -> ! {
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    loop {
        wait();
    }
}
