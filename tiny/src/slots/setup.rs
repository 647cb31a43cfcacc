//! `setup` and `refresh`: the running slot's kernel and GRUB's configuration, made from what lies in the tree. Nothing here
//! needs a volume, a device or another program, so both work in a chroot while an image is built.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::config::{Config, Version, os_release};
use super::configured;
use super::envblock::EnvBlock;
use super::kernels::{self, Kernel, Own};
use super::menu;
use super::place::{Place, copy, is_bootable, replace};

/// Which kernel is wanted, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// This version, instead of the newest.
    pub kernel: Option<String>,
    /// This system has just written the files of that version in /boot: they are no other system's.
    pub made: Option<String>,
}

/// Makes the boot configuration. Gives the lines that are to be told.
///
/// # Errors
/// When there is no kernel, no GRUB, or a `grub.cfg` that does not read the configuration.
pub fn setup(place: &Place) -> Result<Vec<String>> {
    let config = Config::read(&place.root)?;
    place.grub()?;
    let mut told = Vec::new();
    let old = Version::read(&place.slot(&config.slot))?;
    let version =
        Version { arguments: configured::arguments(place, &config), ..describe(place, &config, old.as_ref())? };
    if shares_boot(place, &config)? && is_bootable(&place.slot(&config.slot)).is_ok() {
        // Whose the files in /boot are cannot be known here: the kernel stays, and refresh is asked for another.
        let kernel = old.map(|v| v.kernel).unwrap_or_default();
        replace(&place.slot(&config.slot).join("version.json"), Version { kernel, ..version }.to_text()?.as_bytes())?;
    } else {
        let kernel = kernels::newest(&place.root, None).with_context(|| no_kernel(place))?;
        told.push(put(place, &config, &kernel, &version)?);
    }
    let env = match place.env() {
        Ok(env) if env.get("slots_good").is_some() => env,
        _ => first_env(&config),
    };
    place.write_env(&env)?;
    write_menu(place, &config)?;
    place.settle()?;
    told.extend(check_sourced(place)?);
    Ok(told)
}

/// Has the slot start the newest kernel, or the wanted one. Gives the lines that are to be told.
///
/// # Errors
/// When there is no such kernel, or when its files in /boot are older than this system and so the other one's.
pub fn refresh(place: &Place, wanted: &Wanted) -> Result<Vec<String>> {
    let config = Config::read(&place.root)?;
    let folder = place.slot(&config.slot);
    let old = Version::read(&folder)?.filter(|_| is_bootable(&folder).is_ok());
    let Some(old) = old else { return setup(place) };
    let image = folder.join("vmlinuz");
    let own = shares_boot(place, &config)?.then_some(Own { version: &old.kernel, image: &image });
    let kernel = match &wanted.kernel {
        Some(version) => Kernel::find(&place.root, version, own),
        None => kernels::newest(&place.root, own),
    };
    let Some(kernel) = kernel else {
        if wanted.kernel.is_none() && old.installed > 0 {
            return Ok(vec![format!(
                "/boot has no newer kernel of this system; slot {} keeps {}",
                config.slot, old.kernel
            )]);
        }
        bail!(no_kernel(place));
    };
    let own = old.installed == 0 || wanted.made.as_ref() == Some(&kernel.version) || kernel.made() >= old.installed;
    if !own {
        let why = format!(
            "{} was written before this system was installed, so it is the other system's; slot {} keeps its kernel {}. \
             Make it with 'dracut --force --kver {}' or 'update-initramfs -u' first if it is to change",
            kernel.initramfs.display(),
            config.slot,
            old.kernel,
            kernel.version
        );
        ensure!(wanted.kernel.is_none(), why);
        return Ok(vec![why]);
    }
    let told = put(place, &config, &kernel, &old)?;
    write_menu(place, &config)?;
    place.settle()?;
    Ok(vec![told])
}

/// Has the slot keep files of its own, before a second system comes that might write over those in /boot.
///
/// # Errors
/// What cannot be copied.
pub fn pin(place: &Place, config: &Config) -> Result<()> {
    let folder = place.slot(&config.slot);
    is_bootable(&folder)?;
    if !is_linked(&folder) {
        return Ok(());
    }
    let made = place.new_slot(&config.slot)?;
    for name in ["vmlinuz", "initramfs.img", "version.json"] {
        copy(&folder.join(name), &made.join(name))?;
    }
    place.put_slot(&config.slot, &made)
}

/// Whether a slot's kernel is one in /boot itself.
#[must_use]
pub fn is_linked(folder: &Path) -> bool {
    ["vmlinuz", "initramfs.img"].iter().any(|name| folder.join(name).is_symlink())
}

/// Writes GRUB's part, from what the slots hold.
///
/// # Errors
/// What cannot be read or written.
pub fn write_menu(place: &Place, config: &Config) -> Result<()> {
    let mut systems = Vec::new();
    for slot in &config.slots {
        systems.extend(Version::read(&place.slot(slot))?.map(|version| (slot.clone(), version)));
    }
    let env = place.env()?;
    let known = |name: &&str| config.slots.iter().any(|s| s == name);
    let good = env.get("slots_good").filter(known).unwrap_or(&config.slot);
    let path = place.grub()?.join("custom.cfg");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let new = menu::put_in(&old, &menu::text(config, good, &systems));
    if new == old { Ok(()) } else { replace(&path, new.as_bytes()) }
}

/// What the block says of a machine with one system.
fn first_env(config: &Config) -> EnvBlock {
    let mut env = EnvBlock::default();
    env.set("slots_good", &config.slot);
    env.set("slots_next", "");
    env.set("slots_timeout", "");
    for slot in &config.slots {
        env.set(&format!("slots_new_{slot}"), "");
    }
    env
}

/// What is to be known of the system in the tree, but for its kernel.
fn describe(place: &Place, config: &Config, old: Option<&Version>) -> Result<Version> {
    let release = fs::read_to_string(place.root.join("etc/os-release")).unwrap_or_default();
    let old = old.cloned().unwrap_or_default();
    Ok(Version {
        version: if config.version.is_empty() { old.version } else { config.version.clone() },
        system: os_release(&release, "PRETTY_NAME").unwrap_or(old.system),
        ..old
    })
}

/// Puts a kernel in the slot's place: as links while there is one system, else as files of its own.
fn put(place: &Place, config: &Config, kernel: &Kernel, version: &Version) -> Result<String> {
    let version = Version { kernel: kernel.version.clone(), ..version.clone() };
    let slot = &config.slot;
    let linked =
        !shares_boot(place, config)? && [&kernel.image, &kernel.initramfs].iter().all(|p| p.starts_with(place.boot()));
    let made = place.new_slot(slot)?;
    for (name, from) in [("vmlinuz", &kernel.image), ("initramfs.img", &kernel.initramfs)] {
        let to = made.join(name);
        if linked {
            let target = Path::new("../..").join(from.file_name().unwrap_or_default());
            symlink(&target, &to).with_context(|| format!("linking {}", to.display()))?;
        } else {
            copy(from, &to)?;
        }
    }
    replace(&made.join("version.json"), version.to_text()?.as_bytes())?;
    place.put_slot(slot, &made)?;
    let how = if linked { "linked" } else { "copied" };
    Ok(format!("slot {slot} starts kernel {} ({how})", kernel.version))
}

/// Whether the other slot has a system, which then writes to /boot too.
fn shares_boot(place: &Place, config: &Config) -> Result<bool> {
    let own = Version::read(&place.slot(&config.slot))?;
    Ok(own.is_some_and(|v| v.installed > 0) || Version::read(&place.slot(config.other()))?.is_some())
}

fn no_kernel(place: &Place) -> String {
    format!(
        "{} has no kernel with modules and an initramfs (vmlinuz-VERSION with initramfs-VERSION.img or initrd.img-VERSION)",
        place.boot().display()
    )
}

fn check_sourced(place: &Place) -> Result<Option<String>> {
    let grub = place.grub()?;
    let name = grub.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Ok(text) = fs::read_to_string(grub.join("grub.cfg")) else {
        return Ok(Some(format!("/boot/{name}/grub.cfg is still to be made by {name}-mkconfig")));
    };
    ensure!(
        menu::is_sourced(&text),
        "/boot/{name}/grub.cfg does not read custom.cfg, so slots have no effect: make sure that /etc/grub.d/41_custom is \
         there and executable (packages grub2-tools, grub-common), then run '{name}-mkconfig -o /boot/{name}/grub.cfg'"
    );
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::kernels::tests::add;
    use crate::slots::tests::{Machine, machine, two_systems};

    fn read(machine: &Machine, path: &str) -> String {
        fs::read_to_string(machine.place.root.join(path)).unwrap()
    }

    #[test]
    fn an_image_is_set_up_without_a_device() {
        let machine = machine();
        let told = setup(&machine.place).unwrap();
        assert_eq!(told, ["slot root starts kernel 5.14.0-1.el9 (linked)"]);
        assert_eq!(read(&machine, "boot/slots/root/initramfs.img"), "initramfs one");
        assert_eq!(
            fs::read_link(machine.place.slot("root").join("vmlinuz")).unwrap(),
            Path::new("../../vmlinuz-5.14.0-1.el9")
        );
        assert_eq!(machine.place.env().unwrap().get("slots_good"), Some("root"));
        let menu = machine.menu();
        assert!(menu.contains("menuentry 'Rocky Linux 9.4 (root)' --unrestricted --id slot-root {"), "{menu}");
        assert!(menu.contains("root=/dev/mapper/VA-root rd.lvm.lv=VA/root ro quiet"), "{menu}");
        assert!(!menu.contains("slot-back {"), "{menu}");
        setup(&machine.place).unwrap();
        assert_eq!(machine.menu(), menu);
    }

    #[test]
    fn a_grub_cfg_without_the_stanza_is_told_of() {
        let machine = machine();
        let path = machine.place.boot().join("grub2/grub.cfg");
        fs::write(&path, "blscfg\n").unwrap();
        let error = setup(&machine.place).unwrap_err().to_string();
        assert!(
            error.contains("/etc/grub.d/41_custom") && error.contains("'grub2-mkconfig -o /boot/grub2/grub.cfg'"),
            "{error}"
        );
        fs::remove_file(&path).unwrap();
        assert!(setup(&machine.place).unwrap()[1].contains("still to be made"));
    }

    #[test]
    fn a_tree_without_a_kernel_is_told_of() {
        let machine = machine();
        fs::remove_dir_all(machine.place.root.join("usr/lib/modules")).unwrap();
        assert!(setup(&machine.place).unwrap_err().to_string().contains("has no kernel"));
    }

    #[test]
    fn a_newer_kernel_is_taken() {
        let machine = machine();
        setup(&machine.place).unwrap();
        add(&machine.place.root, "5.14.0-2.el9", "two");
        assert_eq!(
            refresh(&machine.place, &Wanted::default()).unwrap(),
            ["slot root starts kernel 5.14.0-2.el9 (linked)"]
        );
        assert_eq!(read(&machine, "boot/slots/root/vmlinuz"), "kernel two");
        let older = Wanted { kernel: Some("5.14.0-1.el9".into()), made: None };
        refresh(&machine.place, &older).unwrap();
        assert_eq!(read(&machine, "boot/slots/root/vmlinuz"), "kernel one");
        assert!(refresh(&machine.place, &Wanted { kernel: Some("9".into()), made: None }).is_err());
    }

    #[test]
    fn refreshing_what_was_never_set_up_sets_it_up() {
        let machine = machine();
        refresh(&machine.place, &Wanted::default()).unwrap();
        assert!(machine.menu().contains("slot-root {"));
    }

    #[test]
    fn two_systems_do_not_take_each_others_files() {
        let machine = two_systems("back");
        // Both have this version, and root's files are the older ones.
        let told = refresh(&machine.place, &Wanted::default()).unwrap();
        assert!(told[0].contains("it is the other system's"), "{told:?}");
        assert_eq!(read(&machine, "boot/slots/back/initramfs.img"), "initramfs of back");
        let wanted = Wanted { kernel: Some("5.14.0-1.el9".into()), made: None };
        assert!(refresh(&machine.place, &wanted).is_err());
        let made = Wanted { kernel: None, made: Some("5.14.0-1.el9".into()) };
        assert_eq!(refresh(&machine.place, &made).unwrap(), ["slot back starts kernel 5.14.0-1.el9 (copied)"]);
        assert_eq!(read(&machine, "boot/slots/back/initramfs.img"), "initramfs one");
        // The arguments and the time of its installation stay.
        assert_eq!(Version::read(&machine.place.slot("back")).unwrap().unwrap().installed, u64::from(u32::MAX));
    }

    #[test]
    fn a_pinned_slot_has_files_of_its_own() {
        let machine = machine();
        setup(&machine.place).unwrap();
        assert!(is_linked(&machine.place.slot("root")));
        pin(&machine.place, &machine.config()).unwrap();
        assert!(!is_linked(&machine.place.slot("root")));
        add(&machine.place.root, "5.14.0-1.el9", "by another");
        assert_eq!(read(&machine, "boot/slots/root/initramfs.img"), "initramfs one");
        pin(&machine.place, &machine.config()).unwrap();
    }

    #[test]
    fn a_second_setup_leaves_kernels_alone_once_there_are_two_systems() {
        let machine = two_systems("root");
        add(&machine.place.root, "5.14.0-1.el9", "by another");
        setup(&machine.place).unwrap();
        assert_eq!(read(&machine, "boot/slots/root/initramfs.img"), "initramfs one");
        assert!(machine.menu().contains("slot-back {"));
    }
}
