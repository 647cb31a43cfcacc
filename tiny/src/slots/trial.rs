//! A trial's end: the program of `image-slots-trial.service` restarts the machine when the time is over, that of
//! `image-slots-health.service` marks the system good when the vendor's scripts say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use image_init::hooks::executables;
use nix::sys::reboot::{RebootMode, reboot};

use super::config::Config;
use super::marks;
use super::place::Place;
use super::state::{MARKED, Start};
use super::tools;

/// Scripts that tell whether the system is good.
pub const HEALTH: &str = "etc/upgrade-tiny/health.d";

/// How long the ordinary way down may take before the machine is reset.
const DOWN: Duration = Duration::from_secs(120);

/// Between two looks.
const STEP: Duration = Duration::from_secs(2);

/// Waits until somebody marks the system good, or the time is over: then the machine restarts.
///
/// # Errors
/// When it cannot be restarted.
pub fn guard(say: &mut dyn FnMut(&str)) -> Result<()> {
    let first = Start::now();
    let Some(left) = first.left() else {
        say("this is no trial, or it was marked good: nothing to do");
        return Ok(());
    };
    say(&format!("this is a trial; 'image-slots mark-good' within {left} s keeps it"));
    loop {
        match Start::now().left() {
            None => {
                say("marked good: the trial is over");
                return Ok(());
            }
            Some(0) => break,
            Some(left) => sleep(STEP.min(Duration::from_secs(left))),
        }
    }
    let limit = first.trial.unwrap_or_default();
    say(&format!("nobody marked this system good within {limit} s of its start: going back to the previous one"));
    restart_surely(say)
}

/// Restarts the machine in an orderly way.
///
/// # Errors
/// When systemd refuses.
pub fn restart() -> Result<()> {
    tools::run(&mut tools::command("systemctl", ["--no-block", "reboot"])).context("restarting the machine")?;
    Ok(())
}

/// Restarts the machine: in an orderly way if that works in time, else by force.
fn restart_surely(say: &mut dyn FnMut(&str)) -> Result<()> {
    match restart() {
        Ok(()) => sleep(DOWN),
        Err(error) => say(&format!("{error:#}")),
    }
    nix::unistd::sync();
    reboot(RebootMode::RB_AUTOBOOT).context("restarting the machine")?;
    Ok(())
}

/// Runs the vendor's scripts until all of them pass, and marks the system good then. Gives up when the trial ends.
///
/// # Errors
/// When the time is over and a script still fails.
pub fn health(place: &Place, say: &mut dyn FnMut(&str)) -> Result<()> {
    let config = Config::read(&place.root)?;
    let start = Start::now();
    if !(start.health || config.health) {
        say("\"health\" is not set in slots.json: somebody else marks this system good");
        return Ok(());
    }
    let scripts = scripts(&place.root.join(HEALTH))?;
    loop {
        let start = Start::now();
        match check(&scripts) {
            Ok(()) => {
                say(&format!("{} health scripts passed", scripts.len()));
                say(&marks::mark_good(place, &start, Path::new(MARKED))?);
                return Ok(());
            }
            Err(error) if start.left().unwrap_or(0) == 0 => return Err(error),
            Err(error) => say(&format!("{error:#}; trying again")),
        }
        sleep(Duration::from_secs(10));
    }
}

/// The executable files of the folder, in the order of their names.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let all = executables(folder);
    if all.is_empty() {
        bail!("{} has no executable script, so nothing says that this system is good", folder.display());
    }
    Ok(all)
}

fn check(scripts: &[PathBuf]) -> Result<()> {
    for script in scripts {
        tools::run(&mut Command::new(script)).context("health")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn all_executable_scripts_have_to_pass() {
        let dir = tempfile::tempdir().unwrap();
        assert!(scripts(dir.path()).unwrap_err().to_string().contains("no executable script"));
        let add = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        add("10-good", "#!/bin/sh\nexit 0\n", 0o755);
        add("README", "text\n", 0o644);
        let found = scripts(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        check(&found).unwrap();
        add("20-bad", "#!/bin/sh\necho no answer\nexit 1\n", 0o755);
        let error = format!("{:#}", check(&scripts(dir.path()).unwrap()).unwrap_err());
        assert!(error.contains("20-bad") && error.contains("no answer"), "{error}");
    }
}
