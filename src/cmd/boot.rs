//! `image-create boot`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::boot::{DirectBoot, Guest, Machine, Medium, Ovmf, Signals};
use crate::cli::boot::{BootArgs, Script, Step};
use crate::error::{HostNotReady, Interrupted};
use crate::host::{Host, OVMF};
use crate::report::Reporter;

/// How long a guest that may write into its image gets to power off.
const POWER_OFF: Duration = Duration::from_secs(90);

/// Boots what `args` name; see [`BootArgs`].
///
/// # Errors
/// When the host lacks something, the guest does not start, or an expectation is not met in time.
pub fn run(args: &BootArgs, reporter: &Reporter) -> Result<u8> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let machine = machine(args)?;
    let signals = Signals::catch()?;
    let mut guest = Guest::start(machine, reporter)?;
    reporter.info(format!("booting under {}", guest.accel()));
    let result = if args.script.0.is_empty() {
        guest.interact(reporter)
    } else {
        converse(&mut guest, &args.script, deadline).map_err(|error| with_log(error, args, &guest))
    };
    let ended = end(guest, args.write, result.is_ok());
    drop(signals);
    // The first failure is the one to show.
    result.and(ended).map(|()| 0)
}

fn machine(args: &BootArgs) -> Result<Machine> {
    let image = args.image.as_deref().map(Medium::detect).transpose()?;
    let uefi = if args.uefi { Some(ovmf()?) } else { None };
    let direct = args.kernel.as_ref().map(|kernel| DirectBoot {
        kernel: kernel.clone(),
        initrd: args.initrd.clone(),
        cmdline: args.cmdline.clone(),
    });
    Ok(Machine {
        image,
        direct,
        accel: args.accel,
        uefi,
        memory_mib: args.memory,
        cpus: args.cpus,
        writable: args.write,
        ports: args.ports.clone(),
        serial_log: args.serial_log.clone(),
        extra: args.qemu_args.clone(),
    })
}

fn ovmf() -> Result<Ovmf> {
    Ovmf::find(Path::new("/")).ok_or_else(|| {
        let hint = Host::this().install_hint(&[OVMF]);
        HostNotReady::new("there is no UEFI firmware for guests (OVMF)", hint).into()
    })
}

/// Does the steps in order, all of them before `deadline`.
fn converse(guest: &mut Guest, script: &Script, deadline: Instant) -> Result<()> {
    for step in &script.0 {
        match step {
            Step::Expect(pattern) => {
                let left = deadline.saturating_duration_since(Instant::now());
                guest.expect(pattern, left)?;
            }
            Step::Send(text) => guest.send_line(text)?,
        }
    }
    Ok(())
}

/// A guest that may write is powered off as by its power button, so that its image is whole.
fn end(guest: Guest, writes: bool, succeeded: bool) -> Result<()> {
    if writes && succeeded { guest.power_off(POWER_OFF) } else { guest.close() }
}

/// Adds where the whole console can be read, unless the user has had enough.
fn with_log(error: anyhow::Error, args: &BootArgs, guest: &Guest) -> anyhow::Error {
    if error.is::<Interrupted>() {
        return error;
    }
    match written_log(args, guest) {
        Ok(log) => {
            error.context(format!("the guest did not do what was expected; its whole console: {}", log.display()))
        }
        Err(cause) => {
            error.context(format!("the guest did not do what was expected (and its console is lost: {cause:#})"))
        }
    }
}

/// Where the console can be read afterwards: the file asked for, else one that is written now.
fn written_log(args: &BootArgs, guest: &Guest) -> Result<PathBuf> {
    if let Some(path) = &args.serial_log {
        return Ok(path.clone());
    }
    let mut file = tempfile::Builder::new()
        .prefix("image-create-serial-")
        .suffix(".log")
        .tempfile()
        .context("creating a file for the console's text")?;
    file.write_all(guest.transcript().as_bytes()).context("writing the console's text")?;
    let (_, path) = file.keep().context("keeping the console's text")?;
    Ok(path)
}
