//! `modprobe`, as the kernel calls it when it wants a module (`kernel/module/kmod.c`), and people in the rescue shell.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::cmdline::CommandLine;
use crate::modules::{Index, Loader};

/// Whether the program was called as `modprobe`.
#[must_use]
pub fn is_meant(program: &str) -> bool {
    program.rsplit('/').next() == Some("modprobe")
}

/// Loads the modules that are named: `modprobe [-q] [-a] [--] NAME...`. Options change nothing; settings of a module come
/// from `modprobe.d` and the kernel's command line.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let mut loader = loader();
    let mut unknown = 0;
    let quiet = arguments.iter().any(|a| a == "-q" || a == "--quiet");
    for name in arguments.iter().filter(|a| !a.starts_with('-') && !a.contains('=')) {
        if !loader.load(name) && !loader.has(name) {
            unknown += 1;
            if !quiet {
                eprintln!("modprobe: the initramfs has no module {name}");
            }
        }
    }
    ExitCode::from(u8::from(unknown > 0))
}

/// The modules of the kernel that runs.
#[must_use]
pub fn loader() -> Loader {
    let line = CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let settings =
        ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
    let settings = settings.map(Path::new);
    Loader::new(Index::read(&Path::new("/lib/modules").join(release.trim()), &settings, &line), line)
}
