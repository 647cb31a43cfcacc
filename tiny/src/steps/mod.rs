//! Stage two: what the tiny system does to a machine, as a table of steps.
//!
//! `upgrade-tiny convert` goes through the table; `upgrade-tiny list-steps` prints it. Up to the step `release` nothing
//! is changed: a failure is told, its log is left on the old system, and the machine starts that. From `wipe` on a step
//! that fails is tried again, then a shell is given on the console.
//!
//! For rehearsals the kernel's command line takes `upgrade_tiny.stop=STEP`, which gives a shell before a step, and
//! `upgrade_tiny.pause=SECONDS@STEP`, which waits before a step.

pub mod archive;
pub mod before;
pub mod blocks;
pub mod boot;
pub mod chroot;
pub mod command;
pub mod context;
pub mod entries;
pub mod finish;
pub mod fstab;
pub mod install;
pub mod list;
pub mod machine;
pub mod memory;
pub mod report;
pub mod run;
pub mod table;
pub mod volumes;
pub mod wipe;
pub mod words;

use std::fs;
use std::path::Path;

use image_init::cmdline::CommandLine;

use context::{Context, LOG};
use report::Report;
use run::End;

/// Replaces the machine's system. Returns only if it does not do so: with the exit code.
#[must_use]
pub fn convert() -> u8 {
    let line = CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if let Err(e) = context::guard(&line, &mounts).and_then(|()| context::make_base()) {
        eprintln!("upgrade-tiny: {e:#}");
        return 3;
    }
    let report = Report::new(Path::new(LOG), Report::consoles());
    let mut context = match Context::new(line, report) {
        Ok(context) => context,
        Err(e) => {
            let mut report = Report::new(Path::new(LOG), Report::consoles());
            report.say(&format!("Nothing was changed: {e:#}\nThe old system starts in 10 s."));
            finish::give_up();
            return 1;
        }
    };
    let steps = list::steps(Path::new("/"));
    if let End::Stopped { step, why } = run::drive(&steps, &mut context) {
        finish::go_back(&mut context, &step, &why);
        return 1;
    }
    0
}
