//! The live view on a terminal: phase, hook, elapsed time and the last line of output.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::plain::line;
use super::{Event, Sink};

/// Two lines at the bottom of the terminal; what is worth keeping scrolls above them.
pub struct Live {
    hook: ProgressBar,
    place: String,
    shows_output: bool,
}

impl Live {
    /// `shows_output`: hooks' output scrolls by as well (with `-x`).
    pub fn new(shows_output: bool) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed:.dim}\n  {wide_msg:.dim}");
        let hook = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        hook.enable_steady_tick(Duration::from_millis(120));
        Self { hook, place: String::new(), shows_output }
    }

    fn show(&mut self, place: String) {
        self.place = place;
        self.hook.set_prefix(self.place.clone());
        self.hook.set_message("");
        self.hook.reset_elapsed();
    }
}

impl Sink for Live {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Output { line } if !self.shows_output => self.hook.set_message((*line).to_owned()),
            Event::HookStarted { phase, hook, element } => self.show(format!("{phase} {hook} ({element})")),
            Event::PhaseStarted { phase, .. } => self.show((*phase).to_owned()),
            Event::HookFinished { status: 0, .. } => {}
            Event::Info { message } => self.show((*message).to_owned()),
            other => {
                if let Some(text) = line(other) {
                    self.hook.suspend(|| super::Reporter::error(&format!("{text}\n")));
                }
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.hook.finish_and_clear();
    }
}
