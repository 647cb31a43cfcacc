//! What tests ask of booted guests.

use std::path::Path;
use std::time::Duration;

use image_create::boot::{Guest, Ovmf};

use super::skip;

/// UEFI's firmware. `None`, with a line on stderr, when the test is to be skipped.
pub fn ovmf() -> Option<Ovmf> {
    let firmware = Ovmf::find(Path::new("/"));
    if skip(firmware.is_none().then(|| "OVMF (make setup-test)".to_owned())) { None } else { firmware }
}

/// What a command prints in a guest that somebody is logged in to; it has to end with 0.
#[track_caller]
pub fn answer(guest: &mut Guest, line: &str, limit: Duration) -> String {
    let answer = guest.command(line, limit).unwrap();
    assert_eq!(answer.code, 0, "{line}: {}", answer.output);
    answer.output.trim().to_owned()
}

/// Whether the unit of tests/elements/boot-probe has said all of `facts`.
#[track_caller]
pub fn probe_says(guest: &Guest, facts: &[&str]) {
    let said = guest.transcript();
    for fact in facts {
        assert!(said.contains(&format!("boot-probe: [{fact}]")), "the probe does not say '{fact}':\n{said}");
    }
}
