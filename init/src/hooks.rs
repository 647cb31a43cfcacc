//! Programs that the image's maker added, run at fixed points of the boot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::console;

/// The points, in order; also the names of the folders.
pub const STAGES: [&str; 4] = ["start", "pre-mount", "mounted", "pre-switch"];

/// Runs the executables in `/etc/initramfs/hooks.d/STAGE`, sorted by name, with `variables` in the environment.
///
/// # Errors
/// The first that fails, and how. The others are not run then.
pub fn run(stage: &str, variables: &[(&str, String)]) -> Result<(), String> {
    for hook in executables(&Path::new("/etc/initramfs/hooks.d").join(stage)) {
        console::info(&format!("running {}", hook.display()));
        let mut command = Command::new(&hook);
        command.env("STAGE", stage).envs(variables.iter().map(|(name, value)| (name, value)));
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("the hook {} failed: {status}", hook.display())),
            Err(e) => return Err(format!("running the hook {}: {e}", hook.display())),
        }
    }
    Ok(())
}

/// The programs in a folder, sorted by name; none if it is not there.
#[must_use]
pub fn executables(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.retain(|p| fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_executable_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("20-b", 0o755), ("10-a", 0o700), ("README", 0o644)] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(dir.path().join("30-c")).unwrap();
        assert_eq!(executables(dir.path()), ["10-a", "20-b"].map(|name| dir.path().join(name)));
        assert!(executables(&dir.path().join("absent")).is_empty());
    }
}
