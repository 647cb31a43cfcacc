//! Disks with filesystems: the tree in them, and what happens when it does not fit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use image_create::assemble::bootloader::BootSpec;
use image_create::error::{EXIT_BUILD, EXIT_HOST, exit_code, render};
use image_create::exec::mount::Mount;
use image_create::plan::disk::*;
use image_create::report::Reporter;

use crate::support::*;

#[test]
fn a_gpt_disk_holds_the_tree_cut_at_its_mount_points() {
    for sector_size in [512u32, 4096] {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            let before = describe(&tree, &[]);
            let sample = Sample::full(sector_size, "ext4", 60);
            let boot = if sector_size == 512 { grub() } else { BootSpec::default() };
            let raw = sample.assemble(dir, &boot);
            assert_eq!(describe(&tree, &[]), before, "assembling changes nothing in the tree");

            let (root, boot) = (sample.cut(&raw, 4), sample.cut(&raw, 3));
            run("e2fsck", &["-f", "-n", text(&root)]);
            run("e2fsck", &["-f", "-n", text(&boot)]);
            assert_eq!(mounted(&root, "ext4", sector_size), describe(&tree, &["boot"]));
            let boot_lines = mounted(&boot, "ext4", sector_size);
            assert_eq!(boot_lines, describe(&tree.join("boot"), &["efi"]));
            assert_eq!(boot_lines[0], Described { line: " 40711 3:4".into(), mtime: 1_100_000_000 });

            let uuid = |name: &str| sample.identities.filesystems[name].to_string();
            let tags = run("blkid", &["-p", "-o", "export", text(&root)]);
            assert!(tags.contains("LABEL=l-root") && tags.contains(&format!("UUID={}", uuid("mkfs_root"))), "{tags}");
            let swap = run("blkid", &["-p", "-o", "export", text(&sample.cut(&raw, 5))]);
            assert!(swap.contains("TYPE=swap") && swap.contains("LABEL=l-swap"), "{swap}");
            assert!(swap.contains(&format!("UUID={}", uuid("mkfs_swap"))), "{swap}");
            check_esp(&sample, &raw, &tree);
            as_disk(&raw, sector_size, |device| run("sfdisk", &["--verify", device]));
        });
    }
}

fn check_esp(sample: &Sample, raw: &Path, tree: &Path) {
    let esp = sample.cut(raw, 1);
    let verdict = run("fsck.vfat", &["-n", text(&esp)]);
    assert!(verdict.lines().count() == 2, "{verdict}");
    let tags = run("blkid", &["-p", "-o", "export", text(&esp)]);
    assert!(tags.contains("VERSION=FAT32") && tags.contains("LABEL=ESP"), "{tags}");
    let id = sample.identities.filesystem_text(&sample.layout.filesystems[2]);
    assert!(tags.contains(&format!("UUID={id}")), "{tags}");
    let out = esp.with_extension("out");
    fs::create_dir(&out).unwrap();
    run("mcopy", &["-s", "-p", "-m", "-i", text(&esp), "::EFI", text(&out)]);
    let files = |base: &Path| -> Vec<(String, u32)> {
        let entries = walkdir::WalkDir::new(base.join("EFI")).sort_by_file_name();
        let files = entries.into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
        let sum = |path: &Path| crc32fast::hash(&fs::read(path).unwrap());
        files.map(|e| (e.file_name().to_str().unwrap().to_owned(), sum(e.path()))).collect()
    };
    assert_eq!(files(&out), files(&tree.join("boot/efi")));
    let listing = run("mdir", &["-i", text(&esp), "::EFI/BOOT"]);
    assert!(listing.contains("2001-09-09"), "a file keeps its time: {listing}");
}

#[test]
fn an_mbr_disk_with_a_root_in_a_logical_partition() {
    privately(|dir| {
        let tree = dir.join("tree");
        make_tree(&tree);
        let parts = vec![(partition("boot", 1, PartitionType::Mbr(0x83)), 30), (logical("root", 5), 60)];
        let mut boot = filesystem("mkfs_boot", "boot", "ext2", Some("/boot"));
        boot.options = vec!["-b".into(), "4096".into()];
        let filesystems = vec![filesystem("mkfs_root", "root", "ext3", Some("/")), boot];
        let sample = Sample::new(TableKind::Mbr, 512, parts, filesystems);
        let raw = sample.assemble(dir, &grub());
        assert_eq!(mounted(&sample.cut(&raw, 5), "ext4", 512), describe(&tree, &["boot"]));
        assert_eq!(mounted(&sample.cut(&raw, 1), "ext4", 512), describe(&tree.join("boot"), &[]));
        run("sfdisk", &["--verify", text(&raw)]);
    });
}

#[test]
fn a_disk_without_a_table_is_one_filesystem() {
    privately(|dir| {
        let tree = dir.join("tree");
        make_tree(&tree);
        let root = filesystem("mkfs_root", "image0", "ext4", Some("/"));
        let mut sample = Sample::new(TableKind::Gpt, 512, vec![], vec![root]);
        sample.layout.disks[0].table = None;
        sample.size = 80 * MIB;
        let raw = sample.assemble(dir, &BootSpec::default());
        run("e2fsck", &["-f", "-n", text(&raw)]);
        assert_eq!(mounted(&raw, "ext4", 512), describe(&tree, &[]));
        let error = sample.with(dir, None, |assembly, _| assembly.assemble(&tree, &grub(), &Reporter::quiet()));
        assert!(error.unwrap_err().to_string().contains("needs a partition table"));
    });
}

#[test]
fn xfs_and_btrfs_hold_the_same_tree() {
    for (kind, size, sector_size) in [("xfs", 320, 512), ("btrfs", 160, 512), ("xfs", 320, 4096), ("btrfs", 160, 4096)]
    {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            let sample = Sample::full(sector_size, kind, size);
            let raw = sample.assemble(dir, &BootSpec::default());
            let root = sample.cut(&raw, 4);
            match kind {
                "xfs" => drop(run("xfs_repair", &["-n", "-f", text(&root)])),
                _ => drop(run("btrfs", &["check", "--readonly", text(&root)])),
            }
            let tags = run("blkid", &["-p", "-o", "export", text(&root)]);
            assert!(tags.contains("LABEL=l-root"), "{tags}");
            assert!(tags.contains(&sample.identities.filesystems["mkfs_root"].to_string()), "{tags}");
            assert_eq!(mounted(&root, kind, sector_size), describe(&tree, &["boot"]));
        });
    }
}

#[test]
fn mkfs_options_of_the_layout_reach_mke2fs() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let mut sample = Sample::full(512, "ext4", 120);
        let options = "-E resize=500000 -i 4096 -J size=8 -O ^huge_file -E stride=4";
        sample.layout.filesystems[0].options = options.split(' ').map(str::to_owned).collect();
        let raw = sample.assemble(dir, &BootSpec::default());
        let about = run("dumpe2fs", &["-h", text(&sample.cut(&raw, 4))]);
        assert!(about.contains("RAID stride:              4"), "{about}");
        assert!(about.contains("Total journal size:       8M"), "{about}");
        assert!(!about.contains("huge_file"), "{about}");
    });
}

#[test]
fn the_same_tree_at_another_time_gives_the_same_bytes() {
    let digest = |pause: bool| {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            if pause {
                std::thread::sleep(std::time::Duration::from_millis(1100));
                // Times of last access are not to be seen either.
                drop(describe(&tree, &[]));
            }
            Sample::full(512, "ext4", 60).repeatable().with(dir, Some(EPOCH), |assembly, raw| {
                assembly.assemble(&tree, &grub(), &Reporter::quiet()).unwrap();
                run("sha256sum", &[text(raw)])[..64].to_owned()
            })
        })
    };
    assert_eq!(digest(false), digest(true));
}

#[test]
fn clamped_times_leave_a_clean_filesystem() {
    for (kind, options) in [
        ("ext4", ""),
        ("ext4", "-O ^metadata_csum"),
        ("ext4", "-O ^64bit,metadata_csum_seed"),
        ("ext4", "-g 4096"),
        ("ext2", "-I 128"),
    ] {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            let mut sample = Sample::full(512, kind, 60);
            sample.layout.filesystems[0].options = options.split_whitespace().map(str::to_owned).collect();
            sample.with(dir, Some(EPOCH), |assembly, raw| {
                assembly.assemble(&tree, &BootSpec::default(), &Reporter::quiet()).unwrap();
                let root = sample.cut(raw, 4);
                run("e2fsck", &["-f", "-n", text(&root)]);
                assert_eq!(mounted(&root, "ext4", 512), clamped(describe(&tree, &["boot"])), "{options}");
                let kept = run("debugfs", &["-R", "stat /etc/hostname", text(&root)]);
                assert!(kept.contains("ctime: 0x3b9aca00") && kept.contains("mtime: 0x3b9aca00"), "{kept}");
            });
        });
    }
}

/// Bytes that cannot be compressed or left out.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; length];
    let mut state = 1u64;
    for chunk in bytes.chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    bytes
}

#[test]
fn a_filesystem_that_is_too_small_says_so_and_what_to_do() {
    for (kind, size) in [("ext4", 40), ("vfat", 40), ("xfs", 304), ("btrfs", 120)] {
        privately(|dir| {
            let tree = dir.join("tree");
            fs::create_dir_all(tree.join("data")).unwrap();
            fs::write(tree.join("data/noise"), noise((size + 8) << 20)).unwrap();
            Sample::single(TableKind::Gpt, kind, size as u64).with(dir, None, |assembly, _| {
                let error = assembly.assemble(&tree, &BootSpec::default(), &Reporter::quiet()).unwrap_err();
                let shown = render(&error);
                let wanted = format!("is too small for its content, which is {} MiB", size + 8);
                assert!(shown.contains(&wanted), "{kind}: {shown}");
                assert!(shown.contains("hint: give a larger --image-size"), "{kind}: {shown}");
                assert_eq!(exit_code(&error), EXIT_BUILD);
            });
        });
    }
}

#[test]
fn a_partition_too_small_for_any_filesystem_says_so() {
    for (kind, options) in [("xfs", ""), ("btrfs", ""), ("vfat", "-F 32")] {
        privately(|dir| {
            make_tree(&dir.join("tree"));
            let mut sample = Sample::single(TableKind::Mbr, kind, 1);
            sample.layout.filesystems[0].options = options.split_whitespace().map(str::to_owned).collect();
            sample.with(dir, None, |assembly, _| {
                let error = assembly.assemble(&dir.join("tree"), &BootSpec::default(), &Reporter::quiet());
                let shown = render(&error.unwrap_err());
                assert!(
                    shown.contains("too small for its content") && shown.contains("--image-size"),
                    "{kind}: {shown}"
                );
            });
        });
    }
}

#[test]
fn a_full_host_disk_is_told_from_a_full_filesystem() {
    for kind in ["ext4", "vfat", "xfs", "btrfs"] {
        privately(|dir| {
            let tree = dir.join("tree");
            fs::create_dir_all(tree.join("data")).unwrap();
            fs::write(tree.join("data/file"), noise(60 << 20)).unwrap();
            let small = dir.join("small");
            fs::create_dir(&small).unwrap();
            let space = Mount::tmpfs(&small, "size=40m").unwrap();
            Sample::single(TableKind::Gpt, kind, 320).with(&small, None, |assembly, _| {
                let error = assembly.assemble(&tree, &BootSpec::default(), &Reporter::quiet()).unwrap_err();
                let shown = render(&error);
                assert_eq!(exit_code(&error), EXIT_HOST, "{kind}: {shown}");
                assert!(shown.contains(&format!("the disk that holds {} is full", small.display())), "{kind}: {shown}");
            });
            space.close().unwrap();
        });
    }
}

#[test]
fn fat_refuses_what_it_cannot_store() {
    privately(|dir| {
        let sample = Sample::full(512, "ext4", 60);
        let error = |prepare: &dyn Fn(&Path)| {
            let base = tempfile::tempdir_in(dir).unwrap();
            let esp = base.path().join("tree/boot/efi");
            fs::create_dir_all(&esp).unwrap();
            prepare(&esp);
            sample.with(base.path(), None, |assembly, _| {
                let tree = base.path().join("tree");
                format!("{:#}", assembly.assemble(&tree, &BootSpec::default(), &Reporter::quiet()).unwrap_err())
            })
        };
        let link = error(&|esp| symlink("x", esp.join("link")).unwrap());
        assert!(link.contains("FAT holds files and directories only"), "{link}");
        let twice = error(&|esp| {
            fs::write(esp.join("Name"), "").unwrap();
            fs::write(esp.join("name"), "").unwrap();
        });
        assert!(twice.contains("have the same name on FAT"), "{twice}");
        let odd = error(&|esp| fs::write(esp.join("a:b"), "").unwrap());
        assert!(odd.contains("FAT cannot store the name of") && odd.contains("a:b"), "{odd}");
    });
}

#[test]
fn boot_code_goes_into_a_gpts_bios_boot_partition() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let sample = Sample::full(512, "ext4", 60);
        let raw = fs::read(sample.assemble(dir, &grub())).unwrap();
        check_boot_code(&raw, sample.extent(2).start / 512);
        assert_eq!(raw[446 + 4], 0xee, "the protective partition is still there");
    });
}

#[test]
fn boot_code_goes_into_the_gap_behind_an_mbr() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let sample = Sample::single(TableKind::Mbr, "ext4", 60);
        let path = sample.assemble(dir, &grub());
        let raw = fs::read(&path).unwrap();
        check_boot_code(&raw, 1);
        let id = sample.identities.disks["image0"].mbr_id;
        assert_eq!(raw[440..444], id.to_le_bytes());
        run("sfdisk", &["--verify", text(&path)]);
    });
}

fn check_boot_code(raw: &[u8], first: u64) {
    assert_eq!(raw[0], 0xb0);
    assert_eq!(raw[0x5c..0x64], first.to_le_bytes());
    assert_eq!(raw[0x66..0x68], [0x90, 0x90]);
    assert_eq!(raw[510..512], [0x55, 0xaa]);
    let core = &raw[first as usize * 512..];
    assert_eq!(core[0], 0xc0);
    assert_eq!(core[0x1f4..0x1fc], (first + 1).to_le_bytes());
    // 30001 bytes are 59 sectors.
    assert_eq!(core[0x1fc..0x200], [58, 0, 0x20, 0x08]);
    assert_eq!(core[30_000..30_002], [0xc0, 0]);
}

#[test]
fn boot_code_without_a_place_is_refused() {
    let error = |sample: &Sample, core: usize| {
        privately(|dir| {
            make_tree(&dir.join("tree"));
            fs::write(dir.join("tree/boot/grub/core.img"), vec![1; core]).unwrap();
            sample.with(dir, None, |assembly, _| {
                let result = assembly.assemble(&dir.join("tree"), &grub(), &Reporter::quiet());
                format!("{:#}", result.unwrap_err())
            })
        })
    };
    let large = error(&Sample::full(4096, "ext4", 60), 30_000);
    assert!(large.contains("a BIOS reads disks in sectors of 512 bytes, not 4096"), "{large}");
    let none = error(&Sample::single(TableKind::Gpt, "ext4", 60), 30_000);
    assert!(none.contains("needs a BIOS boot partition (type EF02)"), "{none}");
    let mut tight = Sample::single(TableKind::Mbr, "ext4", 60);
    tight.extents[0].1.start = 63 * 512;
    tight.layout.disks[0].table.as_mut().unwrap().align = 512;
    let tight = error(&tight, 40_000);
    let wanted = "core.img takes 39.5 KiB, and the gap before the first partition has room for 31 KiB only";
    assert!(tight.contains(wanted), "{tight}");
    let huge = error(&Sample::full(512, "ext4", 60), 2_000_000);
    assert!(huge.contains("no boot image of GRUB"), "{huge}");
}
