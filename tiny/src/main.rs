//! Reads the command line and hands over; see the library.

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: upgrade-tiny convert | list-steps | slots ...\n       image-slots status | install | mark-good | rollback | setup | refresh";

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let name = Path::new(&called).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match (name.as_str(), words.first().map(String::as_str)) {
        ("image-slots", _) => ExitCode::from(upgrade_tiny::slots::cli::main(&words)),
        (_, Some("slots")) => ExitCode::from(upgrade_tiny::slots::cli::main(&words[1..])),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
