//! The last steps: looking at the result, keeping the log, starting the new system; and what happens if there is none.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use image_init::root::Finder;
use nix::mount::MsFlags;
use nix::sys::reboot::{RebootMode, reboot};

use super::command::{self, Cmd};
use super::context::{Context, LOG, NEW, OLD, SYSTEM_LOG};
use super::entries::{self, Entry};
use super::{install, machine, report, run, volumes};

/// Looks at the new system as it lies on the disk: its file systems, and the files that its boot needs.
///
/// # Errors
/// What is not in order.
pub fn check(c: &mut Context) -> Result<()> {
    machine::unmount_below(Path::new(NEW))?;
    let disk = c.disk()?;
    let manifest = c.manifest.clone();
    for place in volumes::places(&manifest, &disk.name) {
        let Some((program, words)) = volumes::fsck(&place.filesystem.kind, &place.device) else { continue };
        if command::tool(program).is_err() {
            c.report.note(&format!("{} is not looked at: the tiny system has no {program}", place.device.display()));
            continue;
        }
        Cmd::tool(program)?.args(words).run(&mut c.report)?;
    }
    c.mount_new(true)?;
    install::has_fstab(c)?;
    install::has_initramfs(c)?;
    let boot = Path::new(NEW).join("boot");
    let entry = default_entry(&boot)?;
    c.report.say(&format!("GRUB will start '{}'", entry.title));
    let lacks = absent(&entry, &boot);
    ensure!(lacks.is_empty(), "the boot entry '{}' needs {}, which /boot lacks", entry.title, lacks.join(", "));
    machine::unmount_below(Path::new(NEW))
}

/// The entry that GRUB will start, from the files in /boot.
fn default_entry(boot: &Path) -> Result<Entry> {
    let folder = ["grub2", "grub"].map(|name| boot.join(name)).into_iter().find(|f| f.join("grub.cfg").is_file());
    let folder = folder.context("the new /boot has no grub.cfg")?;
    let text = fs::read_to_string(folder.join("grub.cfg")).context("reading the new grub.cfg")?;
    let mut found = Vec::new();
    if entries::uses_bls(&text) {
        let files = fs::read_dir(boot.join("loader/entries")).into_iter().flatten().flatten();
        let mut names: Vec<String> = files.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.ends_with(".conf"));
        names.sort_by(|a, b| b.cmp(a));
        let read = |name: &String| fs::read_to_string(boot.join("loader/entries").join(name)).unwrap_or_default();
        found.extend(names.iter().map(|name| entries::of_bls(name, &read(name))));
    }
    found.extend(entries::of_config(&text));
    // The block is binary-safe text; one that is not there names nothing.
    let block = fs::read(folder.join("grubenv")).unwrap_or_default();
    let saved = entries::environment(&String::from_utf8_lossy(&block)).get("saved_entry").cloned();
    let entry = entries::default(&found, saved.as_deref().filter(|_| text.contains("saved_entry")));
    entry.cloned().context("the new grub.cfg has no entry that starts a kernel")
}

/// Files of an entry that are not in /boot.
fn absent(entry: &Entry, boot: &Path) -> Vec<String> {
    let files = std::iter::once(&entry.kernel).chain(&entry.initrds).map(|path| entries::in_boot(path));
    files.filter(|file| !boot.join(file).is_file()).map(str::to_owned).collect()
}

/// Writes the log to the new system.
///
/// # Errors
/// When it cannot be written.
pub fn keep_log(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    let statement = c.watch.statement();
    c.report.say(&statement);
    c.report.say(&format!("the migration took {}", run::seconds(c.begun.elapsed())));
    let to = Path::new(NEW).join(SYSTEM_LOG);
    report::copy_log(Path::new(LOG), &to).with_context(|| format!("writing {}", to.display()))?;
    machine::unmount_below(Path::new(NEW))
}

/// Starts the new system. Does not return if that works.
///
/// # Errors
/// What the kernel says.
pub fn restart(c: &mut Context) -> Result<()> {
    machine::unmount_below(Path::new(NEW))?;
    let group = c.manifest.layout.group.clone();
    if let Ok(call) = c.lvm(&["vgchange".to_owned(), "-an".to_owned(), group], None) {
        // The kernel would do the same.
        let _ = call.output(&mut c.report);
    }
    c.report.say("the machine starts the new system");
    reboot_now()
}

fn reboot_now() -> Result<()> {
    nix::unistd::sync();
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(e) => bail!("rebooting: {e}"),
    }
}

/// Tells why nothing was changed, leaves the log on the old system, and starts that.
pub fn go_back(c: &mut Context, step: &str, why: &str) {
    c.report.say(&format!(
        "The migration stopped at the step {step}, before anything was changed.\nWhy: {why}\nThe old system starts in 10 s."
    ));
    match leave_log(c) {
        Ok(place) => c.report.say(&format!("the log is in {place} of the old system")),
        Err(e) => c.report.say(&format!("the log could not be left on the old system: {e:#}")),
    }
    give_up();
}

/// Reboots after ten seconds. Returns only if the kernel refuses.
pub fn give_up() {
    nix::unistd::sync();
    sleep(Duration::from_secs(10));
    let _ = reboot_now();
}

/// Writes the log to the old system, if its file system was in order.
fn leave_log(c: &mut Context) -> Result<String> {
    let old = c.old.clone().context("it was not found")?;
    ensure!(old.writable, "its file system was not unmounted cleanly or needs a check, so it is not written to");
    machine::unmount_below(Path::new(OLD))?;
    // The volume may have been deactivated already.
    let device = Finder::new(&mut c.loader, &c.line).wait(&c.request.root).map_err(anyhow::Error::msg)?;
    let kind = device.identity.clone().unwrap_or_default().kind;
    machine::protect(&device.path(), false)?;
    machine::mount_on(&device.path(), Path::new(OLD), &kind, MsFlags::empty(), "")?;
    // /var may be a file system of its own; what would be written below its mount point would not be seen.
    let log = Path::new(OLD).join(SYSTEM_LOG);
    let own = log.parent().is_some_and(|folder| fs::symlink_metadata(folder).is_ok_and(|m| m.is_dir()));
    let to = if own { log } else { Path::new(OLD).join(&c.request.dir).join("upgrade-tiny.log") };
    let written = report::copy_log(Path::new(LOG), &to).with_context(|| format!("writing {}", to.display()));
    machine::unmount_below(Path::new(OLD))?;
    written.map(|()| format!("/{}", to.strip_prefix(OLD).unwrap_or(&to).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, name: &str, text: &str) {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    }

    #[test]
    fn the_entry_of_a_red_hat_system() {
        let boot = tempfile::tempdir().unwrap();
        let bls = |kernel: &str| {
            format!("title Rocky ({kernel})\nlinux /vmlinuz-{kernel}\ninitrd /initramfs-{kernel}.img $tuned_initrd\n")
        };
        put(boot.path(), "grub2/grub.cfg", "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n");
        put(boot.path(), "loader/entries/id-5.14.0-362.conf", &bls("5.14.0-362"));
        put(boot.path(), "loader/entries/id-5.14.0-427.conf", &bls("5.14.0-427"));
        put(boot.path(), "vmlinuz-5.14.0-427", "k");
        let entry = default_entry(boot.path()).unwrap();
        assert_eq!(entry.title, "Rocky (5.14.0-427)");
        assert_eq!(absent(&entry, boot.path()), ["initramfs-5.14.0-427.img"]);
        put(boot.path(), "grub2/grubenv", "# GRUB Environment Block\nsaved_entry=id-5.14.0-362\n####");
        assert_eq!(default_entry(boot.path()).unwrap().title, "Rocky (5.14.0-362)");
    }

    #[test]
    fn the_entry_of_a_debian_system() {
        let boot = tempfile::tempdir().unwrap();
        assert!(default_entry(boot.path()).unwrap_err().to_string().contains("no grub.cfg"));
        put(boot.path(), "grub/grub.cfg", "menuentry 'Debian' {\n linux /vmlinuz-6 root=x\n initrd /initrd.img-6\n}\n");
        put(boot.path(), "vmlinuz-6", "k");
        put(boot.path(), "initrd.img-6", "i");
        let entry = default_entry(boot.path()).unwrap();
        assert_eq!((entry.title.as_str(), absent(&entry, boot.path())), ("Debian", Vec::new()));
        put(boot.path(), "grub/grub.cfg", "set timeout=5\n");
        assert!(default_entry(boot.path()).unwrap_err().to_string().contains("no entry"));
    }
}
