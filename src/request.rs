//! BuildRequest: everything that was asked for, checked; the only reader of the environment.
//!
//! Options win over variables, variables over defaults (contract 1.2, 2.2, 6.1). Past this point
//! nothing looks at flags or at the process's environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::build::{BuildArgs, Compression};
use crate::distro;
use crate::error::{Fault, Faults};
use crate::plan::builtin::{Builtin, locate};

/// The caller's surroundings, read once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// All exported variables whose names and values are UTF-8; hooks inherit them.
    pub variables: BTreeMap<String, String>,
    /// Where the program was started; host hooks run here.
    pub cwd: PathBuf,
    /// `uname -m`.
    pub machine: String,
    /// The arguments as given, joined by spaces (`DIB_ARGS`).
    pub arguments: String,
    /// This program's own file, if the kernel tells.
    pub program: Option<PathBuf>,
    /// Memory of the machine in KiB; 0 if unknown.
    pub memory_kib: u64,
}

impl Surroundings {
    /// Reads them from this process.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn read() -> std::io::Result<Self> {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Ok(Self {
            variables: std::env::vars_os().filter_map(utf8).collect(),
            cwd: std::env::current_dir()?,
            machine: std::env::consts::ARCH.to_owned(),
            arguments: std::env::args_os()
                .skip(1)
                .map(|a| a.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            program: std::env::current_exe().ok(),
            memory_kib: std::fs::read_to_string("/proc/meminfo").ok().and_then(|t| memory_kib(&t)).unwrap_or(0),
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A variable that is set and not empty.
    fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }
}

/// A checked build request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// Explicit elements, in order, without `base` and defaults.
    pub elements: Vec<String>,
    /// Directories of elements from options and `ELEMENTS_PATH`, first wins; built-in ones come after.
    pub elements_path: Vec<PathBuf>,
    /// Put `base` in front.
    pub with_base: bool,
    /// The element that makes a ramdisk of the tree, in front of all others; `None` when images are built.
    pub ramdisk: Option<String>,
    /// `ARCH`, as given.
    pub arch: String,
    /// `IMAGE_NAME`: output path without extension, as given.
    pub image_name: String,
    /// Output formats, as given, in order, without duplicates.
    pub formats: Vec<String>,
    /// Packages of `-p`.
    pub packages: Vec<String>,
    /// `DIB_DEFAULT_INSTALLTYPE`.
    pub install_type: String,
    /// How the disk is to be.
    pub disk: DiskRequest,
    /// How outputs are written.
    pub output: OutputRequest,
    /// How the build runs.
    pub run: RunRequest,
    /// What hooks inherit.
    pub surroundings: Surroundings,
}

/// What was asked of the disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskRequest {
    /// Size in GiB.
    pub size_gib: Option<f64>,
    /// Room beyond the tree, in MiB.
    pub extra_mib: Option<f64>,
    /// `FS_TYPE`.
    pub fs_type: String,
    /// `ROOT_LABEL`.
    pub root_label: Option<String>,
    /// mkfs options for the root filesystem.
    pub mkfs_options: Vec<String>,
    /// ext4 journal in MiB.
    pub journal_mib: Option<u64>,
    /// Blocks for `-E resize=`.
    pub max_online_resize: Option<u64>,
    /// `DIB_BLOCK_DEVICE_CONFIG`: YAML text or `file://PATH`.
    pub config: Option<String>,
    /// `DIB_BLOCK_SIZE`.
    pub block_size: Option<u32>,
    /// Attach a loop device whether or not an element needs it.
    pub attach: bool,
}

/// How outputs are written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OutputRequest {
    /// Compress qcow2.
    pub compress: bool,
    /// qcow2 clusters by zlib instead of zstd.
    pub zlib: bool,
    /// `-o` of qemu-img.
    pub qemu_img_options: Option<String>,
    /// Checksum algorithms: `md5`, `sha256`.
    pub checksums: Vec<String>,
    /// `DOCKER_TARGET`.
    pub docker_target: Option<String>,
    /// `ACI_MANIFEST`.
    pub aci_manifest: Option<PathBuf>,
    /// `DIB_GZIP_BIN`.
    pub gzip: Option<String>,
    /// Replace an old output instead of renaming it.
    pub overwrite: bool,
}

/// How the build runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// `DIB_DEBUG_TRACE`.
    pub trace: u32,
    /// `DIB_IMAGE_CACHE`.
    pub cache: PathBuf,
    /// `DIB_OFFLINE`, empty for no.
    pub offline: String,
    /// Build in memory if there is enough of it.
    pub tmpfs: bool,
    /// GiB: half of the memory that the machine must have for that.
    pub min_tmpfs_gib: u64,
    /// Where work directories are made.
    pub tmp_dir: PathBuf,
    /// The log file.
    pub logfile: Option<PathBuf>,
    /// Nothing but errors on the terminal.
    pub quiet: bool,
    /// No timestamps on the terminal.
    pub no_timestamp: bool,
    /// The file for JSON events.
    pub events: Option<PathBuf>,
    /// Breakpoints.
    pub breakpoints: Vec<String>,
    /// What a breakpoint runs instead of bash.
    pub break_command: Option<String>,
    /// Run after-error breakpoints on the host.
    pub break_outside: bool,
    /// Keep the work directory of a failed build.
    pub keep_failed: bool,
    /// `DIB_SHOW_IMAGE_USAGE`.
    pub show_usage: bool,
    /// `SOURCE_DATE_EPOCH`: seconds since 1970 that timestamps and identities derive from.
    pub source_date_epoch: Option<u64>,
}

impl BuildRequest {
    /// Checks the arguments against the surroundings.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn new(args: &BuildArgs, mut surroundings: Surroundings) -> Result<Self, Faults> {
        if args.clear_env {
            let kept = ["PATH", "HOME", "TERM", "USER", "LANG"];
            surroundings.variables.retain(|name, _| kept.contains(&name.as_str()));
        }
        let mut faults = Vec::new();
        let env = &surroundings;
        let formats = list(args.types.as_deref().unwrap_or("qcow2"));
        if formats.is_empty() {
            faults.push(Fault::new("-t names no format").hint("give one, for example -t qcow2"));
        }
        let mut elements: Vec<String> =
            env.get("IMAGE_ELEMENT").map(|v| v.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
        elements.extend(args.elements.iter().cloned());
        if elements.is_empty() {
            faults.push(
                Fault::new("At least one distribution root element must be specified").hint(
                    "name one, for example: image-create vm debian-minimal; `image-create element list` lists them",
                ),
            );
        }
        let request = Self {
            elements,
            elements_path: elements_path(args, env),
            with_base: !(args.skip_base || env.get("SKIP_BASE") == Some("1")),
            ramdisk: args.ramdisk.then(|| ramdisk_element(args, env)),
            arch: arch(args, env),
            image_name: image_name(args, env, &formats),
            packages: args.packages.iter().flat_map(|p| list(p)).collect(),
            install_type: args
                .install_type
                .clone()
                .or_else(|| env.filled("DIB_DEFAULT_INSTALLTYPE").map(str::to_owned))
                .unwrap_or_else(|| "source".into()),
            disk: disk(args, env, &mut faults),
            output: output(args, env),
            run: run(args, env, &mut faults),
            formats,
            surroundings,
        };
        Faults::or(faults, request)
    }

    /// Where the built-in elements and package maps are; unpacks them into the cache if they are not
    /// beside the program.
    ///
    /// # Errors
    /// When they have to be unpacked and cannot be.
    pub fn builtin(&self) -> Result<Builtin, Faults> {
        let env = &self.surroundings;
        locate(env.program.as_deref(), &self.run.cache).map_err(|e| {
            let hint = "set DIB_IMAGE_CACHE (or --image-cache) to a directory that may be written to";
            Fault::new(format!("the built-in elements cannot be unpacked: {e:#}")).hint(hint).into()
        })
    }

    /// Whether to build in memory: there is to be twice what a build is expected to need (contract 2.4).
    pub fn in_memory(&self) -> bool {
        let hardened = self.surroundings.get("GENTOO_PROFILE").is_some_and(|p| p.contains("hardened"));
        let enough = self.surroundings.memory_kib >= 2 * self.run.min_tmpfs_gib * 1024 * 1024;
        self.run.tmpfs && enough && !hardened && !self.run.keep_failed
    }

    /// User and group that outputs shall belong to: those behind sudo.
    pub fn owner(&self) -> Option<(u32, u32)> {
        let number = |name| self.surroundings.get(name).and_then(|v| v.parse().ok());
        Some((number("SUDO_UID")?, number("SUDO_GID")?))
    }

    /// A path of the caller's, made absolute.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.surroundings.cwd.join(path)
    }
}

fn elements_path(args: &BuildArgs, env: &Surroundings) -> Vec<PathBuf> {
    let given = args.element_dirs.iter().map(|d| env.cwd.join(d));
    // An empty variable is no entry; an empty entry in a filled one is upstream's error and stays one.
    let inherited = env.filled("ELEMENTS_PATH").map(|v| v.split(':').map(PathBuf::from).collect::<Vec<_>>());
    let absolute = |p: PathBuf| if p.as_os_str().is_empty() { p } else { env.cwd.join(p) };
    given.chain(inherited.unwrap_or_default().into_iter().map(absolute)).collect()
}

fn ramdisk_element(args: &BuildArgs, env: &Surroundings) -> String {
    let given = args.ramdisk_element.as_deref().or_else(|| env.filled("RAMDISK_ELEMENT"));
    given.unwrap_or("ramdisk").to_owned()
}

fn arch(args: &BuildArgs, env: &Surroundings) -> String {
    args.arch
        .clone()
        .or_else(|| env.filled("ARCH").map(str::to_owned))
        .unwrap_or_else(|| distro::arch_from_machine(&env.machine).to_owned())
}

/// With a single format its extension may be given with the name (contract 7.2).
fn image_name(args: &BuildArgs, env: &Surroundings, formats: &[String]) -> String {
    let name = args.output.clone().or_else(|| env.filled("IMAGE_NAME").map(str::to_owned));
    let name = name.unwrap_or_else(|| "image".into());
    match formats {
        [only] => name.strip_suffix(&format!(".{only}")).filter(|s| !s.is_empty()).unwrap_or(&name).to_owned(),
        _ => name,
    }
}

fn disk(args: &BuildArgs, env: &Surroundings, faults: &mut Vec<Fault>) -> DiskRequest {
    let size_gib = args.image_size.or_else(|| number(env, "DIB_IMAGE_SIZE", faults));
    if let Some(size) = size_gib
        && !(size.is_finite() && size > 0.0)
    {
        faults.push(
            Fault::new(format!("an image of {size} GiB cannot be made"))
                .hint("--image-size takes GiB, for example 2.5"),
        );
    }
    DiskRequest {
        size_gib,
        extra_mib: args.image_extra_size.or_else(|| number(env, "DIB_IMAGE_EXTRA_SIZE", faults)),
        fs_type: env.filled("FS_TYPE").unwrap_or("ext4").to_owned(),
        root_label: args.root_label.clone().or_else(|| env.filled("ROOT_LABEL").map(str::to_owned)),
        mkfs_options: words(args.mkfs_options.as_deref().or_else(|| env.get("MKFS_OPTS")).unwrap_or("")),
        journal_mib: args.mkfs_journal_size.or_else(|| number(env, "DIB_JOURNAL_SIZE", faults)),
        max_online_resize: args.max_online_resize.or_else(|| number(env, "MAX_ONLINE_RESIZE", faults)),
        config: env.filled("DIB_BLOCK_DEVICE_CONFIG").map(str::to_owned),
        block_size: number(env, "DIB_BLOCK_SIZE", faults),
        attach: args.attach,
    }
}

fn output(args: &BuildArgs, env: &Surroundings) -> OutputRequest {
    let checksum = if args.checksum { Some("1") } else { env.filled("DIB_CHECKSUM") };
    let checksums = match checksum {
        None | Some("0") => vec![],
        Some("1") => vec!["md5".to_owned(), "sha256".to_owned()],
        Some(text) => ["md5", "sha256"].iter().filter(|a| text.contains(*a)).map(|a| (*a).to_owned()).collect(),
    };
    OutputRequest {
        compress: !args.uncompressed,
        zlib: args.qcow2_compression == Compression::Zlib,
        qemu_img_options: args.qemu_img_options.clone().or_else(|| env.filled("QEMU_IMG_OPTIONS").map(str::to_owned)),
        checksums,
        docker_target: args.docker_target.clone(),
        aci_manifest: env.filled("ACI_MANIFEST").map(|p| env.cwd.join(p)),
        gzip: env.filled("DIB_GZIP_BIN").map(str::to_owned),
        overwrite: env.filled("OVERWRITE_OLD_IMAGE").is_some_and(|v| v != "0"),
    }
}

fn run(args: &BuildArgs, env: &Surroundings, faults: &mut Vec<Fault>) -> RunRequest {
    let home = PathBuf::from(env.filled("HOME").unwrap_or("/root"));
    let cache = args.image_cache.clone().or_else(|| env.filled("DIB_IMAGE_CACHE").map(PathBuf::from));
    let logfile = args.logfile.clone().or_else(|| env.filled("LOGFILE").map(PathBuf::from)).map(|f| env.cwd.join(f));
    let flag = |name: &str| env.filled(name).is_some_and(|v| v != "0");
    RunRequest {
        trace: u32::from(args.trace) + number::<u32>(env, "DIB_DEBUG_TRACE", faults).unwrap_or(0),
        cache: env.cwd.join(cache.unwrap_or_else(|| home.join(".cache/image-create"))),
        offline: if args.offline { "1".into() } else { env.get("DIB_OFFLINE").unwrap_or("").to_owned() },
        // Only a literal 0 (or nothing) allows it (contract 2.4).
        tmpfs: !args.no_tmpfs && env.get("DIB_NO_TMPFS").is_none_or(|v| v == "0" || v.is_empty()),
        min_tmpfs_gib: args.min_tmpfs.or_else(|| number(env, "DIB_MIN_TMPFS", faults)).unwrap_or(2),
        tmp_dir: env.cwd.join(env.filled("TMPDIR").or_else(|| env.filled("TMP_DIR")).unwrap_or("/tmp")),
        quiet: match env.filled("DIB_QUIET") {
            Some(value) => value != "0",
            None => logfile.is_some(),
        },
        no_timestamp: flag("DIB_NO_TIMESTAMP"),
        logfile,
        events: args.events.clone().map(|f| env.cwd.join(f)),
        breakpoints: list(args.break_at.as_deref().or_else(|| env.get("break")).unwrap_or("")),
        break_command: env.filled("break_cmd").map(str::to_owned),
        break_outside: env.filled("break_outside_target").is_some(),
        keep_failed: args.keep_failed,
        show_usage: flag("DIB_SHOW_IMAGE_USAGE") || flag("DIB_SHOW_IMAGE_USAGE_FULL"),
        source_date_epoch: number(env, "SOURCE_DATE_EPOCH", faults),
    }
}

/// A variable as a number; text that is none is a fault.
fn number<T: std::str::FromStr>(env: &Surroundings, name: &str, faults: &mut Vec<Fault>) -> Option<T> {
    let text = env.filled(name)?;
    let value = text.trim().parse().ok();
    if value.is_none() {
        faults.push(Fault::new(format!("the variable {name} holds '{text}', which is not a number")));
    }
    value
}

/// `MemTotal` of /proc/meminfo.
fn memory_kib(meminfo: &str) -> Option<u64> {
    meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()
}

/// The parts of a comma list, without empty ones and repetitions.
fn list(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if !parts.iter().any(|p| p == part) {
            parts.push(part.to_owned());
        }
    }
    parts
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            cwd: "/here".into(),
            machine: "x86_64".into(),
            memory_kib: 8 * 1024 * 1024,
            ..Default::default()
        }
    }

    fn args(elements: &[&str]) -> BuildArgs {
        BuildArgs { elements: elements.iter().map(|e| (*e).to_owned()).collect(), ..Default::default() }
    }

    #[test]
    fn options_win_over_variables_and_those_over_defaults() {
        let env = surroundings(&[("ARCH", "arm64"), ("DIB_IMAGE_SIZE", "5"), ("DIB_CHECKSUM", "sha256")]);
        let request = BuildRequest::new(&BuildArgs { image_size: Some(2.5), ..args(&["vm"]) }, env).unwrap();
        assert_eq!(request.arch, "arm64");
        assert_eq!(request.disk.size_gib, Some(2.5));
        assert_eq!(request.output.checksums, ["sha256"]);
        assert_eq!(request.formats, ["qcow2"]);
        assert_eq!(BuildRequest::new(&args(&["vm"]), surroundings(&[])).unwrap().arch, "amd64");
    }

    #[test]
    fn c1_no_element_is_a_fault_with_upstreams_words() {
        let faults = BuildRequest::new(&args(&[]), surroundings(&[])).unwrap_err();
        assert_eq!(faults.0[0].message, "At least one distribution root element must be specified");
    }

    #[test]
    fn c10_the_extension_of_a_single_format_may_be_given() {
        let named = |types: &str| {
            let args = BuildArgs { output: Some("x.qcow2".into()), types: Some(types.into()), ..args(&["vm"]) };
            BuildRequest::new(&args, surroundings(&[])).unwrap().image_name
        };
        assert_eq!(named("qcow2"), "x");
        assert_eq!(named("qcow2,raw"), "x.qcow2");
    }

    #[test]
    fn a_build_is_done_in_memory_where_there_is_twice_enough() {
        let request = |env: &[(&str, &str)]| BuildRequest::new(&args(&["vm"]), surroundings(env)).unwrap();
        assert!(request(&[]).in_memory());
        assert!(!request(&[("DIB_MIN_TMPFS", "5")]).in_memory());
        assert!(!request(&[("DIB_NO_TMPFS", "1")]).in_memory());
        assert_eq!(memory_kib("MemTotal:       24659884 kB\nMemFree: 1 kB\n"), Some(24_659_884));
    }

    #[test]
    fn every_bad_number_is_reported() {
        let env = surroundings(&[("DIB_IMAGE_SIZE", "big"), ("DIB_JOURNAL_SIZE", "-1")]);
        assert_eq!(BuildRequest::new(&args(&["vm"]), env).unwrap_err().0.len(), 2);
    }

    #[test]
    fn a_cleared_environment_keeps_only_what_programs_need_to_start() {
        let env = surroundings(&[("PATH", "/bin"), ("DIB_RELEASE", "trixie"), ("ELEMENTS_PATH", "/e")]);
        let request = BuildRequest::new(&BuildArgs { clear_env: true, ..args(&["vm"]) }, env).unwrap();
        assert_eq!(request.surroundings.variables.keys().collect::<Vec<_>>(), ["PATH"]);
        assert!(request.elements_path.is_empty());
    }
}
