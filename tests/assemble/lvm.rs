//! Volume groups: written by us, read by LVM's own programs. They run without device-mapper, on loop devices.

use std::fs;
use std::process::Command;

use image_create::assemble::attach::AttachedDisk;
use image_create::assemble::bootloader::BootSpec;
use image_create::report::Reporter;

use crate::lvm_tools::*;
use crate::support::*;

fn disk(partitions: &str, lvm: &str, filesystems: &str) -> String {
    format!(
        "- local_loop: {{name: image0}}\n- partitioning:\n    base: image0\n    label: gpt\n    partitions: [{partitions}]\n\
         - lvm: {{name: lvm, {lvm}}}\n{filesystems}"
    )
}

fn simple() -> Planned {
    let lvm = "pvs: [{name: pv, base: all}], vgs: [{name: vg-0, base: [pv], options: [--addtag, mine]}], \
               lvs: [{name: root, base: vg-0, size: 100MiB}, {name: lv-boot, base: vg-0, extents: 20%VG}, \
               {name: swap, base: vg-0, extents: 100%FREE, options: [--addtag, last]}]";
    let filesystems = "- mkfs: {base: root, type: ext4, label: l-root, mount: {mount_point: /}}\n\
                       - mkfs: {base: lv-boot, type: ext4, mount: {mount_point: /boot}}\n- mkfs: {base: swap, type: swap}\n";
    Planned::new(&disk("{name: BSP, type: EF02, size: 1MiB}, {name: all, size: 100%}", lvm, filesystems))
}

#[test]
fn lvm_finds_what_was_planned() {
    privately(|dir| {
        let tree = dir.join("tree");
        make_tree(&tree);
        let planned = simple();
        planned.assemble(dir);
        let lvm = Lvm::of(dir, &planned, &["all"]);
        assert!(lvm.run("pvck", &[&lvm.devices[0]]).contains("Found label on"));
        lvm.run("pvck", &["--dump", "metadata_all", &lvm.devices[0]]);
        lvm.run("vgck", &["vg-0"]);

        let ids = &planned.identities;
        let pv = &lvm.report("pvs", "pv", "pv_uuid,vg_name,pe_start,pv_mda_count,pv_in_use")[0];
        assert_eq!(pv["pv_uuid"], ids.lvm("pv"));
        assert_eq!((&pv["vg_name"], &pv["pe_start"]), (&json("\"vg-0\""), &json("\"1048576\"")));
        let vg = &lvm.report("vgs", "vg", "vg_uuid,vg_extent_size,vg_free_count,vg_seqno,vg_tags,vg_attr")[0];
        assert_eq!((vg["vg_uuid"].as_str().unwrap(), vg["vg_tags"].as_str().unwrap()), (ids.lvm("vg-0"), "mine"));
        assert_eq!((vg["vg_extent_size"].as_str(), vg["vg_free_count"].as_str()), (Some("4194304"), Some("0")));
        let lvs = lvm.report("lvs", "lv", "lv_name,lv_uuid,lv_size,segtype,lv_tags,lv_time,lv_host");
        let shown: Vec<String> =
            lvs.iter().map(|row| format!("{} {} {}", row["lv_name"], row["lv_size"], row["segtype"])).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown.contains(&"\"root\" \"104857600\" \"linear\"".to_owned()), "{shown:?}");
        assert!(lvs.iter().all(|row| row["lv_uuid"] == ids.lvm(row["lv_name"].as_str().unwrap())));
        assert!(lvs.iter().all(|row| row["lv_time"].as_str().unwrap().starts_with("2023-11-14")), "{lvs:?}");

        let (root, boot) = (dir.join("root.img"), dir.join("boot.img"));
        cut(&lvm, "root", &root);
        cut(&lvm, "lv-boot", &boot);
        run("e2fsck", &["-f", "-n", text(&root)]);
        run("e2fsck", &["-f", "-n", text(&boot)]);
        drop(lvm);
        assert_eq!(mounted(&root, "ext4", 512), clamped(describe(&tree, &["boot"])));
        assert_eq!(mounted(&boot, "ext4", 512), clamped(describe(&tree.join("boot"), &[])));
    });
}

#[test]
fn grub_reads_files_from_volumes() {
    for planned in [simple(), spanning()] {
        privately(|dir| {
            make_tree(&dir.join("tree"));
            planned.assemble(dir);
            let layout = &planned.placed.layout;
            let (group, volume) = layout.volume_of(layout.root().unwrap()).unwrap();
            let disks: Vec<String> =
                layout.disks.iter().map(|disk| text(&dir.join(format!("{}.raw", disk.name))).to_owned()).collect();
            let id = |name: &str| planned.identities.lvm(name);
            let by_name = format!("(lvm/{})", group.mapper_name(volume));
            let by_id = format!("(lvmid/{}/{})", id(&group.name), id(&volume.name));
            for device in [by_name, by_id] {
                let file = format!("{device}/etc/hostname");
                let count = disks.len().to_string();
                let mut args: Vec<&str> = vec!["-c", &count];
                args.extend(disks.iter().map(String::as_str));
                args.extend(["cat", &file]);
                assert_eq!(run("grub-fstest", &args), "tree\n");
            }
        });
    }
}

#[test]
fn lvm_changes_what_we_wrote() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let planned = simple();
        planned.assemble(dir);
        let lvm = Lvm::of(dir, &planned, &["all"]);
        let run = |program: &str, args: &[&str]| {
            let output = Command::new("lvm")
                .arg(program)
                .args(["--driverloaded", "n", "--devices", &lvm.devices[0]])
                .args(args)
                .env("LVM_SYSTEM_DIR", dir.join("etc"))
                .env("LVM_SUPPRESS_FD_WARNINGS", "1")
                .output()
                .unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run("lvremove", &["-y", "vg-0/swap"]);
        run("lvcreate", &["-an", "-Zn", "-Wn", "-n", "new", "-l", "3", "vg-0"]);
        run("lvrename", &["vg-0", "root", "slash"]);
        lvm.run("vgck", &["vg-0"]);
        let seqno = lvm.report("vgs", "vg", "vg_seqno")[0]["vg_seqno"].as_str().unwrap().parse::<u32>().unwrap();
        assert!(seqno > 2);
        drop(lvm);
    });
}

/// Two disks and three partitions; `wide` has a piece on each.
fn spanning() -> Planned {
    let text = "
- local_loop: {name: image0}
- local_loop: {name: second, size: 200MiB, block_size: 512}
- partitioning: {base: image0, label: gpt, partitions: [{name: a, size: 50MiB}, {name: b, size: 60MiB}]}
- lvm:
    name: lvm
    pvs: [{name: p1, base: a}, {name: p2, base: second}, {name: p3, base: b}]
    vgs: [{name: vg, base: [p1, p2, p3], options: [-s, 1m]}]
    lvs: [{name: small, base: vg, extents: 20}, {name: wide, base: vg, extents: 100%FREE}]
- mkfs: {base: small, type: vfat, mount: {mount_point: /boot/efi}}
- mkfs: {base: wide, type: ext4, label: l-wide, mount: {mount_point: /}}
";
    Planned::new(text)
}

#[test]
fn a_volume_in_pieces_is_whole() {
    privately(|dir| {
        let tree = dir.join("tree");
        make_tree(&tree);
        let planned = spanning();
        planned.assemble(dir);
        let lvm = Lvm::of(dir, &planned, &["a", "second", "b"]);
        lvm.run("vgck", &["vg"]);
        let segments = lvm.report("lvs", "lv", "lv_name,seg_pe_ranges");
        assert_eq!(segments.iter().filter(|row| row["lv_name"] == "wide").count(), 3, "{segments:?}");
        let wide = dir.join("wide.img");
        cut(&lvm, "wide", &wide);
        drop(lvm);
        run("e2fsck", &["-f", "-n", text(&wide)]);
        assert_eq!(mounted(&wide, "ext4", 512), clamped(describe(&tree, &["boot/efi"])));
    });
}

#[test]
fn hooks_find_volumes_mounted() {
    for planned in [simple(), spanning()] {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            let root = planned.placed.layout.root().unwrap().base.clone();
            planned.with(dir, |assembly| {
                let base = dir.join("mnt");
                fs::create_dir_all(&base).unwrap();
                let disk = AttachedDisk::create(assembly, &tree, &base, &Reporter::quiet()).unwrap();
                let list = disk.block_devices();
                assert!(list.contains(&format!("[{root}]=/dev/loop")), "{list}");
                fs::write(base.join("etc/new"), "by a hook").unwrap();
                fs::remove_file(base.join("var/sparse")).unwrap();
                disk.close(assembly, &BootSpec::default(), &Reporter::quiet()).unwrap();
            });
            let bases: Vec<&str> =
                planned.placed.layout.volume_groups[0].physical.iter().map(|pv| pv.base.as_str()).collect();
            let lvm = Lvm::of(dir, &planned, &bases);
            let image = dir.join("root.img");
            cut(&lvm, &root, &image);
            drop(lvm);
            run("e2fsck", &["-f", "-n", text(&image)]);
            let lines = mounted(&image, "ext4", 512);
            assert!(lines.iter().any(|d| d.line.starts_with("etc/new ")));
            assert!(!lines.iter().any(|d| d.line.starts_with("var/sparse ")));
        });
    }
}

#[test]
fn the_same_group_has_the_same_bytes() {
    let digest = || {
        privately(|dir| {
            make_tree(&dir.join("tree"));
            simple().assemble(dir);
            run("sha256sum", &[text(&dir.join("image0.raw"))])[..64].to_owned()
        })
    };
    assert_eq!(digest(), digest());
}

#[test]
fn thin_volumes_lie_in_their_pool() {
    let lvm = "pvs: [{name: pv, base: all}], vgs: [{name: vg, base: [pv]}], \
               lvs: [{name: pool, type: thin-pool, base: vg, size: 200MiB}, \
               {name: root, type: thin, thin-pool: pool, base: vg, size: 150MiB}, \
               {name: home, type: thin, thin-pool: pool, base: vg, size: 1GiB}]";
    let filesystems = "- mkfs: {base: root, type: ext4, label: l-root, mount: {mount_point: /}}\n\
                       - mkfs: {base: home, type: ext4, mount: {mount_point: /boot}}\n";
    let planned = Planned::new(&disk("{name: all, size: 100%}", lvm, filesystems));
    privately(|dir| {
        make_tree(&dir.join("tree"));
        planned.assemble(dir);
        let lvm = Lvm::of(dir, &planned, &["all"]);
        lvm.run("vgck", &["vg"]);
        let lvs = lvm.report(
            "lvs",
            "lv",
            "lv_name,lv_attr,lv_size,segtype,pool_lv,thin_id,transaction_id,data_lv,metadata_lv",
        );
        let row = |name: &str| {
            lvs.iter().find(|row| row["lv_name"].as_str().unwrap().trim_matches(['[', ']']) == name).unwrap()
        };
        assert_eq!((&row("root")["segtype"], &row("root")["pool_lv"]), (&json("\"thin\""), &json("\"pool\"")));
        assert_eq!((row("home")["thin_id"].as_str(), row("pool")["transaction_id"].as_str()), (Some("2"), Some("2")));
        assert_eq!(row("lvol0_pmspare")["lv_size"], "4194304");
        let (meta, data) = (dir.join("meta.img"), dir.join("data.img"));
        cut(&lvm, "[pool_tmeta]", &meta);
        cut(&lvm, "[pool_tdata]", &data);
        drop(lvm);
        run("thin_check", &[text(&meta)]);
        let root = thin(&meta, &data, "1", 150 * MIB);
        run("e2fsck", &["-f", "-n", text(&root)]);
        assert_eq!(mounted(&root, "ext4", 512), clamped(describe(&dir.join("tree"), &["boot"])));
    });
}
