//! Running programs, of the tiny system and of the new one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::report::Report;

/// Where programs are looked for.
const FOLDERS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// Lines of a failed program's output that its error shows.
const SHOWN: usize = 15;

/// Finds a program below a root, as a path in that root. Links are not followed: they may be meant for a chroot.
#[must_use]
pub fn find(root: &Path, names: &[&str]) -> Option<PathBuf> {
    let places = names.iter().flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name)));
    let there = |path: &PathBuf| fs::symlink_metadata(root.join(path)).is_ok_and(|m| !m.is_dir());
    places.into_iter().find(there).map(|path| Path::new("/").join(path))
}

/// A program of the tiny system.
///
/// # Errors
/// That it has none.
pub fn tool(name: &str) -> Result<PathBuf> {
    find(Path::new("/"), &[name]).with_context(|| {
        format!("the tiny system has no {name}: build the bundle again with the package that {name} is in")
    })
}

/// A command line.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: PathBuf,
    arguments: Vec<OsString>,
    settings: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    root: Option<PathBuf>,
}

impl Cmd {
    /// A program of the tiny system.
    ///
    /// # Errors
    /// That it has none.
    pub fn tool(name: &str) -> Result<Self> {
        Ok(Self::at(&tool(name)?))
    }

    /// A program by its path.
    #[must_use]
    pub fn at(program: &Path) -> Self {
        Self {
            program: program.to_path_buf(),
            arguments: Vec::new(),
            settings: Vec::new(),
            variables: Vec::new(),
            root: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds arguments that are always the same, and that people need not read.
    #[must_use]
    pub fn settings<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.settings.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment, which is otherwise the same for all.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it with another root; the program's path is one in there.
    #[must_use]
    pub fn inside(mut self, root: &Path) -> Self {
        self.root = Some(root.to_path_buf());
        self
    }

    /// The command line as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let words = self.arguments.iter().map(|a| a.to_string_lossy().into_owned());
        std::iter::once(self.program.display().to_string()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// The process to be started, with nothing to read.
    #[must_use]
    pub fn process(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(&self.settings).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("TERM", "dumb");
        command.env("HOME", if self.root.is_some() { "/root" } else { "/" });
        // There is no udev to be waited for, and files that are open here are not leaks of a caller.
        command.env("DM_DISABLE_UDEV", "1").env("LVM_SUPPRESS_FD_WARNINGS", "1");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(root) = self.root.clone() {
            // SAFETY: both are plain system calls; nix copies a short path to the stack, so nothing is allocated.
            unsafe {
                command.pre_exec(move || {
                    nix::unistd::chroot(&root)?;
                    Ok(nix::unistd::chdir("/")?)
                });
            }
        }
        command
    }

    /// Runs it to its end; what it says goes to the log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn output(&self, report: &mut Report) -> Result<Output> {
        report.note(&format!("$ {}", self.text()));
        let output = self.process().output().with_context(|| format!("running {}", self.program.display()))?;
        for stream in [&output.stdout, &output.stderr] {
            report.note(&String::from_utf8_lossy(stream));
        }
        Ok(output)
    }

    /// Runs it and gives what it wrote to its standard output.
    ///
    /// # Errors
    /// When it cannot be started or fails; with its last lines.
    pub fn run(&self, report: &mut Report) -> Result<String> {
        let output = self.output(report)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        bail!("{}: {}\n{}", self.text(), output.status, last_lines(&String::from_utf8_lossy(said)));
    }
}

/// A command line, for messages.
#[must_use]
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The last lines of what a program said.
#[must_use]
pub fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dir: &Path) -> Report {
        Report::new(&dir.join("log"), Vec::new())
    }

    #[test]
    fn what_a_program_says_is_given_and_logged() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = report(dir.path());
        let cmd =
            Cmd::tool("sh").unwrap().args(["-c", "echo out $X $1; echo err >&2"]).env("X", "1").settings(["sh", "2"]);
        assert_eq!(cmd.run(&mut report).unwrap(), "out 1 2\n");
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.contains("] out 1 2\n") && log.contains("] err\n") && log.contains("err >&2\n"), "{log}");
    }

    #[test]
    fn a_failure_has_the_command_the_status_and_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let cmd = Cmd::tool("sh").unwrap().args(["-c", "seq 1 30 >&2; exit 3"]);
        let why = cmd.run(&mut report(dir.path())).unwrap_err().to_string();
        assert!(why.contains("exit status: 3") && why.ends_with("29\n30") && !why.contains("\n15\n"), "{why}");
        assert!(tool("no-such-tool").unwrap_err().to_string().contains("the tiny system has no no-such-tool"));
    }

    #[test]
    fn programs_are_found_as_paths_of_their_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/sbin")).unwrap();
        std::os::unix::fs::symlink("/etc/alternatives/x", root.path().join("usr/sbin/grub-install")).unwrap();
        let found = find(root.path(), &["grub2-install", "grub-install"]);
        assert_eq!(found, Some(PathBuf::from("/usr/sbin/grub-install")));
        assert_eq!(find(root.path(), &["dracut"]), None);
    }
}
