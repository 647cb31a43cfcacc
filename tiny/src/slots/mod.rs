//! Two systems on one disk: a bundle is installed into the slot that does not run, started once, and kept only if it is
//! marked good; else the machine comes back to the slot that was good.
//!
//! Deciding: [`envblock`], [`config`], [`arguments`], [`menu`], [`kernels`], [`state`], [`fstab`], [`checks`]. Doing: the
//! rest. What the boot loader does is in [`menu`], for which `docs/slots.md` gives the reasons.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

pub mod arguments;
pub mod checks;
pub mod cli;
pub mod config;
pub mod configured;
pub mod envblock;
pub mod fstab;
pub mod install;
pub mod kernels;
pub mod marks;
pub mod menu;
pub mod place;
pub mod setup;
pub mod state;
pub mod tools;
pub mod trial;

/// What was asked for cannot be done as things stand, and nothing was changed. Ends the program with 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(
    /// Each reason.
    pub Vec<String>,
);

impl Refused {
    /// For a single reason.
    #[must_use]
    pub fn one(why: String) -> anyhow::Error {
        Self(vec![why]).into()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Refused {}

/// Held by a program that changes slots, so that two never do. The kernel lets go of it when the program ends, however it
/// does.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] Flock<File>);

impl Lock {
    /// Takes it, below `run`.
    ///
    /// # Errors
    /// When another program has it.
    pub fn take(run: &Path) -> Result<Self> {
        let folder = run.join("image-slots");
        let path = folder.join("lock");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Self(held)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                Err(Refused::one("another image-slots is at work: wait for it to end".into()))
            }
            Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::config::{Config, SLOTS_JSON, Version};
    use super::place::Place;
    use super::*;

    /// The tree of a machine.
    pub(crate) struct Machine {
        pub(crate) place: Place,
        _dir: tempfile::TempDir,
    }

    impl Machine {
        pub(crate) fn menu(&self) -> String {
            fs::read_to_string(self.place.boot().join("grub2/custom.cfg")).unwrap()
        }

        pub(crate) fn config(&self) -> Config {
            Config::read(&self.place.root).unwrap()
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path: PathBuf = self.place.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    /// A machine as it was built: one system with one kernel, nothing set up.
    pub(crate) fn machine() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine { place: Place::at(dir.path()), _dir: dir };
        machine.write(SLOTS_JSON, r#"{"slot": "root", "group": "VA", "slots": ["root", "back"], "boot_uuid": "1-2"}"#);
        machine.write("etc/os-release", "PRETTY_NAME=\"Rocky Linux 9.4\"\n");
        machine.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet\"\n");
        machine
            .write("boot/grub2/grub.cfg", "blscfg\nif [ -f x ]; then\n  source ${config_directory}/custom.cfg\nfi\n");
        super::kernels::tests::add(&machine.place.root, "5.14.0-1.el9", "one");
        machine
    }

    /// A machine with a system in each slot: that of root is good, that of back was never marked good.
    pub(crate) fn two_systems(running: &str) -> Machine {
        let machine = machine();
        setup::setup(&machine.place).unwrap();
        setup::pin(&machine.place, &machine.config()).unwrap();
        let made = machine.place.new_slot("back").unwrap();
        let version = Version {
            version: "2".into(),
            kernel: "5.14.0-1.el9".into(),
            installed: u64::from(u32::MAX),
            ..Version::default()
        };
        fs::write(made.join("vmlinuz"), "kernel of back").unwrap();
        fs::write(made.join("initramfs.img"), "initramfs of back").unwrap();
        fs::write(made.join("version.json"), version.to_text().unwrap()).unwrap();
        machine.place.put_slot("back", &made).unwrap();
        let mut env = machine.place.env().unwrap();
        env.set("slots_new_back", "1");
        machine.place.write_env(&env).unwrap();
        let config = Config { slot: running.into(), ..machine.config() };
        machine.write(SLOTS_JSON, &config.to_text().unwrap());
        setup::write_menu(&machine.place, &config).unwrap();
        machine
    }

    #[test]
    fn two_at_once_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let refused = Lock::take(dir.path()).unwrap_err();
        assert!(refused.downcast_ref::<Refused>().is_some(), "{refused}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
