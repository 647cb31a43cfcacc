//! What integration tests share. Each test is to be a few lines:
//!
//! ```ignore
//! mod support;
//! use support::Sandbox;
//!
//! #[test]
//! fn a_failing_hook_keeps_its_status() {
//!     if support::skip_without_root() { return; }
//!     let sandbox = Sandbox::new();
//!     sandbox.fake_os();
//!     sandbox.element("broken").hook("install.d/50-fail", "exit 7");
//!     sandbox.run(["-n", "-t", "tar", "fake-os", "broken"]).failed(7).says("install.d/50-fail");
//!     sandbox.assert_clean();
//! }
//! ```

// Each test program uses a part of this.
#![allow(dead_code, unused_imports)]

pub mod bootstrap;
pub mod cpio;
pub mod element;
pub mod guest;
pub mod images;
pub mod leaks;
pub mod mirror;
pub mod process;
pub mod pypi;
pub mod rpm;
pub mod rpms;
pub mod standin;
pub mod trees;
pub mod ubuntu;
pub mod volumes;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use element::Element;
pub use leaks::Leaks;
pub use mirror::{Answer, Mirror};
pub use process::{Outcome, Running};
pub use rpms::Rpms;
pub use standin::{Served, Standin};

/// The program under test.
pub fn image_create() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_image-create"))
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the distribution's package `name`, unpacked by `make setup-test`; see tests/setup/test-data.txt.
pub fn test_data(name: &str) -> PathBuf {
    repository().join("target/test-data").join(name)
}

/// How long a command may take that builds no real system.
pub const SHORT: Duration = Duration::from_secs(120);
/// How long the build of a real system may take, on a machine with other work to do.
pub const LONG: Duration = Duration::from_secs(1200);

/// Runs the program with `args` in a sandbox of its own, for tests that need nothing else.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Outcome {
    Sandbox::new().run(args)
}

/// True, with a line on stderr, when `missing` says what this test would need. In CI that is a failure.
pub fn skip(missing: Option<String>) -> bool {
    let Some(missing) = missing else { return false };
    assert!(std::env::var_os("CI").is_none(), "this test needs {missing}, and in CI nothing is skipped");
    // Not through print macros, whose output the test harness hides.
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "{name} is SKIPPED: it needs {missing}").ok();
    true
}

/// True when the test is to be skipped because it is not run by root.
pub fn skip_without_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    skip((!root).then(|| "root (make test runs all tests as root)".to_owned()))
}

/// True when the test is to be skipped because the host lacks `programs`.
pub fn skip_without(programs: &[&str]) -> bool {
    let host = image_create::host::Host::this();
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !host.has(program)).collect();
    skip((!missing.is_empty()).then(|| format!("{} (make setup-test)", missing.join(", "))))
}

/// True when the test is to be skipped because test data is missing.
pub fn skip_without_data(names: &[&str]) -> bool {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !test_data(name).exists()).collect();
    skip((!missing.is_empty()).then(|| format!("the test data {} (make setup-test)", missing.join(", "))))
}

/// A place where the program runs alone: its own home, TMPDIR, elements and outputs, and nothing of the
/// caller's environment but PATH. Deleted when dropped.
pub struct Sandbox {
    dir: tempfile::TempDir,
    leaks: Leaks,
    env: Vec<(String, String)>,
}

impl Sandbox {
    /// A fresh one.
    pub fn new() -> Self {
        // In the build tree: /tmp may be a small tmpfs, and overlayfs does not work on every filesystem.
        let parent = repository().join("target/test-sandboxes");
        std::fs::create_dir_all(&parent).unwrap();
        let dir = tempfile::Builder::new().prefix("s.").tempdir_in(parent).unwrap();
        for sub in ["home", "tmp", "elements", "out"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let leaks = Leaks::before(dir.path());
        Self { dir, leaks, env: Vec::new() }
    }

    /// A path in the sandbox.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// The text of a file in the sandbox.
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.path(relative);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Sets a variable for all runs from now on.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds an element, or more files to one.
    pub fn element(&self, name: &str) -> Element {
        Element::new(&self.path("elements"), name)
    }

    /// Adds the element `fake-os`; see [`element::fake_os_element`].
    pub fn fake_os(&self) -> Element {
        element::fake_os_element(&self.path("elements"))
    }

    /// Runs the program in `out/` and waits for it, [`SHORT`] at most.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        self.spawn(args).wait(SHORT)
    }

    /// As [`Sandbox::run`], with [`LONG`].
    pub fn run_long<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        self.spawn(args).wait(LONG)
    }

    /// Starts the program and does not wait: for tests that send signals.
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        self.spawn_as(image_create(), args)
    }

    /// Starts `program`, another name of the program under test, say.
    pub fn spawn_as<S: AsRef<OsStr>>(&self, program: &Path, args: impl IntoIterator<Item = S>) -> Running {
        let mut command = std::process::Command::new(program);
        command
            .args(args)
            .current_dir(self.path("out"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("ELEMENTS_PATH", self.path("elements"))
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Running::start(command)
    }

    /// Fails when anything is left of what ran here: a mount, a loop device, a process, a work directory.
    pub fn assert_clean(&self) {
        self.leaks.assert_same_after();
        self.assert_no_work_dir();
    }

    /// Fails when a mount, a loop device or a process is left; work directories may be.
    pub fn assert_no_build_left(&self) {
        self.leaks.assert_same_after();
    }

    /// Fails when a work directory is left.
    pub fn assert_no_work_dir(&self) {
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.is_empty(), "left in TMPDIR: {left:?}");
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}
