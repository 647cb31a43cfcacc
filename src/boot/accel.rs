//! What runs the guest's instructions: hardware (KVM, HVF) or QEMU's own translator (TCG).

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AccelChoice {
    /// KVM if this host has it and it gets the guest going, else TCG.
    #[default]
    Auto,
    /// Linux's hypervisor; needs /dev/kvm.
    Kvm,
    /// Translation in software: slow, works everywhere.
    Tcg,
    /// macOS's hypervisor.
    Hvf,
}

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// Linux's hypervisor.
    Kvm,
    /// Translation in software.
    Tcg,
    /// macOS's hypervisor.
    Hvf,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Hvf => "hvf",
        })
    }
}

impl Accel {
    /// The CPU model to ask for: images of current distributions need more than QEMU's default one
    /// has (x86-64-v2 for Enterprise Linux 9). TCG has to take AVX apart: programs that choose it because it is
    /// there are three times slower than with SSE (gunzip and sha256sum in a guest: 3.0 and 2.5 s, not 9.1 and 7.5).
    pub fn cpu(self) -> &'static str {
        match self {
            Self::Kvm | Self::Hvf => "host",
            Self::Tcg => "max,avx=off,avx2=off",
        }
    }
}

impl AccelChoice {
    /// The accelerator to start with, and whether TCG may take over when the guest hangs.
    pub fn resolve(self, kvm_opens: bool) -> (Accel, bool) {
        match self {
            Self::Auto if kvm_opens => (Accel::Kvm, true),
            Self::Auto | Self::Tcg => (Accel::Tcg, false),
            Self::Kvm => (Accel::Kvm, false),
            Self::Hvf => (Accel::Hvf, false),
        }
    }
}

/// Whether this process may use KVM.
pub fn kvm_opens() -> bool {
    OpenOptions::new().read(true).write(true).open(Path::new("/dev/kvm")).is_ok()
}

/// How long a guest under KVM may be silent in its early boot before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Signs of a kernel or an operating system at work.
static ALIVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^\[ *\d+\.\d{6}\] |Linux version|login:|systemd|Welcome to ").expect("a constant expression")
});

/// Whether a guest under KVM looks hung: there are hosts (nested ones above all) where KVM opens,
/// firmware and boot loader run, and the kernel never says a word.
///
/// A guest that has shown a kernel's line is never hung in this sense, however quiet it is later.
pub fn looks_hung(console: &str, silent_for: Duration) -> bool {
    silent_for >= PATIENCE && !ALIVE.is_match(console)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_auto_may_fall_back() {
        assert_eq!(AccelChoice::Auto.resolve(true), (Accel::Kvm, true));
        assert_eq!(AccelChoice::Auto.resolve(false), (Accel::Tcg, false));
        assert_eq!(AccelChoice::Kvm.resolve(false), (Accel::Kvm, false));
    }

    #[test]
    fn a_guest_hangs_when_only_firmware_has_spoken() {
        let firmware = "SeaBIOS (version 1.16.2-debian-1.16.2-1)\nBooting from ROM...\n";
        assert!(looks_hung(firmware, PATIENCE));
        assert!(looks_hung("", PATIENCE));
        assert!(!looks_hung(firmware, PATIENCE / 2));
        assert!(!looks_hung("[    0.000000] Linux version 6.1\n", PATIENCE * 9));
        assert!(!looks_hung("debian login: ", PATIENCE * 9));
    }
}
