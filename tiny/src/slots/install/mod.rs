//! `install`: a bundle's system goes into the slot that does not run.
//!
//! Until [`checks`](super::checks) has nothing to object, nothing is changed. From then on the other slot counts as empty, and
//! its kernel appears in /boot, in one step, only after its volume is complete. So an installation that ends at any moment
//! leaves the good slot as it was, and the next one begins anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::checks::{self, Facts, failures, growth, needed};
use super::config::{Config, Version, os_release};
use super::kernels::{self, Kernel};
use super::place::{Place, copy, replace};
use super::state::{Start, State};
use super::{Refused, marks, setup, tools};
use crate::manifest::{Firmware, InitramfsPolicy, Manifest};
use crate::steps::archive;

mod bundle;
mod keep;
mod tree;
mod volume;

use bundle::Bundle;
use keep::Kept;
use volume::Mounts;

/// By whom a bundle has to be signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Signature {
    /// By the key that this machine trusts, if there is one.
    #[default]
    Trusted,
    /// By this one.
    Key(PathBuf),
    /// By anybody.
    Any,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The archive or folder.
    pub bundle: PathBuf,
    /// By whom it is signed.
    pub signature: Signature,
    /// Even if it has the version that runs.
    pub force: bool,
    /// Restart afterwards.
    pub reboot: bool,
    /// Seconds of the trial.
    pub timeout: Option<u64>,
    /// Where the bundle is unpacked.
    pub work: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bundle: PathBuf::new(),
            signature: Signature::Trusted,
            force: false,
            reboot: true,
            timeout: None,
            work: "/var/tmp".into(),
        }
    }
}

/// Installs it.
///
/// # Errors
/// A [`Refused`] with all reasons while nothing is changed; afterwards what failed.
pub fn run(place: &Place, options: &Options, say: &mut dyn FnMut(&str)) -> Result<()> {
    let state = State::read(place)?;
    let start = Start::now();
    state.check_running(&start)?;
    say("looking at the bundle");
    let bundle = Bundle::open(&options.bundle, &options.work)?;
    let facts = gather(place, options, &state, &start, &bundle)?;
    let reasons = failures(&facts, &state.config);
    if !reasons.is_empty() {
        return Err(Refused(reasons).into());
    }
    // Collected before anything is changed: a vendor's script may refuse.
    let kept = Kept::collect(&bundle, Path::new("/run")).map_err(|e| Refused::one(format!("{e:#}")))?;
    let other = state.config.other().to_owned();
    say(&format!("installing {} {} into slot {other}", bundle.manifest.system, bundle.manifest.version));
    fill(place, &state.config, &bundle, &facts, &kept, say).with_context(|| {
        format!("slot {other} is empty now, slot {} starts as before; installing", state.config.slot)
    })?;
    marks::start_once(place, &other, options.timeout)?;
    say(&format!("slot {other} starts once at the next boot; 'image-slots mark-good' keeps it then"));
    Ok(())
}

fn gather(place: &Place, options: &Options, state: &State, start: &Start, bundle: &Bundle) -> Result<Facts> {
    let config = &state.config;
    let own = state.slot(&config.slot)?.version.clone().unwrap_or_default();
    let uname = nix::sys::utsname::uname().context("asking the kernel for the architecture")?;
    let kind = root_filesystem(&bundle.manifest).map_or("ext4", |f| f.kind.as_str()).to_owned();
    let mut programs = vec!["tar".to_owned(), "lvm".to_owned(), "chroot".to_owned(), format!("mkfs.{kind}")];
    let mut files = bundle.faults();
    match archive::decompressor(&bundle.manifest.payload) {
        Ok(name) => programs.push(name.to_owned()),
        Err(error) => files.push(error.to_string()),
    }
    programs.push(if kind == "xfs" { "xfs_repair" } else { "e2fsck" }.to_owned());
    Ok(Facts {
        signed: bundle.signed(&options.signature, &place.root),
        files,
        arch: uname.machine().to_string_lossy().into_owned(),
        firmware: if Path::new("/sys/firmware/efi").exists() { Firmware::Uefi } else { Firmware::Bios },
        version: own.version.clone(),
        force: options.force,
        trial: start.left().is_some(),
        good: state.good.clone(),
        volume: volume::look(config).map_err(|e| format!("{e:#}")),
        mounted: volume::mounted(&config.device(config.other())),
        boot_free: bundle::free(&place.boot())? + length_of(&place.slot(config.other())),
        boot_needed: boot_needed(place, config, bundle),
        missing: programs.into_iter().filter(|p| !tools::has(p)).collect(),
        manifest: bundle.manifest.clone(),
    })
}

/// What the new kernel and initramfs take, and the running one's if it gets files of its own. How large the new
/// initramfs is shows only after unpacking: no smaller ones than the running one and the tiny system's are counted on.
fn boot_needed(place: &Place, config: &Config, bundle: &Bundle) -> u64 {
    let folder = place.slot(&config.slot);
    let own = fs::metadata(folder.join("initramfs.img")).map_or(0, |m| m.len());
    let image = fs::metadata(folder.join("vmlinuz")).map_or(0, |m| m.len());
    let pinned = if setup::is_linked(&folder) { own + image } else { 0 };
    bundle.length("vmlinuz-convert").max(image) + bundle.length("initramfs-convert.img").max(own) + pinned
}

/// The bytes of a folder's files. Links take none.
fn length_of(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|e| fs::symlink_metadata(e.path()).ok()).filter(fs::Metadata::is_file).map(|m| m.len()).sum()
}

fn root_filesystem(manifest: &Manifest) -> Option<&crate::manifest::Filesystem> {
    manifest.layout.volumes.iter().map(|v| &v.filesystem).find(|f| f.mount.as_deref() == Some("/"))
}

/// Everything that changes something, but for what starts the new system.
fn fill(
    place: &Place,
    config: &Config,
    bundle: &Bundle,
    facts: &Facts,
    kept: &Kept,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let other = config.other();
    let device = config.device(other);
    give_up(place, config)?;
    volume::own_mounts()?;
    if let Some(extents) = facts.volume.as_ref().ok().and_then(|v| growth(*v, needed(&bundle.manifest))) {
        let bytes = facts.volume.as_ref().map_or(0, |v| v.extent) * extents;
        say(&format!("growing volume {}/{other} to {}", config.group, checks::mib(bytes)));
        volume::grow(config, extents)?;
    }
    volume::activate(config)?;
    let kind = root_filesystem(&bundle.manifest).map_or("ext4", |f| f.kind.as_str());
    say(&format!("making a file system ({kind}) on {device}"));
    volume::make_filesystem(&device, kind, other)?;

    let root = Path::new("/run/image-slots/root");
    let mut mounts = Mounts::default();
    mounts.device(&device, root, kind)?;
    tree::extract(&bundle.payload(), root, say)?;
    tree::check(root)?;
    let arguments = tree::fit(root, &place.root, config, &bundle.manifest.version, kind)?;
    mounts.kernel(root)?;
    say("putting the configuration of this system into the new one");
    kept.restore(root, say)?;
    let made = put_kernel(place, other, root, bundle, arguments, say)?;
    tree::empty_boot(root, &place.boot())?;
    tree::label(root, &mut mounts, say)?;
    mounts.close()?;
    say("checking the file system");
    volume::check_filesystem(&device, kind)?;
    place.put_slot(other, &made)?;
    setup::write_menu(place, config)?;
    place.settle()
}

/// From here on the other slot holds nothing, and the running one depends on nothing that a second system writes.
fn give_up(place: &Place, config: &Config) -> Result<()> {
    let other = config.other();
    let mut env = place.env()?;
    env.set("slots_good", &config.slot);
    env.set("slots_next", "");
    env.set(&format!("slots_new_{other}"), "1");
    place.write_env(&env)?;
    place.clear_slot(other)?;
    setup::pin(place, config)?;
    setup::write_menu(place, config)?;
    place.settle()
}

/// Puts kernel, initramfs and what is to be known beside the slot's place in /boot. Gives the folder.
fn put_kernel(
    place: &Place,
    slot: &str,
    root: &Path,
    bundle: &Bundle,
    arguments: Vec<String>,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let kernel = kernels::newest(root, None).context("the new system has no kernel with modules and an initramfs")?;
    let initramfs = initramfs(root, &kernel, bundle.manifest.initramfs, say);
    let made = place.new_slot(slot)?;
    copy(&kernel.image, &made.join("vmlinuz"))?;
    copy(&initramfs, &made.join("initramfs.img"))?;
    if initramfs != kernel.initramfs {
        let _ = fs::remove_file(&initramfs);
    }
    let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
    let version = Version {
        version: bundle.manifest.version.clone(),
        system: os_release(&release, "PRETTY_NAME").unwrap_or_else(|| bundle.manifest.system.clone()),
        kernel: kernel.version.clone(),
        arguments,
        installed: SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs().max(1)),
    };
    replace(&made.join("version.json"), version.to_text()?.as_bytes())?;
    Ok(made)
}

/// The initramfs that the manifest asks for. One that cannot be made is no reason to stop: the payload's started the
/// system where it was built, and the trial shows whether it does here.
fn initramfs(root: &Path, kernel: &Kernel, policy: InitramfsPolicy, say: &mut dyn FnMut(&str)) -> PathBuf {
    if policy == InitramfsPolicy::Keep {
        return kernel.initramfs.clone();
    }
    say("making the initramfs");
    match tree::make_initramfs(root, &kernel.version) {
        Ok(Some(made)) => return made,
        Ok(None) => say("the new system has no generator; the initramfs of the bundle is taken"),
        Err(error) => say(&format!("{error:#}; the initramfs of the bundle is taken")),
    }
    kernel.initramfs.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::tests::two_systems;

    #[test]
    fn a_slot_that_is_given_up_is_no_choice_any_more() {
        let machine = two_systems("root");
        marks::start_once(&machine.place, "back", None).unwrap();
        give_up(&machine.place, &machine.config()).unwrap();
        let env = machine.place.env().unwrap();
        assert_eq!(
            (env.get("slots_good"), env.get("slots_next"), env.get("slots_new_back")),
            (Some("root"), None, Some("1"))
        );
        assert!(!machine.place.slot("back").exists());
        assert!(!machine.menu().contains("slot-back {") && machine.menu().contains("slot-root {"));
        // Once more, as after an interrupted installation.
        machine.place.new_slot("back").unwrap();
        give_up(&machine.place, &machine.config()).unwrap();
        assert!(!machine.place.slot(".back.new").exists());
    }

    #[test]
    fn boot_needs_room_for_both_kernels() {
        let machine = crate::slots::tests::machine();
        setup::setup(&machine.place).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let manifest = crate::manifest::tests::example();
        fs::write(dir.path().join("manifest.json"), manifest.to_text().unwrap()).unwrap();
        let bundle = Bundle::open(dir.path(), dir.path()).unwrap();
        let linked = boot_needed(&machine.place, &machine.config(), &bundle);
        let both = ("kernel one".len() + "initramfs one".len()) as u64;
        assert_eq!(linked, 2 * both);
        setup::pin(&machine.place, &machine.config()).unwrap();
        assert_eq!(boot_needed(&machine.place, &machine.config(), &bundle), both);
        assert!(length_of(&machine.place.slot("root")) > both);
    }

    #[test]
    fn the_bundles_initramfs_is_taken_where_none_can_be_made() {
        let machine = crate::slots::tests::machine();
        let kernel = kernels::newest(&machine.place.root, None).unwrap();
        let mut told = Vec::new();
        let taken =
            initramfs(&machine.place.root, &kernel, InitramfsPolicy::Regenerate, &mut |l| told.push(l.to_owned()));
        assert_eq!(taken, kernel.initramfs);
        assert!(told[1].contains("no generator"), "{told:?}");
        assert_eq!(initramfs(&machine.place.root, &kernel, InitramfsPolicy::Keep, &mut |_| panic!()), kernel.initramfs);
    }
}
