//! B2, B3, B7 and the other messages, with their places.

use super::*;

/// A sound description of one filesystem, and `more` nodes.
fn with(more: &str) -> String {
    format!("- local_loop: {{name: image0, mkfs: {{name: mkfs_root, mount: {{mount_point: /}}}}}}\n{more}")
}

fn assert_fault(text: &str, expected: &str) {
    let found = faults(text);
    assert!(found.iter().any(|fault| fault.contains(expected)), "no {expected:?} in {found:#?}");
}

#[test]
fn b2_what_is_no_node() {
    assert_fault(
        "- mkfs_x: {name: a}",
        "d.yaml:1:3: Config entry is not a plugin value: {\"mkfs_x\":{\"name\":\"a\"}}",
    );
    assert_fault(
        "- mkfs: {name: a}\n  mount: {name: b}",
        "d.yaml:1:3: Config entry top-level should be a single dict:",
    );
    assert_fault("- mkfs", "Config entry not a dict: \"mkfs\"");
    assert_fault("mkfs: {}", "a block-device description is a list of nodes, not a map");
    assert_fault("", "a list of nodes, not nothing");
    assert_fault("- mkfs: {type: ext4}", "this mkfs has neither a name nor a base");
    assert_fault("- mkfs: ext4", "mkfs takes a map, not a string");
    assert_fault("- partitioning: {base: a, partitions: {x: 1}}", "partitions takes a list, not a map");
    assert_fault("- partitioning: {base: a, partitions: [{size: 1}]}", "d.yaml:1:40: a partition needs a name");
}

#[test]
fn b3_unknown_parents_and_names_used_twice() {
    assert_fault(&with("- mkfs: {base: nowhere, type: ext4}"), "d.yaml:2:3: Edge not defined: nowhere->mkfs_nowhere");
    assert_fault(&with("- local_loop: {name: image0}"), "d.yaml:2:3: Duplicate node name: image0");
    assert_fault(&with("- partitioning: {base: no, label: gpt, partitions: []}"), "Edge not defined: no->");
    assert_fault(&with("- mkfs: {name: a, base: b, type: xfs}\n- mkfs: {name: b, base: a, type: xfs}"), "circle: a, b");
    assert_fault(&with("- mkfs: {name: a, base: a, type: xfs}"), "circle: a");
}

#[test]
fn b7_labels() {
    assert_fault(
        &with("- local_loop: {name: d, mkfs: {type: ext4, label: cloudimg-rootfs}}"),
        "File system label [cloudimg-rootfs] used more than once",
    );
    assert_fault(
        &with("- local_loop: {name: d, mkfs: {type: xfs, label: thirteen-long}}"),
        "Label [thirteen-long] too long for filesystem [xfs]: 13 > 12",
    );
    assert_fault(&with("- local_loop: {name: d, mkfs: {type: vfat, label: twelve-chars}}"), "[TWELVE-CHARS] too long");
    assert_fault(
        &with(
            "- local_loop: {name: a, mkfs: {type: vfat, label: x}}\n- local_loop: {name: b, mkfs: {type: ext4, label: X}}",
        ),
        "File system label [X] used more than once",
    );
}

#[test]
fn what_plugins_need() {
    assert_fault(&with("- local_loop: {name: d, mkfs: {label: x}}"), "Mkfs config needs [type]");
    assert_fault(&with("- mkfs: {name: d, type: ext4}"), "Mkfs config needs [base]");
    assert_fault(&with("- mount: {name: d, base: mkfs_root}"), "MountPoint config needs [mount_point]");
    assert_fault(&with("- mount: {name: d, mount_point: /}"), "MountPoint config needs [base]");
    assert_fault(&with("- fstab: {name: d}"), "Fstab config needs [base]");
    assert_fault(&with("- partitioning: {base: image0, partitions: []}"), "Partitioning config needs [label]");
    assert_fault(&with("- partitioning: {base: image0, label: gpt}"), "Partitioning config needs [partitions]");
    assert_fault(&with("- partitioning: {name: x, label: gpt, partitions: []}"), "Partitioning config needs [base]");
    assert_fault(&with("- local_loop: {name: d, size: 40%}"), "is no size");
    assert_fault(&with("- local_loop: {name: d, size: [1]}"), "d.yaml:2:31: size takes a single value, not a list");
    assert_fault(&with("- local_loop: {name: d, block_size: 2048}"), "a sector size of 2048 is not supported");
    assert_fault(&with("- fstab: {base: mount_mkfs_root, dump-freq: often}"), "'often' is no number");
}

#[test]
fn partition_tables() {
    let mbr = |partitions: &str| {
        with(&format!("- local_loop: {{name: d}}\n- partitioning: {{base: d, label: mbr, partitions: [{partitions}]}}"))
    };
    let gpt = |partitions: &str| mbr(partitions).replace("label: mbr", "label: gpt");
    assert_fault(&mbr("").replace("mbr", "bsd"), "Label must be 'mbr' or 'gpt'");
    assert_fault(&mbr("{name: a, size: 1M, flags: [root]}"), "Unknown flag: root");
    assert_fault(&mbr("{name: a, size: 1M, flags: boot}"), "flags takes a list");
    assert_fault(&gpt("{name: a, size: 1M, flags: [primary]}"), "the flag 'primary' means nothing in a GPT");
    assert_fault(&mbr("{name: a}"), "Partition config needs [size]");
    assert_fault(&mbr("{name: a, size: 5kB}"), "'kB' is no unit of size");
    assert_fault(&mbr("{name: a, size: 1M, type: 0x183}"), "'0x183' is no MBR partition type");
    assert_fault(&gpt("{name: a, size: 1M, type: ABCD}"), "'ABCD' is no GPT partition type");
    assert_fault(
        &mbr("{name: a, size: 1M}, {name: b, size: 1M, flags: [primary]}"),
        "All primary partitions must be given first",
    );
    let five: Vec<String> = (0..5).map(|i| format!("{{name: p{i}, size: 1M, flags: [primary]}}")).collect();
    assert_fault(&mbr(&five.join(", ")), "partition 'p4' has no slot in the table: 4");
    assert_fault(&mbr(&format!("{}, {{name: l, size: 1M}}", five[..4].join(", "))), "'p3' has no slot in the table: 3");
    assert_fault(&gpt(&format!("{{name: {}, size: 1M}}", "n".repeat(37))), "too long for a GPT partition");
}

#[test]
fn who_may_lie_on_whom() {
    assert_fault(
        &with("- mkfs: {base: mount_mkfs_root, type: ext4}"),
        "a filesystem lies on a disk, a partition or a logical volume, not on 'mount_mkfs_root', which is a mount",
    );
    assert_fault(&with("- mount: {base: image0, mount_point: /x}"), "a mount lies on a filesystem, not on 'image0'");
    assert_fault(&with("- fstab: {base: mkfs_root}"), "an fstab line lies on a mount");
    assert_fault(&with("- mkfs: {name: b, base: image0, type: ext4}"), "'image0' holds a filesystem already");
    assert_fault(
        &with("- partitioning: {base: image0, label: gpt, partitions: []}"),
        "'image0' holds a partition table already, and cannot hold a filesystem too",
    );
    assert_fault(&with("- mount: {name: m, base: mkfs_root, mount_point: /x}"), "'mkfs_root' holds a mount already");
}

#[test]
fn mount_points() {
    let other = |point: &str| {
        with(&format!("- local_loop: {{name: d, mkfs: {{type: ext4, mount: {{mount_point: {point}}}}}}}"))
    };
    assert_fault(&other("/"), "d.yaml:2:44: Mount point [/] specified more than once");
    assert_fault(&other("var"), "the mount point 'var' is no absolute path");
    assert_fault(&other("none"), "the mount point 'none' is no absolute path");
    assert_fault(&other("/var/../etc"), "is no absolute path");
    let swap =
        |name: &str| format!("- local_loop: {{name: {name}, mkfs: {{type: swap, mount: {{mount_point: none}}}}}}\n");
    assert_fault(&with(&(swap("a") + &swap("b"))), "Mount point [none] specified more than once");
    assert_fault("- local_loop: {name: image0, mkfs: {type: ext4}}", "no filesystem is mounted at '/'");
    assert_fault(&with("").replace("image0", "disk"), "no local_loop is called 'image0'");
}

#[test]
fn all_faults_come_at_once() {
    let text = "- local_loop: {name: image0, size: 5kB}\n- mkfs: {base: image0}\n- mount: {base: mkfs_image0}\n";
    assert_eq!(
        faults(text),
        [
            "d.yaml:1:36: 'kB' is no unit of size: use B, KiB, MiB, GiB, TiB or K, M, G, T (powers of 1000)",
            "d.yaml:2:3: Mkfs config needs [type]",
            "d.yaml:3:3: MountPoint config needs [mount_point]",
        ]
    );
}

#[test]
fn keys_without_effect_are_warned_of() {
    let mut warnings = Vec::new();
    let text = "
- local_loop: {name: image0, directory: /x}
- partitioning:
    base: image0
    label: gpt
    align: 4MiB
    partitions:
      - {name: root, size: 100%, colour: red, mkfs: {type: btrfs, uuid: 3b8f8425-20e0-4f3b-907f-1a25a76f98e8, mount: {mount_point: /}}}
";
    parse(text, Path::new("d.yaml"), &ext4(), &mut warnings).unwrap();
    let shown: Vec<String> = warnings.iter().map(Fault::to_string).collect();
    assert_eq!(
        shown,
        [
            "d.yaml:2:30: the key 'directory' has no effect in local_loop 'image0'",
            "d.yaml:8:34: the key 'colour' is not known in partition 'root'",
            "d.yaml:6:5: the key 'align' has no effect in partitioning 'partitioning_image0'",
            "d.yaml:8:47: the label [cloudimg-rootfs] is not checked: how long one of [btrfs] may be is unknown",
        ]
    );
}
