//! Drivers for the devices that are there: what udev does at boot with `MODALIAS`, without udev.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::modules::Loader;

/// Loads drivers for devices as they show up.
#[derive(Debug, Default)]
pub struct Coldplug {
    seen: HashSet<String>,
}

impl Coldplug {
    /// Looks for devices that were not there before and loads their drivers, until no driver brings up another device
    /// at once. Gives whether anything was loaded.
    pub fn run(&mut self, loader: &mut Loader) -> bool {
        let mut any = false;
        loop {
            let mut found = Vec::new();
            gather(Path::new("/sys/devices"), &mut found);
            let mut loaded = false;
            for modalias in found {
                if self.seen.insert(modalias.clone()) {
                    loaded |= loader.load_for_device(&modalias);
                }
            }
            any |= loaded;
            if !loaded {
                return any;
            }
        }
    }
}

/// Collects the modaliases below a directory of /sys.
fn gather(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            gather(&entry.path(), found);
        } else if kind.is_file() && entry.file_name() == "modalias" {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            found.extend(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned));
        }
    }
}
