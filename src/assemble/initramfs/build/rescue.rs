//! The shell for when the root does not show up.

use std::path::Path;

use anyhow::Result;

use crate::assemble::initramfs::closure::{Closure, PATH};
use crate::assemble::initramfs::view::{RootDir, exists};

use super::stage::Stage;

/// One program with all others in it, if the tree has it.
const BUSYBOX: &str = "busybox";

/// What it is used for here. All builds of it that distributions make have these.
const APPLETS: [&str; 36] = [
    "sh", "ash", "cat", "chmod", "chroot", "clear", "cp", "cut", "dd", "df", "dmesg", "echo", "env", "find", "free",
    "grep", "head", "ip", "kill", "ln", "ls", "lsmod", "mkdir", "more", "mount", "mv", "ps", "readlink", "reboot",
    "rm", "sed", "sleep", "tail", "umount", "uname", "vi",
];

/// What is taken from a tree without it: a shell, and what one looks at disks with.
const PROGRAMS: [&str; 17] = [
    "sh", "cat", "cp", "dmesg", "grep", "ln", "ls", "lsmod", "mkdir", "mount", "mv", "ps", "rm", "sleep", "umount",
    "blkid", "uname",
];

/// Who asks for these programs, in error messages.
const WHO: &str = "the rescue shell (--no-rescue leaves it out)";

/// Whether a tree has a program.
pub fn has(root: &RootDir, name: &str) -> bool {
    if name.contains('/') {
        return exists(root, Path::new(name));
    }
    PATH.iter().any(|dir| exists(root, &Path::new(dir).join(name)))
}

/// The program that has `interpreter` in it, where the tree has no such file.
pub fn provider(root: &RootDir, interpreter: &str) -> Option<&'static str> {
    let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
    (!has(root, interpreter) && has(root, BUSYBOX) && APPLETS.contains(&name)).then_some(BUSYBOX)
}

/// Asks for the programs of the rescue shell that the tree has. A tree without any shell gets none.
pub fn add_programs(closure: &mut Closure<'_>, root: &RootDir) {
    let names: &[&str] = if has(root, BUSYBOX) { &[BUSYBOX] } else { &PROGRAMS };
    for name in names.iter().filter(|name| has(root, name)) {
        closure.asked_by(WHO).add_program(name);
    }
}

/// Gives busybox, if it is there, its names, where no other program has them.
///
/// # Errors
/// When a name cannot be given.
pub fn add_links(stage: &mut Stage) -> Result<()> {
    let Some(busybox) = PATH.iter().map(|dir| format!("{dir}/{BUSYBOX}")).find(|path| stage.has(path)) else {
        return Ok(());
    };
    for name in APPLETS {
        if !PATH.iter().any(|dir| stage.has(&format!("{dir}/{name}"))) {
            stage.put_link(format!("/bin/{name}"), &busybox)?;
        }
    }
    Ok(())
}
