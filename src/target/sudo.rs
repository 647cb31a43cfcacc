//! `sudo`: a stand-in for hosts that have none. The build runs as root, and many elements call
//! `sudo` in their host hooks; so this one only takes off sudo's options and starts the command.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Starts the command in place of this process, with the environment as it is.
///
/// # Errors
/// When another user than root is asked for, when an option cannot be honoured, when this process
/// is not root's, or when the command cannot be started.
pub fn run(args: Vec<String>) -> Result<u8> {
    let Some(request) = parse(&args)? else { return Ok(0) };
    if !nix::unistd::geteuid().is_root() {
        bail!("this is image-create's stand-in for sudo, which changes no user, and it does not run as root");
    }
    let mut command = Command::new(&request.argv[0]);
    // A set-user-ID program never hands it on (glibc drops it, whatever the options), and hooks count on that: in
    // `sudo chroot` there is no such directory.
    command.env_remove("TMPDIR");
    command.args(&request.argv[1..]).envs(request.variables.iter().copied());
    let error = command.exec();
    if error.kind() == ErrorKind::NotFound {
        bail!("{}: command not found", request.argv[0]);
    }
    Err(error).with_context(|| format!("starting {}", request.argv[0]))
}

#[derive(Debug, PartialEq)]
struct Request<'a> {
    variables: Vec<(&'a str, &'a str)>,
    argv: &'a [String],
}

/// `None` means that there is nothing to do (`sudo -v`, `-k`: credentials, which nobody needs here).
fn parse(args: &[String]) -> Result<Option<Request<'_>>> {
    let mut at = 0;
    while let Some(arg) = args.get(at).filter(|a| a.starts_with('-')) {
        at += 1;
        if arg == "--" {
            break;
        }
        let takes_value = match arg.strip_prefix("--") {
            Some(long) => long_option(long)?,
            None => match short_options(&arg[1..])? {
                Short::Flags => None,
                Short::Value(option, "") => Some(option),
                Short::Value(option, value) => {
                    check_value(option, value)?;
                    None
                }
                Short::Credentials => return Ok(None),
            },
        };
        if let Some(option) = takes_value {
            let value = args.get(at).with_context(|| format!("option {arg} needs a value"))?;
            check_value(option, value)?;
            at += 1;
        }
    }
    let mut variables = Vec::new();
    while let Some(pair) = args.get(at).and_then(|a| assignment(a)) {
        variables.push(pair);
        at += 1;
    }
    if at == args.len() {
        bail!("no command is given; usage: sudo [-E] [-H] [-n] [-u root] [--] [VAR=value]... COMMAND [ARG]...");
    }
    Ok(Some(Request { variables, argv: &args[at..] }))
}

enum Short<'a> {
    Flags,
    Value(char, &'a str),
    Credentials,
}

/// Reads a cluster such as `nEu` (the rest, `root`, is then the value of `-u`).
fn short_options(cluster: &str) -> Result<Short<'_>> {
    for (i, option) in cluster.char_indices() {
        match option {
            'A' | 'E' | 'H' | 'n' | 'P' | 'S' | 'B' => {}
            'u' | 'g' | 'p' | 'C' | 'T' => return Ok(Short::Value(option, &cluster[i + 1..])),
            'k' | 'K' | 'v' => return Ok(Short::Credentials),
            other => bail!("option -{other} is not known to image-create's stand-in for sudo; install sudo to use it"),
        }
    }
    Ok(Short::Flags)
}

/// The short letter of a long option whose value is the next argument.
fn long_option(long: &str) -> Result<Option<char>> {
    let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
    let option = match name {
        "preserve-env" | "set-home" | "non-interactive" | "stdin" | "askpass" | "preserve-groups" => return Ok(None),
        "user" => 'u',
        "group" => 'g',
        "prompt" => 'p',
        other => bail!("option --{other} is not known to image-create's stand-in for sudo; install sudo to use it"),
    };
    match value {
        Some(value) => check_value(option, value).map(|()| None),
        None => Ok(Some(option)),
    }
}

fn check_value(option: char, value: &str) -> Result<()> {
    let root = matches!(value, "root" | "#0" | "0");
    match option {
        'u' if !root => bail!("cannot become user '{value}': image-create's stand-in for sudo only knows root"),
        'g' if !root => bail!("cannot become group '{value}': image-create's stand-in for sudo only knows root"),
        _ => Ok(()),
    }
}

fn assignment(arg: &str) -> Option<(&str, &str)> {
    let (name, value) = arg.split_once('=')?;
    let first = name.chars().next()?;
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (rest && !first.is_ascii_digit()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn argv(line: &str) -> Vec<String> {
        parse(&words(line)).unwrap().unwrap().argv.to_vec()
    }

    #[test]
    fn options_are_taken_off_and_the_rest_is_the_command() {
        assert_eq!(argv("-E -H -n -u root -- ls -l"), ["ls", "-l"]);
        assert_eq!(argv("-nEuroot ls -u x"), ["ls", "-u", "x"]);
        assert_eq!(argv("--preserve-env=A,B --user=root ls"), ["ls"]);
        assert_eq!(parse(&words("-v")).unwrap(), None);
    }

    #[test]
    fn assignments_before_the_command_become_its_environment() {
        let line = words("-E LANG=C A_1= sh -c x=1");
        let request = parse(&line).unwrap().unwrap();
        assert_eq!(request.variables, [("LANG", "C"), ("A_1", "")]);
        assert_eq!(request.argv, ["sh", "-c", "x=1"]);
    }

    #[test]
    fn what_it_cannot_do_is_said() {
        let message = |line: &str| parse(&words(line)).unwrap_err().to_string();
        assert!(message("-u nobody ls").contains("cannot become user 'nobody'"));
        assert!(message("-i").contains("option -i"));
        assert!(message("-E").contains("no command"));
    }
}
