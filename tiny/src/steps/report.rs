//! What the program says: to every console, and to its log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Writes to consoles and to the log.
#[derive(Debug)]
pub struct Report {
    begun: Instant,
    log: PathBuf,
    consoles: Vec<PathBuf>,
}

impl Report {
    /// A report whose log is the file `log`, and that shows itself on `consoles`.
    #[must_use]
    pub fn new(log: &Path, consoles: Vec<PathBuf>) -> Self {
        Self { begun: Instant::now(), log: log.to_path_buf(), consoles }
    }

    /// The nodes of the consoles that the kernel writes to (`/sys/class/tty/console/active`).
    #[must_use]
    pub fn consoles() -> Vec<PathBuf> {
        let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        let nodes: Vec<PathBuf> = active.split_whitespace().map(|name| Path::new("/dev").join(name)).collect();
        if nodes.is_empty() { vec![PathBuf::from("/dev/console")] } else { nodes }
    }

    /// The log's file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Says something to the people at the consoles; it is in the log as well.
    pub fn say(&mut self, text: &str) {
        for line in text.lines() {
            let shown = format!("upgrade-tiny: {line}\r\n");
            self.consoles.iter().for_each(|console| show(console, shown.as_bytes()));
        }
        self.note(text);
    }

    /// Writes something to the log only.
    pub fn note(&mut self, text: &str) {
        // The log has no room for control characters of programs' progress bars.
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut lines = String::new();
        for line in text.lines().map(|l| l.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("")) {
            lines += &format!("[{seconds:8.1}] {line}\n");
        }
        // Nobody can be told that the log cannot be written; the migration does not depend on it.
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.log);
        let _ = opened.and_then(|mut f| f.write_all(lines.as_bytes()));
    }
}

/// Writes to a console without waiting for one that nobody reads: a serial line may be held by its flow control.
fn show(console: &Path, mut text: &[u8]) {
    let flags = nix::libc::O_NOCTTY | nix::libc::O_NONBLOCK;
    let Ok(mut console) = OpenOptions::new().write(true).custom_flags(flags).open(console) else { return };
    for _ in 0..50 {
        match console.write(text) {
            Ok(written) if written < text.len() => text = &text[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(10)),
            _ => return,
        }
    }
}

/// Bytes from which on something takes long enough to be told of.
const WORTH: u64 = 8 << 20;

/// How far something is, told in steps of ten percent.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: u64,
    shown: u64,
}

impl Progress {
    /// Of `total` bytes.
    #[must_use]
    pub fn new(what: &str, total: u64) -> Self {
        Self { what: what.to_owned(), total, shown: 0 }
    }

    /// The line to be said now, if another tenth is done.
    pub fn line(&mut self, done: u64) -> Option<String> {
        if self.total < WORTH {
            return None;
        }
        let percent = (done.min(self.total) * 100).checked_div(self.total).unwrap_or(100) / 10 * 10;
        if percent <= self.shown {
            return None;
        }
        self.shown = percent;
        Some(format!("{} {percent} % of {} MiB", self.what, self.total.div_ceil(1 << 20)))
    }
}

/// Copies a log to a place of its own, readable by root alone. A file that is there keeps what the system knows of it
/// (its SELinux label), but not its content.
///
/// # Errors
/// What the operating system says.
pub fn copy_log(log: &Path, to: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    io::copy(&mut File::open(log)?, &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn consoles_and_log_get_what_is_said_and_only_the_log_what_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (log, console) = (dir.path().join("log"), dir.path().join("tty"));
        fs::write(&console, "").unwrap();
        let mut report = Report::new(&log, vec![console.clone(), dir.path().join("absent/tty")]);
        report.say("one\ntwo");
        report.note("bar 10%\rbar 20%\r\nthree");
        assert_eq!(fs::read_to_string(&console).unwrap(), "upgrade-tiny: two\r\n");
        let text = fs::read_to_string(&log).unwrap();
        let lines: Vec<&str> = text.lines().map(|l| l.split("] ").nth(1).unwrap()).collect();
        assert_eq!(lines, ["one", "two", "bar 20%", "three"]);
        assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
        copy_log(&log, &dir.path().join("copy")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("copy")).unwrap(), text);
    }

    #[test]
    fn each_tenth_is_told_once() {
        let mut progress = Progress::new("unpacking", 200 << 20);
        let lines: Vec<String> = (0..=200).filter_map(|mib| progress.line(mib << 20)).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "unpacking 10 % of 200 MiB");
        assert_eq!(lines[9], "unpacking 100 % of 200 MiB");
        assert_eq!(Progress::new("a small file", 1000).line(1000), None);
    }
}
