//! Parses, dispatches, prints the error, returns the exit code.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(code) = image_create::target::dispatch(&name, args.collect()) {
        return ExitCode::from(code);
    }
    ExitCode::SUCCESS
}
