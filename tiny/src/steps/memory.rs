//! How much memory there is, and how little of it was left at the worst moment.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// A figure of `/proc/meminfo` in bytes (proc(5): `NAME: N kB`).
#[must_use]
pub fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// Bytes that programs and tmpfs can still take; nothing if the kernel does not tell.
#[must_use]
pub fn available() -> Option<u64> {
    figure(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

/// Looks all the time how much memory is left.
#[derive(Debug, Clone)]
pub struct Watch {
    lowest: Arc<AtomicU64>,
}

impl Watch {
    /// Begins to look, until the program ends.
    #[must_use]
    pub fn start() -> Self {
        let lowest = Arc::new(AtomicU64::new(u64::MAX));
        let mine = Arc::clone(&lowest);
        thread::spawn(move || {
            loop {
                if let Some(now) = available() {
                    mine.fetch_min(now, Ordering::Relaxed);
                }
                thread::sleep(PAUSE);
            }
        });
        Self { lowest }
    }

    /// The line that states the peak: `memory: peak 812 MiB of 1987 MiB`.
    #[must_use]
    pub fn statement(&self) -> String {
        let total = fs::read_to_string("/proc/meminfo").ok().and_then(|t| figure(&t, "MemTotal")).unwrap_or(0);
        let lowest = self.lowest.load(Ordering::Relaxed).min(available().unwrap_or(u64::MAX));
        format!("memory: peak {} MiB of {} MiB", total.saturating_sub(lowest) >> 20, total >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_kernel() {
        let text =
            "MemTotal:        2035484 kB\nMemFree:          120000 kB\nMemAvailable:    1800000 kB\nSwapTotal: 0 kB\n";
        assert_eq!(figure(text, "MemAvailable"), Some(1_800_000 << 10));
        assert_eq!(figure(text, "Mem"), None);
        assert_eq!(figure(text, "HugePages_Total"), None);
    }

    #[test]
    fn the_statement_has_both_figures() {
        let text = Watch::start().statement();
        assert!(text.starts_with("memory: peak ") && text.ends_with(" MiB"), "{text}");
    }
}
