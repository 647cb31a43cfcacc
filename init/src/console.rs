//! What the program says: to the kernel's log, which every console shows.

use std::fs::OpenOptions;
use std::io::Write;

/// The kernel's levels that are used here.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    /// The boot cannot go on.
    Error = 3,
    /// Something is not as it should be.
    Warning = 4,
    /// What is being done.
    Info = 6,
}

/// Writes lines to the kernel's log.
pub fn say(level: Level, text: &str) {
    // The log takes one line of less than 1 KiB per write. Where there is none, nobody can be told.
    let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") else {
        return eprintln!("initramfs: {text}");
    };
    for line in text.lines() {
        let line: String = line.chars().take(900).collect();
        let _ = log.write_all(format!("<{}>initramfs: {line}\n", 8 + level as u32).as_bytes());
    }
}

/// Says what is being done.
pub fn info(text: &str) {
    say(Level::Info, text);
}

/// Says what is not as it should be.
pub fn warn(text: &str) {
    say(Level::Warning, text);
}

/// Says why the boot cannot go on: to the log, and plainly to the console, which may hide the log.
pub fn error(text: &str) {
    say(Level::Error, text);
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        let _ = write!(console, "\r\n{}\r\n", text.replace('\n', "\r\n"));
    }
}
