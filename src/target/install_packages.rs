//! `install-packages`: the one way in which elements install and remove packages (contract 4.4).
//! Needs the target's package manager and nothing else.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::dnf_call::{Call, tell};
use super::output::{Streams, lines};
use super::run_dnf::Output;
use super::{out, package_names, package_requests, say, var};
use crate::error::on;
use crate::exec::command::{Cmd, quote};
use crate::near::{near, quoted};
use crate::package::manager::{Action, Manager, Settings};

const USAGE: &str = "usage: install-packages [-h] [-u] [-e] [-d [DIR]] [-m ELEMENT] PACKAGE...
  -u          bring the whole system up to date; packages are not looked at
  -e          remove the packages instead
  -d [DIR]    download only: dnf and yum need a directory, zypper takes none, apt cannot
  -m ELEMENT  map the names by the element's pkg-map first";

const REDHAT_KEY: &str = "/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release";

#[derive(Debug, PartialEq)]
struct Request {
    action: Action,
    map: Option<String>,
    packages: Vec<String>,
}

/// Installs, removes, upgrades or downloads. The manager's own exit status is ours.
///
/// # Errors
/// When the target has no known package manager, or this is not the target; when the arguments
/// or a pkg-map are wrong.
pub fn run(args: Vec<String>) -> Result<u8> {
    // The host's hook tree is out of sight in the target. Without this a hook in the wrong phase
    // would change the machine that builds.
    if var("TMP_HOOKS_PATH").is_some_and(|hooks| hooks != "/tmp/in_target.d" && Path::new(&hooks).is_dir()) {
        bail!("this is a phase on the host: packages can only be installed in pre-install.d to finalise.d");
    }
    let manager = Manager::detect(on_path).context("the target has none of apt-get, dnf, yum and zypper")?;
    let Some(request) = parse(args, manager)? else {
        return out(USAGE).map(|()| 0);
    };
    let element = request.map.as_deref();
    let Some(packages) = package_names::resolve(&request.packages, element, manager)? else { return Ok(1) };
    if packages.is_empty() && request.action != Action::Upgrade {
        return nothing_to_do(&request.action, manager);
    }
    let settings = Settings {
        yum: var("YUM").filter(|p| !p.is_empty()),
        yum_flags: var("YUM_FLAGS").map(|flags| flags.split_whitespace().map(str::to_owned).collect()),
    };
    let Some(commands) = manager.commands(&request.action, &packages, &settings) else {
        bail!("unsupported option -d: {manager:?} cannot download only");
    };
    prepare(&request.action, manager)?;
    let adds = matches!(request.action, Action::Install | Action::Upgrade);
    let record = if adds { package_requests::Request::begin(&packages) } else { None };
    for argv in commands {
        let code = run_one(manager, &argv)?;
        if code != 0 {
            return Ok(code);
        }
    }
    record.map_or(Ok(()), package_requests::Request::end)?;
    Ok(0)
}

/// An empty list is fine; callers of the Red Hat family's tool are used to its silence.
fn nothing_to_do(action: &Action, manager: Manager) -> Result<u8> {
    if manager.family() != "redhat" {
        let verb = if *action == Action::Remove { "remove" } else { "install" };
        out(&format!("Not running install-packages {verb} with empty packages list"))?;
    }
    Ok(0)
}

/// What has to be there before the manager runs: the directory to download to, and trust in the key that Red Hat
/// Enterprise Linux brings along without trusting it.
fn prepare(action: &Action, manager: Manager) -> Result<()> {
    if let Action::Download(Some(dir)) = action {
        fs::create_dir_all(dir).with_context(|| on("making", Path::new(dir)))?;
    }
    if manager.family() == "redhat" && *action != Action::Remove && Path::new(REDHAT_KEY).is_file() {
        let mut command = Command::new("rpm");
        command.args(["--import", REDHAT_KEY]);
        let status = command.status().context("starting rpm")?;
        if !status.success() {
            bail!("rpm cannot import the key {REDHAT_KEY}");
        }
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Options may stand anywhere, as getopt has it. `None`: help is asked for.
fn parse(args: Vec<String>, manager: Manager) -> Result<Option<Request>> {
    let mut request = Request { action: Action::Install, map: None, packages: Vec::new() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            request.packages.extend(args.by_ref());
        } else if arg == "--help" {
            return Ok(None);
        } else if let Some(cluster) = arg.strip_prefix('-').filter(|c| !c.is_empty()) {
            for (i, option) in cluster.char_indices() {
                let rest = &cluster[i + 1..];
                let mut value = || match rest {
                    "" => args.next().with_context(|| format!("-{option} needs a value\n{USAGE}")),
                    rest => Ok(rest.to_owned()),
                };
                match option {
                    'h' => return Ok(None),
                    'u' => request.action = Action::Upgrade,
                    'e' => request.action = Action::Remove,
                    'd' if matches!(manager, Manager::Apt | Manager::Zypper) => request.action = Action::Download(None),
                    'd' => {
                        request.action = Action::Download(Some(value()?));
                        break;
                    }
                    'm' => {
                        request.map = Some(value()?);
                        break;
                    }
                    other => bail!("unknown option -{other}\n{USAGE}"),
                }
            }
        } else {
            // A mapped name may hold several packages, and callers pass it as one word.
            request.packages.extend(arg.split_whitespace().map(str::to_owned));
        }
    }
    Ok(Some(request))
}

/// Runs one command with its output passed through, and returns its status. Explains a failure.
fn run_one(manager: Manager, argv: &[String]) -> Result<u8> {
    let line = argv.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
    out(&format!("Running {line}"))?;
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).envs(manager.environment().iter().copied());
    match manager {
        Manager::Dnf | Manager::Dnf5 | Manager::Yum => run_dnf(command, argv),
        Manager::Apt | Manager::Zypper => run_other(manager, command),
    }
}

/// dnf says what matters on both streams: reasons on stderr, scripts' output on stdout.
fn run_dnf(command: Command, argv: &[String]) -> Result<u8> {
    let mut output = Output::default();
    let code = lines(command, Streams::Both, |line| {
        output.keep(line);
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(line).and_then(|()| stdout.flush()).context("writing to stdout")
    })?;
    let Some(told) = output.explain(&Call::new(argv), code)? else { return Ok(0) };
    tell("install-packages", &told)?;
    Ok(code.max(1))
}

fn run_other(manager: Manager, command: Command) -> Result<u8> {
    let mut not_found = Vec::new();
    let code = lines(command, Streams::Stderr, |line| {
        let line_text = String::from_utf8_lossy(line);
        not_found.extend(line_text.trim().strip_prefix("E: Unable to locate package ").map(str::to_owned));
        std::io::stderr().lock().write_all(line).context("writing to stderr")
    })?;
    if code != 0 && manager == Manager::Apt {
        for hint in apt_hints(&not_found) {
            say(&hint)?;
        }
    }
    Ok(code)
}

/// What may be meant by packages that apt does not know.
fn apt_hints(not_found: &[String]) -> Vec<String> {
    if not_found.is_empty() {
        return Vec::new();
    }
    // With nothing but the installed packages known, near names would only mislead.
    if !has_apt_lists() {
        return vec!["hint: apt has no package lists here: run apt-get update in an earlier hook".to_owned()];
    }
    let listing = Cmd::new("apt-cache").arg("pkgnames").read().unwrap_or_default();
    let mut known: Vec<&str> = listing.lines().map(str::trim).collect();
    known.sort_unstable();
    let hint = |name: &String| match near(name, known.iter().copied()) {
        near if near.is_empty() => {
            format!("hint: no package is called nearly like '{name}'; is its component enabled?")
        }
        near => format!("hint: for '{name}' did you mean {}?", quoted(&near)),
    };
    not_found.iter().map(hint).collect()
}

fn has_apt_lists() -> bool {
    let Ok(entries) = std::fs::read_dir("/var/lib/apt/lists") else { return false };
    entries.flatten().any(|e| e.file_name().to_string_lossy().contains("_Packages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str, manager: Manager) -> Request {
        parse(line.split(' ').map(str::to_owned).collect(), manager).unwrap().unwrap()
    }

    #[test]
    fn options_may_stand_anywhere_and_be_joined() {
        let expected =
            Request { action: Action::Remove, map: Some("base".into()), packages: vec!["a".into(), "b".into()] };
        assert_eq!(request("a -e -m base b", Manager::Apt), expected);
        assert_eq!(request("-embase a b", Manager::Apt), expected);
        assert_eq!(request("-u", Manager::Apt).action, Action::Upgrade);
        assert_eq!(request("-d /x a", Manager::Dnf).action, Action::Download(Some("/x".into())));
        assert_eq!(request("-d a", Manager::Zypper).packages, ["a"]);
        assert_eq!(request("-- -x", Manager::Apt).packages, ["-x"]);
        assert!(parse(vec!["-z".into()], Manager::Apt).is_err());
    }

    #[test]
    fn a_word_with_blanks_is_several_packages() {
        let args = vec!["a b".to_owned(), " c ".to_owned()];
        assert_eq!(parse(args, Manager::Apt).unwrap().unwrap().packages, ["a", "b", "c"]);
    }
}
