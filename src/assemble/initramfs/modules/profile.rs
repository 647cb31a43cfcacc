//! The devices of a machine, as a list of modaliases that was gathered on it.

use std::fmt;
use std::path::Path;

use crate::error::{Fault, Faults, Place};

/// The script that gathers a profile on the machine itself.
pub const GATHER_SCRIPT: &str = include_str!("../../../../lib/gather-hardware");

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where it is below `/sys`, if the profile says so.
    pub path: Option<String>,
    /// What the kernel says to ask for its driver: `pci:v00001AF4d00001000sv...`.
    pub modalias: String,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path} ({})", self.modalias),
            None => f.write_str(&self.modalias),
        }
    }
}

/// The devices of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// In the order of the file, each once.
    pub devices: Vec<Device>,
}

impl Profile {
    /// Reads a profile: lines with a modalias, or with a path, a colon, a blank and a modalias; `#` begins a comment.
    ///
    /// # Errors
    /// Every line that is neither, and a file without any device.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Faults> {
        let mut devices: Vec<Device> = Vec::new();
        let mut faults = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (path, modalias) = match line.split_once(": ") {
                Some((path, modalias)) if path.starts_with('/') => (Some(path.to_owned()), modalias.trim()),
                _ => (None, line),
            };
            if !modalias.contains(':') || modalias.starts_with('/') {
                let fault = Fault::at(Place::line(file, number + 1), format!("'{line}' is no modalias"));
                faults.push(fault.hint("a line is like 'pci:v00001AF4d00001000sv...' or '/sys/devices/...: pci:...'"));
                continue;
            }
            let device = Device { path, modalias: modalias.to_owned() };
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        if devices.is_empty() && faults.is_empty() {
            let fault = Fault::at(Place::file(file), "the hardware profile has no device");
            faults.push(fault.hint("gather one on the machine: image-create initramfs check --print-gather-script"));
        }
        Faults::or(faults, Self { devices })
    }
}
