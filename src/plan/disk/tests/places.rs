//! B8, B9: where partitions lie.

use super::*;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Number, first and last sector of each partition, the extended one among them, as partx lists them.
fn sectors(table: &Table, disk: u64, sector: u32) -> Vec<(u32, u64, u64)> {
    let placed = table.place(disk, sector).unwrap_or_else(|fault| panic!("{fault} ({:?})", fault.hint));
    let mut all = placed.partitions.clone();
    all.extend(placed.extended.iter().map(|extended| (extended.number, extended.extent)));
    all.sort_by_key(|(number, _)| *number);
    let sector = u64::from(sector);
    all.iter().map(|(n, e)| (*n, e.start / sector, (e.start + e.length) / sector - 1)).collect()
}

fn mbr(primary: usize, logical: usize) -> Table {
    let primaries = (0..primary).map(|i| format!("name: p{i}, size: 10MiB, flags: [primary]"));
    let logicals = (0..logical).map(|i| format!("name: l{i}, size: 10MiB"));
    let all: Vec<String> = primaries.chain(logicals).collect();
    table("mbr", &all.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn b8_primaries() {
    assert_eq!(sectors(&mbr(0, 0), GIB, 512), []);
    assert_eq!(sectors(&mbr(1, 0), GIB, 512), [(1, 2048, 22527)]);
    assert_eq!(sectors(&mbr(3, 0), GIB, 512), [(1, 2048, 22527), (2, 22528, 43007), (3, 43008, 63487)]);
}

#[test]
fn b8_logical_ones() {
    let one = mbr(0, 1);
    assert_eq!(sectors(&one, GIB, 512), [(1, 2048, 2_097_151), (5, 4096, 24575)]);
    assert_eq!(one.place(GIB, 512).unwrap().extended.unwrap().records, [MIB]);

    let many = sectors(&mbr(0, 64), GIB, 512);
    assert_eq!(many.len(), 65);
    for (i, (number, first, last)) in many[1..].iter().enumerate() {
        let start = 4096 + 22528 * i as u64;
        assert_eq!((*number, *first, *last), (5 + i as u32, start, start + 20479));
    }
}

#[test]
fn b8_both() {
    let mixed = mbr(3, 7);
    let found = sectors(&mixed, GIB, 512);
    assert_eq!(found[3..6], [(4, 63488, 2_097_151), (5, 65536, 86015), (6, 88064, 108_543)]);
    assert_eq!(found.len(), 11);
    let records = mixed.place(GIB, 512).unwrap().extended.unwrap().records;
    assert_eq!(records[..2], [63488 * 512, 86016 * 512]);
    assert_eq!(records.len(), 7);
}

#[test]
fn b8_types() {
    let typed =
        table("mbr", &["name: a, size: 1M, type: 0x0c, flags: [boot, primary]", "name: b, size: 1M, type: '82'"]);
    let kinds: Vec<_> = typed.partitions.iter().map(|p| (p.kind, p.boot, p.logical)).collect();
    assert_eq!(kinds, [(PartitionType::Mbr(0x0c), true, false), (PartitionType::Mbr(0x82), false, true)]);
    assert_eq!(mbr(1, 0).partitions[0].kind, PartitionType::Mbr(0x83));
}

#[test]
fn b8_percentages_keep_one_alignment_back() {
    let all = table("mbr", &["name: a, size: 100%, flags: [primary]"]);
    assert_eq!(sectors(&all, GIB, 512), [(1, 2048, 2_095_103)]);
    let halves = table("mbr", &["name: a, size: 50%, flags: [primary]", "name: b, size: 100%"]);
    assert_eq!(
        sectors(&halves, GIB, 512),
        [(1, 2048, 1_048_575), (2, 1_048_576, 2_097_151), (5, 1_050_624, 2_097_151)]
    );
    let odd = table("mbr", &["name: a, size: 1000001, flags: [primary]", "name: b, size: 1M, flags: [primary]"]);
    assert_eq!(sectors(&odd, GIB, 512), [(1, 2048, 4000), (2, 4096, 6048)]);
}

#[test]
fn b9_efi() {
    let text = EFI.replace("550MiB", "8MiB").replace("name: root", "name: Root Part");
    let layout =
        layout(&text.replace("mkfs:\n          type: ext4", "mkfs:\n          label: r\n          type: ext4"));
    let table = layout.disks[0].table.as_ref().unwrap();
    assert_eq!(sectors(table, GIB, 512), [(1, 2048, 18431), (2, 18432, 34815), (3, 34816, 34815 + 1006 * 2048)]);
    let kinds: Vec<_> = table.partitions.iter().map(|p| (p.name.as_str(), p.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("ESP", PartitionType::Gpt(gpt_types::EFI_SYSTEM)),
            ("BSP", PartitionType::Gpt(gpt_types::BIOS_BOOT)),
            ("Root Part", PartitionType::Gpt(gpt_types::LINUX)),
        ]
    );
}

#[test]
fn gpt_sizes_are_whole_mebibytes() {
    let table = table("gpt", &["name: a, size: 2500KiB", "name: b, size: 50%", "name: c, size: 100%"]);
    let placed = table.place(102 * MIB + 64 * 1024, 512).unwrap();
    let lengths: Vec<u64> = placed.partitions.iter().map(|(_, extent)| extent.length / MIB).collect();
    assert_eq!(lengths, [2, 48, 48]);
    let last = placed.partitions[2].1;
    assert!(last.start + last.length <= 101 * MIB);
}

#[test]
fn sectors_may_have_4096_bytes() {
    assert_eq!(sectors(&mbr(1, 1), GIB, 4096), [(1, 256, 2815), (2, 2816, 262_143), (5, 3072, 5631)]);
    let gpt = table("gpt", &["name: a, size: 8MiB", "name: b, size: 100%"]);
    assert_eq!(sectors(&gpt, GIB, 4096), [(1, 256, 2303), (2, 2304, 261_887)]);
    let mut fine = mbr(1, 0);
    fine.align = 512;
    assert_eq!(sectors(&fine, GIB, 512), [(1, 1, 20480)]);
    assert!(fine.place(GIB, 4096).unwrap_err().message.contains("no multiple of 4096"));
}

#[test]
fn what_does_not_fit_says_how_much_is_missing() {
    let gpt = table("gpt", &["name: a, size: 600MiB", "name: b, size: 600MiB", "name: c, size: 100%"]);
    let fault = gpt.place(GIB, 512).unwrap_err();
    assert_eq!(
        fault.message,
        "partition 'b' does not fit on the disk: it takes 600 MiB, and 422 MiB is left; \
         the disk has 1 GiB and lacks 179 MiB"
    );
    assert_eq!(fault.hint.as_deref(), Some("the layout takes a disk of 1.2 GiB at least"));
    assert!(gpt.place(1203 * MIB, 512).is_ok());
    assert!(gpt.place(1203 * MIB - 1, 512).is_err());

    let mbr = table("mbr", &["name: a, size: 2GiB, flags: [primary]"]);
    assert!(mbr.place(GIB, 512).unwrap_err().message.contains("lacks 1 GiB"));
    assert!(mbr.place(2 * GIB + MIB, 512).is_ok());

    let greedy = table("gpt", &["name: a, size: 100%", "name: b, size: 8MiB"]);
    assert!(greedy.place(GIB, 512).unwrap_err().hint.unwrap().contains("takes all that is left"));
    let tiny = table("gpt", &["name: a, size: 1000KiB"]).place(GIB, 512).unwrap_err();
    assert_eq!(tiny.message, "partition 'a' has no size to speak of");
    assert!(table("mbr", &["name: a, size: 0%"]).place(GIB, 512).unwrap_err().message.contains("no size"));
    assert!(mbr.place(0, 512).is_err());
    assert!(gpt.place(0, 512).is_err());
}

#[test]
fn an_mbr_reaches_two_tebibytes() {
    let table = table("mbr", &["name: a, size: 100%, flags: [primary]"]);
    assert!(table.place(2 << 40, 512).is_ok());
    assert!(table.place(3 << 40, 512).unwrap_err().message.contains("beyond what an MBR can describe"));
    assert!(table.place(3 << 40, 4096).is_ok());
    assert!(mbr(0, 1).place(3 << 40, 512).unwrap_err().message.contains("beyond"));
}

#[test]
fn the_disk_is_as_large_as_the_root_filesystem_needs() {
    let root = 700 * MIB + 123;
    for (text, expected) in [(EFI, 1261 * MIB), (MBR, 702 * MIB + 64 * 1024), (select::FALLBACK, 700 * MIB + 64 * 1024)]
    {
        let layout = layout(text);
        let size = layout.disk_size_for_root(root).unwrap();
        assert_eq!(size, expected, "{text}");
        let placed = layout.place(size).unwrap();
        assert!(placed.extent_of(&layout.root().unwrap().base).unwrap().1.length >= root);
    }
    assert_eq!(layout(EFI).fixed_partition_bytes(), 558 * MIB);
    assert_eq!(layout(MBR).fixed_partition_bytes(), 0);
    let fixed = layout(&EFI.replace("100%", "500MiB"));
    assert!(fixed.disk_size_for_root(root).unwrap_err().message.contains("more than partition 'root' has (500 MiB)"));
    assert_eq!(fixed.disk_size_for_root(1), Ok(1060 * MIB));
    let tree = image_size::SizeRequest { tree_bytes: 30 * MIB, fs_type: "xfs".into(), ..Default::default() };
    assert_eq!(fixed.image_size(&tree), Ok(1060 * MIB));
    assert_eq!(layout(MBR).image_size(&tree), Ok(50 * MIB));
}
