//! The programs that hooks call, answered by the one binary under their names.
//!
//! A hook that runs `install-packages -m base curl` starts this binary through a symbolic link of
//! that name, on the host as well as inside the chroot. So nothing here may count on more of the
//! target than what a tool's own comment names. These are programs: they read their environment
//! and write to stdout and stderr as their callers expect it.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::error;

pub mod block_device;
pub mod build_initramfs;
pub mod cache_url;
mod clock;
mod dnf_call;
pub mod extract_image;
pub mod grub_mkrelpath;
pub mod grub_probe;
pub mod host_python;
pub mod init_system;
pub mod install_packages;
mod output;
pub mod own_program;
pub mod package_lists;
mod package_names;
pub mod package_requests;
pub mod package_squash;
pub mod packages;
pub mod pkg_map;
pub mod rpm_manifest;
pub mod run_dnf;
pub mod run_parts;
pub mod sudo;
pub mod svc_map;

type Tool = fn(Vec<String>) -> Result<u8>;

/// The tools that lie in the directory that is put on every hook's PATH.
const ON_PATH: &[(&str, Tool)] = &[
    ("build-initramfs", build_initramfs::run),
    ("cache-url", cache_url::run),
    ("dib-block-device", block_device::run),
    ("dib-init-system", init_system::run),
    ("dib-run-parts", run_parts::run),
    ("extract-image", extract_image::run),
    (host_python::NAME, host_python::run),
    ("install-packages", install_packages::run),
    ("own-program", own_program::run),
    ("package-installs", package_lists::run_installs),
    ("package-installs-squash", package_squash::run),
    ("package-installs-v2", packages::run),
    ("package-uninstalls", package_lists::run_uninstalls),
    ("pkg-map", pkg_map::run),
    ("rpm-manifest", rpm_manifest::run),
    ("run-dnf", run_dnf::run),
    ("sudo", sudo::run),
    ("svc-map", svc_map::run),
    ("svc-map-merge", svc_map::run_merge),
];

/// The tools that stand in for a program of the target's own, by being mounted over it.
const STAND_INS: &[(&str, Tool)] = &[
    ("grub-mkrelpath", grub_mkrelpath::run),
    ("grub-probe", grub_probe::run),
    ("grub2-mkrelpath", grub_mkrelpath::run),
    ("grub2-probe", grub_probe::run),
];

/// The names that belong in the tools directory on PATH, sorted.
pub fn names_on_path() -> impl Iterator<Item = &'static str> {
    ON_PATH.iter().map(|(name, _)| *name)
}

/// Runs the tool called `name` and returns its exit status; `None` when there is no such tool.
/// `args` is without argv\[0\]. A failure is printed on stderr, prefixed by the name.
pub fn dispatch(name: &str, args: Vec<OsString>) -> Option<u8> {
    let (_, tool) = ON_PATH.iter().chain(STAND_INS).find(|(n, _)| *n == name)?;
    let result = args
        .into_iter()
        .map(|a| a.into_string().map_err(|a| anyhow!("argument is not UTF-8: {}", a.display())))
        .collect::<Result<Vec<_>>>()
        .and_then(tool);
    Some(match result {
        Ok(code) => code,
        Err(e) => {
            // With stderr gone there is nobody left to tell; the status still says it.
            say(&format!("{name}: {}", error::render(&e).trim_end())).ok();
            // Callers know these tools' failures as status 1, whatever image-create's own codes are.
            if e.chain().any(|c| c.is::<error::ExitWith>()) { error::exit_code(&e) } else { error::EXIT_BUILD }
        }
    })
}

/// Writes lines to stdout.
fn out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("writing to stdout")
}

/// Writes lines to stderr.
fn say(text: &str) -> Result<()> {
    writeln!(std::io::stderr().lock(), "{text}").context("writing to stderr")
}

/// A variable of the environment, `None` when it is unset or not UTF-8.
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where the engine keeps its data beside the hooks: on the host `$TMP_HOOKS_PATH/.image-create`,
/// in the chroot, where that path does not exist, `/tmp/in_target.d/.image-create`.
fn data_dir() -> PathBuf {
    let host = var("TMP_HOOKS_PATH").map(|hooks| PathBuf::from(hooks).join(".image-create"));
    host.filter(|dir| dir.is_dir()).unwrap_or_else(|| PathBuf::from("/tmp/in_target.d/.image-create"))
}
