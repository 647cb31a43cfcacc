//! Partition tables, read by sfdisk, sgdisk and partx.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use image_create::assemble::bootloader::BIOS_BOOT;
use image_create::plan::disk::*;

use crate::support::*;

/// Writes a table as sfdisk does it for a script, to compare with ours.
fn by_sfdisk(file: &Path, size: u64, script: &str) {
    File::create(file).unwrap().set_len(size).unwrap();
    let mut child = Command::new("/usr/sbin/sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sfdisk is needed for this test");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn b8_an_mbr_is_what_partx_and_sfdisk_expect() {
    privately(|dir| {
        let mbr = PartitionType::Mbr;
        let primary = |n| (partition(&format!("p{n}"), n, mbr(0x83)), 10);
        let mut parts: Vec<(Partition, u64)> = (1..=3).map(primary).collect();
        parts[0].0.boot = true;
        parts[1].0.kind = mbr(0x0c);
        parts.extend((5..=11).map(|n| (logical(&format!("l{n}"), n), 10)));
        let mut sample = Sample::new(TableKind::Mbr, 512, parts, vec![]);
        sample.size = 1 << 30;
        sample.with(dir, None, |assembly, raw| {
            assembly.write_tables().unwrap();
            let columns = "NR,START,END,TYPE,FLAGS";
            let listing = run("partx", &["--raw", "--noheadings", "--output", columns, text(raw)]);
            let mut wanted = vec![
                "1 2048 22527 0x83 0x80".to_owned(),
                "2 22528 43007 0xc 0x0".to_owned(),
                "3 43008 63487 0x83 0x0".to_owned(),
                "4 63488 2097151 0xf 0x0".to_owned(),
            ];
            for i in 0..7 {
                let start = 65536 + 22528 * i;
                wanted.push(format!("{} {start} {} 0x83 0x0", 5 + i, start + 20479));
            }
            assert_eq!(listing.lines().collect::<Vec<_>>(), wanted);
            run("sfdisk", &["--verify", text(raw)]);
            let id = sample.identities.disks["image0"].mbr_id;
            let table = json(&run("sfdisk", &["-J", text(raw)]))["partitiontable"].clone();
            assert_eq!(table["id"], format!("0x{id:08x}"));

            // The same table by sfdisk has the same bytes, CHS fields included.
            let other = dir.join("other");
            let mut script = format!("label: dos\nlabel-id: 0x{id:08x}\n");
            for p in table["partitions"].as_array().unwrap() {
                let (start, size, kind) = (&p["start"], &p["size"], p["type"].as_str().unwrap());
                let boot = if p["bootable"] == true { ", bootable" } else { "" };
                script += &format!("start={start}, size={size}, type={kind}{boot}\n");
            }
            by_sfdisk(&other, sample.size, &script);
            let (ours, theirs) = (fs::read(raw).unwrap(), fs::read(&other).unwrap());
            for sector in [0usize, 63488, 86016, 108544] {
                let at = sector * 512 + 440;
                assert_eq!(ours[at..at + 72], theirs[at..at + 72], "sector {sector}");
            }
        });
    });
}

#[test]
fn b8_sixty_four_logical_partitions_and_no_primary() {
    privately(|dir| {
        let parts = (5..69).map(|n| (logical(&format!("l{n}"), n), 10)).collect();
        let mut sample = Sample::new(TableKind::Mbr, 512, parts, vec![]);
        sample.size = 1 << 30;
        sample.with(dir, None, |assembly, raw| {
            assembly.write_tables().unwrap();
            let listing = run("partx", &["--raw", "--noheadings", "--output", "NR,START,END,TYPE", text(raw)]);
            let lines: Vec<&str> = listing.lines().collect();
            assert_eq!(lines[..2], ["1 2048 2097151 0xf", "5 4096 24575 0x83"]);
            assert_eq!(lines.len(), 65);
        });
    });
}

#[test]
fn b9_a_gpt_pleases_sfdisk_and_sgdisk_with_both_sector_sizes() {
    for sector_size in [512u32, 4096] {
        privately(|dir| {
            let sample = Sample::full(sector_size, "ext4", 60);
            sample.with(dir, None, |assembly, raw| {
                assembly.write_tables().unwrap();
                let listing = as_disk(raw, sector_size, |device| {
                    run("sfdisk", &["--verify", device]);
                    let verdict = run("sgdisk", &["--verify", device]);
                    assert!(verdict.contains("No problems found"), "{verdict}");
                    json(&run("sfdisk", &["-J", device]))
                });
                let table = &listing["partitiontable"];
                let identity = &sample.identities.disks["image0"];
                assert_eq!(table["id"], identity.guid.to_string().to_uppercase());
                for (n, (number, extent)) in sample.extents.iter().enumerate() {
                    let found = &table["partitions"][n];
                    assert_eq!(found["start"], extent.start / u64::from(sector_size));
                    assert_eq!(found["size"], extent.length / u64::from(sector_size));
                    assert_eq!(found["uuid"], identity.partitions[number].to_string().to_uppercase());
                }
                assert_eq!(table["partitions"][1]["name"], "BSP");
                assert_eq!(table["partitions"][1]["type"], BIOS_BOOT.to_string().to_uppercase());
            });
        });
    }
}

#[test]
fn a_partition_that_does_not_fit_is_refused() {
    privately(|dir| {
        let mut sample = Sample::full(512, "ext4", 60);
        sample.size -= 30 * MIB;
        sample.with(dir, None, |assembly, _| {
            let error = format!("{:#}", assembly.write_tables().unwrap_err());
            assert!(error.contains("partition root reaches beyond the end of the disk"), "{error}");
        });
        let mut sample = Sample::full(512, "ext4", 60);
        sample.extents[2].1.length += 1;
        sample.extents[3].1.start -= MIB;
        sample.with(dir, None, |assembly, _| {
            let error = format!("{:#}", assembly.write_tables().unwrap_err());
            assert!(error.contains("partitions boot and root overlap"), "{error}");
        });
    });
}
