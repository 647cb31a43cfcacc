//! B1, B6, B10, B11: volume groups.

use super::super::lvm::*;
use super::super::place::lvm::{PlacedVolume, Segment, count};
use super::*;

const MIB: u64 = 1 << 20;

/// The partitions, the content of the lvm node, and the filesystems: name, volume, type, mount point.
fn text(partitions: &str, lvm: &str, filesystems: &[(&str, &str, &str)]) -> String {
    let mut text = format!(
        "- local_loop: {{name: image0}}\n- partitioning:\n    base: image0\n    label: mbr\n    partitions:\n{partitions}\n\
         - lvm:\n    name: lvm\n{lvm}\n"
    );
    for (base, kind, point) in filesystems {
        let line = format!("{{base: {base}, type: {kind}, label: {base}, mount: {{mount_point: {point}, fstab: }}}}");
        text.push_str(&format!("- mkfs: {line}\n"));
    }
    text
}

const ONE: &str = "      - {name: root, flags: [boot, primary], size: 3G}";
const TWO: &str =
    "      - {name: root, flags: [boot, primary], size: 3G}\n      - {name: data, flags: [primary], size: 1G}";
const XFS_ROOT: &[(&str, &str, &str)] = &[("lv_root", "xfs", "/")];

fn one(lvs: &str) -> String {
    let pvs =
        "    pvs: [{name: pv, base: root, options: [--force]}]\n    vgs: [{name: vg, base: [pv], options: [--force]}]";
    text(ONE, &format!("{pvs}\n    lvs: [{lvs}]"), XFS_ROOT)
}

fn volumes(text: &str) -> Vec<PlacedVolume> {
    let placed = layout(text).place(5 << 30).unwrap_or_else(|faults| panic!("{faults}"));
    placed.groups.into_iter().flat_map(|group| group.logical).collect()
}

/// Name and size in bytes.
fn sizes(text: &str) -> Vec<(String, u64)> {
    volumes(text).into_iter().map(|volume| (volume.name, volume.extents * EXTENT_SIZE)).collect()
}

const SIX: &str = "{name: lv_root, base: vg, size: 1800M}, {name: lv_tmp, base: vg, size: 100M}, \
     {name: lv_var, base: vg, size: 500M}, {name: lv_home, base: vg, size: 200M}";

#[test]
fn b10_sizes_are_rounded_down_to_extents() {
    let found = sizes(&one(SIX));
    let wanted =
        [("lv_root", 1_799_356_416), ("lv_tmp", 96_468_992), ("lv_var", 499_122_176), ("lv_home", 197_132_288)];
    assert_eq!(found, wanted.map(|(name, bytes)| (name.to_string(), bytes)));
    let coarse = one(SIX).replace("base: [pv], options: [--force]", "base: [pv], options: [-s, 32m]");
    let extents: Vec<u64> = volumes(&coarse).iter().map(|volume| volume.extents).collect();
    assert_eq!(extents, [53, 2, 14, 5]);
}

#[test]
fn b10_volumes_follow_each_other_on_their_partition() {
    let layout = layout(&one(SIX));
    let placed = layout.place(5 << 30).unwrap();
    let group = &placed.groups[0];
    let starts: Vec<u64> = group.logical.iter().map(|v| group.bytes(&v.segments[0], EXTENT_SIZE).start).collect();
    assert_eq!(starts[0], 2 * MIB);
    assert_eq!(starts[1], 2 * MIB + 1_799_356_416);
    assert!(group.logical.iter().all(|volume| volume.segments.len() == 1));
    assert_eq!(group.physical[0].extents, (3_000_000_000 - MIB) / EXTENT_SIZE);
}

#[test]
fn b10_several_physical_volumes() {
    let pvs = "    pvs: [{name: pv, base: root}, {name: pv1, base: data}]";
    let both = text(TWO, &format!("{pvs}\n    vgs: [{{name: vg, base: [pv, pv1]}}]\n    lvs: [{SIX}]"), XFS_ROOT);
    // lv_home goes where it fits in one piece; the last one would be cut.
    let found: Vec<(usize, u64)> =
        volumes(&both).iter().map(|v| (v.segments[0].physical, v.segments[0].first)).collect();
    assert_eq!(found, [(0, 0), (0, 429), (0, 452), (0, 571)]);
    let groups = "vgs: [{name: vg1, base: [pv]}, {name: vg2, base: pv1}]";
    let lvs = "lvs: [{name: lv_root, base: vg1, size: 1800M}, {name: lv_var, base: vg2, size: 500M}]";
    let two = layout(&text(TWO, &format!("{pvs}\n    {groups}\n    {lvs}"), XFS_ROOT));
    let bases: Vec<&str> = two.volume_groups.iter().map(|group| group.physical[0].base.as_str()).collect();
    assert_eq!(bases, ["root", "data"]);
}

#[test]
fn b10_a_volume_may_span_partitions() {
    let partitions = format!("{TWO}\n      - {{name: data2, flags: [primary], size: 1G}}");
    let pvs = "    pvs: [{name: p, base: root}, {name: p1, base: data}, {name: p2, base: data2}]";
    let vgs = "    vgs: [{name: v, base: [p]}, {name: vg_data, base: [p1, p2]}]";
    let lvs = "    lvs: [{name: lv_root, base: v, size: 1800M}, {name: lv_data, base: vg_data, extents: 100%FREE}]";
    let text =
        text(&partitions, &format!("{pvs}\n{vgs}\n{lvs}"), &[("lv_root", "xfs", "/"), ("lv_data", "xfs", "/opt")]);
    let data = &volumes(&text)[1];
    let segment = |physical, count| Segment { physical, first: 0, count };
    assert_eq!(data.segments, [segment(0, 238), segment(1, 238)]);
    assert_eq!(count(&data.segments), data.extents);
    assert_eq!(sizes(&text.replace("extents: 100%FREE", "size: 2G"))[1].1, 1_996_488_704);
    let long = text.replace("extents: 100%FREE", "size: 2010M");
    let fault = layout(&long).place(6 << 30).unwrap_err();
    assert!(fault.to_string().contains("'vg_data/lv_data' does not fit in its group"), "{fault}");
}

#[test]
fn b10_shares() {
    let lvs = "{name: lv_root, base: vg, extents: 28%VG}, {name: lv_tmp, base: vg, extents: 50%FREE}, \
               {name: lv_x, base: vg, extents: 10}, {name: lv_y, base: vg, extents: 10%PVS}, {name: lv_z, base: vg, extents: 90%VG}";
    // 715 extents; the last share is more than what is left.
    let found: Vec<u64> = volumes(&one(lvs)).iter().map(|volume| volume.extents).collect();
    assert_eq!(found, [200, 257, 10, 71, 715 - 200 - 257 - 10 - 71]);
}

#[test]
fn b10_thin_volumes() {
    let lvs = "{name: pool, type: thin-pool, base: vg, size: 2800MiB}, \
               {name: lv_root, type: thin, thin-pool: pool, base: vg, size: 1800MiB}, \
               {name: lv_var, type: thin, thin-pool: pool, base: vg, size: 2000MiB}";
    let text = one(lvs);
    assert_eq!(sizes_lenient(&text)[0], ("pool".to_string(), 2_936_012_800));
    let mut warnings = Vec::new();
    let layout = parse(&text, Path::new("d.yaml"), &ext4(), &mut warnings).unwrap();
    assert!(warnings[0].message.contains("'vg/lv_root', which GRUB cannot read"), "{warnings:?}");
    let placed = layout.place(5 << 30).unwrap();
    let group = &placed.groups[0];
    assert_eq!(group.logical[0].pool.as_ref().unwrap().chunk, 64 << 10);
    assert_eq!((count(&group.logical[0].pool.as_ref().unwrap().metadata), count(&group.spare)), (1, 1));
    assert_eq!((group.logical[1].extents, group.logical[1].segments.len()), (450, 0));
}

fn sizes_lenient(text: &str) -> Vec<(String, u64)> {
    let layout = parse(text, Path::new("d.yaml"), &ext4(), &mut Vec::new()).unwrap();
    let placed = layout.place(5 << 30).unwrap();
    placed.groups[0].logical.iter().map(|volume| (volume.name.clone(), volume.extents * EXTENT_SIZE)).collect()
}

#[test]
fn b6_mounts_are_in_order_whatever_the_description_says() {
    let partitions =
        "      - {name: boot, flags: [boot, primary], size: 1G}\n      - {name: root, flags: [primary], size: 3G}";
    let lvm = "    base: [root]\n    pvs: [{name: pv, base: root}]\n    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: lv_root, \
               base: vg, size: 1900M}, {name: lv_var, base: vg, size: 500M}, {name: lv_swap, base: vg, size: 100M}]";
    let filesystems =
        [("lv_swap", "swap", "none"), ("boot", "ext3", "/boot"), ("lv_var", "ext4", "/var"), ("lv_root", "ext4", "/")];
    let text = text(partitions, lvm, &filesystems);
    let order: Vec<String> = call_order(&text).into_iter().filter(|name| name.starts_with("mount_")).collect();
    assert_eq!(order, ["mount_mkfs_lv_root", "mount_mkfs_boot", "mount_mkfs_lv_var", "mount_mkfs_lv_swap"]);
    let layout = layout(&text);
    let fstab: Vec<String> = layout.fstab_text().lines().map(|l| l.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(fstab, ["/", "/boot", "/var", "none"]);
    let all = call_order(&text);
    let at = |name: &str| all.iter().position(|other| other == name).unwrap();
    assert!(at("root") < at("lvm") && at("lvm") < at("pv") && at("pv") < at("vg") && at("vg") < at("lv_root"));
}

#[test]
fn b11_errors() {
    let with = |lvm: &str| {
        faults(&format!(
            "- local_loop: {{name: image0, mkfs: {{name: mkfs_root, mount: {{mount_point: /}}}}}}\n- lvm: {lvm}\n"
        ))
    };
    let assert_one = |lvm: &str, message: &str| {
        let found = with(lvm);
        assert!(found.iter().any(|fault| fault.ends_with(message)), "{found:?}");
    };
    assert_one("{pvs: [], vgs: [], lvs: []}", "Lvm config requires 'name'");
    assert_one("{name: l, vgs: [], lvs: []}", "Lvm config requires a 'pvs'");
    assert_one("{name: l, pvs: [], lvs: []}", "Lvm config needs 'vgs'");
    assert_one("{name: l, pvs: [], vgs: []}", "Lvm config needs 'lvs'");

    let find = |from: &str, to: &str, message: &str| {
        let text = one("{name: lv_root, base: vg, size: 1G}");
        assert!(text.contains(from), "{from}");
        let found = faults(&text.replace(from, to));
        assert!(found.iter().any(|fault| fault.contains(message)), "{found:?}");
    };
    find("base: [pv]", "base: [pv, pw]", "base:pw in vgs does not match a valid pvs");
    find("base: vg, size", "base: vh, size", "base:vh in lvs does not match a valid vg");
    find(", size: 1G", "", "Missing 'size' or 'extents' in lvs config");
    find("size: 1G", "size: 1G, type: raid1", "Unsupported type:raid1, supported types: thin, thin-pool");
    find("size: 1G", "size: 1G, thin-pool: p", "thin-pool:p in lvs does not match a thin pool in 'vg'");
    find("size: 1G", "extents: 110%VG", "'110%VG' is more than there is");
    find("size: 1G", "extents: 10%ORIGIN", "a share is %VG, %FREE or %PVS");
    find("size: 1G", "size: 1G, options: [-i, '2']", "the option '-i' of lvcreate is not supported");
    find("base: [pv], options: [--force]", "base: [pv], options: [-s, 3k]", "an extent of 3k is not possible");
    find("name: lv_root", "name: 'lv root'", "'lv root' is no name for a logical volume");
    find("name: lv_root", "name: lv_tdata", "LVM keeps names with '_tdata' for itself");
    find("name: pv, base: root", "name: pv, base: nobody", "Edge not defined: nobody->lvm");
    find("name: pv, base: root", "name: pv, base: lv_root", "circle");
    find(
        "{base: lv_root",
        "{base: vg",
        "a filesystem lies on a disk, a partition or a logical volume, not on 'vg', which is a volume group",
    );
}

#[test]
fn options_that_change_nothing_are_taken() {
    let lv = "{name: lv_root, base: vg, size: 1G, options: [-y, -Wy, --zero=n, -an, --addtag, '@big']}";
    let text = one(lv).replace("options: [--force]}]\n    vgs", "options: [-ff, --dataalignment, 4m]}]\n    vgs");
    let layout = layout(&text);
    assert_eq!(layout.volume_groups[0].logical[0].tags, ["big"]);
    assert_eq!(layout.place(5 << 30).unwrap().groups[0].physical[0].start, 4 * MIB);
}

#[test]
fn the_disk_is_as_large_as_the_group_needs() {
    use image_size::SizeRequest;
    let request = SizeRequest { tree_bytes: 600 * MIB, fs_type: "xfs".into(), ..SizeRequest::default() };
    let share = one("{name: lv_root, base: vg, extents: 25%VG}").replace("3G", "100%");
    let layout_ = layout(&share);
    let size = layout_.image_size(&request).unwrap();
    let root = layout_.place(size).unwrap().groups[0].logical[0].extents * EXTENT_SIZE;
    assert!((1000 * MIB..1010 * MIB).contains(&root), "{root}");
    assert!((4000 * MIB..4060 * MIB).contains(&size), "{size}");
    // A fixed partition is what it is, even if the tree would like a larger root.
    let fixed = layout(&one("{name: lv_root, base: vg, extents: 25%VG}"));
    let size = fixed.image_size(&request).unwrap();
    assert!((3_000_000_000..3_000_000_000 + 3 * MIB).contains(&size), "{size}");
    assert!(fixed.place(size).is_ok());
    let explicit = SizeRequest { explicit_gib: Some(2.0), ..request };
    assert_eq!(fixed.image_size(&explicit), Ok(2 << 30));
}

#[test]
fn device_mapper_doubles_hyphens() {
    let layout = layout(&one("{name: lv_root, base: vg, size: 1G}, {name: a-b, base: vg, size: 1G}"));
    let group = &layout.volume_groups[0];
    assert_eq!(group.mapper_name(&group.logical[1]), "vg-a--b");
}

#[test]
fn a_volume_has_an_extent_at_least() {
    let fault = layout(&one("{name: lv_root, base: vg, size: 1MiB}")).place(5 << 30).unwrap_err();
    assert_eq!(fault.0[0].message, "the logical volume 'vg/lv_root' has no size to speak of");
    assert_eq!(fault.0[0].hint.as_deref(), Some("give it 4 MiB at least"));
    let small = one("{name: lv_root, base: vg, size: 1GiB}").replace("3G", "4MiB");
    let fault = layout(&small).place(5 << 30).unwrap_err();
    assert!(fault.0[0].message.contains("'root' is too small for a physical volume of 'vg'"), "{fault}");
}
