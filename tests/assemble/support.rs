//! A tree with one of everything, sample disks, and ways to look at what came out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image_create::assemble::bootloader::{BIOS_BOOT, BiosBoot, BootSpec};
use image_create::assemble::disk::{Assembly, PlacedDisk};
use image_create::assemble::identity::Identities;
use image_create::assemble::lvm::Volumes;
use image_create::exec::mount::{Mount, private_namespace};
use image_create::plan::disk::*;
use image_create::report::Reporter;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::Value;
use uuid::{Uuid, uuid};

pub const MIB: u64 = 1 << 20;
pub const EPOCH: i64 = 1_700_000_000;
pub const LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
pub const SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");

/// Runs a test on a thread with a mount namespace of its own, in a fresh directory.
pub fn privately<T: Send>(test: impl FnOnce(&Path) -> T + Send) -> T {
    let dir = tempfile::tempdir().unwrap();
    let work = || {
        private_namespace().unwrap();
        test(dir.path())
    };
    let result = std::thread::scope(|scope| scope.spawn(work).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The output of a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|err| panic!("{program} is needed for this test: {err}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{text}{errors}", output.status);
    text
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A small tree with one of everything that a filesystem can hold.
pub fn make_tree(tree: &Path) {
    for dir in ["bin", "etc", "boot/efi/EFI/BOOT", "boot/grub", "var/log", "proc", "sys", "dev", "root", ".hidden"] {
        fs::create_dir_all(tree.join(dir)).unwrap();
    }
    fs::write(tree.join("etc/hostname"), "tree\n").unwrap();
    fs::write(tree.join(".hidden/file"), "seen\n").unwrap();
    fs::write(tree.join("bin/sh"), vec![0x7f; 70_000]).unwrap();
    fs::set_permissions(tree.join("bin/sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(tree.join("bin/sh"), tree.join("bin/dash")).unwrap();
    symlink("/etc/hostname", tree.join("etc/link")).unwrap();
    fs::write(tree.join("etc/owned"), "x").unwrap();
    chown(tree.join("etc/owned"), Some(1234), Some(70_000)).unwrap();
    fs::write(tree.join("etc/naïve name with spaces"), "y").unwrap();
    fs::write(tree.join("bin/ping"), "ping").unwrap();
    // cap_net_raw+ep
    let capability: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(tree.join("bin/ping"), "security.capability", &capability).unwrap();
    xattr::set(tree.join("etc/hostname"), "user.note", b"a note").unwrap();
    xattr::set(tree.join("etc/owned"), "system.posix_acl_access", &acl()).unwrap();
    mknod(&tree.join("dev/null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
    nix::unistd::mkfifo(&tree.join("var/fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    let sparse = File::create(tree.join("var/sparse")).unwrap();
    sparse.set_len(20 * MIB).unwrap();
    sparse.write_all_at(b"end", 20 * MIB - 3).unwrap();
    fs::write(tree.join("boot/vmlinuz"), vec![1; 300_000]).unwrap();
    fs::write(tree.join("boot/efi/EFI/BOOT/BOOTX64.EFI"), vec![2; 100_000]).unwrap();
    fs::write(tree.join("boot/efi/EFI/BOOT/a rather long file name.conf"), "set x\n").unwrap();
    fs::write(tree.join("boot/grub/boot.img"), boot_image()).unwrap();
    fs::write(tree.join("boot/grub/core.img"), vec![0xc0; 30_001]).unwrap();
    fs::set_permissions(tree.join("root"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(tree.join("boot"), fs::Permissions::from_mode(0o711)).unwrap();
    chown(tree.join("boot"), Some(3), Some(4)).unwrap();
    set_time(&tree.join("etc/hostname"), 1_000_000_000);
    set_time(&tree.join("boot/efi/EFI/BOOT/BOOTX64.EFI"), 1_000_000_000);
    set_time(&tree.join("boot"), 1_100_000_000);
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755)).unwrap();
}

/// user::rw-, user:1234:rw-, group::r--, mask::rw-, other::r-- as the kernel stores it.
fn acl() -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in [(1u16, 6u16, !0u32), (2, 6, 1234), (4, 4, !0), (16, 6, !0), (32, 4, !0)] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn boot_image() -> Vec<u8> {
    let mut image = vec![0xb0; 512];
    image[510..].copy_from_slice(&[0x55, 0xaa]);
    image
}

pub fn set_time(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// A file of a tree: its modification time, and one line with everything else that a copy has to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    pub line: String,
    pub mtime: i64,
}

/// Describes a tree in order of names. The content of the directories `hide` is left out.
pub fn describe(tree: &Path, hide: &[&str]) -> Vec<Described> {
    let mut found = Vec::new();
    let mut first_names = BTreeMap::new();
    for entry in walkdir::WalkDir::new(tree).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(tree).unwrap().to_str().unwrap().to_owned();
        let hidden = |h: &&str| name.strip_prefix(*h).is_some_and(|rest| rest.starts_with('/'));
        if hide.iter().any(hidden) || name == "lost+found" {
            continue;
        }
        let meta = entry.path().symlink_metadata().unwrap();
        let mut line = format!("{name} {:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
        if meta.is_file() {
            let content = fs::read(entry.path()).unwrap();
            line += &format!(" {} {:08x}", meta.len(), crc32fast::hash(&content));
            if meta.nlink() > 1 {
                line += &format!(" ={}", first_names.entry(meta.ino()).or_insert(name));
            }
        }
        if meta.is_symlink() {
            line += &format!(" -> {}", fs::read_link(entry.path()).unwrap().display());
        } else {
            let mut names: Vec<_> = xattr::list(entry.path()).unwrap().collect();
            names.sort();
            // XFS shows an ACL under a second name.
            for name in names.iter().filter(|n| n.to_str() != Some("trusted.SGI_ACL_FILE")) {
                let value = xattr::get(entry.path(), name).unwrap().unwrap();
                line += &format!(" {}={value:?}", name.to_str().unwrap());
            }
        }
        if meta.rdev() != 0 {
            line += &format!(" dev {}", meta.rdev());
        }
        found.push(Described { line, mtime: meta.mtime() });
    }
    found
}

/// The same with no time later than the epoch.
pub fn clamped(tree: Vec<Described>) -> Vec<Described> {
    tree.into_iter().map(|d| Described { mtime: d.mtime.min(EPOCH), ..d }).collect()
}

/// Names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The loop devices that are attached to `image`: other tests use loop devices at the same time.
pub fn loops_of(image: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(Path::new("/sys/block")) {
        let backing = Path::new("/sys/block").join(&name).join("loop/backing_file");
        if fs::read_to_string(backing).is_ok_and(|file| file.starts_with(text(image))) {
            found.push(name);
        }
    }
    found
}

/// Checks that nothing is attached to a loop device any more. It may take a moment: the threads of other tests start
/// programs, and until such a child has become its program it holds whatever this process has open.
pub fn no_loops(image: &Path) {
    for _ in 0..100 {
        if loops_of(image).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} is still attached to {:?}", image.display(), loops_of(image));
}

pub fn partition(name: &str, number: u32, kind: PartitionType) -> Partition {
    Partition { name: name.into(), number, size: Size::Percent(100.0), kind, boot: false, logical: false }
}

pub fn logical(name: &str, number: u32) -> Partition {
    Partition { logical: true, ..partition(name, number, PartitionType::Mbr(0x83)) }
}

pub fn filesystem(name: &str, base: &str, kind: &str, point: Option<&str>) -> Filesystem {
    Filesystem {
        name: name.into(),
        base: base.into(),
        kind: kind.into(),
        label: if kind == "vfat" { "ESP".into() } else { format!("l-{base}") },
        uuid: None,
        options: vec![],
        mount_point: point.map(str::to_owned),
        fstab: None,
    }
}

/// A disk with partitions side by side, aligned to 1 MiB.
pub struct Sample {
    pub layout: DiskLayout,
    pub size: u64,
    pub extents: Vec<(u32, Extent)>,
    pub identities: Identities,
}

impl Sample {
    /// Partitions come with their sizes in MiB.
    pub fn new(kind: TableKind, sector_size: u32, parts: Vec<(Partition, u64)>, filesystems: Vec<Filesystem>) -> Self {
        let mut next = MIB;
        let mut extents = Vec::new();
        for (partition, size) in &parts {
            if partition.logical {
                next += MIB;
            }
            extents.push((partition.number, Extent { start: next, length: size * MIB }));
            next += size * MIB;
        }
        let partitions = parts.into_iter().map(|(p, _)| p).collect();
        let table = Some(Table { kind, align: MIB, partitions });
        let disk = Disk { name: "image0".into(), size: None, sector_size, table };
        let layout = DiskLayout { disks: vec![disk], volume_groups: vec![], filesystems, mount_points: vec![] };
        // Random ones: mkfs.btrfs refuses a UUID that a disk of another test has.
        let identities = Identities::new(&layout, None);
        Self { layout, size: next + MIB, extents, identities }
    }

    /// GPT: 1 ESP, 2 BIOS boot partition, 3 /boot, 4 / of the kind and size (MiB) given, 5 swap.
    pub fn full(sector_size: u32, root: &str, root_size: u64) -> Self {
        let gpt = PartitionType::Gpt;
        let parts = vec![
            (partition("ESP", 1, gpt(ESP)), if sector_size == 512 { 40 } else { 300 }),
            (partition("BSP", 2, gpt(BIOS_BOOT)), 1),
            (partition("boot", 3, gpt(LINUX)), 40),
            (partition("root", 4, gpt(LINUX)), root_size),
            (partition("swap", 5, gpt(SWAP)), 8),
        ];
        let filesystems = vec![
            filesystem("mkfs_root", "root", root, Some("/")),
            filesystem("mkfs_boot", "boot", "ext4", Some("/boot")),
            filesystem("mkfs_esp", "ESP", "vfat", Some("/boot/efi")),
            filesystem("mkfs_swap", "swap", "swap", Some("none")),
        ];
        Self::new(TableKind::Gpt, sector_size, parts, filesystems)
    }

    /// One partition with everything in it.
    pub fn single(table: TableKind, kind: &str, size: u64) -> Self {
        let of = match table {
            TableKind::Mbr => PartitionType::Mbr(0x83),
            TableKind::Gpt => PartitionType::Gpt(LINUX),
        };
        let root = filesystem("mkfs_root", "root", kind, Some("/"));
        Self::new(table, 512, vec![(partition("root", 1, of), size)], vec![root])
    }

    /// The same with identifiers that are the same each time.
    pub fn repeatable(mut self) -> Self {
        self.identities = Identities::new(&self.layout, Some("a seed"));
        self
    }

    pub fn extent(&self, number: u32) -> Extent {
        self.extents.iter().find(|(n, _)| *n == number).unwrap().1
    }

    /// Calls `f` with the assembly and the raw file's name; nothing may be left afterwards but that file.
    pub fn with<T>(&self, dir: &Path, epoch: Option<i64>, f: impl FnOnce(&Assembly, &Path) -> T) -> T {
        let work = dir.join("work");
        fs::create_dir_all(&work).unwrap();
        let raw = dir.join("image0.raw");
        let disk = &self.layout.disks[0];
        let disks = [PlacedDisk { disk, size: self.size, extents: &self.extents, raw: raw.clone() }];
        let volumes = Volumes::default();
        let assembly = Assembly {
            layout: &self.layout,
            disks: &disks,
            volumes: &volumes,
            identities: &self.identities,
            epoch,
            work: &work,
        };
        let result = f(&assembly, &raw);
        no_loops(&raw);
        assert_eq!(names(&work), [] as [String; 0], "something is left in the work directory");
        result
    }

    /// Assembles `dir/tree` and returns the raw file.
    pub fn assemble(&self, dir: &Path, boot: &BootSpec) -> PathBuf {
        self.with(dir, None, |assembly, raw| {
            assembly.assemble(&dir.join("tree"), boot, &Reporter::quiet()).unwrap();
            raw.to_owned()
        })
    }

    /// One partition's bytes in a file of its own.
    pub fn cut(&self, raw: &Path, number: u32) -> PathBuf {
        let extent = self.extent(number);
        let path = raw.with_extension(format!("p{number}"));
        let (start, length) = (format!("skip={}", extent.start / MIB), format!("count={}", extent.length / MIB));
        let (from, to) = (format!("if={}", raw.display()), format!("of={}", path.display()));
        run("dd", &[&from, &to, "bs=1M", &start, &length, "conv=sparse", "status=none"]);
        path
    }
}

/// Calls `f` with something that tools see as a disk with sectors of that size: few can be told about a file.
pub fn as_disk<T>(raw: &Path, sector_size: u32, f: impl FnOnce(&str) -> T) -> T {
    let sectors = sector_size.to_string();
    let device = run("losetup", &["--find", "--show", "--read-only", "--sector-size", &sectors, text(raw)]);
    let result = f(device.trim());
    run("losetup", &["--detach", device.trim()]);
    result
}

pub fn grub() -> BootSpec {
    let bios = BiosBoot { boot_image: "/boot/grub/boot.img".into(), core_image: "/boot/grub/core.img".into() };
    BootSpec { bios: Some(bios) }
}

/// Mounts a filesystem image read-only and describes what is in it.
pub fn mounted(image: &Path, kind: &str, sector_size: u32) -> Vec<Described> {
    let place = image.with_extension("mnt");
    fs::create_dir_all(&place).unwrap();
    let sectors = sector_size.to_string();
    let device = run("losetup", &["--find", "--show", "--read-only", "--sector-size", &sectors, text(image)]);
    let flags = nix::mount::MsFlags::MS_RDONLY;
    let mount = Mount::device(Path::new(device.trim()), &place, kind, flags, "");
    // The mount keeps it until its end.
    run("losetup", &["--detach", device.trim()]);
    let mount = mount.unwrap();
    let lines = describe(&place, &[]);
    mount.close().unwrap();
    lines
}
