//! The new system's tree: unpacked, made to fit its slot, and finished by its own programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::volume::Mounts;
use crate::selinux::Policy;
use crate::slots::config::{Config, SLOTS_JSON};
use crate::slots::place::{Place, replace};
use crate::slots::{arguments, configured, fstab, tools};
use crate::steps::archive::{self, Listener};
use crate::steps::command::find;

/// Somebody at a terminal, who need not read what programs say.
struct Reader<'a>(&'a mut dyn FnMut(&str));

impl Listener for Reader<'_> {
    fn say(&mut self, text: &str) {
        (self.0)(text);
    }
}

/// Unpacks the payload with everything that its files have. Says each tenth that is done.
///
/// # Errors
/// What tar says; among it that the volume is full.
pub fn extract(payload: &Path, root: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    let unpack = tools::command(archive::decompressor(&payload.display().to_string())?, ["-dc"]);
    let tar = tools::command("tar", archive::extract_words(root));
    archive::pour(payload, [unpack, tar], "unpacking", |_| false, &mut Reader(say)).map(drop)
}

/// Makes sure that the tree can be kept once it runs.
///
/// # Errors
/// What it lacks.
pub fn check(root: &Path) -> Result<()> {
    let has = |places: &[&str]| places.iter().any(|p| root.join(p).symlink_metadata().is_ok());
    ensure!(
        has(&["sbin/init", "usr/sbin/init", "usr/lib/systemd/systemd", "lib/systemd/systemd"]),
        "the new system has no init"
    );
    ensure!(
        has(&["usr/sbin/image-slots", "usr/bin/image-slots"]),
        "the new system has no image-slots, so it could never be marked good: build it with the element upgrade-tiny"
    );
    Ok(())
}

/// Has the tree's files name this machine's devices and the slot. Gives the kernel's arguments.
///
/// # Errors
/// What cannot be read or written.
pub fn fit(root: &Path, running: &Path, own: &Config, version: &str, kind: &str) -> Result<Vec<String>> {
    let built = Config::read(root).unwrap_or_else(|_| own.clone());
    let slot = own.other();
    let config = Config {
        slot: slot.to_owned(),
        group: own.group.clone(),
        slots: own.slots.clone(),
        boot_uuid: own.boot_uuid.clone(),
        version: version.to_owned(),
        ..built.clone()
    };
    let line = configured::arguments(&Place::at(root), &built).join(" ");
    write(root, SLOTS_JSON, &config.to_text()?)?;
    let read = |root: &Path| fs::read_to_string(root.join("etc/fstab")).unwrap_or_default();
    write(root, "etc/fstab", &fstab::for_slot(&read(root), &read(running), own, slot, kind))?;
    // What the new system makes its own boot loader entries from.
    for name in ["etc/default/grub", "etc/kernel/cmdline"] {
        if let Ok(text) = fs::read_to_string(root.join(name)) {
            let text = text.replace(&built.device(&built.slot), &config.device(slot)).replace(
                &format!("rd.lvm.lv={}/{}", built.group, built.slot),
                &format!("rd.lvm.lv={}/{slot}", config.group),
            );
            write(root, name, &text)?;
        }
    }
    // LVM of newer releases uses no disk that this file does not name, and the bundle's names another machine's.
    let devices = "etc/lvm/devices/system.devices";
    match fs::read(running.join(devices)) {
        Ok(bytes) => write(root, devices, &String::from_utf8_lossy(&bytes))?,
        Err(_) => drop(fs::remove_file(root.join(devices))),
    }
    // Words that name the slot the system was built for are gone now, even if that has another name here.
    let foreign = [format!("root={}", built.device(&built.slot)), format!("rd.lvm.lv={}/{}", built.group, built.slot)];
    let words: Vec<String> = arguments::words(&line).into_iter().filter(|w| !foreign.contains(w)).collect();
    Ok(arguments::for_slot(&words.join(" "), &config, slot))
}

fn write(root: &Path, name: &str, text: &str) -> Result<()> {
    let path = root.join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    replace(&path, text.as_bytes())
}

/// Has the system's own generator make its initramfs, below the tree's /var/tmp. None if it has no generator.
///
/// # Errors
/// What the generator says.
pub fn make_initramfs(root: &Path, kernel: &str) -> Result<Option<PathBuf>> {
    let file = "var/tmp/image-slots-initramfs.img";
    let target = format!("/{file}");
    let words: Vec<&str> = if find(root, &["dracut"]).is_some() {
        vec!["dracut", "--force", "--no-hostonly", "--kver", kernel, &target]
    } else if find(root, &["mkinitramfs"]).is_some() {
        vec!["mkinitramfs", "-o", &target, kernel]
    } else {
        return Ok(None);
    };
    tools::run(tools::command("chroot", [root]).args(words)).context("making the initramfs")?;
    Ok(Some(root.join(file)))
}

/// Labels the tree by its own SELinux policy, if it has one that is not disabled.
///
/// # Errors
/// What setfiles says.
pub fn label(root: &Path, mounts: &mut Mounts, say: &mut dyn FnMut(&str)) -> Result<()> {
    let Some(policy) = Policy::of(root) else { return Ok(()) };
    let Some(setfiles) = find(root, &["setfiles"]) else {
        say(
            "the new system has an SELinux policy and no setfiles: its first start labels the files, which takes a while",
        );
        return write(root, ".autorelabel", "");
    };
    say(&format!("labelling the files by the SELinux policy '{}'", policy.name));
    // A view of the tree without what is mounted in it: the places below the mounts want labels as well.
    mounts.bind(root, &root.join("run/view"))?;
    let mut command = tools::command("chroot", [root]);
    command.arg(setfiles).args(policy.words(Path::new("/"), policy.compiled(root).as_deref(), "/run/view", &[]));
    tools::run(&mut command).context("labelling the new system's files")?;
    Ok(())
}

/// Empties the tree's /boot, below which the shared one is mounted when the system runs. What kernels of this tree say
/// about themselves goes to the shared one, where their tools look for it.
///
/// # Errors
/// What cannot be copied or removed.
pub fn empty_boot(root: &Path, boot: &Path) -> Result<()> {
    let folder = root.join("boot");
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let target = boot.join(&name);
        if name.to_string_lossy().starts_with("config-") && path.is_file() && !target.exists() {
            fs::copy(&path, &target).with_context(|| format!("copying {}", path.display()))?;
        }
        let removed =
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::config::tests::example;
    use crate::slots::tests::machine;

    #[test]
    fn a_tree_is_fitted_to_its_slot() {
        let (new, running) = (machine(), machine());
        new.write("etc/fstab", "/dev/mapper/VA-root / ext4 defaults 0 1\nUUID=other /boot ext4 defaults 0 2\n");
        running.write("etc/fstab", "/dev/mapper/VA-root / ext4 defaults 0 1\nUUID=mine /boot ext4 defaults 0 2\n");
        new.write(
            "etc/default/grub",
            "GRUB_DEVICE=/dev/mapper/VA-root\nGRUB_CMDLINE_LINUX=\"quiet rd.lvm.lv=VA/root\"\n",
        );
        new.write("etc/lvm/devices/system.devices", "theirs");
        running.write("etc/lvm/devices/system.devices", "mine");
        let words = fit(&new.place.root, &running.place.root, &example(), "2", "ext4").unwrap();
        assert_eq!(words.join(" "), "root=/dev/mapper/VA-back rd.lvm.lv=VA/back ro quiet upgrade_slot.slot=back");
        let read = |path: &str| fs::read_to_string(new.place.root.join(path)).unwrap();
        assert_eq!(read("etc/fstab"), "/dev/mapper/VA-back / ext4 defaults 0 1\nUUID=mine /boot ext4 defaults 0 2\n");
        assert!(read("etc/default/grub").starts_with("GRUB_DEVICE=/dev/mapper/VA-back\n"));
        assert!(read("etc/default/grub").contains("rd.lvm.lv=VA/back"));
        assert_eq!(read("etc/lvm/devices/system.devices"), "mine");
        let config = new.config();
        assert_eq!((config.slot.as_str(), config.version.as_str()), ("back", "2"));
    }

    #[test]
    fn a_system_of_another_group_is_fitted_too() {
        let (new, running) = (machine(), machine());
        new.write(SLOTS_JSON, r#"{"slot": "sys", "group": "X", "slots": ["sys", "alt"], "health": true}"#);
        new.write("boot/loader/entries/a.conf", "options root=/dev/mapper/X-sys ro rd.lvm.lv=X/sys net.ifnames=0\n");
        let words = fit(&new.place.root, &running.place.root, &example(), "2", "ext4").unwrap();
        assert_eq!(
            words.join(" "),
            "root=/dev/mapper/VA-back rd.lvm.lv=VA/back ro net.ifnames=0 upgrade_slot.slot=back"
        );
        assert!(new.config().health && new.config().group == "VA");
    }

    #[test]
    fn payloads_are_unpacked_with_all_they_have() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        let target = dir.path().join("target");
        fs::create_dir_all(source.join("etc")).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(source.join("etc/x"), vec![7; 3 << 20]).unwrap();
        let payload = dir.path().join("va.tar.xz");
        tools::run(tools::command("tar", ["-cJf"]).arg(&payload).arg("-C").arg(&source).arg(".")).unwrap();
        extract(&payload, &target, &mut |_| ()).unwrap();
        assert_eq!(fs::read(target.join("etc/x")).unwrap().len(), 3 << 20);
        fs::write(&payload, "garbage").unwrap();
        let error = extract(&payload, &target, &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("va.tar.xz: exit status") && error.contains("xz:"), "{error}");
        assert!(extract(Path::new("va.tar.gz"), &target, &mut |_| ()).is_err());
    }

    #[test]
    fn a_tree_that_could_not_be_kept_is_refused() {
        let new = machine();
        new.write("usr/sbin/init", "");
        assert!(check(&new.place.root).unwrap_err().to_string().contains("no image-slots"));
        new.write("usr/bin/image-slots", "");
        check(&new.place.root).unwrap();
    }

    #[test]
    fn the_trees_own_boot_is_emptied() {
        let (new, running) = (machine(), machine());
        new.write("boot/config-5.14.0-1.el9", "new");
        new.write("boot/grub2/grub.cfg", "new");
        empty_boot(&new.place.root, &running.place.boot()).unwrap();
        assert_eq!(fs::read_dir(new.place.boot()).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(running.place.boot().join("config-5.14.0-1.el9")).unwrap(), "new");
        assert!(fs::read_to_string(running.place.boot().join("grub2/grub.cfg")).unwrap().contains("custom.cfg"));
    }
}
