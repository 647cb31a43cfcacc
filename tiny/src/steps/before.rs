//! The steps before the point of no return: they read, and change nothing on any disk.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use image_init::devices::{Device, Devices};
use image_init::root::Finder;
use nix::mount::MsFlags;

use crate::layout;
use crate::manifest::{FileEntry, Firmware, Manifest};

use super::blocks::Block;
use super::context::{Context, OLD, Old, RAM};
use super::report::{Progress, Report};
use super::{archive, blocks, command, machine, memory, table, volumes};

/// Memory that programs of the tiny system need beside what is copied: xz takes 65 MiB for archives of `xz -9`.
const RESERVE: u64 = 160 << 20;

/// That the tiny system has all programs that later steps call.
///
/// # Errors
/// All that are missing.
pub fn check_tools(c: &mut Context) -> Result<()> {
    let missing: Vec<String> = tools(&c.manifest)?.into_iter().filter(|name| command::tool(name).is_err()).collect();
    ensure!(missing.is_empty(), "the tiny system lacks {}: build the bundle again with them", missing.join(", "));
    let version = command::Cmd::tool("tar")?.arg("--version").run(&mut c.report)?;
    ensure!(version.contains("GNU tar"), "the tiny system's tar is not GNU tar, which alone restores all attributes");
    Ok(())
}

/// The programs that a bundle needs.
fn tools(manifest: &Manifest) -> Result<Vec<String>> {
    let mut tools = vec!["lvm".to_owned(), "sgdisk".to_owned(), "tar".to_owned()];
    tools.push(archive::decompressor(&manifest.payload)?.to_owned());
    for place in volumes::places(manifest, "x") {
        tools.push(volumes::mkfs(place.filesystem, &place.device)?.0.to_owned());
        // A FAT file system that was just made is no risk worth a program.
        let fsck = volumes::fsck(&place.filesystem.kind, &place.device).map(|(program, _)| program);
        tools.extend(fsck.filter(|p| *p != "fsck.vfat").map(str::to_owned));
    }
    tools.sort();
    tools.dedup();
    Ok(tools)
}

/// Finds the old system's file system and the disk below it, and mounts it without writing.
///
/// # Errors
/// What is not there.
pub fn find(c: &mut Context) -> Result<()> {
    let device = Finder::new(&mut c.loader, &c.line).wait(&c.request.root).map_err(anyhow::Error::msg)?;
    let described = blocks::read(Path::new(blocks::SYS));
    let disk = blocks::system_disk(&described, &device.name)?.clone();
    let all = Devices::default().now();
    is_alone(&device, &disk.name, &all, &described, &c.manifest)?;
    let listed = if command::tool("lvm").is_ok() {
        let words = ["pvs", "--noheadings", "--separator", "|", "-o", "pv_name,vg_name"].map(str::to_owned);
        c.lvm(&words, None)?.run(&mut c.report)?
    } else {
        String::new()
    };
    let volumes = blocks::physical_volumes(&listed);
    c.groups = blocks::groups_on(&described, &disk.name, &volumes)?;
    let group = &c.manifest.layout.group;
    let elsewhere = volumes.iter().any(|(_, vg)| vg == group) && !c.groups.contains(group);
    ensure!(
        !elsewhere,
        "another disk has a volume group {group}, which the new system needs for itself: detach that disk"
    );
    c.report.say(&format!(
        "the old system is on {}, on the disk {} of {} MiB",
        device.path().display(),
        disk.name,
        disk.bytes >> 20
    ));
    if let Some((name, bytes)) = &c.request.disk
        && *bytes != disk.bytes
    {
        bail!("stage one saw a system disk {name} of {bytes} bytes, and {} has {} bytes", disk.name, disk.bytes);
    }
    let kind = device.identity.clone().unwrap_or_default().kind;
    c.disk = Some(disk);
    c.load_driver(&kind);
    let clean = machine::mount_unchanged(&device.path(), Path::new(OLD), &kind)?;
    if !clean {
        c.report.say("the old file system was not unmounted cleanly: the kernel has replayed its journal");
    }
    let sound = is_marked_sound(&kind, &mut File::open(device.path()).context("opening the old file system")?);
    if !sound {
        c.report.say("the old file system is marked as in need of a check: nothing will be written to it");
    }
    c.old = Some(Old { device, writable: clean && sound });
    Ok(())
}

/// That no other device has the identity of the old file system or of a new one, as a copied disk has.
fn is_alone(old: &Device, disk: &str, all: &[Device], described: &[Block], manifest: &Manifest) -> Result<()> {
    let uuid = |d: &Device| d.identity.as_ref().filter(|i| i.kind != "LVM2_member").map(|i| i.uuid.to_lowercase());
    let places = volumes::places(manifest, disk);
    let new: Vec<String> = places.iter().map(|p| p.filesystem.uuid.to_lowercase()).collect();
    for other in all.iter().filter(|d| d.name != old.name) {
        let Some(uuid_of_other) = uuid(other).filter(|u| !u.is_empty()) else { continue };
        let twin = Some(&uuid_of_other) == uuid(old).as_ref();
        let on_disk = blocks::disks_below(described, &other.name).contains(disk);
        ensure!(
            !twin && (on_disk || !new.contains(&uuid_of_other)),
            "{} has the UUID {uuid_of_other}, which {}: detach the disk that is a copy",
            other.path().display(),
            if twin { "the old system's file system has too" } else { "the new system will have" },
        );
    }
    Ok(())
}

/// Whether a file system's own mark says that it is sound. Only ext has one with which it can be mounted all the same:
/// `s_state` in its superblock (the kernel's documentation of ext4), where bit 0 says that it was unmounted cleanly, which
/// matters where there is no journal, and bit 1 that the kernel found errors.
fn is_marked_sound(kind: &str, device: &mut (impl Read + Seek)) -> bool {
    if !kind.starts_with("ext") {
        return true;
    }
    let mut superblock = [0; 0x3C];
    let read = device.seek(SeekFrom::Start(1024)).and_then(|_| device.read_exact(&mut superblock));
    read.is_ok() && superblock[0x3A] & 3 == 1
}

/// The bundle's folder on the old system.
fn folder(c: &Context) -> PathBuf {
    Path::new(OLD).join(&c.request.dir)
}

/// That the folder holds this bundle.
///
/// # Errors
/// What is missing or another.
pub fn is_found(c: &mut Context) -> Result<()> {
    let dir = folder(c);
    let file = dir.join("manifest.json");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let found = Manifest::parse(&text).with_context(|| format!("in {}", file.display()))?;
    ensure!(is_same(&c.manifest, &found), "{} is of another bundle than this tiny system", file.display());
    for name in [c.manifest.payload.clone(), c.table_name()?] {
        let length = fs::metadata(dir.join(&name)).with_context(|| format!("looking at {name}"))?.len();
        let wanted = entry(&c.manifest, &name)?.bytes;
        ensure!(length == wanted, "{name} has {length} bytes instead of {wanted}");
    }
    ensure!(
        dir.join("backup").is_dir(),
        "{} has no folder backup, in which stage one keeps the configuration",
        dir.display()
    );
    Ok(())
}

/// Whether a bundle's manifest and that of its tiny system belong together. The tiny system cannot hold its own figures.
fn is_same(own: &Manifest, bundle: &Manifest) -> bool {
    let key = |m: &Manifest| (m.name.clone(), m.version.clone(), m.kernel.clone(), m.payload.clone(), m.layout.clone());
    key(own) == key(bundle) && own.files.iter().all(|(name, entry)| bundle.files.get(name) == Some(entry))
}

fn entry<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a FileEntry> {
    manifest.files.get(name).with_context(|| format!("the manifest does not list {name}: the bundle is broken"))
}

/// That the memory holds what is copied and the programs beside it.
///
/// # Errors
/// The figures.
pub fn has_memory(c: &mut Context) -> Result<()> {
    let (need, have) = (needed(c)? + RESERVE, memory::available().context("reading MemAvailable of /proc/meminfo")?);
    c.report.note(&format!("memory: {} MiB are needed, {} MiB are there", need >> 20, have >> 20));
    ensure!(
        have >= need,
        "there are {} MiB of free memory, and {} MiB are needed: give the machine {} MiB more",
        have >> 20,
        need.div_ceil(1 << 20),
        (need - have).div_ceil(1 << 20)
    );
    Ok(())
}

/// Bytes that are copied, with room for the file system's own needs.
fn needed(c: &Context) -> Result<u64> {
    let files = entry(&c.manifest, &c.manifest.payload)?.bytes + entry(&c.manifest, &c.table_name()?)?.bytes;
    Ok(files + size_of_tree(&folder(c).join("backup")) + (8 << 20))
}

/// Bytes of a tree's files, each rounded up to a page.
fn size_of_tree(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => 4096 + size_of_tree(&path),
        Ok(meta) => meta.len().next_multiple_of(4096),
        Err(_) => 0,
    };
    entries.map(|e| size(e.path())).sum()
}

/// Copies the payload, the table and what is kept of the old system into memory.
///
/// # Errors
/// What cannot be copied.
pub fn load(c: &mut Context) -> Result<()> {
    let size = format!("mode=0700,size={}", needed(c)?);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    machine::mount_on(Path::new("tmpfs"), Path::new(RAM), "tmpfs", flags, &size)?;
    let dir = folder(c);
    for name in [c.table_name()?, c.manifest.payload.clone()] {
        copy_file(&dir.join(&name), &Path::new(RAM).join(&name), &mut c.report)?;
    }
    copy_tree(&dir.join("backup"), &Path::new(RAM).join("backup"))
}

fn copy_file(from: &Path, to: &Path, report: &mut Report) -> Result<()> {
    let mut source = File::open(from).with_context(|| format!("opening {}", from.display()))?;
    let mut progress = Progress::new("copying", source.metadata()?.len());
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut target = opened.with_context(|| format!("making {}", to.display()))?;
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = source.read(&mut buffer).with_context(|| format!("reading {}", from.display()))?;
        if count == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..count]).with_context(|| format!("writing {}", to.display()))?;
        done += count as u64;
        if let Some(line) = progress.line(done) {
            report.say(&line);
        }
    }
}

/// Copies folders, files and links with owners and modes. Nobody but root gets to the copies: the tmpfs is root's alone.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(from).with_context(|| format!("looking at {}", from.display()))?;
    if meta.is_dir() {
        fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
        for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
            let name = entry?.file_name();
            copy_tree(&from.join(&name), &to.join(&name))?;
        }
    } else if meta.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to).with_context(|| format!("making {}", to.display()))?;
    } else if meta.is_file() {
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    } else {
        return Ok(());
    }
    lchown(to, Some(meta.uid()), Some(meta.gid())).with_context(|| format!("giving {} its owner", to.display()))?;
    if !meta.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    Ok(())
}

/// Compares the copies in memory with the digests of the manifest.
///
/// # Errors
/// Which file differs.
pub fn verify(c: &mut Context) -> Result<()> {
    for name in [c.table_name()?, c.manifest.payload.clone()] {
        let path = Path::new(RAM).join(&name);
        let found = digest(&path, &mut c.report)?;
        let wanted = entry(&c.manifest, &name)?.sha256.to_lowercase();
        ensure!(found == wanted, "{name} has the SHA-256 {found} instead of {wanted}: the copy on the disk is damaged");
    }
    Ok(())
}

fn digest(path: &Path, report: &mut Report) -> Result<String> {
    let length = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
    let mut progress = Progress::new("verifying", length);
    let entry = FileEntry::of(path, &mut |done| progress.line(done).iter().for_each(|line| report.say(line)))?;
    Ok(entry.sha256)
}

/// Unpacks the whole payload to nowhere, and looks whether it holds what later steps count on.
///
/// # Errors
/// Where it breaks, or what it lacks.
pub fn test_archive(c: &mut Context) -> Result<()> {
    let words = archive::LIST.map(str::to_owned);
    let names = archive::stream(&c.payload(), &words, "testing", archive::counts, &mut c.report)?;
    let lacks = archive::missing(&names, &c.manifest);
    ensure!(lacks.is_empty(), "the payload lacks {}: the bundle is broken", lacks.join(", "));
    Ok(())
}

/// Whether the disk can become what the manifest says, and the machine can start from it.
///
/// # Errors
/// The figure that falls short.
pub fn check_disk(c: &mut Context) -> Result<()> {
    let disk = c.disk()?;
    let file = Path::new(RAM).join(c.table_name()?);
    let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    c.table = table::entries(&bytes)?;
    table::agrees(&c.table, &c.manifest.layout)?;
    disk_fits(&disk, &c.manifest)?;
    let last = c.table.last().context("the table has no partition")?;
    let extents = layout::extents_to_end(&c.manifest.layout, disk.bytes, last.first * table::SECTOR);
    for volume in layout::sizes(&c.manifest.layout, extents)? {
        let mib = (volume.extents * c.manifest.layout.extent_bytes) >> 20;
        c.report.note(&format!("the volume {} gets {mib} MiB", volume.name));
    }
    let started = if Path::new("/sys/firmware/efi").is_dir() { Firmware::Uefi } else { Firmware::Bios };
    ensure!(
        started == c.manifest.firmware,
        "the machine was started by {started:?}, and the bundle is made for {:?}: take the one for this firmware",
        c.manifest.firmware
    );
    Ok(())
}

fn disk_fits(disk: &Block, manifest: &Manifest) -> Result<()> {
    let name = &disk.name;
    ensure!(!disk.read_only, "the disk {name} is read-only");
    ensure!(
        disk.bytes >= manifest.disk_bytes,
        "the disk {name} has {} MiB, and the layout needs {} MiB",
        disk.bytes >> 20,
        manifest.disk_bytes.div_ceil(1 << 20)
    );
    let sector = disk.sector;
    ensure!(sector == table::SECTOR, "the disk {name} has sectors of {sector} bytes, and the table is made for 512");
    Ok(())
}

#[cfg(test)]
#[path = "before_tests.rs"]
mod tests;
