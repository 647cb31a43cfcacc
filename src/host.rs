//! What this host has, and what it lacks for what is asked of it.
//!
//! The planner says what a build [`Need`]s (elements name their host tools in a file `host-tools`,
//! see [`parse_host_tools`]); [`check`] compares that with the machine. Nothing is started: a check
//! looks at `PATH`, at a few files of the kernel, and at free space.

mod tools;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Fault, Faults, Place};

pub use tools::{OVMF, PackageFamily, Tool, tool};

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The thing.
    pub what: What,
    /// Who wants it: `element debian-minimal`, `-t qcow2`.
    pub why: String,
    /// Good to have: a lack is shown, and stops nothing.
    pub optional: bool,
}

/// What can be needed of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One of these programs, the preferred one first. An alternative `$NAME` is no program, but a variable that the
    /// caller can set instead.
    Program(Vec<String>),
    /// UEFI firmware for guests.
    Firmware,
    /// To be root, with the right to mount.
    Root,
    /// Mount, PID, IPC and UTS namespaces.
    Namespaces,
    /// The overlay filesystem.
    Overlay,
    /// Loop devices.
    LoopDevices,
    /// Free space in a directory's filesystem, in bytes.
    Space {
        /// The directory; it need not exist yet.
        dir: PathBuf,
        /// Bytes.
        bytes: u64,
    },
    /// Memory that can be had without swapping, in bytes.
    Memory {
        /// Bytes.
        bytes: u64,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Program(names) => f.write_str(&names.join(" or ")),
            What::Firmware => f.write_str("UEFI firmware for guests"),
            What::Root => f.write_str("root privilege"),
            What::Namespaces => f.write_str("namespaces"),
            What::Overlay => f.write_str("overlayfs"),
            What::LoopDevices => f.write_str("loop devices"),
            What::Space { dir, bytes } => write!(f, "{} MiB free in {}", bytes >> 20, dir.display()),
            What::Memory { bytes } => write!(f, "{} MiB of memory", bytes >> 20),
        }
    }
}

impl Need {
    /// A need that stops the work when it is not met.
    pub fn new(what: What, why: impl Into<String>) -> Self {
        Self { what, why: why.into(), optional: false }
    }

    /// One program, without an alternative.
    pub fn program(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(What::Program(vec![name.into()]), why)
    }

    /// Whether a variable among the alternatives of [`parse_host_tools`] meets this need: one of them is set.
    pub fn is_met_by_variables(&self, is_set: impl Fn(&str) -> bool) -> bool {
        let What::Program(any) = &self.what else { return false };
        any.iter().filter_map(|alternative| alternative.strip_prefix('$')).any(is_set)
    }

    /// The same need as a wish.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// A need that this host does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What is missing, and for what: lower case, no full stop.
    pub message: String,
    /// What to do: a command, where one helps.
    pub hint: String,
    /// As in [`Need::optional`].
    pub optional: bool,
}

/// The host, as far as checks look at it. Everything below `root`, so that tests can make one up.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    path: Vec<PathBuf>,
    user: u32,
}

/// Where system tools live that an ordinary user's `PATH` leaves out.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

impl Host {
    /// The machine that we run on.
    pub fn this() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut path: Vec<PathBuf> = std::env::split_paths(&path).collect();
        path.extend(SYSTEM_DIRS.iter().map(PathBuf::from));
        Self { root: "/".into(), path, user: nix::unistd::geteuid().as_raw() }
    }

    /// A made-up machine below `root`.
    #[cfg(test)]
    fn below(root: &Path, user: u32) -> Self {
        Self { root: root.to_owned(), path: vec![root.join("usr/bin")], user }
    }

    /// Whether `program` can be started.
    pub fn has(&self, program: impl AsRef<OsStr>) -> bool {
        self.find(program).is_some()
    }

    /// Where `program` is.
    pub fn find(&self, program: impl AsRef<OsStr>) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(program.as_ref())).find(|file| is_executable(file))
    }

    /// Which way of packaging this host uses, from its os-release file.
    pub fn family(&self) -> Option<PackageFamily> {
        let text = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|file| std::fs::read_to_string(self.root.join(file)).ok())?;
        let words = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let names = format!("{} {}", words("ID"), words("ID_LIKE"));
        names.split_whitespace().find_map(PackageFamily::of_distribution)
    }

    /// The command that installs the packages of `programs` (or of [`OVMF`]), the first alternative of each.
    pub fn install_hint(&self, programs: &[&str]) -> String {
        let Some(family) = self.family() else {
            return format!("install {}", programs.join(" and "));
        };
        let packages: Option<Vec<&str>> = programs.iter().map(|p| tool(p).and_then(|t| t.package(family))).collect();
        match packages {
            Some(packages) => format!("{} {}", family.install_command(), packages.join(" ")),
            None => format!("find the package that has {}", programs.join(" and ")),
        }
    }

    /// What is missing of `needs`, in their order, each thing once.
    pub fn check(&self, needs: &[Need]) -> Vec<Lack> {
        let mut lacks: Vec<Lack> = Vec::new();
        for need in needs {
            if let Some(lack) = self.lack(need)
                && !lacks.iter().any(|known| known.message == lack.message)
            {
                lacks.push(lack);
            }
        }
        lacks
    }

    fn lack(&self, need: &Need) -> Option<Lack> {
        let why = &need.why;
        let (message, hint) = match &need.what {
            What::Program(any) => {
                if any.iter().any(|program| self.has(program)) {
                    return None;
                }
                let names = any.join(" or ");
                (format!("{names} is not installed ({why})"), self.install_hint(&[any.first()?]))
            }
            What::Firmware => {
                if crate::boot::Ovmf::find(&self.root).is_some() {
                    return None;
                }
                (format!("there is no UEFI firmware for guests ({why})"), self.install_hint(&[OVMF]))
            }
            What::Root => {
                if self.user == 0 && self.may_mount() {
                    return None;
                }
                let hint = if self.user == 0 {
                    "this root may not mount: run outside the container, or give it CAP_SYS_ADMIN"
                } else {
                    "run it as root, for example with sudo"
                };
                (format!("root privilege is missing ({why})"), hint.to_owned())
            }
            What::Namespaces => {
                let missing: Vec<&str> = ["mnt", "pid", "ipc", "uts"]
                    .into_iter()
                    .filter(|name| self.root.join("proc/self/ns").join(name).symlink_metadata().is_err())
                    .collect();
                if missing.is_empty() {
                    return None;
                }
                let message = format!("the kernel has no {} namespaces ({why})", missing.join(", "));
                (message, "run a kernel that has them".to_owned())
            }
            What::Overlay => {
                if self.has_filesystem("overlay") {
                    return None;
                }
                (format!("the kernel has no overlay filesystem ({why})"), "modprobe overlay".to_owned())
            }
            What::LoopDevices => {
                if self.root.join("dev/loop-control").exists() {
                    return None;
                }
                (format!("there are no loop devices ({why})"), "modprobe loop".to_owned())
            }
            What::Space { dir, bytes } => {
                let free = free_space(&self.root.join(dir.strip_prefix("/").unwrap_or(dir)))?;
                if free >= *bytes {
                    return None;
                }
                let message = format!("{} has {} free, {} are needed ({why})", dir.display(), size(free), size(*bytes));
                (message, "make room, or set TMPDIR to a directory with more".to_owned())
            }
            What::Memory { bytes } => {
                let free = self.available_memory()?;
                if free >= *bytes {
                    return None;
                }
                let message = format!("{} of memory are free, {} are needed ({why})", size(free), size(*bytes));
                (message, "work on disk instead: --no-tmpfs".to_owned())
            }
        };
        Some(Lack { message, hint, optional: need.optional })
    }

    /// CAP_SYS_ADMIN is bit 21 of the effective capabilities (capabilities(7)).
    fn may_mount(&self) -> bool {
        let Ok(status) = std::fs::read_to_string(self.root.join("proc/self/status")) else { return true };
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_none_or(|mask| mask & 1 << 21 != 0)
    }

    /// Whether the kernel knows `name`, or has a module for it (mounting loads it).
    fn has_filesystem(&self, name: &str) -> bool {
        let known = std::fs::read_to_string(self.root.join("proc/filesystems")).unwrap_or_default();
        if known.split_whitespace().any(|word| word == name) {
            return true;
        }
        let release = std::fs::read_to_string(self.root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
        let modules = self.root.join("lib/modules").join(release.trim()).join("modules.dep");
        let modules = std::fs::read_to_string(modules).unwrap_or_default();
        modules.lines().any(|line| line.split(':').next().is_some_and(|m| m.contains(&format!("/{name}.ko"))))
    }

    /// The kernel's own estimate (proc(5), MemAvailable), in bytes.
    pub fn available_memory(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.root.join("proc/meminfo")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

/// [`Host::check`] for the machine that we run on.
pub fn check(needs: &[Need]) -> Vec<Lack> {
    Host::this().check(needs)
}

/// Free space for an ordinary user, in bytes, of the filesystem that `dir` is or will be on.
pub fn free_space(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|d| d.exists())?;
    let stat = nix::sys::statvfs::statvfs(existing).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// Reads an element's `host-tools`: one need a line, `PROGRAM` or `PROGRAM|ALTERNATIVE|…`; `#` starts a comment. The last
/// alternative may be `$VARIABLE`: who sets that needs none of the programs.
///
/// # Errors
/// All the lines that are something else, with their place.
pub fn parse_host_tools(file: &Path, text: &str, element: &str) -> Result<Vec<Need>, Faults> {
    let mut needs = Vec::new();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let programs: Vec<String> = line.split('|').map(|p| p.trim().to_owned()).collect();
        if programs.iter().all(|p| is_program_name(p)) {
            needs.push(Need::new(What::Program(programs), format!("element {element}")));
        } else {
            let fault = Fault::at(Place::line(file, index + 1), format!("'{line}' does not name a program"));
            faults.push(fault.hint("a line holds one name, or alternatives with | between them"));
        }
    }
    Faults::or(faults, needs)
}

fn is_program_name(name: &str) -> bool {
    let name = name.strip_prefix('$').unwrap_or(name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests;
