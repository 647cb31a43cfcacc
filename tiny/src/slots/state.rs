//! How things stand: which slot runs, which is good, what each holds. Read by one function, told by others.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image_init::cmdline::CommandLine;
use serde::Serialize;

use super::config::{Config, Version};
use super::envblock::EnvBlock;
use super::place::{Place, is_bootable};

/// How long a trial lasts if the kernel's command line does not say it, in seconds since the start.
pub const TRIAL_SECONDS: u64 = 300;

/// Left in the running system when it has been marked good.
pub const MARKED: &str = "/run/image-slots/marked-good";

/// What the kernel says about this start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The slot that the boot loader's entry named.
    pub slot: Option<String>,
    /// How many seconds a trial lasts; none if this is no trial.
    pub trial: Option<u64>,
    /// Whether the system has been marked good since it started.
    pub marked: bool,
    /// Whether health scripts were asked for on the command line.
    pub health: bool,
    /// Seconds since the start.
    pub uptime: u64,
}

impl Start {
    /// Reads `/proc/cmdline` and `/proc/uptime`.
    #[must_use]
    pub fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::of(&read("/proc/cmdline"), &read("/proc/uptime"), Path::new(MARKED).exists())
    }

    /// Takes it from their texts.
    #[must_use]
    pub fn of(cmdline: &str, uptime: &str, marked: bool) -> Self {
        let line = CommandLine::parse(cmdline);
        let limit = line.get("upgrade_slot.timeout").and_then(|s| s.parse().ok()).unwrap_or(TRIAL_SECONDS);
        Self {
            slot: line.get("upgrade_slot.slot").map(str::to_owned),
            trial: (line.get("upgrade_slot.trial") == Some("1")).then_some(limit),
            marked,
            health: line.get("upgrade_slot.health") == Some("1"),
            uptime: uptime.split(['.', ' ']).next().and_then(|s| s.parse().ok()).unwrap_or(0),
        }
    }

    /// Seconds that are left of a trial that nobody has marked good yet; none if there is no such trial.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.trial.filter(|_| !self.marked).map(|limit| limit.saturating_sub(self.uptime))
    }
}

/// What is known of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// What it holds; nothing if it is empty, or an installation was interrupted.
    pub version: Option<Version>,
    /// Whether it was never marked good.
    pub new: bool,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What the running system says about itself.
    pub config: Config,
    /// The slot that starts.
    pub good: String,
    /// The slot that starts once.
    pub next: Option<String>,
    /// What each slot holds, in the order of `slots.json`.
    pub slots: Vec<Slot>,
}

impl State {
    /// Reads it.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn read(place: &Place) -> Result<Self> {
        let config = Config::read(&place.root)?;
        let env = place.env()?;
        let mut slots = Vec::new();
        for name in &config.slots {
            let folder = place.slot(name);
            let version = Version::read(&folder)?.filter(|_| is_bootable(&folder).is_ok());
            slots.push(Slot { name: name.clone(), version, new: is_new(&env, name) });
        }
        let known = |name: &str| config.slots.iter().find(|s| s.as_str() == name).cloned();
        Ok(Self {
            good: env.get("slots_good").and_then(known).unwrap_or_else(|| config.slot.clone()),
            next: env.get("slots_next").and_then(known),
            slots,
            config,
        })
    }

    /// A slot by its name.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn slot(&self, name: &str) -> Result<&Slot> {
        self.slots.iter().find(|s| s.name == name).with_context(|| format!("there is no slot '{name}'"))
    }

    /// Makes sure that the system that asks is the one that was started. A `chroot` of the other volume is not.
    ///
    /// # Errors
    /// When the kernel was started for another slot.
    pub fn check_running(&self, start: &Start) -> Result<()> {
        match &start.slot {
            Some(slot) if *slot != self.config.slot => bail!(
                "slots.json says that this system is slot {}, and the kernel was started for slot {slot}: \
                 run this on the running system, not in a tree of the other one",
                self.config.slot
            ),
            _ => Ok(()),
        }
    }

    /// What people are told.
    #[must_use]
    pub fn to_text(&self, start: &Start) -> String {
        let mut text = String::new();
        for slot in &self.slots {
            let mut marks = Vec::new();
            if slot.name == self.config.slot {
                marks.push("running");
            }
            if slot.name == self.good {
                marks.push("good, starts by default");
            }
            match &slot.version {
                None => marks.push("empty"),
                Some(_) if slot.new => marks.push("never marked good"),
                Some(_) if slot.name != self.good => marks.push("was good"),
                Some(_) => {}
            }
            if self.next.as_ref() == Some(&slot.name) {
                marks.push("starts once at the next boot");
            }
            let title = slot.version.as_ref().map_or_else(|| "no system".to_owned(), Version::title);
            let kernel = slot.version.as_ref().map_or_else(String::new, |v| format!(", kernel {}", v.kernel));
            let _ = writeln!(text, "{:<8} {title}{kernel} [{}]", slot.name, marks.join("; "));
        }
        if let Some(left) = start.left() {
            let _ = writeln!(
                text,
                "This is a trial: 'image-slots mark-good' within {left} s keeps it, else the machine goes back to slot {}.",
                self.good
            );
        }
        text
    }

    /// What programs are told.
    ///
    /// # Errors
    /// Never, but for a lack of memory.
    pub fn to_json(&self, start: &Start) -> Result<String> {
        let slots = self.slots.iter().map(|slot| SlotStatus {
            name: &slot.name,
            state: match &slot.version {
                None => "empty",
                Some(_) if slot.new => "new",
                Some(_) => "good",
            },
            version: slot.version.as_ref().map_or("", |v| &v.version),
            system: slot.version.as_ref().map_or("", |v| &v.system),
            kernel: slot.version.as_ref().map_or("", |v| &v.kernel),
        });
        let status = Status {
            running: &self.config.slot,
            good: &self.good,
            next: self.next.as_deref(),
            trial: start.left().is_some(),
            trial_seconds_left: start.left(),
            slots: slots.collect(),
        };
        Ok(serde_json::to_string_pretty(&status)? + "\n")
    }
}

/// Whether a slot was never marked good. Nobody can tell without the block: then it counts as good, for a system that
/// restarted every five minutes would be worse.
fn is_new(env: &EnvBlock, slot: &str) -> bool {
    env.get(&format!("slots_new_{slot}")) == Some("1")
}

#[derive(Serialize)]
struct Status<'a> {
    running: &'a str,
    good: &'a str,
    next: Option<&'a str>,
    trial: bool,
    trial_seconds_left: Option<u64>,
    slots: Vec<SlotStatus<'a>>,
}

#[derive(Serialize)]
struct SlotStatus<'a> {
    name: &'a str,
    state: &'a str,
    version: &'a str,
    system: &'a str,
    kernel: &'a str,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::slots::config::tests::example;

    /// Root runs and is good; back has a newer system that was never tried.
    pub(crate) fn two_systems() -> State {
        let version = |v: &str| Some(Version { version: v.into(), kernel: "6.1".into(), ..Version::default() });
        State {
            config: example(),
            good: "root".into(),
            next: Some("back".into()),
            slots: vec![
                Slot { name: "root".into(), version: version("1"), new: false },
                Slot { name: "back".into(), version: version("2"), new: true },
            ],
        }
    }

    #[test]
    fn a_start_is_read_from_the_command_line() {
        let start =
            Start::of("root=x upgrade_slot.slot=back upgrade_slot.trial=1 upgrade_slot.timeout=60", "20.55 1\n", false);
        assert_eq!((start.slot.as_deref(), start.left()), (Some("back"), Some(40)));
        assert_eq!(Start::of("upgrade_slot.trial=1", "10.0 1", false).left(), Some(290));
        assert_eq!(Start::of("upgrade_slot.trial=1", "1000.0 1", false).left(), Some(0));
        assert_eq!(Start::of("upgrade_slot.trial=1", "10.0 1", true).left(), None);
        assert_eq!(Start::of("root=x", "10.0 1", false), Start { uptime: 10, ..Start::default() });
    }

    #[test]
    fn people_are_told() {
        assert_eq!(
            two_systems().to_text(&Start::default()),
            "root     Linux, version 1, kernel 6.1 [running; good, starts by default]\n\
             back     Linux, version 2, kernel 6.1 [never marked good; starts once at the next boot]\n"
        );
        let start = Start { trial: Some(300), uptime: 100, ..Start::default() };
        assert!(
            two_systems().to_text(&start).contains("within 200 s keeps it, else the machine goes back to slot root")
        );
    }

    #[test]
    fn programs_are_told() {
        let mut state = two_systems();
        state.slots[1].version = None;
        let json: serde_json::Value = serde_json::from_str(&state.to_json(&Start::default()).unwrap()).unwrap();
        assert_eq!((json["running"].as_str(), json["good"].as_str()), (Some("root"), Some("root")));
        assert_eq!((json["slots"][1]["state"].as_str(), json["trial"].as_bool()), (Some("empty"), Some(false)));
        assert!(json["trial_seconds_left"].is_null());
    }

    #[test]
    fn another_slots_kernel_is_noticed() {
        let start = Start { slot: Some("back".into()), ..Start::default() };
        assert!(two_systems().check_running(&start).unwrap_err().to_string().contains("started for slot back"));
        assert!(two_systems().check_running(&Start::default()).is_ok());
    }
}
