//! Running the program under test: output into files, a limit on every wait.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; 128 + N after signal N.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
    /// How long it took.
    pub time: Duration,
    line: String,
}

impl Outcome {
    /// Fails the test unless the run ended with 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.ended(0)
    }

    /// Fails the test unless the run ended with `code`, which is not 0.
    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_ne!(code, 0, "failed(0) means succeeded()");
        self.ended(code)
    }

    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit status of {}{}", self.line, self.shown());
        self
    }

    /// Fails the test unless stderr holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks '{text}': {}{}", self.line, self.shown());
        self
    }

    /// Fails the test if stderr holds `text`.
    #[track_caller]
    pub fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "stderr holds '{text}': {}{}", self.line, self.shown());
        self
    }

    /// Fails the test unless stdout holds `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks '{text}': {}{}", self.line, self.shown());
        self
    }

    fn shown(&self) -> String {
        format!("\n--- stdout\n{}\n--- stderr\n{}", last_lines(&self.stdout), last_lines(&self.stderr))
    }
}

/// The last lines: a build's whole log would hide the reason.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// A run that has not ended; killed when dropped.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    start: Instant,
    line: String,
}

impl Running {
    /// Starts `command` without input.
    pub fn start(mut command: Command) -> Self {
        let stdout = tempfile::tempfile().unwrap();
        let stderr = tempfile::tempfile().unwrap();
        command.stdin(Stdio::null()).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let line = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|e| panic!("starting {line}: {e}"));
        Self { child, stdout, stderr, start: Instant::now(), line }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Sends it (and nothing else) a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// What it has written to stderr so far.
    pub fn stderr_so_far(&mut self) -> String {
        // A description of its own, so that the child's place in the file does not move.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.stderr));
        let mut bytes = Vec::new();
        File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until stderr holds `text`.
    #[track_caller]
    pub fn wait_until_it_says(&mut self, text: &str, limit: Duration) {
        while !self.stderr_so_far().contains(text) {
            let said = self.stderr_so_far();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended ({status}) before it said '{text}':\n{}", self.line, last_lines(&said));
            }
            assert!(self.start.elapsed() < limit, "{} did not say '{text}':\n{}", self.line, last_lines(&said));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end. After `limit` it is ended and the test fails.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.start.elapsed() > limit {
                let said = self.stderr_so_far();
                panic!("{} takes longer than {limit:?}:\n{}", self.line, last_lines(&said));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Outcome {
            code: code(status),
            stdout: text(&mut self.stdout),
            stderr: text(&mut self.stderr),
            time: self.start.elapsed(),
            line: self.line.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // A chance to clean up, then no more.
        self.signal(Signal::SIGTERM);
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
