//! Attached disks: what hooks see, what remains in the image, and that nothing is left behind.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};

use image_create::assemble::attach::AttachedDisk;
use image_create::assemble::bootloader::BootSpec;
use image_create::plan::disk::*;
use image_create::report::Reporter;

use crate::support::*;

fn base(dir: &Path) -> std::path::PathBuf {
    let base = dir.join("mnt");
    fs::create_dir_all(&base).unwrap();
    base
}

#[test]
fn hooks_find_the_tree_mounted_and_what_they_write_is_in_the_image() {
    for (sector_size, kind, size) in [(512u32, "ext4", 60), (4096, "ext4", 60), (512, "xfs", 304), (512, "btrfs", 120)]
    {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            let sample = Sample::full(sector_size, kind, size);
            let boot = if sector_size == 512 { grub() } else { BootSpec::default() };
            let raw = sample.with(dir, None, |assembly, raw| {
                let base = base(dir);
                let disk = AttachedDisk::create(assembly, &tree, &base, &Reporter::quiet()).unwrap();
                let mut seen = describe(&base, &["boot"]);
                seen.retain(|d| !d.line.starts_with("lost+found"));
                assert_eq!(seen, describe(&tree, &["boot"]));
                assert!(base.join("boot/efi/EFI/BOOT/BOOTX64.EFI").exists());

                let device = disk.block_device().display().to_string();
                let list = disk.block_devices();
                let wanted = format!("[BSP]={device}p2 [ESP]={device}p1 [boot]={device}p3 [image0]={device}");
                assert!(list.starts_with(&wanted), "{list}");
                run("bash", &["-c", &format!("declare -A D; eval \"D=( {list} )\"; test -b ${{D[root]}}")]);
                let found = run("blkid", &["-p", "-o", "value", "-s", "LABEL", &format!("{device}p4")]);
                assert_eq!(found.trim(), "l-root");
                let dev = dir.join("dev");
                fs::create_dir(&dev).unwrap();
                disk.make_nodes(&dev).unwrap();
                let node = dev.join(format!("{}p4", Path::new(&device).file_name().unwrap().to_str().unwrap()));
                assert!(node.metadata().unwrap().file_type().is_block_device());

                // A hook at work.
                fs::write(base.join("etc/new"), "by a hook").unwrap();
                fs::remove_file(base.join("var/sparse")).unwrap();
                fs::write(base.join("boot/new"), "by a hook").unwrap();
                fs::write(base.join("boot/efi/EFI/new.cfg"), "by a hook").unwrap();
                disk.close(assembly, &boot, &Reporter::quiet()).unwrap();
                assert_eq!(names(&base), [] as [String; 0]);
                raw.to_owned()
            });
            let (root, esp) = (sample.cut(&raw, 4), sample.cut(&raw, 1));
            if kind == "ext4" {
                run("e2fsck", &["-f", "-n", text(&root)]);
            }
            run("fsck.vfat", &["-n", text(&esp)]);
            let lines = mounted(&root, kind, sector_size);
            assert!(lines.iter().any(|d| d.line.starts_with("etc/new ")));
            assert!(!lines.iter().any(|d| d.line.starts_with("var/sparse ")));
            let lines = mounted(&sample.cut(&raw, 3), "ext4", sector_size);
            assert!(lines.iter().any(|d| d.line.starts_with("new ")));
            assert_eq!(run("mtype", &["-i", text(&esp), "::EFI/new.cfg"]), "by a hook");
            if sector_size == 512 {
                let first = fs::read(&raw).unwrap();
                assert_eq!(first[0], 0xb0, "boot code is written after the disk is detached");
            }
        });
    }
}

#[test]
fn logical_partitions_are_attached_too() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let parts = vec![(partition("boot", 1, PartitionType::Mbr(0x83)), 40), (logical("root", 5), 60)];
        let filesystems = vec![
            filesystem("mkfs_root", "root", "ext4", Some("/")),
            filesystem("mkfs_boot", "boot", "ext4", Some("/boot")),
        ];
        Sample::new(TableKind::Mbr, 512, parts, filesystems).with(dir, None, |assembly, _| {
            let disk = AttachedDisk::create(assembly, &dir.join("tree"), &base(dir), &Reporter::quiet()).unwrap();
            assert!(disk.block_devices().ends_with(&format!("[root]={}p5", disk.block_device().display())));
            disk.close(assembly, &BootSpec::default(), &Reporter::quiet()).unwrap();
        });
    });
}

#[test]
fn a_hook_that_keeps_a_file_open_is_an_error_and_nothing_is_left() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        Sample::single(TableKind::Gpt, "ext4", 80).with(dir, None, |assembly, _| {
            let disk = AttachedDisk::create(assembly, &dir.join("tree"), &base(dir), &Reporter::quiet()).unwrap();
            let held = fs::File::open(dir.join("mnt/etc/hostname")).unwrap();
            let error = disk.close(assembly, &BootSpec::default(), &Reporter::quiet()).unwrap_err();
            assert!(format!("{error:#}").contains("EBUSY"), "{error:#}");
            drop(held);
        });
    });
}

#[test]
fn dropping_it_unmounts_and_detaches() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        Sample::full(512, "ext4", 60).with(dir, None, |assembly, _| {
            drop(AttachedDisk::create(assembly, &dir.join("tree"), &base(dir), &Reporter::quiet()).unwrap());
            assert_eq!(names(&dir.join("mnt")), [] as [String; 0]);
        });
    });
}

/// Not a test of its own: the program that the next one kills.
#[test]
fn attaches_and_waits_to_be_killed() {
    let Some(dir) = std::env::var_os("ATTACH_IN") else { return };
    let dir = Path::new(&dir);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            image_create::exec::mount::private_namespace().unwrap();
            let sample = Sample::full(512, "xfs", 304);
            sample.with(dir, None, |assembly, _| {
                let disk = AttachedDisk::create(assembly, &dir.join("tree"), &base(dir), &Reporter::quiet()).unwrap();
                fs::write(dir.join("attached"), disk.block_device().to_str().unwrap()).unwrap();
                std::thread::sleep(std::time::Duration::from_secs(60));
            });
        });
    });
}

#[test]
fn kill_9_leaves_no_mount_no_loop_device_and_no_partition() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attach::attaches_and_waits_to_be_killed"])
            .env("ATTACH_IN", dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ready = dir.join("attached");
        for _ in 0..600 {
            if ready.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        let device = fs::read_to_string(&ready).unwrap();
        assert!(Path::new(&format!("{device}p4")).exists());
        child.kill().unwrap();
        child.wait().unwrap();
        no_loops(&dir.join("image0.raw"));
        let name = device.strip_prefix("/dev/").unwrap();
        // Somebody else may have the device by now, but not with our fourth partition and its start.
        let start = fs::read_to_string(format!("/sys/block/{name}/{name}p4/start"));
        assert!(start.is_err(), "{name}p4 is still there");
        assert_eq!(names(&dir.join("mnt")), [] as [String; 0]);
    });
}
