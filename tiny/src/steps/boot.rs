//! Making the disk start the new system: GRUB for BIOS, the EFI system partition for UEFI.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::{Firmware, Role};
use crate::selinux::Policy;

use super::chroot;
use super::command::find;
use super::context::{Context, NEW};
use super::volumes;

/// The file that firmware starts from a disk that it has no entry for (UEFI specification, 3.5.1.1).
const FALLBACK: &str = "EFI/BOOT/BOOTX64.EFI";

/// Installs what the firmware starts.
///
/// # Errors
/// What GRUB's installer says.
pub fn install(c: &mut Context) -> Result<()> {
    match c.manifest.firmware {
        Firmware::Bios => install_bios(c),
        Firmware::Uefi => install_uefi(c),
    }
}

fn install_bios(c: &mut Context) -> Result<()> {
    let disk = c.disk()?.path();
    let names = ["grub2-install", "grub-install"];
    let program = find(Path::new(NEW), &names).context("the new system has neither grub2-install nor grub-install")?;
    chroot::within(c, |c| chroot::program(&program).arg("--target=i386-pc").arg(disk).run(&mut c.report).map(drop))
}

fn install_uefi(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    let esp = Path::new(NEW).join(esp_point(c)?.trim_start_matches('/'));
    let programs = efi_programs(&esp);
    if !esp.join(FALLBACK).is_file() {
        let best =
            choose(&programs).context("the EFI system partition has no program that could start the new system")?;
        let folder = esp.join("EFI/BOOT");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        // shim starts its neighbour grubx64.efi, so the whole folder goes along.
        let from = esp.join(best).parent().map(Path::to_path_buf).unwrap_or_default();
        for entry in fs::read_dir(&from).with_context(|| format!("reading {}", from.display()))?.flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name()))
                    .with_context(|| format!("copying {}", entry.path().display()))?;
            }
        }
        let copied = fs::copy(esp.join(best), esp.join(FALLBACK));
        copied.with_context(|| format!("copying {best} to {FALLBACK}"))?;
    }
    let Some(best) = choose(&programs).map(str::to_owned) else { return Ok(()) };
    // The firmware starts FALLBACK without an entry of its own; that there is one is a comfort.
    if let Err(e) = add_entry(c, &best) {
        c.report.say(&format!("the firmware got no boot entry ({e:#}); it will start {FALLBACK}"));
    }
    Ok(())
}

/// Where the EFI system partition is mounted.
fn esp_point(c: &Context) -> Result<String> {
    let esp = c.manifest.layout.partitions.iter().find(|p| p.role == Role::Esp);
    let point = esp.and_then(|p| p.filesystem.as_ref()?.mount.clone());
    point.context("the manifest has no EFI system partition with a mount point: the bundle is broken")
}

/// The programs of an EFI system partition, as paths in it.
fn efi_programs(esp: &Path) -> Vec<String> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    let folders = list(&esp.join("EFI")).into_iter().filter(|p| p.is_dir());
    let files = folders.flat_map(|folder| list(&folder)).filter(|p| p.is_file());
    let names = files.filter_map(|p| Some(p.strip_prefix(esp).ok()?.to_str()?.to_owned()));
    names.filter(|name| name.to_lowercase().ends_with(".efi")).collect()
}

/// The one that starts the system: shim if it is there, else GRUB; one of the vendor's folder before that of the fallback.
fn choose(programs: &[String]) -> Option<&str> {
    let order = ["/shimx64.efi", "/grubx64.efi", "/bootx64.efi"];
    let of = |end: &str| programs.iter().find(|name| name.to_lowercase().ends_with(end));
    order.into_iter().find_map(of).map(String::as_str)
}

fn add_entry(c: &mut Context, program: &str) -> Result<()> {
    let efibootmgr = find(Path::new(NEW), &["efibootmgr"]).context("the new system has no efibootmgr")?;
    let number = c.manifest.layout.partitions.iter().find(|p| p.role == Role::Esp).map_or(1, |p| p.number);
    let words = entry_words(&c.disk()?.path(), number, &c.manifest.system, program);
    chroot::within(c, |c| {
        let variables = Path::new(NEW).join("sys/firmware/efi/efivars");
        let any = fs::read_dir(&variables).is_ok_and(|mut d| d.next().is_some());
        ensure!(any, "the kernel shows no EFI variables");
        chroot::program(&efibootmgr).args(words).run(&mut c.report).map(drop)
    })
}

fn entry_words(disk: &Path, number: u32, label: &str, program: &str) -> Vec<String> {
    let words = [
        "--create",
        "--disk",
        &disk.display().to_string(),
        "--part",
        &number.to_string(),
        "--label",
        label,
        "--loader",
    ];
    words.iter().map(|w| (*w).to_owned()).chain([format!("\\{}", program.replace('/', "\\"))]).collect()
}

/// That the firmware finds something to start.
///
/// # Errors
/// What is missing.
pub fn is_installed(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    match c.manifest.firmware {
        Firmware::Uefi => {
            let file = Path::new(NEW).join(esp_point(c)?.trim_start_matches('/')).join(FALLBACK);
            ensure!(file.is_file(), "{} is not there", file.display());
        }
        Firmware::Bios => {
            let disk = c.disk()?.path();
            let mut sector = [0; 512];
            let read = fs::File::open(&disk).and_then(|mut f| f.read_exact(&mut sector));
            read.with_context(|| format!("reading the boot sector of {}", disk.display()))?;
            ensure!(has_boot_code(&sector), "the boot sector of {} has no boot code", disk.display());
            let folders = ["boot/grub2/i386-pc/core.img", "boot/grub/i386-pc/core.img"];
            if !folders.iter().any(|f| Path::new(NEW).join(f).is_file()) {
                bail!("GRUB's core image is not in the new /boot");
            }
        }
    }
    Ok(())
}

/// A jump at the start and the mark at the end.
fn has_boot_code(sector: &[u8; 512]) -> bool {
    sector[0] == 0xEB && sector[510..] == [0x55, 0xAA]
}

/// Labels the new system's files, if it has an SELinux policy that is not switched off.
///
/// # Errors
/// What setfiles says.
pub fn label(c: &mut Context) -> Result<()> {
    c.mount_new(false)?;
    let new = Path::new(NEW);
    let Some(policy) = Policy::of(new) else {
        c.report.say("the new system has no SELinux policy that is switched on: nothing to label");
        return Ok(());
    };
    let Some(setfiles) = find(new, &["setfiles"]) else {
        c.report.say(
            "the new system has an SELinux policy and no setfiles: its first boot will label the files and start anew",
        );
        return fs::write(new.join(".autorelabel"), "").context("writing .autorelabel");
    };
    let compiled = policy.compiled(new);
    chroot::within(c, |c| {
        // Shown once more without the kernel's file systems, so that the folders below them get labels as well.
        let view = "/run/upgrade-tiny/tree";
        let place = new.join(&view[1..]);
        super::machine::bind(new, &place)?;
        let disk = c.disk()?;
        let manifest = c.manifest.clone();
        let places = volumes::places(&manifest, &disk.name);
        let mut points = Vec::new();
        for (point, part) in volumes::mounted(&places) {
            let inner = point.trim_start_matches('/');
            if !inner.is_empty() && part.filesystem.kind != "vfat" {
                super::machine::bind(&new.join(inner), &place.join(inner))?;
                points.push(point);
            }
        }
        c.report.say(&format!("labelling by the SELinux policy {} ({})", policy.name, policy.mode));
        let words = policy.words(Path::new("/"), compiled.as_deref(), view, &points);
        chroot::program(&setfiles).args(words).run(&mut c.report).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_firmware_should_start() {
        let esp = tempfile::tempdir().unwrap();
        for name in ["EFI/rocky/grubx64.efi", "EFI/rocky/shimx64.efi", "EFI/rocky/grub.cfg", "EFI/BOOT/BOOTX64.EFI"] {
            fs::create_dir_all(esp.path().join(name).parent().unwrap()).unwrap();
            fs::write(esp.path().join(name), "").unwrap();
        }
        let programs = efi_programs(esp.path());
        assert_eq!(programs, ["EFI/BOOT/BOOTX64.EFI", "EFI/rocky/grubx64.efi", "EFI/rocky/shimx64.efi"]);
        assert_eq!(choose(&programs), Some("EFI/rocky/shimx64.efi"));
        assert_eq!(choose(&programs[..2]), Some("EFI/rocky/grubx64.efi"));
        assert_eq!(choose(&programs[..1]), Some("EFI/BOOT/BOOTX64.EFI"));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn the_firmware_gets_a_path_of_its_own_kind() {
        let words = entry_words(Path::new("/dev/nvme0n1"), 1, "Rocky Linux 9.4", "EFI/rocky/shimx64.efi");
        assert_eq!(
            words.join(" "),
            "--create --disk /dev/nvme0n1 --part 1 --label Rocky Linux 9.4 --loader \\EFI\\rocky\\shimx64.efi"
        );
    }

    #[test]
    fn boot_sectors_with_code() {
        let mut sector = [0; 512];
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        assert!(!has_boot_code(&sector));
        sector[0] = 0xEB;
        assert!(has_boot_code(&sector));
    }
}
