//! The phases of a build, in order, and the side that each runs on (contract 2.6, 3.5).

use std::fmt;

use serde::Serialize;

/// Where the hooks of a phase run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// On the host, with the root tree at `$TMP_MOUNT_PATH`.
    Host,
    /// In a chroot of the root tree, with the hook tree read-only at `/tmp/in_target.d`.
    Chroot,
}

/// One phase. The order of the variants is the order in which a build runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Creates the root tree.
    Root,
    /// Brings data from the host into the hook tree or the root tree.
    ExtraData,
    /// Repositories and tools, before packages.
    PreInstall,
    /// Packages and files.
    Install,
    /// Configuration of what was installed.
    PostInstall,
    /// Large copies from the host, before the image's size is computed.
    PostRoot,
    /// Makes the block devices (legacy).
    BlockDevice,
    /// On the final filesystem, from the host.
    PreFinalise,
    /// On the final filesystem, inside: the bootloader.
    Finalise,
    /// Takes out what the image must not keep.
    Cleanup,
}

impl Phase {
    /// All phases in the order in which they run.
    pub const ALL: [Phase; 10] = [
        Phase::Root,
        Phase::ExtraData,
        Phase::PreInstall,
        Phase::Install,
        Phase::PostInstall,
        Phase::PostRoot,
        Phase::BlockDevice,
        Phase::PreFinalise,
        Phase::Finalise,
        Phase::Cleanup,
    ];

    /// The phase's name, as in `break=after-install`.
    pub fn name(self) -> &'static str {
        self.dir().strip_suffix(".d").expect("every phase directory ends in .d")
    }

    /// The name of its directory in an element and in the hook tree.
    pub fn dir(self) -> &'static str {
        match self {
            Phase::Root => "root.d",
            Phase::ExtraData => "extra-data.d",
            Phase::PreInstall => "pre-install.d",
            Phase::Install => "install.d",
            Phase::PostInstall => "post-install.d",
            Phase::PostRoot => "post-root.d",
            Phase::BlockDevice => "block-device.d",
            Phase::PreFinalise => "pre-finalise.d",
            Phase::Finalise => "finalise.d",
            Phase::Cleanup => "cleanup.d",
        }
    }

    /// Where its hooks run.
    pub fn side(self) -> Side {
        match self {
            Phase::PreInstall | Phase::Install | Phase::PostInstall | Phase::Finalise => Side::Chroot,
            _ => Side::Host,
        }
    }

    /// Whether its hooks get `TARGET_ROOT`: only those of root.d and cleanup.d do.
    pub fn has_target_root(self) -> bool {
        matches!(self, Phase::Root | Phase::Cleanup)
    }

    /// The phase with this name (`install`).
    pub fn from_name(name: &str) -> Option<Phase> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// The phase with this directory (`install.d`).
    pub fn from_dir(dir: &str) -> Option<Phase> {
        Self::ALL.into_iter().find(|p| p.dir() == dir)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_sorted_as_they_run_and_found_by_either_name() {
        assert!(Phase::ALL.is_sorted());
        for phase in Phase::ALL {
            assert_eq!(Phase::from_name(phase.name()), Some(phase));
            assert_eq!(Phase::from_dir(phase.dir()), Some(phase));
        }
        assert_eq!(Phase::from_dir("environment.d"), None);
    }

    #[test]
    fn four_phases_run_in_the_chroot() {
        let inside: Vec<_> = Phase::ALL.into_iter().filter(|p| p.side() == Side::Chroot).map(Phase::name).collect();
        assert_eq!(inside, ["pre-install", "install", "post-install", "finalise"]);
    }
}
