//! Events as JSON lines, for programs that watch a build.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use chrono::Utc;
use serde::Serialize;

use super::{Event, Sink};

/// A file of JSON lines: `{"time": …, "event": "hook-started", …}`.
pub struct EventFile(File);

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl EventFile {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(Self)
    }
}

impl Sink for EventFile {
    fn event(&mut self, event: &Event<'_>) {
        // Output belongs to the log; events are about what happens.
        if matches!(event, Event::Output { .. } | Event::Summary { .. }) {
            return;
        }
        if let Ok(mut text) =
            serde_json::to_vec(&Line { time: Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true), event })
        {
            text.push(b'\n');
            self.0.write_all(&text).ok();
        }
    }
}
