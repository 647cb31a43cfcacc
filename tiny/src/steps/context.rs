//! What all steps share, and what happens around them on a real machine.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use image_init::cmdline::CommandLine;
use image_init::devices::Device;
use image_init::modules::Loader;
use image_init::{modprobe, rescue};

use crate::manifest::Manifest;

use super::blocks::Block;
use super::command::{Cmd, find};
use super::machine;
use super::memory::Watch;
use super::report::Report;
use super::run::{Decision, Ground};
use super::table::Entry;
use super::volumes::{self, Place};
use super::words::Request;

/// The folder of this program in /run.
pub const BASE: &str = "/run/upgrade-tiny";
/// Where the old system's file system is mounted.
pub const OLD: &str = "/run/upgrade-tiny/old";
/// The tmpfs with the payload and what is kept of the old system.
pub const RAM: &str = "/run/upgrade-tiny/ram";
/// The log, as long as there is no system that could have it.
pub const LOG: &str = "/run/upgrade-tiny/log";
/// Somebody in the rescue shell makes this file to leave out the step.
pub const SKIP: &str = "/run/upgrade-tiny/skip";
/// Where the new system is put together.
pub const NEW: &str = "/sysroot";
/// The manifest that came with the tiny system.
pub const MANIFEST: &str = "/etc/upgrade-tiny/manifest.json";
/// Where the log is in a system.
pub const SYSTEM_LOG: &str = "var/log/upgrade-tiny.log";

/// The old system's file system.
#[derive(Debug, Clone)]
pub struct Old {
    /// Its device.
    pub device: Device,
    /// Whether it may be written: it was unmounted cleanly, and is not marked as in need of a check.
    pub writable: bool,
}

/// What all steps share.
#[derive(Debug)]
pub struct Context {
    /// The kernel's command line.
    pub line: CommandLine,
    /// What stage one asks for.
    pub request: Request,
    /// The bundle, as the tiny system knows it.
    pub manifest: Manifest,
    /// Says what happens.
    pub report: Report,
    /// Loads drivers.
    pub loader: Loader,
    /// Where the old system was found.
    pub old: Option<Old>,
    /// The system disk.
    pub disk: Option<Block>,
    /// The volume groups on it.
    pub groups: Vec<String>,
    /// The new partitions.
    pub table: Vec<Entry>,
    /// Looks at the memory.
    pub watch: Watch,
    /// When the program began.
    pub begun: Instant,
}

impl Context {
    /// Reads what the tiny system and its command line say.
    ///
    /// # Errors
    /// What is wrong with the manifest or the command line.
    pub fn new(line: CommandLine, mut report: Report) -> Result<Self> {
        let request = Request::parse(&line)?;
        let text = fs::read_to_string(MANIFEST).with_context(|| format!("reading {MANIFEST}"))?;
        let manifest = Manifest::parse(&text).with_context(|| format!("in {MANIFEST}"))?;
        report.say(&format!("{} {} replaces the system of this machine", manifest.system, manifest.version));
        Ok(Self {
            line,
            request,
            manifest,
            report,
            loader: modprobe::loader(),
            old: None,
            disk: None,
            groups: Vec::new(),
            table: Vec::new(),
            watch: Watch::start(),
            begun: Instant::now(),
        })
    }

    /// The system disk.
    ///
    /// # Errors
    /// That none was chosen yet.
    pub fn disk(&self) -> Result<Block> {
        self.disk.clone().context("no disk was chosen: the step `find` has not run")
    }

    /// The payload in memory.
    #[must_use]
    pub fn payload(&self) -> PathBuf {
        Path::new(RAM).join(&self.manifest.payload)
    }

    /// The name of the file with the partition table.
    ///
    /// # Errors
    /// That the manifest names none.
    pub fn table_name(&self) -> Result<String> {
        let name = self.manifest.files.keys().find(|name| name.ends_with(".sgdisk"));
        name.cloned().context("the manifest names no file that ends in .sgdisk: the bundle is broken")
    }

    /// A call of lvm that sees all devices, or only the new physical volume.
    ///
    /// # Errors
    /// That there is no lvm.
    pub fn lvm(&self, words: &[String], only: Option<&Path>) -> Result<Cmd> {
        Ok(Cmd::tool("lvm")?.args(words).settings(["--config".to_owned(), volumes::config(only)]))
    }

    /// Mounts the new system's file systems where they are not mounted.
    ///
    /// # Errors
    /// What cannot be mounted.
    pub fn mount_new(&mut self, read_only: bool) -> Result<()> {
        let disk = self.disk()?;
        let places = volumes::places(&self.manifest, &disk.name);
        for (point, Place { device, filesystem, .. }) in volumes::mounted(&places) {
            let place = Path::new(NEW).join(point.trim_start_matches('/'));
            if machine::is_mounted(&place) {
                continue;
            }
            load_driver(&mut self.loader, &filesystem.kind);
            // The new system's owners and modes have no place on FAT.
            let data = if filesystem.kind == "vfat" { "quiet,umask=0077,shortname=winnt" } else { "" };
            let mut flags = nix::mount::MsFlags::MS_NOATIME;
            flags.set(nix::mount::MsFlags::MS_RDONLY, read_only);
            machine::mount_on(&device, &place, &filesystem.kind, flags, data)?;
        }
        Ok(())
    }

    /// Loads the driver of a file system.
    pub fn load_driver(&mut self, kind: &str) {
        load_driver(&mut self.loader, kind);
    }

    /// Gives somebody a shell on the console.
    fn shell(&mut self) {
        let begun = Instant::now();
        match find(Path::new("/"), &["sh", "bash", "busybox"]) {
            Some(shell) => {
                if let Err(e) = rescue::run(&shell.display().to_string()) {
                    self.report.say(&format!("running {}: {e}", shell.display()));
                }
            }
            None => self.report.say("The tiny system has no shell."),
        }
        // A console that nobody can type on ends a shell at once.
        if begun.elapsed() < Duration::from_secs(1) {
            self.report.say("going on in 20 s");
            sleep(Duration::from_secs(20));
        }
    }
}

fn load_driver(loader: &mut Loader, kind: &str) {
    if !loader.load(kind) {
        loader.load(&format!("fs-{kind}"));
    }
    if kind == "vfat" {
        // The kernel's defaults for names on FAT.
        for name in ["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"] {
            loader.load(name);
        }
    }
}

impl Ground for Context {
    fn say(&mut self, text: &str) {
        self.report.say(text);
    }

    fn pause(&mut self, step: &str) {
        if let Some((seconds, _)) = self.request.pause.clone().filter(|(_, at)| at == step) {
            self.report.say(&format!("waiting {seconds} s before {step}, as the command line asks"));
            sleep(Duration::from_secs(seconds));
        }
        if self.request.stop.as_deref() == Some(step) {
            self.report.say(&format!("stopped before {step}, as the command line asks; `exit` goes on"));
            self.shell();
        }
    }

    fn tidy(&mut self) {
        if let Err(e) = machine::unmount_below(Path::new(NEW)) {
            self.report.say(&format!("tidying up: {e:#}"));
        }
    }

    fn rescue(&mut self, step: &str, why: &str) -> Decision {
        let _ = fs::remove_file(SKIP);
        self.report.say(&format!(
            "The step {step} does not work, and the old system is gone. Do not switch the machine off.\n\
             Why: {why}\n\
             The log is {LOG}. A shell follows. `exit` tries {step} again; `: > {SKIP}` before that goes on without it.\n\
             The payload and what is kept of the old system are in {RAM}."
        ));
        self.shell();
        if Path::new(SKIP).exists() { Decision::Skip } else { Decision::Again }
    }
}

/// Makes the folder of this program, which nobody else may look into.
///
/// # Errors
/// That it cannot be made.
pub fn make_base() -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(BASE);
    made.with_context(|| format!("making {BASE}"))
}

/// That this is a tiny system that stage one started, and not a system that somebody uses.
///
/// # Errors
/// Why it is not.
pub fn guard(line: &CommandLine, mounts: &str) -> Result<()> {
    ensure!(
        line.has("upgrade_tiny.root"),
        "the kernel's command line has no upgrade_tiny.root=: this replaces the system of a machine, and runs only in the \
         tiny system that upgrade_to_tiny_system.sh starts"
    );
    let root = mounts.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|f| f.get(1) == Some(&"/"));
    let kind = root.and_then(|f| f.get(2).map(|k| (*k).to_owned())).unwrap_or_default();
    ensure!(
        ["rootfs", "tmpfs", "ramfs"].contains(&kind.as_str()),
        "/ is a file system of the kind {kind}: this replaces the system of a machine, and runs only in memory"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_only_in_a_tiny_system() {
        let line = CommandLine::parse("upgrade_tiny.root=UUID=a panic=30");
        let tiny = "none / rootfs rw 0 0\nproc /proc proc rw 0 0\n";
        guard(&line, tiny).unwrap();
        let why = guard(&CommandLine::parse("root=/dev/sda1 ro"), tiny).unwrap_err().to_string();
        assert!(why.contains("upgrade_tiny.root="), "{why}");
        let why = guard(&line, "/dev/mapper/centos-root / xfs rw 0 0\n").unwrap_err().to_string();
        assert!(why.contains("of the kind xfs"), "{why}");
    }
}
