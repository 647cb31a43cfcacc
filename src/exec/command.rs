//! Starting programs: an argv list to the end, an explicit environment, live output.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::pipe;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::report::Reporter;

use super::stream;

/// Lines of output that a failure shows.
const TAIL: usize = 20;

/// One program to run. The environment is built from nothing unless [`Cmd::full_env`] says else.
#[derive(Debug, Clone)]
pub struct Cmd {
    argv: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    stderr: Option<Arc<File>>,
}

/// How a program ended, with the last lines that it printed.
#[derive(Debug)]
pub struct Exit {
    /// The exit status; 128 + N when signal N ended it.
    pub code: i32,
    /// The last lines of its output.
    pub tail: Vec<String>,
}

impl Cmd {
    /// A command without arguments. Its environment is `PATH` of this process plus `HOME=/root`,
    /// `LC_ALL=C.UTF-8`, and the proxy variables.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut env = BTreeMap::new();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                env.insert(name.into(), value);
            }
        }
        env.insert("LC_ALL".into(), "C.UTF-8".into());
        env.entry("HOME".into()).or_insert_with(|| "/root".into());
        Self { argv: vec![program.as_ref().to_owned()], env, dir: None, stderr: None }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Replaces the whole environment.
    pub fn full_env(mut self, env: BTreeMap<OsString, OsString>) -> Self {
        self.env = env;
        self
    }

    /// Sets the working directory.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sends stderr to a file instead of into the stream of output.
    pub fn stderr_to(mut self, file: File) -> Self {
        self.stderr = Some(Arc::new(file));
        self
    }

    /// The command line, quoted so that it can be pasted into a shell.
    pub fn line(&self) -> String {
        self.argv.iter().map(|a| quote(&a.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    fn expression(&self) -> duct::Expression {
        let mut expr = duct::cmd(&self.argv[0], &self.argv[1..]).full_env(&self.env);
        if let Some(dir) = &self.dir {
            expr = expr.dir(dir);
        }
        expr.stdin_null().unchecked()
    }

    /// Runs it, passes each line of stdout and stderr to `line` as it comes, and returns how it ended. That is
    /// when the program ends, not when its output does: a daemon that it started may hold that open.
    ///
    /// # Errors
    /// Only when the program cannot be started or its output not be read.
    pub fn stream(&self, mut line: impl FnMut(&str)) -> Result<Exit> {
        let mut tail = VecDeque::with_capacity(TAIL);
        let (reader, writer) = pipe().context("making a pipe")?;
        let mut expression = self.expression().stdout_file(writer.try_clone().context("making a pipe")?);
        expression = match &self.stderr {
            None => expression.stderr_file(writer),
            Some(file) => {
                drop(writer);
                expression.stderr_file(file.try_clone().context("sharing an output file")?)
            }
        };
        let handle = expression.start().with_context(|| format!("starting {}", self.line()))?;
        // It holds our copies of the pipe's writing end.
        drop(expression);
        let ended = || Ok(handle.try_wait().with_context(|| format!("waiting for {}", self.line()))?.is_some());
        stream::lines(reader, ended, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim_end_matches(['\n', '\r']);
            line(text);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(text.to_owned());
            Ok(())
        })?;
        let output = handle.wait().with_context(|| format!("waiting for {}", self.line()))?;
        Ok(Exit { code: code_of(output.status), tail: tail.into() })
    }

    /// Runs it with its output in the log.
    ///
    /// # Errors
    /// When it cannot be started, or ends with anything but 0: the message holds the command line,
    /// the status and the last lines of output.
    pub fn run(&self, reporter: &Reporter) -> Result<()> {
        let exit = self.stream(|line| reporter.output(line))?;
        if exit.code != 0 {
            bail!("{} ended with status {}{}", self.line(), exit.code, indented(&exit.tail));
        }
        Ok(())
    }

    /// Runs it and returns its stdout.
    ///
    /// # Errors
    /// As [`Cmd::run`]; the message holds stderr.
    pub fn read(&self) -> Result<String> {
        let output = self
            .expression()
            .stdout_capture()
            .stderr_capture()
            .run()
            .with_context(|| format!("starting {}", self.line()))?;
        let code = code_of(output.status);
        if code != 0 {
            let err = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<String> = err.lines().map(str::to_owned).collect();
            bail!("{} ended with status {}{}", self.line(), code, indented(&lines));
        }
        String::from_utf8(output.stdout).with_context(|| format!("output of {} is not UTF-8", self.line()))
    }
}

/// What a child may know of our environment.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "TERM",
    "TMPDIR",
    "SOURCE_DATE_EPOCH",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Exit status as a shell would give it.
pub fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(-1)
}

/// Quotes a word for a POSIX shell, only where it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|l| format!("\n    {l}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_command_the_status_and_the_last_words() {
        let cmd = Cmd::new("sh").args(["-c", "echo last words; exit 9"]);
        let error = cmd.run(&Reporter::quiet()).unwrap_err().to_string();
        assert_eq!(error, "sh -c 'echo last words; exit 9' ended with status 9\n    last words");
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quote("a-b=c"), "a-b=c");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn output_arrives_line_by_line_with_stderr_in_place() {
        let mut seen = Vec::new();
        let exit = Cmd::new("sh")
            .args(["-c", "echo one; echo two >&2; printf three"])
            .stream(|l| seen.push(l.to_owned()))
            .unwrap();
        assert_eq!(exit.code, 0);
        assert_eq!(seen, ["one", "two", "three"]);
    }
}
