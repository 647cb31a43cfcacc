//! `/init` of an initramfs that image-create builds.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use image_init::cmdline::CommandLine;
use image_init::root::{self, Finder};
use image_init::root_spec::RootSpec;
use image_init::{console, hooks, modprobe, mounts, rescue, switch};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if std::env::args_os().next().is_some_and(|name| modprobe::is_meant(&name.to_string_lossy())) {
        let words: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        return modprobe::run(&words);
    }
    if std::process::id() != 1 {
        eprintln!("image-init: this is the first program of an initramfs; it does nothing elsewhere");
        return ExitCode::from(2);
    }
    if let Err(e) = mounts::mount_api() {
        console::error(&format!("The boot stopped: {e}"));
    }
    let line = CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let mut loader = modprobe::loader();
    let mut finder = Finder::new(&mut loader, &line);
    loop {
        if let Err(why) = boot(&mut finder, &line, &arguments) {
            rescue::rescue(&why, &line);
        }
    }
}

/// Goes from nothing to the real init. Returns only with what went wrong.
fn boot(finder: &mut Finder<'_>, line: &CommandLine, arguments: &[OsString]) -> Result<(), String> {
    let stop = |stage: &str| {
        if line.all("rd.break").chain(line.all("break")).any(|s| s == stage) {
            console::error(&format!("Stopped at {stage}, as the command line asks; `exit` goes on."));
            let _ = rescue::run("/bin/sh");
        }
    };
    hooks::run("start", &[])?;
    let list = fs::read_to_string("/etc/initramfs/load").unwrap_or_default();
    for module in list.split_whitespace() {
        finder.loader.load(module);
    }
    finder.coldplug();
    stop("pre-mount");
    hooks::run("pre-mount", &[])?;
    if !is_mounted() {
        let named = line.get("root").ok_or("the kernel's command line names no root (root=UUID=...)")?;
        let spec = RootSpec::parse(named).ok_or_else(|| {
            format!(
                "root={named} is not understood; UUID=, LABEL=, PARTUUID=, PARTLABEL=, /dev/NAME and MAJOR:MINOR are"
            )
        })?;
        let device = finder.wait(&spec)?;
        root::mount(finder, line, &device)?;
    }
    hooks::run("mounted", &[("ROOT", root::PLACE.to_owned())])?;
    stop("pre-pivot");
    let init = switch::choose_init(Path::new(root::PLACE), line)?;
    finder.tidy();
    hooks::run("pre-switch", &[("ROOT", root::PLACE.to_owned())])?;
    console::info(&format!("handing over to {init}"));
    Err(switch::switch(Path::new(root::PLACE), &init, arguments).to_string())
}

/// Whether a hook, or an earlier try, has mounted the root already.
fn is_mounted() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|l| l.split_whitespace().nth(1) == Some(root::PLACE))
}
