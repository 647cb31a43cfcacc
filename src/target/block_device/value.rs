//! `dib-block-device getval SYMBOL` (contract 5.10).

use anyhow::{Context, Result, bail};

use super::parameters::Parameters;
use super::state::{BlockDevice, State};
use crate::plan::disk::MAIN_DISK;

/// The symbols.
const SYMBOLS: [&str; 7] = [
    "root-label",
    "root-fstype",
    "boot-label",
    "mount-points",
    "image-path",
    "image-block-device",
    "image-block-devices",
];

/// A symbol's value.
///
/// # Errors
/// Unknown symbols; "State dump not found" for what is known only when the disks are there.
pub fn get(parameters: &Parameters, symbol: &str) -> Result<String> {
    let layout = || parameters.layout();
    let state = || State::load(&parameters.states());
    Ok(match symbol {
        "root-label" => layout()?.root_label().to_owned(),
        "root-fstype" => layout()?.root_fstype().to_owned(),
        "boot-label" => layout()?.boot_label().to_owned(),
        "mount-points" => layout()?.mount_points_joined(),
        "image-path" => {
            let image = main_disk(&state()?)?.image;
            image.with_context(|| format!("{MAIN_DISK} has no file"))?.display().to_string()
        }
        "image-block-device" => main_disk(&state()?)?.device.display().to_string(),
        "image-block-devices" => {
            let pairs = state()?.blockdev.into_iter();
            pairs.map(|(name, blockdev)| format!(" [{name}]={} ", blockdev.device.display())).collect()
        }
        other => bail!("[{other}] is no symbol; the symbols are {}", SYMBOLS.join(", ")),
    })
}

fn main_disk(state: &State) -> Result<BlockDevice> {
    state.blockdev.get(MAIN_DISK).cloned().with_context(|| format!("there is no disk called {MAIN_DISK}"))
}
