//! Putting the new system on the disk: files, fstab, what is kept of the old one, initramfs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use image_init::hooks::executables;

use crate::manifest::InitramfsPolicy;
use crate::restore;

use super::chroot::{self, BACKUP};
use super::command::{Cmd, find};
use super::context::{Context, NEW, RAM, SYSTEM_LOG};
use super::{archive, entries, fstab, memory, volumes};

/// Where vendor elements put scripts that carry over what theirs saved.
pub const RESTORE: &str = "usr/lib/upgrade-tiny/restore.d";

/// Memory that programs of the new system should find.
const ROOM: u64 = 256 << 20;

/// Unpacks the payload.
///
/// # Errors
/// What tar or the decompressor says.
pub fn extract(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    let words = archive::extract_words(Path::new(NEW));
    archive::stream(&c.payload(), &words, "unpacking", |_| false, &mut c.report)?;
    for folder in ["proc", "sys", "dev", "run", "tmp", "var/log"] {
        let place = Path::new(NEW).join(folder);
        fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
    }
    // The log's file is made now so that it gets its label together with the others.
    let log = Path::new(NEW).join(SYSTEM_LOG);
    let made = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&log);
    made.map(drop).with_context(|| format!("making {}", log.display()))
}

/// That the kernel and an init are there.
///
/// # Errors
/// What is not.
pub fn is_extracted(c: &mut Context) -> Result<()> {
    let kernel = format!("boot/vmlinuz-{}", c.manifest.kernel);
    ensure!(Path::new(NEW).join(&kernel).is_file(), "{NEW}/{kernel} is not there after unpacking");
    ensure!(find(Path::new(NEW), &["init"]).is_some(), "{NEW} has no init after unpacking");
    Ok(())
}

/// Makes the fstab agree with the file systems.
///
/// # Errors
/// When it cannot be read or written.
pub fn write_fstab(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    let disk = c.disk()?;
    let file = Path::new(NEW).join("etc/fstab");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let agreed = fstab::agree(&text, &volumes::places(&c.manifest, &disk.name));
    agreed.changes.iter().for_each(|change| c.report.say(&format!("fstab: {change}")));
    if agreed.text != text {
        fs::write(&file, agreed.text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// That no line of the fstab names a device that is not there.
///
/// # Errors
/// Which do.
pub fn has_fstab(c: &mut Context) -> Result<()> {
    let disk = c.disk()?;
    let text = fs::read_to_string(Path::new(NEW).join("etc/fstab")).context("reading the new fstab")?;
    let strangers = fstab::strangers(&text, &volumes::places(&c.manifest, &disk.name));
    ensure!(strangers.is_empty(), "the new fstab names {}, which is not there", strangers.join(", "));
    Ok(())
}

/// Restores what is kept of the old system, then runs the scripts of vendor elements.
///
/// # Errors
/// What cannot be restored.
pub fn carry_over(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    let backup = Path::new(RAM).join("backup");
    let report = &mut c.report;
    let mut log = |line: &str| {
        // Those are told below, at the consoles as well.
        if !line.starts_with("note: ") {
            report.note(&format!("restore: {line}"));
        }
    };
    let done = restore::restore(&backup, Path::new(NEW), &mut log)?;
    done.told.iter().for_each(|line| report.say(&format!("restore: {line}")));
    report.say(&format!("restore: these can log in: {}", done.logins.join(", ")));
    let scripts = executables(&Path::new(NEW).join(RESTORE));
    if scripts.is_empty() {
        return Ok(());
    }
    chroot::within(c, |c| {
        for script in &scripts {
            let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let own = backup.join("vendor").join(&name);
            fs::create_dir_all(&own).with_context(|| format!("making {}", own.display()))?;
            c.report.say(&format!("restore: running {name}"));
            chroot::program(&Path::new("/").join(RESTORE).join(&name))
                .env("BACKUP_DIR", format!("{BACKUP}/vendor/{name}"))
                .env("BACKUP", BACKUP)
                .run(&mut c.report)?;
        }
        Ok(())
    })
}

/// The modules that a disk's drivers are in, from the disk up to its controller's bus.
#[must_use]
pub fn drivers(disk: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Ok(mut at) = fs::canonicalize(disk) else { return found };
    while at.pop() && at.file_name().is_some_and(|name| name != "devices") {
        let module = fs::canonicalize(at.join("driver/module"));
        // What is built into the kernel has no state of loading.
        let module = module.ok().filter(|m| m.join("initstate").exists());
        found.extend(module.and_then(|m| Some(m.file_name()?.to_str()?.to_owned())));
    }
    found
}

/// Lets the new system's generator make its initramfs on this machine.
///
/// # Errors
/// When that fails and the payload has none either.
pub fn make_initramfs(c: &mut Context) -> Result<()> {
    if c.manifest.initramfs == InitramfsPolicy::Keep {
        c.report.say("the initramfs of the payload stays, as the bundle wants");
        return Ok(());
    }
    if memory::available().is_some_and(|now| now < ROOM) {
        c.report.say("memory is short: the payload leaves it, as it is unpacked");
        let _ = fs::remove_file(c.payload());
    }
    let made = chroot::within(c, generate);
    let Err(e) = made else { return Ok(()) };
    // That of the payload starts on any hardware that the tiny system knows.
    let kernel = c.manifest.kernel.clone();
    let kept = fs::read_dir(Path::new(NEW).join("boot")).into_iter().flatten().flatten();
    let kept = kept.map(|e| e.file_name().to_string_lossy().into_owned()).find(|n| entries::is_initramfs(n, &kernel));
    let name = kept.ok_or_else(|| e.context("making the initramfs, and the payload has none"))?;
    c.report.say(&format!("the initramfs could not be made anew; the payload's {name} stays (the log tells why)"));
    Ok(())
}

fn generate(c: &mut Context) -> Result<()> {
    let kernel = c.manifest.kernel.clone();
    c.report.say(&format!("the new system makes its initramfs for {kernel}; that takes a while"));
    let Some(dracut) = find(Path::new(NEW), &["dracut"]) else {
        let program =
            find(Path::new(NEW), &["update-initramfs"]).context("neither dracut nor update-initramfs is there")?;
        let made = Path::new(NEW).join(format!("boot/initrd.img-{kernel}")).exists();
        let words = [if made { "-u" } else { "-c" }, "-k", &kernel];
        return chroot::program(&program).args(words).run(&mut c.report).map(drop);
    };
    let disk = c.disk()?;
    let image = format!("/boot/initramfs-{kernel}.img");
    let fresh = format!("{image}.new");
    let made = dracut_call(&dracut, &disk.name, &fresh, &kernel).run(&mut c.report);
    let (image, fresh) = (Path::new(NEW).join(&image[1..]), Path::new(NEW).join(&fresh[1..]));
    let made = made.and_then(|_| {
        let length = fs::metadata(&fresh).with_context(|| format!("looking at {}", fresh.display()))?.len();
        ensure!(length > 0, "dracut made an empty initramfs");
        fs::rename(&fresh, &image).with_context(|| format!("writing {}", image.display()))
    });
    if made.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    made
}

/// dracut looks at this machine, but without udev's data it may not see what the root lies on: that is told.
fn dracut_call(dracut: &Path, disk: &str, image: &str, kernel: &str) -> Cmd {
    let drivers: Vec<String> = drivers(&Path::new("/sys/class/block").join(disk)).into_iter().collect();
    let mut cmd = chroot::program(dracut).args(["--force", "--add", "lvm"]);
    if !drivers.is_empty() {
        cmd = cmd.args(["--add-drivers".to_owned(), drivers.join(" ")]);
    }
    cmd.args([image, kernel])
}

/// That an initramfs for the kernel is in /boot.
///
/// # Errors
/// That none is.
pub fn has_initramfs(c: &mut Context) -> Result<()> {
    let kernel = &c.manifest.kernel;
    let boot = fs::read_dir(Path::new(NEW).join("boot")).context("reading the new /boot")?;
    let mut images = boot.flatten().filter(|e| entries::is_initramfs(&e.file_name().to_string_lossy(), kernel));
    ensure!(images.any(|e| e.metadata().is_ok_and(|m| m.len() > 0)), "/boot has no initramfs for the kernel {kernel}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn drivers_from_the_disk_up_to_its_bus() {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("devices/pci0000:00/0000:00:04.0/virtio1");
        fs::create_dir_all(device.join("block/vda")).unwrap();
        for (name, loaded) in [("virtio_blk", true), ("virtio_pci", true), ("builtin", false)] {
            fs::create_dir_all(sys.path().join("module").join(name)).unwrap();
            fs::create_dir_all(sys.path().join("drivers").join(name)).unwrap();
            if loaded {
                fs::write(sys.path().join("module").join(name).join("initstate"), "live\n").unwrap();
            }
            symlink(sys.path().join("module").join(name), sys.path().join("drivers").join(name).join("module"))
                .unwrap();
        }
        symlink(sys.path().join("drivers/virtio_blk"), device.join("driver")).unwrap();
        symlink(sys.path().join("drivers/virtio_pci"), device.join("../driver")).unwrap();
        symlink(sys.path().join("drivers/builtin"), device.join("../../driver")).unwrap();
        symlink(device.join("block/vda"), sys.path().join("vda")).unwrap();
        let found: Vec<String> = drivers(&sys.path().join("vda")).into_iter().collect();
        assert_eq!(found, ["virtio_blk", "virtio_pci"]);
        assert!(drivers(&sys.path().join("absent")).is_empty());
    }

    #[test]
    fn dracut_is_told_what_it_may_not_see() {
        let text = dracut_call(Path::new("/usr/bin/dracut"), "absent", "/boot/initramfs-6.img.new", "6").text();
        assert_eq!(text, "/usr/bin/dracut --force --add lvm /boot/initramfs-6.img.new 6");
    }
}
