//! The timing table that ends a build.

use std::sync::{Arc, Mutex};

use super::{Event, Sink};

/// Collects how long phases, hooks and steps took. Clones share what they collect.
#[derive(Clone, Default)]
pub struct Timings(Arc<Mutex<Vec<Row>>>);

struct Row {
    name: String,
    seconds: f64,
    of_phase: bool,
}

impl Timings {
    /// The table: a line a phase with its hooks below it, in the order in which they ran.
    /// Hooks that took less than `least` seconds are left out.
    pub fn table(&self, least: f64) -> String {
        let rows = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let mut text = format!("{:<56}{:>9}\n", "Phase / hook", "Seconds");
        for row in rows.iter().filter(|r| r.of_phase || r.seconds >= least) {
            let indent = if row.of_phase { "" } else { "  " };
            text.push_str(&format!("{:<56}{:>9.1}\n", format!("{indent}{}", row.name), row.seconds));
        }
        let total: f64 = rows.iter().filter(|r| r.of_phase).map(|r| r.seconds).sum();
        text.push_str(&format!("{:<56}{total:>9.1}", "total"));
        text
    }
}

impl Sink for Timings {
    fn event(&mut self, event: &Event<'_>) {
        let mut rows = self.0.lock().unwrap_or_else(|e| e.into_inner());
        match event {
            Event::PhaseStarted { phase, .. } => {
                rows.push(Row { name: (*phase).to_owned(), seconds: 0.0, of_phase: true });
            }
            Event::PhaseFinished { phase, seconds } => {
                if let Some(row) = rows.iter_mut().rev().find(|r| r.of_phase && r.name == *phase) {
                    row.seconds = *seconds;
                }
            }
            Event::HookFinished { hook, element, seconds, .. } => {
                rows.push(Row { name: format!("{hook} ({element})"), seconds: *seconds, of_phase: false });
            }
            Event::StepFinished { step, seconds } => {
                rows.push(Row { name: (*step).to_owned(), seconds: *seconds, of_phase: true });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_stand_below_their_phase_and_only_phases_are_summed() {
        let timings = Timings::default();
        let mut sink = timings.clone();
        sink.event(&Event::PhaseStarted { phase: "install", hooks: 2 });
        for (hook, seconds) in [("01-a", 2.0), ("02-b", 0.001)] {
            sink.event(&Event::HookFinished { phase: "install", hook, element: "e", status: 0, seconds });
        }
        sink.event(&Event::PhaseFinished { phase: "install", seconds: 2.5 });
        sink.event(&Event::StepFinished { step: "writing the disk", seconds: 1.0 });
        let table = timings.table(0.05);
        let names: Vec<_> = table.lines().map(|l| l.rsplit_once(' ').unwrap().0.trim_end()).collect();
        assert_eq!(names, ["Phase / hook", "install", "  01-a (e)", "writing the disk", "total"]);
        assert!(table.ends_with("3.5"), "{table}");
    }
}
