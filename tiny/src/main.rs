//! Reads the command line and hands over; see the library.

use std::path::Path;
use std::process::ExitCode;

use upgrade_tiny::steps::list;

const USAGE: &str = "usage: upgrade-tiny convert | list-steps | slots ...\n       image-slots status | install | try | mark-good | rollback | setup | refresh";

const HELP: &str = "\
convert     replaces the system of the machine; it runs only in the tiny system that upgrade_to_tiny_system.sh starts
list-steps  prints the steps of that: what each needs, does and checks

The kernel's command line of the tiny system:
  upgrade_tiny.root=UUID=...         the old system's file system with the bundle
  upgrade_tiny.dir=PATH              the bundle's folder in it (etc/upd)
  upgrade_tiny.disk=NAME:BYTES       the system disk as the old system saw it; another size is refused
For rehearsals:
  upgrade_tiny.stop=STEP             gives a shell on the console before a step; `exit` goes on
  upgrade_tiny.pause=SECONDS@STEP    waits before a step";

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let name = Path::new(&called).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match (name.as_str(), words.first().map(String::as_str)) {
        ("image-slots", _) => ExitCode::from(upgrade_tiny::slots::cli::main(&words)),
        (_, Some("slots")) => ExitCode::from(upgrade_tiny::slots::cli::main(&words[1..])),
        (_, Some("convert")) => ExitCode::from(upgrade_tiny::steps::convert()),
        (_, Some("list-steps" | "--list-steps")) => {
            print!("{}", list::text(&list::steps(Path::new("/"))));
            ExitCode::SUCCESS
        }
        (_, Some("help" | "--help" | "-h")) => {
            println!("{USAGE}\n\n{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
