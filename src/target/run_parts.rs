//! `dib-run-parts [--list] DIR`: runs the scripts of a directory in order (contract 1.7).
//!
//! The engine runs a build's phases itself; this program is for elements that run directories of
//! their own. bash sources the environment files and then becomes this program again, so that the
//! scripts inherit whatever those files did: variables, working directory, umask, limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::element::run_order::{self, Skip};
use crate::error::{Faults, on};
use crate::exec::command::code_of;

use super::{out, say, var};

/// Tells the second start from the first; not for callers.
const SOURCED: &str = "--environment-is-sourced";

const USAGE: &str = "Usage: dib-run-parts [--list] DIR";

/// Sources the files given as arguments up to `--`, then becomes the program after it. A function
/// each, so that `return` ends one file only.
const SOURCE: &str = r#"
set -ue -o pipefail
source_one() { source "$1"; }
while [ "$1" != -- ]; do
    printf 'dib-run-parts Sourcing environment file %s\n' "$1" >&2
    source_one "$1"
    shift
done
shift
exec -a dib-run-parts "$@"
"#;

/// Runs the scripts, or lists them.
///
/// # Errors
/// When the directory cannot be read or a script not be started. A script's own failure is no
/// error but its status is the result.
pub fn run(args: Vec<String>) -> Result<u8> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (mode, dir) = match args[..] {
        ["-h" | "--help"] => return out(USAGE).map(|()| 0),
        ["--version"] => return out(concat!("dib-run-parts ", env!("CARGO_PKG_VERSION"))).map(|()| 0),
        ["--list", dir, ..] => ("--list", dir),
        [SOURCED, dir, ..] => (SOURCED, dir),
        [dir, ..] => ("", dir),
        [] => return usage("a directory has to be given"),
    };
    if !Path::new(dir).is_dir() {
        return usage(&format!("{dir} is not a directory"));
    }
    match mode {
        "--list" => list(dir),
        SOURCED => run_targets(dir),
        _ => source_and_run(dir),
    }
}

fn usage(problem: &str) -> Result<u8> {
    say(&format!("dib-run-parts {problem}\n{USAGE}"))?;
    Ok(1)
}

fn log(message: &str) -> Result<()> {
    say(&format!("dib-run-parts {message}"))
}

fn list(dir: &str) -> Result<u8> {
    for name in targets(dir)? {
        out(&format!("{dir}/{name}"))?;
    }
    Ok(0)
}

/// The names in `dir` that run, in order. What does not run is named when tracing is on.
fn targets(dir: &str) -> Result<Vec<String>> {
    let pattern = run_order::pattern(var("RUN_PARTS_REGEX").as_deref()).map_err(Faults::from)?;
    let trace = var("DIB_DEBUG_TRACE").and_then(|level| level.parse::<i32>().ok()).is_some_and(|level| level > 0);
    let mut names = Vec::new();
    for (name, mode) in files(Path::new(dir))? {
        match run_order::runs(&name, mode, &pattern) {
            Ok(()) => names.push(name),
            Err(skip) if trace => {
                let kind = match skip {
                    Skip::NotExecutable => "non-executable file",
                    Skip::BadName => "file with a bad name",
                };
                log(&format!("Ignoring {kind}: {dir}/{name}"))?;
            }
            Err(_) => {}
        }
    }
    run_order::sort(&mut names);
    Ok(names)
}

/// The regular files of a directory, links to such included, with their permission bits.
fn files(dir: &Path) -> Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| on("reading", dir))? {
        let entry = entry.with_context(|| on("reading", dir))?;
        let (Ok(name), Ok(target)) = (entry.file_name().into_string(), fs::metadata(entry.path())) else {
            // No name that the pattern allows, or a link that leads nowhere.
            continue;
        };
        if target.is_file() {
            found.push((name, target.permissions().mode()));
        }
    }
    Ok(found)
}

fn source_and_run(dir: &str) -> Result<u8> {
    let environment = format!("{dir}/../environment.d");
    let mut sources = match Path::new(&environment).is_dir() {
        true => files(Path::new(&environment))?.into_iter().map(|(name, _)| name).collect(),
        false => Vec::new(),
    };
    sources.retain(|name| run_order::is_environment_file(name));
    run_order::sort_environment(&mut sources);
    if sources.is_empty() {
        return run_targets(dir);
    }

    let itself = std::env::current_exe().context("finding this program's own file")?;
    let mut bash = Command::new("bash");
    bash.args(["-c", SOURCE, "dib-run-parts"]);
    bash.args(sources.iter().map(|name| format!("{environment}/{name}")));
    bash.arg("--").arg(itself).args([SOURCED, dir]);
    Err(bash.exec()).context("starting bash to source the environment files")
}

fn run_targets(dir: &str) -> Result<u8> {
    let mut times = Vec::new();
    for name in targets(dir)? {
        let path = format!("{dir}/{name}");
        log(&format!("Running {path}"))?;
        let start = Instant::now();
        let code = code_of(start_script(&path)?);
        if code != 0 {
            log(&format!("{name} failed with status {code}"))?;
            // Statuses fit: a shell's rule (128 + signal) is at most 192.
            return Ok(u8::try_from(code).unwrap_or(1));
        }
        log(&format!("{name} completed"))?;
        times.push((name, start.elapsed()));
    }
    for line in profile(dir, times) {
        log(&line)?;
    }
    Ok(0)
}

fn start_script(path: &str) -> Result<ExitStatus> {
    let status = match Command::new(path).status() {
        // A script without an interpreter line: a shell runs such a file itself.
        Err(e) if e.raw_os_error() == Some(nix::libc::ENOEXEC) => Command::new("bash").arg(path).status(),
        status => status,
    };
    status.with_context(|| format!("starting {path}"))
}

fn profile(dir: &str, mut times: Vec<(String, Duration)>) -> Vec<String> {
    times.sort();
    let ruler = |title: &str| format!("{title:-^66}");
    let base = Path::new(dir).file_name().map_or(dir.into(), |name| name.to_string_lossy());
    let mut lines = vec![ruler(" PROFILING "), String::new(), format!("Target: {base}"), String::new()];
    lines.push(format!("{:<40} {}", "Script", "Seconds"));
    lines.push(format!("{:-<40} {:-<10}", "", ""));
    lines.push(String::new());
    lines.extend(times.iter().map(|(name, time)| format!("{name:<40} {:.3}", time.as_secs_f64())));
    lines.extend([String::new(), ruler(" END PROFILING ")]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_in_byte_order_and_is_there_without_scripts_too() {
        let ms = Duration::from_millis;
        let lines = profile("/x/install.d", vec![("20-y".into(), ms(1500)), ("100-x".into(), ms(2))]);
        assert!(lines.contains(&"Target: install.d".to_owned()));
        let rows: Vec<_> = lines.iter().filter(|l| l.contains("0-")).collect();
        assert_eq!(rows, [&format!("{:<40} 0.002", "100-x"), &format!("{:<40} 1.500", "20-y")]);
        assert!(profile("/x", vec![]).last().unwrap().contains("END PROFILING"));
    }
}
