//! `slots.json`, which says which slot a system is, and `version.json`, which says what a slot holds.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Where a system says which slot it is.
pub const SLOTS_JSON: &str = "etc/upgrade-tiny/slots.json";

/// `/etc/upgrade-tiny/slots.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The slot that this system is in.
    pub slot: String,
    /// The volume group.
    pub group: String,
    /// The volumes that hold systems.
    pub slots: Vec<String>,
    /// The file system of /boot.
    #[serde(default)]
    pub boot_uuid: String,
    /// The system's version, as its vendor counts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Kernel arguments, where those of the boot loader's configuration are not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Whether the scripts of health.d decide about a trial.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub health: bool,
}

impl Config {
    /// Reads and checks the text of the file.
    ///
    /// # Errors
    /// What is wrong in it.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(text)?;
        // The names become variables of GRUB, parts of paths and names of volumes.
        let plain = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && name.len() <= 32
        };
        for slot in &config.slots {
            ensure!(plain(slot), "'{slot}' cannot be a slot's name: letters, digits and _ only");
        }
        ensure!(config.slots.len() == 2, "\"slots\" has to name two volumes, and names {}", config.slots.len());
        ensure!(config.slots[0] != config.slots[1], "\"slots\" names '{}' twice", config.slots[0]);
        ensure!(config.slots.contains(&config.slot), "\"slot\" is '{}', which is not one of \"slots\"", config.slot);
        let group = |b: u8| b.is_ascii_alphanumeric() || b"+_.-".contains(&b);
        ensure!(
            !config.group.is_empty() && !config.group.starts_with('-') && config.group.bytes().all(group),
            "'{}' cannot be a volume group's name",
            config.group
        );
        Ok(config)
    }

    /// Reads the file of the system in `root`.
    ///
    /// # Errors
    /// When it is not there or wrong.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(SLOTS_JSON);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("reading {}, which says which of two slots a system is in", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// The slot that this system is not in.
    #[must_use]
    pub fn other(&self) -> &str {
        let other = self.slots.iter().find(|s| **s != self.slot);
        other.map_or("", String::as_str)
    }

    /// The device of a slot's volume, by the name that device-mapper gives it.
    #[must_use]
    pub fn device(&self, slot: &str) -> String {
        let escape = |name: &str| name.replace('-', "--");
        format!("/dev/mapper/{}-{}", escape(&self.group), escape(slot))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never, but for a lack of memory.
    pub fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// `/boot/slots/SLOT/version.json`: what is to be known of a system without mounting its volume. It lies beside the
/// system's kernel and is put in place together with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version, as the vendor counts.
    #[serde(default)]
    pub version: String,
    /// The system, for people.
    #[serde(default)]
    pub system: String,
    /// The kernel's version.
    #[serde(default)]
    pub kernel: String,
    /// The kernel's arguments, but for those of a trial.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// When it was installed, in seconds since 1970; 0 for a system that was there from the beginning.
    #[serde(default)]
    pub installed: u64,
}

impl Version {
    /// Reads the file in a slot's folder; none if there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("version.json");
        let text = match fs::read_to_string(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        serde_json::from_str(&text).map(Some).with_context(|| format!("reading {}", path.display()))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never, but for a lack of memory.
    pub fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// What menus and people call it: `Rocky Linux 9.4, version 2026.1`.
    #[must_use]
    pub fn title(&self) -> String {
        let system = if self.system.is_empty() { "Linux" } else { &self.system };
        if self.version.is_empty() { system.to_owned() } else { format!("{system}, version {}", self.version) }
    }
}

/// The value of a variable in a file like /etc/os-release.
#[must_use]
pub fn os_release(text: &str, name: &str) -> Option<String> {
    let line = text.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the element writes into an image.
    pub(crate) fn example() -> Config {
        Config::parse(r#"{"slot": "root", "group": "VA", "slots": ["root", "back"], "boot_uuid": "1-2"}"#).unwrap()
    }

    #[test]
    fn the_contract_is_read_and_written() {
        let config = example();
        assert_eq!((config.other(), config.device("back").as_str()), ("back", "/dev/mapper/VA-back"));
        assert_eq!(Config::parse(&config.to_text().unwrap()).unwrap(), config);
        assert!(!config.to_text().unwrap().contains("health"));
    }

    #[test]
    fn hyphens_are_doubled_by_device_mapper() {
        assert_eq!(Config { group: "a-b".into(), ..example() }.device("root"), "/dev/mapper/a--b-root");
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |from: &str, to: &str| {
            let text = example().to_text().unwrap().replace(from, to);
            Config::parse(&text).unwrap_err().to_string()
        };
        assert!(wrong("\"slot\": \"root\"", "\"slot\": \"data\"").contains("'data', which is not one of"));
        assert!(wrong("\"back\"", "\"ba-ck\"").contains("'ba-ck' cannot be a slot's name"));
        assert!(wrong("\"back\"", "\"root\"").contains("twice"));
        assert!(wrong("\"VA\"", "\"../VA\"").contains("volume group"));
        assert!(wrong("    \"back\"", "    \"back\", \"third\"").contains("names 3"));
    }

    #[test]
    fn titles_say_what_is_known() {
        let version = Version { version: "2026.2".into(), system: "Rocky Linux 9.4".into(), ..Version::default() };
        assert_eq!(version.title(), "Rocky Linux 9.4, version 2026.2");
        assert_eq!(Version::default().title(), "Linux");
        assert_eq!(os_release("NAME=x\nPRETTY_NAME=\"A B\"\n", "PRETTY_NAME").as_deref(), Some("A B"));
    }

    #[test]
    fn a_slot_without_a_file_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Version::read(&dir.path().join("back")).unwrap(), None);
        fs::write(dir.path().join("version.json"), "{").unwrap();
        assert!(Version::read(dir.path()).is_err());
    }
}
