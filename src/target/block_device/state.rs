//! What has been made of a description: `state.json` (contract 5.11).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::error::on;

const STATE: &str = "state.json";
/// The file that says that everything was made. Its name is the contract's; what is in it is JSON.
const MADE: &str = "nodes.pickle";

/// Devices, filesystems and mounts by the names of their nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Disks, partitions and logical volumes.
    pub blockdev: BTreeMap<String, BlockDevice>,
    /// Filesystems.
    pub filesys: BTreeMap<String, FilesystemState>,
    /// Mounts, by mount point.
    pub mount: BTreeMap<String, MountState>,
    /// Mount points in the order in which they were mounted.
    pub mount_order: Vec<String>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// `/dev/loop0p1`
    pub device: PathBuf,
    /// A disk's raw file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PathBuf>,
    /// The file of which a logical volume's device shows a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<PathBuf>,
}

/// A filesystem that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesystemState {
    /// As `blkid` shows it.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// Its type.
    pub fstype: String,
    /// The options it was made with.
    pub opts: Vec<String>,
    /// Where it lies.
    pub device: PathBuf,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountState {
    /// The mount's node.
    pub name: String,
    /// The filesystem.
    pub base: String,
    /// Where, on the host.
    pub path: PathBuf,
}

impl State {
    /// Reads the state.
    ///
    /// # Errors
    /// "State dump not found" before anything was made.
    pub fn load(states: &Path) -> Result<Self> {
        let file = states.join(STATE);
        if !file.exists() {
            bail!("State dump not found: {}", file.display());
        }
        let text = fs::read_to_string(&file).with_context(|| on("reading", &file))?;
        serde_json::from_str(&text).with_context(|| on("reading", &file))
    }

    /// Writes the state; with `made` also the mark that it is whole.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, states: &Path, made: bool) -> Result<()> {
        let file = states.join(STATE);
        fs::create_dir_all(states).with_context(|| on("making", states))?;
        let text = serde_json::to_string_pretty(self).context("writing JSON")?;
        fs::write(&file, text + "\n").with_context(|| on("writing", &file))?;
        if made {
            let file = states.join(MADE);
            let names: Vec<&String> = self.blockdev.keys().chain(self.filesys.keys()).collect();
            let text = serde_json::to_string(&names).context("writing JSON")?;
            fs::write(&file, text + "\n").with_context(|| on("writing", &file))?;
        }
        Ok(())
    }

    /// Whether everything was made, and nothing was cleaned up since.
    pub fn is_made(states: &Path) -> bool {
        states.join(MADE).exists()
    }

    /// The state of what was made.
    ///
    /// # Errors
    /// "Pickle file not found" if it is not whole.
    pub fn load_made(states: &Path) -> Result<Self> {
        if !Self::is_made(states) {
            bail!("Pickle file not found: {}", states.join(MADE).display());
        }
        Self::load(states)
    }
}
