//! B5, B6, B15, B16: mount order, swap, labels, symbols, fstab.

use super::*;

const SERVER: &str = "
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: root, size: 5GiB, mkfs: {type: xfs, mount: {mount_point: /, fstab: {options: noatime, fsck-passno: 1}}}}
      - {name: logs, size: 2GiB, mkfs: {name: mkfs_log, type: vfat, mount: {mount_point: /var/log, fstab: {dump-freq: 1}}}}
      - {name: spare, size: 1GiB, mkfs: {type: ext4, label: 'a b'}}
      - {name: swap, size: 1GiB, mkfs: {type: swap, mount: {mount_point: none, fstab: {options: defaults}}}}
      - {name: var, size: 100%, mkfs: {type: ext4, opts: '-m 0  -N 9', mount: {mount_point: /var, fstab: {}}}}
";

#[test]
fn b5_filesystems_are_in_mount_order_and_swap_is_not_mounted() {
    let layout = layout(SERVER);
    let points: Vec<_> = layout.filesystems.iter().map(|fs| (fs.name.as_str(), fs.mount_point.as_deref())).collect();
    assert_eq!(
        points,
        [
            ("mkfs_root", Some("/")),
            ("mkfs_var", Some("/var")),
            ("mkfs_log", Some("/var/log")),
            ("mkfs_swap", None),
            ("mkfs_spare", None)
        ]
    );
    assert_eq!(layout.filesystems[2].label, "MKFS_LOG");
    assert_eq!(layout.filesystems[1].options, ["-m", "0", "-N", "9"]);
    assert_eq!(layout.mount_points, ["/", "/var/log", "none", "/var"]);
    let order = call_order(SERVER);
    let at = |name: &str| order.iter().position(|n| n == name).unwrap();
    for pair in [
        ["root", "logs"],
        ["logs", "spare"],
        ["swap", "var"],
        ["var", "mkfs_var"],
        ["mount_mkfs_root", "mount_mkfs_var"],
        ["mount_mkfs_var", "mount_mkfs_log"],
        ["mount_mkfs_log", "mount_mkfs_swap"],
    ] {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?} in {order:?}");
    }
}

#[test]
fn b5_swap_takes_fixed_fstab_fields() {
    assert_eq!(
        layout(SERVER).fstab_text(),
        "LABEL=img-rootfs / xfs noatime 0 1\n\
         LABEL=mkfs_var /var ext4 defaults 0 2\n\
         LABEL=MKFS_LOG /var/log vfat defaults 1 2\n\
         LABEL=mkfs_swap none swap sw 0 0\n"
    );
}

#[test]
fn b6_mounts_out_of_order() {
    let layout = layout(
        "
- local_loop: {name: a, mkfs: {type: ext4, mount: {mount_point: /var/}}}
- local_loop: {name: b, mkfs: {type: swap, mount: {mount_point: swap}}}
- local_loop: {name: c, mkfs: {type: ext4, mount: {mount_point: /boot}}}
- local_loop: {name: image0, mkfs: {name: mkfs_root, mount: {mount_point: /}}}
",
    );
    let names: Vec<&str> = layout.filesystems.iter().map(|fs| fs.name.as_str()).collect();
    assert_eq!(names, ["mkfs_root", "mkfs_c", "mkfs_a", "mkfs_b"]);
    assert_eq!(layout.mount_points_joined(), "/var|none|/boot|/");
    assert_eq!(layout.boot_label(), "mkfs_c");
    assert_eq!(layout.boot().unwrap().name, "mkfs_c");
}

#[test]
fn b15_symbols() {
    let root = |fs_type: &str| RootFs { fs_type: fs_type.into(), ..RootFs::default() };
    let read = |text, root: &RootFs| parse(text, Path::new("d.yaml"), root, &mut Vec::new()).unwrap();
    for (text, fs_type, label, kind) in [
        (select::FALLBACK, "ext4", "cloudimg-rootfs", "ext4"),
        (select::FALLBACK, "xfs", "img-rootfs", "xfs"),
        (MBR, "xfs", "img-rootfs", "xfs"),
        (EFI, "xfs", "cloudimg-rootfs", "ext4"),
    ] {
        let layout = read(text, &root(fs_type));
        assert_eq!((layout.root_label(), layout.root_fstype(), layout.boot_label()), (label, kind, ""));
    }
    let labelled = RootFs { label: Some("mine".into()), options: vec!["-i".into(), "4096".into()], ..root("ext4") };
    let layout = read(MBR, &labelled);
    assert_eq!(layout.root_label(), "mine");
    assert_eq!(layout.root().unwrap().options, ["-i", "4096"]);
    assert_eq!(layout.mount_points_joined(), "/");
    assert_eq!(layout.table_kind().map(TableKind::as_str), Some("mbr"));
    assert_eq!(layout.partition_number(layout.root().unwrap()), Some(1));
    let efi = read(EFI, &labelled);
    assert_eq!(efi.mount_points_joined(), "/boot/efi|/");
    assert_eq!(efi.partition_number(efi.root().unwrap()), Some(3));
    assert_eq!(efi.boot().unwrap().name, "mkfs_root");
    let whole = read(select::FALLBACK, &labelled);
    assert_eq!(whole.table_kind(), None);
    assert_eq!(whole.partition_number(whole.root().unwrap()), None);
}

#[test]
fn only_the_root_node_takes_the_request_s_values() {
    let text = "- local_loop: {name: image0, mkfs: {type: xfs, label: own, opts: -K, name: mkfs_root, mount: {mount_point: /}}}\n\
                - local_loop: {name: d, mkfs: {name: mkfs_boot, type: ext2, mount: {mount_point: /boot}}}\n";
    let root = RootFs {
        fs_type: "ext4".into(),
        label: Some("l".into()),
        options: vec!["-x".into()],
        usual_options: Vec::new(),
        block_size: Some(4096),
    };
    let layout = parse(text, Path::new("d.yaml"), &root, &mut Vec::new()).unwrap();
    let root = layout.root().unwrap();
    assert_eq!(
        (root.kind.as_str(), root.label.as_str(), root.options.as_slice()),
        ("xfs", "own", &["-K".to_string()][..])
    );
    let boot = layout.boot().unwrap();
    assert_eq!((boot.label.as_str(), boot.options.len()), ("mkfs_boot", 0));
    assert!(layout.disks.iter().all(|disk| disk.sector_size == 4096));
}

#[test]
fn a_root_node_of_another_type_takes_no_option_of_the_usual_one() {
    let root = RootFs {
        fs_type: "ext4".into(),
        options: vec!["-x".into()],
        usual_options: vec!["-J".into(), "size=64".into()],
        ..RootFs::default()
    };
    let options = |kind: &str| {
        let text =
            format!("- local_loop: {{name: image0, mkfs: {{name: mkfs_root, {kind} mount: {{mount_point: /}}}}}}");
        parse(&text, Path::new("d.yaml"), &root, &mut Vec::new()).unwrap().root().unwrap().options.clone()
    };
    assert_eq!(options(""), ["-J", "size=64", "-x"]);
    assert_eq!(options("type: xfs,"), ["-x"]);
}

#[test]
fn b16_efi_fstab() {
    assert_eq!(
        layout(EFI).fstab_text(),
        "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=MKFS_ESP /boot/efi vfat defaults 0 2\n"
    );
}

#[test]
fn blanks_in_labels_are_escaped() {
    let layout =
        layout("- local_loop: {name: image0, mkfs: {type: ext4, label: my root, mount: {mount_point: /, fstab: }}}");
    assert_eq!(layout.fstab_text(), "LABEL=my\\040root / ext4 defaults 0 2\n");
}

#[test]
fn whole_numbers_are_sizes_in_bytes() {
    let layout = layout(
        "- local_loop: {name: image0, size: 1073741824, block_size: 4096, mkfs: {type: ext4, mount: {mount_point: /}}}",
    );
    assert_eq!((layout.disks[0].size, layout.disks[0].sector_size), (Some(1 << 30), 4096));
}

#[test]
fn layouts_survive_json() {
    for text in [SERVER, EFI, MBR, select::FALLBACK] {
        let placed = layout(text).place(20 << 30).unwrap();
        let json = serde_json::to_string(&placed).unwrap();
        assert_eq!(serde_json::from_str::<place::PlacedLayout>(&json).unwrap(), placed);
    }
}
