//! What has to hold before a bundle is installed. Facts come in, reasons not to do it come out: all of them at once.

use crate::manifest::{Firmware, Manifest};

use super::config::Config;

/// What is known of a bundle's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// It is right, or nobody wants to know.
    Right,
    /// There is none, and no key that it would have to be by.
    NotAsked,
    /// There is none, although there is a key.
    Missing,
    /// There is one, and no key to check it with.
    NoKey,
    /// It is not by that key, or the key is none.
    Wrong(String),
}

/// What is known of the volume that is to be filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its length.
    pub bytes: u64,
    /// What the group has to give.
    pub free: u64,
    /// What it gives it in.
    pub extent: u64,
    /// The length of the running system's volume.
    pub running: u64,
}

/// Everything that is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What the bundle says of itself.
    pub manifest: Manifest,
    /// What is known of its signature.
    pub signed: Signed,
    /// What is wrong with its files.
    pub files: Vec<String>,
    /// As `uname -m` says it.
    pub arch: String,
    /// How this machine was started.
    pub firmware: Firmware,
    /// The running system's version.
    pub version: String,
    /// Whether the running one's version is fine too.
    pub force: bool,
    /// Whether the running system is on trial, and not marked good.
    pub trial: bool,
    /// The slot that starts by default.
    pub good: String,
    /// The volume, or why nothing is known of it.
    pub volume: Result<Volume, String>,
    /// Where it is mounted.
    pub mounted: Option<String>,
    /// Bytes that /boot has to give, with what the other slot has there.
    pub boot_free: u64,
    /// Bytes that kernels and initramfs images will take there.
    pub boot_needed: u64,
    /// Programs that are missing.
    pub missing: Vec<String>,
}

/// The bytes that a volume needs for a system: its files and a tenth.
#[must_use]
pub fn needed(manifest: &Manifest) -> u64 {
    manifest.unpacked_bytes + manifest.unpacked_bytes / 10
}

/// The length that the volume is to be given, in extents; none if it is long enough. It becomes as long as the running
/// system's if the group has that much, so that there is room to live in.
#[must_use]
pub fn growth(volume: Volume, needed: u64) -> Option<u64> {
    if volume.bytes >= needed {
        return None;
    }
    let like_running = volume.running.max(needed);
    let length = if like_running <= volume.bytes + volume.free { like_running } else { needed };
    Some(length.div_ceil(volume.extent.max(1)))
}

/// The reasons not to install it.
#[must_use]
pub fn failures(facts: &Facts, config: &Config) -> Vec<String> {
    let manifest = &facts.manifest;
    let other = config.other();
    let mut all = Vec::new();
    match &facts.signed {
        Signed::Right | Signed::NotAsked => {}
        Signed::Missing => all.push("the bundle is not signed, and this machine has a key: get a signed one, or say --no-verify".into()),
        Signed::NoKey => all.push(
            "the bundle is signed, and there is no key to check that with: give one with --key FILE, or say --no-verify".into(),
        ),
        Signed::Wrong(why) => all.push(format!("the signature is wrong: {why}")),
    }
    all.extend(facts.files.iter().cloned());
    if manifest.arch != facts.arch {
        all.push(format!("the bundle is for {}, and this machine is {}", manifest.arch, facts.arch));
    }
    if manifest.firmware != facts.firmware {
        let name = |f: Firmware| if f == Firmware::Uefi { "UEFI" } else { "BIOS" };
        all.push(format!(
            "the bundle is for {}, and this machine was started by {}",
            name(manifest.firmware),
            name(facts.firmware)
        ));
    }
    if manifest.version == facts.version && !facts.force {
        all.push(format!("version {} runs already: --force installs it again", manifest.version));
    }
    if facts.trial {
        all.push(
            "this system is on trial: run 'image-slots mark-good' first, there would be no good system left".into(),
        );
    } else if facts.good != config.slot {
        all.push(format!(
            "slot {} is the good one, and slot {} runs: 'image-slots mark-good' keeps this one and gives the other up",
            facts.good, config.slot
        ));
    }
    match facts.volume {
        Err(ref why) => all.push(why.clone()),
        Ok(volume) if growth(volume, needed(manifest)).is_some() => {
            let round = |bytes: u64| bytes / volume.extent.max(1) * volume.extent.max(1);
            let largest = round(volume.bytes + volume.free);
            if largest < needed(manifest) {
                all.push(format!(
                    "volume {}/{other} has {}, the group has {} to give, and the system needs {}: {} are missing",
                    config.group,
                    mib(volume.bytes),
                    mib(volume.free),
                    mib(needed(manifest)),
                    mib(needed(manifest) - largest)
                ));
            }
        }
        Ok(_) => {}
    }
    if let Some(point) = &facts.mounted {
        all.push(format!("volume {}/{other} is mounted on {point}: unmount it", config.group));
    }
    if facts.boot_free < facts.boot_needed {
        all.push(format!(
            "/boot has {} to give, and needs {}: remove kernels that are not used",
            mib(facts.boot_free),
            mib(facts.boot_needed)
        ));
    }
    all.extend(facts.missing.iter().map(|name| format!("there is no program '{name}': install it")));
    all
}

/// Bytes for people.
#[must_use]
pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::config::tests::example;

    /// A machine that can take the bundle.
    fn facts() -> Facts {
        Facts {
            manifest: crate::manifest::tests::example(),
            signed: Signed::Right,
            files: Vec::new(),
            arch: "x86_64".into(),
            firmware: Firmware::Bios,
            version: "0".into(),
            force: false,
            trial: false,
            good: "root".into(),
            volume: Ok(Volume { bytes: 8 << 30, free: 0, extent: 4 << 20, running: 8 << 30 }),
            mounted: None,
            boot_free: 500 << 20,
            boot_needed: 100 << 20,
            missing: Vec::new(),
        }
    }

    fn only(facts: &Facts) -> String {
        let all = failures(facts, &example());
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    #[test]
    fn a_fitting_bundle_is_taken() {
        assert_eq!(failures(&facts(), &example()), Vec::<String>::new());
        assert!(failures(&Facts { signed: Signed::NotAsked, ..facts() }, &example()).is_empty());
        assert!(failures(&Facts { version: "1".into(), force: true, ..facts() }, &example()).is_empty());
    }

    #[test]
    fn each_reason_is_told() {
        assert!(only(&Facts { signed: Signed::Missing, ..facts() }).contains("not signed"));
        assert!(only(&Facts { signed: Signed::NoKey, ..facts() }).contains("--key FILE"));
        assert!(only(&Facts { signed: Signed::Wrong("bad".into()), ..facts() }).contains("wrong: bad"));
        assert!(only(&Facts { arch: "aarch64".into(), ..facts() }).contains("for x86_64, and this machine is aarch64"));
        assert!(
            only(&Facts { firmware: Firmware::Uefi, ..facts() })
                .contains("for BIOS, and this machine was started by UEFI")
        );
        assert!(only(&Facts { version: "1".into(), ..facts() }).contains("version 1 runs already"));
        assert!(only(&Facts { trial: true, ..facts() }).contains("on trial"));
        assert!(only(&Facts { good: "back".into(), ..facts() }).contains("slot back is the good one"));
        assert!(only(&Facts { volume: Err("no lvm".into()), ..facts() }).contains("no lvm"));
        assert!(only(&Facts { mounted: Some("/back".into()), ..facts() }).contains("VA/back is mounted on /back"));
        assert_eq!(
            only(&Facts { boot_free: 99 << 20, ..facts() }),
            "/boot has 99 MiB to give, and needs 100 MiB: remove kernels that are not used"
        );
        assert!(only(&Facts { missing: vec!["xz".into()], ..facts() }).contains("'xz'"));
    }

    #[test]
    fn a_short_volume_is_told_with_figures() {
        let volume = Volume { bytes: 512 << 20, free: 103 << 20, extent: 4 << 20, running: 8 << 30 };
        assert_eq!(
            only(&Facts { volume: Ok(volume), ..facts() }),
            "volume VA/back has 512 MiB, the group has 103 MiB to give, and the system needs 990 MiB: 378 MiB are missing"
        );
    }

    #[test]
    fn all_reasons_come_at_once() {
        let facts = Facts { trial: true, arch: "x".into(), files: vec!["va.tar.xz is missing".into()], ..facts() };
        assert_eq!(failures(&facts, &example()).len(), 3);
    }

    #[test]
    fn a_short_volume_grows_to_what_there_is() {
        let volume = |bytes: u64, free: u64| Volume {
            bytes: bytes << 20,
            free: free << 20,
            extent: 4 << 20,
            running: 8000 << 20,
        };
        assert_eq!(growth(volume(1000, 0), 990 << 20), None);
        assert_eq!(growth(volume(512, 600), 990 << 20), Some(248));
        assert_eq!(growth(volume(512, 8000), 990 << 20), Some(2000));
        let short = facts().volume.map(|v| Volume { bytes: 512 << 20, free: 600 << 20, ..v });
        assert!(failures(&Facts { volume: short, ..facts() }, &example()).is_empty());
    }
}
