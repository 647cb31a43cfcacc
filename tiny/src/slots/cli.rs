//! The command line of `image-slots`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::install::{self, Options, Signature};
use super::place::Place;
use super::setup::{self, Wanted};
use super::state::{MARKED, Start, State};
use super::{Lock, Refused, marks, trial};

/// What `--help` prints.
pub const HELP: &str = "\
Two systems on one disk: one runs, the other is installed, tried once and kept if it is good.

usage: image-slots COMMAND [OPTIONS]

  status [--json]
      Which slot runs, which one is good and starts by default, what each holds, and
      how many seconds are left of a trial.
  install BUNDLE [OPTIONS]
      Installs the system of a migration bundle (migration.tar.gz, or the folder it was
      unpacked to) into the slot that does not run, with the configuration of this one,
      and restarts into it once. Everything is checked before anything is changed.
        --key FILE      the public key that the bundle has to be signed with
                        (default: /etc/upgrade-tiny/trusted.pem)
        --no-verify     take the bundle whoever made it
        --force         even if it has the version that runs
        --no-reboot     leave the restart to you; the trial is the next start
        --timeout SECS  how long the trial lasts, from the start (default: 300)
        --work DIR      where the bundle is unpacked (default: /var/tmp)
  try [--timeout SECS] [--reboot]
      Has the other slot start once, as a trial: for a system that came back, or that
      was installed with --no-reboot and cancelled.
  mark-good
      Keeps the running system: it starts by default from now on. Ends a trial.
  rollback [--reboot]
      Has the other slot start by default from now on, if its system was good once.
  setup [--root TREE]
      Makes the boot loader's configuration from /etc/upgrade-tiny/slots.json. Needs no
      device: image builds call it in the tree. Kernel arguments are those that grub.cfg
      or the boot loader entries give this slot, else those of /etc/default/grub.
  refresh [--kernel VERSION] [--made VERSION] [--root TREE]
      Has this slot start its newest kernel, or the one named. Called after kernels are
      installed or removed. --made says that this system has just written the files of
      that version in /boot, which both systems share.
  guard, health
      What image-slots-trial.service and image-slots-health.service run.

A trial that is not marked good in time, panics or is reset ends in the slot that was
good: GRUB forgets the trial before it starts it.

exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused: nothing was changed
";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print the help.
    Help,
    /// Tell how things stand.
    Status {
        /// For programs.
        json: bool,
    },
    /// Install a bundle.
    Install(Options),
    /// Start the other slot once.
    Try {
        /// Seconds of the trial.
        timeout: Option<u64>,
        /// Now.
        reboot: bool,
    },
    /// Keep the running system.
    MarkGood,
    /// Go back.
    Rollback {
        /// Now.
        reboot: bool,
    },
    /// Make the boot configuration.
    Setup {
        /// Of the system in this tree.
        root: PathBuf,
    },
    /// Take a newer kernel.
    Refresh {
        /// Of the system in this tree.
        root: PathBuf,
        /// Which one.
        wanted: Wanted,
    },
    /// End a trial when its time is over.
    Guard,
    /// Have scripts decide about a trial.
    Health,
}

/// Reads the words after the program's name.
///
/// # Errors
/// What is wrong in them.
pub fn parse(words: &[String]) -> Result<Command> {
    let Some(verb) = words.first() else { bail!("no command is given") };
    let mut rest = Words { words: words[1..].iter() };
    if ["help", "--help", "-h"].contains(&verb.as_str()) || words.iter().any(|w| w == "--help" || w == "-h") {
        return Ok(Command::Help);
    }
    let (mut json, mut reboot, mut timeout, mut root, mut wanted) =
        (false, false, None, PathBuf::from("/"), Wanted::default());
    if verb == "install" {
        return rest.install();
    }
    let known: &[&str] = match verb.as_str() {
        "status" => &["--json"],
        "try" => &["--timeout", "--reboot"],
        "rollback" => &["--reboot"],
        "setup" => &["--root"],
        "refresh" => &["--root", "--kernel", "--made"],
        "mark-good" | "guard" | "health" => &[],
        _ => bail!("there is no command '{verb}'"),
    };
    while let Some((name, mut value)) = rest.next() {
        if !known.contains(&name) {
            bail!("'{verb}' takes no '{name}'");
        }
        match name {
            "--json" => json = true,
            "--reboot" => reboot = true,
            "--timeout" => timeout = Some(seconds(&rest.value(name, &mut value)?)?),
            "--root" => root = rest.value(name, &mut value)?.into(),
            "--kernel" => wanted.kernel = Some(rest.value(name, &mut value)?),
            _ => wanted.made = Some(rest.value(name, &mut value)?),
        }
        if let Some(value) = value {
            bail!("'{name}' takes no value, and '{value}' is given");
        }
    }
    Ok(match verb.as_str() {
        "status" => Command::Status { json },
        "try" => Command::Try { timeout, reboot },
        "rollback" => Command::Rollback { reboot },
        "setup" => Command::Setup { root },
        "refresh" => Command::Refresh { root, wanted },
        "mark-good" => Command::MarkGood,
        "guard" => Command::Guard,
        _ => Command::Health,
    })
}

struct Words<'a> {
    words: std::slice::Iter<'a, String>,
}

impl<'a> Words<'a> {
    /// The next word, with the value that follows a `=`.
    fn next(&mut self) -> Option<(&'a str, Option<String>)> {
        let word = self.words.next()?;
        Some(match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word, None),
        })
    }

    fn value(&mut self, name: &str, given: &mut Option<String>) -> Result<String> {
        match given.take().or_else(|| self.words.next().cloned()) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => bail!("'{name}' needs a value"),
        }
    }

    fn install(&mut self) -> Result<Command> {
        let mut bundle = None;
        let mut options = Options::default();
        while let Some((name, mut value)) = self.next() {
            match name {
                "--key" => options.signature = Signature::Key(self.value(name, &mut value)?.into()),
                "--no-verify" => options.signature = Signature::Any,
                "--force" => options.force = true,
                "--no-reboot" => options.reboot = false,
                "--timeout" => options.timeout = Some(seconds(&self.value(name, &mut value)?)?),
                "--work" => options.work = self.value(name, &mut value)?.into(),
                name if !name.starts_with('-') && bundle.is_none() => bundle = Some(PathBuf::from(name)),
                name => bail!("'install' takes no '{name}'"),
            }
            if let Some(value) = value {
                bail!("'{name}' takes no value, and '{value}' is given");
            }
        }
        let Some(bundle) = bundle else {
            bail!("'install' needs a bundle: migration.tar.gz or the folder it was unpacked to")
        };
        Ok(Command::Install(Options { bundle, ..options }))
    }
}

fn seconds(text: &str) -> Result<u64> {
    match text.parse() {
        Ok(seconds) if seconds >= 10 => Ok(seconds),
        _ => bail!("'{text}' is no time in seconds, of at least 10"),
    }
}

/// Runs the program; gives its exit code.
#[must_use]
pub fn main(words: &[String]) -> u8 {
    let command = match parse(words) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("image-slots: {error}\n'image-slots --help' tells what there is");
            return 2;
        }
    };
    match run(command) {
        Ok(()) => 0,
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(Refused(reasons)) => {
                reasons.iter().for_each(|why| eprintln!("image-slots: refused: {why}"));
                eprintln!("image-slots: nothing was changed");
                3
            }
            None => {
                eprintln!("image-slots: {error:#}");
                1
            }
        },
    }
}

fn run(command: Command) -> Result<()> {
    let place = Place::at(Path::new("/"));
    let start = Start::now();
    let lock = || Lock::take(Path::new("/run"));
    let mut say = |line: &str| eprintln!("image-slots: {line}");
    match command {
        Command::Help => print!("{HELP}"),
        Command::Status { json: true } => print!("{}", State::read(&place)?.to_json(&start)?),
        Command::Status { json: false } => print!("{}", State::read(&place)?.to_text(&start)),
        Command::Install(options) => {
            let _lock = lock()?;
            install::run(&place, &options, &mut say)?;
            if options.reboot {
                say("restarting");
                trial::restart()?;
            }
        }
        Command::Try { timeout, reboot } => {
            let _lock = lock()?;
            say(&marks::try_other(&place, &start, timeout)?);
            restart_if(reboot)?;
        }
        Command::MarkGood => {
            let _lock = lock()?;
            say(&marks::mark_good(&place, &start, Path::new(MARKED))?);
        }
        Command::Rollback { reboot } => {
            let _lock = lock()?;
            say(&marks::rollback(&place, &start)?);
            restart_if(reboot)?;
        }
        Command::Setup { root } => {
            let _lock = (root == Path::new("/")).then(lock).transpose()?;
            setup::setup(&Place::at(&root))?.iter().for_each(|line| say(line));
        }
        Command::Refresh { root, wanted } => {
            let _lock = (root == Path::new("/")).then(lock).transpose()?;
            setup::refresh(&Place::at(&root), &wanted)?.iter().for_each(|line| say(line));
        }
        Command::Guard => trial::guard(&mut say)?,
        Command::Health => trial::health(&place, &mut say)?,
    }
    Ok(())
}

fn restart_if(reboot: bool) -> Result<()> {
    if reboot { trial::restart() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn commands_and_their_options_are_read() {
        assert_eq!(read("status --json").unwrap(), Command::Status { json: true });
        assert_eq!(read("rollback").unwrap(), Command::Rollback { reboot: false });
        assert_eq!(read("try --timeout=60 --reboot").unwrap(), Command::Try { timeout: Some(60), reboot: true });
        assert_eq!(read("setup --root /tree").unwrap(), Command::Setup { root: "/tree".into() });
        let wanted = Wanted { kernel: None, made: Some("6.1".into()) };
        assert_eq!(read("refresh --made 6.1").unwrap(), Command::Refresh { root: "/".into(), wanted });
        assert_eq!(read("install -h").unwrap(), Command::Help);
        let Command::Install(options) = read("install --key k b.tar.gz --no-reboot --force --timeout 40").unwrap()
        else {
            panic!()
        };
        assert_eq!((options.bundle.to_str(), options.timeout), (Some("b.tar.gz"), Some(40)));
        assert_eq!(options.signature, Signature::Key("k".into()));
        assert!(options.force && !options.reboot);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |line: &str| read(line).unwrap_err().to_string();
        assert_eq!(wrong(""), "no command is given");
        assert_eq!(wrong("instal x"), "there is no command 'instal'");
        assert_eq!(wrong("mark-good --force"), "'mark-good' takes no '--force'");
        assert_eq!(wrong("status --json=yes"), "'--json' takes no value, and 'yes' is given");
        assert_eq!(wrong("refresh --kernel"), "'--kernel' needs a value");
        assert_eq!(wrong("try --timeout 1"), "'1' is no time in seconds, of at least 10");
        assert!(wrong("install --no-verify").contains("needs a bundle"));
        assert_eq!(wrong("install a b"), "'install' takes no 'b'");
    }
}
