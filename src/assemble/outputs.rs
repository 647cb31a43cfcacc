//! Writes all outputs of a build, side by side where the processors allow it; none appears before all are done.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::publish::{Finished, Partial, checksums};
use super::{archive, convert, host, oci, sparse};
use crate::error::on;
use crate::plan::output::{Format, OutputOptions, OutputPlan, Tool};
use crate::report::Reporter;

/// What outputs are made from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The root tree, with nothing mounted in it.
    pub tree: &'a Path,
    /// The raw disk; moved away if `raw` is among the outputs.
    pub raw: Option<&'a Path>,
    /// An existing directory for small temporary files.
    pub work: &'a Path,
}

/// Checks, before a build, that its outputs can be written: tools, directories, qemu-img's options.
///
/// # Errors
/// [`crate::error::HostNotReady`] or [`crate::error::Faults`]: the first thing that is missing.
pub fn check(outputs: &[OutputPlan], options: &OutputOptions) -> Result<()> {
    for output in outputs {
        host::check_destination(&output.path)?;
    }
    let tools: std::collections::BTreeSet<Tool> = outputs.iter().filter_map(|o| o.format.tool()).collect();
    for tool in tools {
        host::find(tool)?;
    }
    let formats: Vec<Format> = outputs.iter().map(|o| o.format).collect();
    convert::check_options(&formats, options)
}

/// Writes `outputs` and puts them in their places.
///
/// # Errors
/// The first failure, in the order of `outputs`; then none of them was put in its place.
pub fn write(outputs: &[OutputPlan], options: &OutputOptions, sources: Sources, reporter: &Reporter) -> Result<()> {
    let mut finished = side_by_side(outputs, |output| {
        let made = make(output, options, sources, reporter);
        made.map_err(|error| host::explain_full(error, &output.path))
            .with_context(|| on("writing the image", &output.path))
    })?;
    // Moving the raw disk comes last: the others are made from it.
    for (output, slot) in outputs.iter().zip(&mut finished) {
        if let Made::Later(sums) = slot {
            let raw =
                sources.raw.with_context(|| format!("there is no disk to write {} from", output.path.display()))?;
            let partial = Partial::beside(&output.path)?;
            match std::fs::rename(raw, partial.path()) {
                // The same filesystem, but mounted twice.
                Err(err) if err.kind() == ErrorKind::CrossesDevices => sparse::copy(raw, partial.path())?,
                moved => moved.with_context(|| format!("moving {} to {}", raw.display(), partial.path().display()))?,
            }
            *slot = Made::Done(Finished::with_sums(output, partial, std::mem::take(sums))?);
        }
    }
    for slot in finished {
        if let Made::Done(finished) = slot {
            finished.publish(options, reporter)?;
        }
    }
    Ok(())
}

/// One output's state once its thread is through with it.
enum Made {
    /// Written under its temporary name.
    Done(Finished),
    /// The raw disk on the same filesystem: it is only moved. Its checksums are taken.
    Later(Vec<(crate::plan::output::Checksum, String)>),
}

fn make(output: &OutputPlan, options: &OutputOptions, sources: Sources, reporter: &Reporter) -> Result<Made> {
    let disk = || sources.raw.context("this build makes no disk");
    if output.format == Format::Raw && same_filesystem(disk()?, &output.path)? {
        return Ok(Made::Later(checksums(disk()?, &options.checksums)?));
    }
    reporter.info(format!("Writing {} as {}", output.path.display(), output.format));
    let partial = Partial::beside(&output.path)?;
    let target = partial.path();
    match output.format {
        Format::Raw => sparse::copy(disk()?, target)?,
        Format::Tar => archive::tar(sources.tree, target, options, reporter)?,
        Format::Tgz => archive::tgz(sources.tree, target, options)?,
        Format::Squashfs => archive::squashfs(sources.tree, target, options, reporter)?,
        Format::Aci => archive::aci(sources.tree, target, options, sources.work, reporter)?,
        Format::Docker => oci::write(sources.tree, target, options)?,
        format @ (Format::Qcow2 | Format::Vhd | Format::Qemu(_)) => {
            convert::convert(disk()?, target, format, options, reporter)?;
        }
    }
    Ok(Made::Done(Finished::new(output, partial, options)?))
}

fn same_filesystem(file: &Path, target: &Path) -> Result<bool> {
    let dir = host::directory_of(target);
    let file = file.metadata().with_context(|| on("looking at", file))?;
    Ok(file.dev() == dir.metadata().with_context(|| on("looking at", dir))?.dev())
}

/// Runs `work` on each output, a few at a time, and returns the results in order. After a failure nothing new is begun.
fn side_by_side<T: Send>(outputs: &[OutputPlan], work: impl Fn(&OutputPlan) -> Result<T> + Sync) -> Result<Vec<T>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..outputs.len()).collect());
    let results: Mutex<Vec<Option<Result<T>>>> = Mutex::new(outputs.iter().map(|_| None).collect());
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(outputs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(|e| e.into_inner()).pop_front();
                    let Some(next) = next.filter(|_| !failed.load(Ordering::Relaxed)) else { return };
                    let result = work(&outputs[next]);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    results.lock().unwrap_or_else(|e| e.into_inner())[next] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(|e| e.into_inner());
    // Outputs that were not begun have no result; the error that stopped them is in another place.
    results.into_iter().flatten().collect()
}
