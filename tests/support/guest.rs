//! What tests ask of booted guests.

use std::path::Path;
use std::time::Duration;

use image_create::boot::{AccelChoice, Guest, Machine, Medium, Ovmf, pattern};
use image_create::report::Reporter;

use super::skip;

/// UEFI's firmware. `None`, with a line on stderr, when the test is to be skipped.
pub fn ovmf() -> Option<Ovmf> {
    let firmware = Ovmf::find(Path::new("/"));
    if skip(firmware.is_none().then(|| "OVMF (make setup-test)".to_owned())) { None } else { firmware }
}

/// How long a boot takes under emulation, on a machine that does other things as well.
pub const BOOT: Duration = Duration::from_secs(600);
/// The same with key generation, resizing and cloud-init.
pub const LONG_BOOT: Duration = Duration::from_secs(900);
/// How long what somebody types takes.
pub const SOON: Duration = Duration::from_secs(120);

/// Boots an image that has tests/elements/boot-probe, until the probe has told how that went. The console goes to a file
/// beside the image as well.
#[track_caller]
pub fn probed(image: &Path, uefi: Option<Ovmf>, limit: Duration) -> Guest {
    let mut machine = Machine::from_image(Medium::detect(image).unwrap());
    machine.accel = AccelChoice::Tcg;
    machine.serial_log = Some(image.with_extension(if uefi.is_some() { "uefi.serial" } else { "bios.serial" }));
    let firmware = if uefi.is_some() { "firmware=efi" } else { "firmware=bios" };
    machine.uefi = uefi;
    let mut guest = Guest::start(machine, &Reporter::quiet()).unwrap();
    guest.expect(&pattern(r"boot-probe: \[done\]").unwrap(), limit).unwrap();
    probe_says(&guest, &[firmware]);
    guest
}

/// Waits for the login prompt, a regular expression. It may stand before the probe's lines or behind them, and the kernel may write behind it.
#[track_caller]
pub fn prompts(guest: &mut Guest, prompt: &str, limit: Duration) {
    let prompt = pattern(prompt).unwrap();
    if !prompt.is_match(&guest.transcript()) {
        guest.expect(&prompt, limit).unwrap();
    }
}

/// Logs in as the user whom tests give to their images, in a guest that the probe has told of. The kernel is to be
/// quiet: it would write between the lines that are read.
#[track_caller]
pub fn log_in(guest: &mut Guest, limit: Duration) {
    guest.send_line("").unwrap();
    guest.login("visitor", "tries-it", limit).unwrap();
    answer(guest, "sudo -n dmesg -n 1", limit);
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
