//! What the host must have: programs, room, a place to write to. Missing things are found before the work starts.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::error::HostNotReady;
use crate::exec::command::Cmd;
use crate::plan::output::Tool;

/// Where system programs live; a user's PATH often lacks these.
const SYSTEM_DIRS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/// The path of a tool, sought on PATH and then in the system's directories.
///
/// # Errors
/// [`HostNotReady`] that names the package.
pub fn find(tool: Tool) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(tool.program))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok());
    found.ok_or_else(|| {
        HostNotReady::new(
            format!("this host has no {}", tool.program),
            format!("it comes with the package {}: apt-get install {}", tool.package, tool.package),
        )
        .into()
    })
}

/// A command that runs a tool.
///
/// # Errors
/// As [`find`].
pub fn command(tool: Tool) -> Result<Cmd> {
    Ok(Cmd::new(find(tool)?))
}

/// Checks that files can be made in the directory of `path`.
///
/// # Errors
/// [`HostNotReady`] when it is missing, no directory, or not writable.
pub fn check_destination(path: &Path) -> Result<()> {
    let dir = directory_of(path);
    let show = dir.display();
    let not_ready = |what: &str, hint: String| HostNotReady::new(format!("the directory {show} {what}"), hint);
    match std::fs::metadata(dir) {
        Ok(meta) if !meta.is_dir() => Err(not_ready("is a file", "give another place with -o".into()).into()),
        Ok(_) => match access(dir, AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => Ok(()),
            Err(err) => {
                Err(not_ready(&format!("cannot be written to: {err}"), "give another place with -o".into()).into())
            }
        },
        Err(err) if err.kind() == ErrorKind::NotFound => {
            Err(not_ready("does not exist", format!("make it: mkdir -p {show}")).into())
        }
        Err(err) => Err(err).with_context(|| format!("looking at {show}")),
    }
}

/// The directory that holds `path`; `.` for a bare name.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The system's words for a full disk.
pub const NO_SPACE: &str = "No space left on device";

/// Less than this is no room to speak of.
const FULL: u64 = 1 << 20;

/// Whether the filesystem that holds `path` has no room left.
pub fn is_full(path: &Path) -> bool {
    statvfs(path).is_ok_and(|s| s.blocks_available() * s.fragment_size() < FULL)
}

/// The error for a full host filesystem: it names the directory whose disk is full.
pub fn disk_full(dir: &Path) -> HostNotReady {
    HostNotReady::new(
        format!("the disk that holds {} is full", dir.display()),
        "make room there, or point TMPDIR (work files) or -o (outputs) elsewhere",
    )
}

/// Puts [`disk_full`] under an error that tells of a full disk, and leaves any other as it is.
pub fn explain_full(error: anyhow::Error, path: &Path) -> anyhow::Error {
    let enospc = error.chain().any(|cause| {
        let raw = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        raw == Some(nix::libc::ENOSPC) || cause.downcast_ref::<nix::Error>() == Some(&nix::Error::ENOSPC)
    });
    // A program that we ran tells it in its last words.
    let told = error.chain().any(|cause| cause.to_string().contains(NO_SPACE));
    if !(enospc || told) {
        return error;
    }
    // The marker has to be the root of the chain: the exit code is looked up there.
    anyhow::Error::from(disk_full(directory_of(path))).context(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let error = find(Tool { program: "mkfs.nowhere", package: "nowhere-progs" }).unwrap_err();
        let error = error.downcast::<HostNotReady>().unwrap();
        assert_eq!(error.message, "this host has no mkfs.nowhere");
        assert!(error.hint.unwrap().contains("apt-get install nowhere-progs"));
    }

    #[test]
    fn a_full_disk_is_the_hosts_fault() {
        let io = std::io::Error::from_raw_os_error(nix::libc::ENOSPC);
        let error = explain_full(anyhow::Error::from(io).context("writing /out/x.raw"), Path::new("/out/x.raw"));
        assert_eq!(crate::error::exit_code(&error), crate::error::EXIT_HOST);
        assert!(crate::error::render(&error).contains("because: the disk that holds /out is full"));
        let other = explain_full(anyhow::anyhow!("something else"), Path::new("/out/x.raw"));
        assert_eq!(other.to_string(), "something else");
    }

    #[test]
    fn a_destination_is_checked_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_destination(&dir.path().join("image")).is_ok());
        let error = check_destination(&dir.path().join("none/image")).unwrap_err();
        assert!(error.to_string().ends_with("none does not exist"), "{error}");
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = check_destination(&dir.path().join("file/image")).unwrap_err();
        assert!(error.to_string().ends_with("file is a file"), "{error}");
    }
}
