//! `image-create build`, and the processes that it consists of.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::assemble::{host as destination, outputs};
use crate::cli::build::BuildArgs;
use crate::error::{Faults, HostNotReady, on};
use crate::exec::executor::Executor;
use crate::exec::isolation;
use crate::exec::work_dir::{Paths, WorkDir};
use crate::plan::Plan;
use crate::report::{Event, EventFile, Live, LogFile, Plain, Reporter, Sink, Timings};
use crate::request::{BuildRequest, RunRequest, Surroundings};

/// Plans, then builds in namespaces of its own, then prints the paths of the outputs.
///
/// # Errors
/// [`Faults`] before anything is done; else what the executor ended with.
pub fn run(args: &BuildArgs) -> Result<u8> {
    if args.version {
        Reporter::result(&format!("image-create {}", env!("CARGO_PKG_VERSION")));
        return Ok(0);
    }
    let surroundings = Surroundings::read().context("reading the working directory")?;
    let request = BuildRequest::new(args, surroundings)?;
    // Mistakes are told before the lack of privileges: an ordinary user can then mend them first.
    let plan = Plan::new(request)?;
    check_host(&plan)?;
    let run = &plan.request.run;
    if let Some(log) = &run.logfile {
        Reporter::error(&format!("Output logs going to: {}\n", log.display()));
    }
    let mut work = WorkDir::create(&run.tmp_dir)?;
    let paths = Paths::below(work.path());
    let text = serde_json::to_vec(&plan.request).context("writing the request down")?;
    fs::write(&paths.request, text).with_context(|| on("writing", &paths.request))?;
    let status = isolation::supervise(work.path());
    let keep = run.keep_failed && !matches!(status, Ok(0));
    if keep {
        work.keep();
        Reporter::error(&format!("the work directory stays: {}\n", work.path().display()));
    }
    if !matches!(status, Ok(0)) {
        remove_partial(&plan);
    }
    let status = status?;
    if status == 0 && plan.final_image {
        for output in &plan.outputs {
            Reporter::result(&output.path.display().to_string());
        }
    }
    if status == 0 {
        let written = plan.ramdisk_files().into_iter().filter(|file| plan.request.absolute(file).exists());
        written.for_each(|file| Reporter::result(&file.display().to_string()));
    }
    Ok(status)
}

/// What can be known before anything is done.
fn check_host(plan: &Plan) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        let hint = "run it as root (sudo image-create ...); `image-create plan` needs no privilege";
        return Err(HostNotReady::new("building needs root: mounts, namespaces and files of other owners", hint).into());
    }
    let lacks: Vec<_> = crate::host::check(&plan.needs).into_iter().filter(|l| !l.optional).collect();
    if !lacks.is_empty() {
        let messages: Vec<_> = lacks.iter().map(|l| l.message.as_str()).collect();
        let hints: Vec<_> = lacks.iter().map(|l| l.hint.as_str()).collect();
        return Err(HostNotReady::new(messages.join("; "), hints.join("; ")).into());
    }
    outputs::check(&plan.outputs, &plan.output_options)?;
    if let Some(log) = &plan.request.run.logfile {
        destination::check_destination(log)?;
    }
    Ok(())
}

/// Half-written outputs of a build that was ended from outside.
fn remove_partial(plan: &Plan) {
    for output in &plan.outputs {
        let path = plan.request.absolute(&output.path);
        if let Some(name) = path.file_name() {
            let partial = path.with_file_name(format!(".{}.partial", name.to_string_lossy()));
            // Mostly there is none.
            fs::remove_file(partial).ok();
        }
    }
}

/// The processes of a build, by the name they were started under; `None` for any other name.
pub fn dispatch(name: &str, args: &[OsString]) -> Option<u8> {
    let work: &OsStr = args.first().map_or(OsStr::new(""), OsString::as_os_str);
    let result = match name {
        isolation::INIT => isolation::init(work),
        isolation::EXECUTOR => execute(Path::new(work)),
        _ => return None,
    };
    Some(result.unwrap_or_else(|error| {
        Reporter::error(&crate::error::render(&error));
        crate::error::exit_code(&error)
    }))
}

/// The executor: takes the request from the work directory, plans as the supervisor did, and does it.
fn execute(work: &Path) -> Result<u8> {
    let paths = Paths::below(work);
    let text = fs::read(&paths.request).with_context(|| on("reading", &paths.request))?;
    let request: BuildRequest = serde_json::from_slice(&text).with_context(|| on("reading", &paths.request))?;
    let plan = Plan::new(request).map_err(|faults: Faults| anyhow::Error::from(faults).context("planning again"))?;
    let timings = Timings::default();
    let reporter = reporter(&plan.request.run, timings.clone())?;
    greet(&plan, &reporter);
    Executor::new(&plan, &paths, &reporter)?.run().map_err(|e| destination::explain_full(e, &paths.build))?;
    reporter.event(&Event::Summary { text: &timings.table(0.5) });
    reporter.info("Build completed successfully");
    Ok(0)
}

fn greet(plan: &Plan, reporter: &Reporter) {
    reporter.info(format!("image-create version {}", env!("CARGO_PKG_VERSION")));
    reporter.info(format!("Building elements: {}", plan.request.elements.join(" ")));
    let names: Vec<_> = plan.resolution.names().collect();
    reporter.info(format!("Expanded element dependencies to: {}", names.join(" ")));
    for warning in &plan.warnings {
        reporter.warn(warning.sentence());
    }
}

fn reporter(run: &RunRequest, timings: Timings) -> Result<Reporter> {
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(timings)];
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    if run.quiet || !terminal || !run.breakpoints.is_empty() {
        sinks.push(Box::new(Plain::new(!run.no_timestamp, run.quiet)));
    } else {
        sinks.push(Box::new(Live::new(run.trace > 0)));
    }
    if let Some(path) = &run.logfile {
        sinks.push(Box::new(LogFile::open(path).with_context(|| on("opening the log file", path))?));
    }
    if let Some(path) = &run.events {
        sinks.push(Box::new(EventFile::create(path).with_context(|| on("making", path))?));
    }
    Ok(Reporter::new(sinks))
}
