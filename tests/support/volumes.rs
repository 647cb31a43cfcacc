//! Logical volumes on raw files, as LVM itself reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Logical volumes: one on one partition, and one with a piece on each of two.
pub const LAYOUT: &str = "
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions: [{name: a, flags: [boot, primary], size: 200MiB}, {name: b, flags: [primary], size: 100%}]
- lvm:
    name: lvm
    pvs: [{name: p1, base: a}, {name: p2, base: b}]
    vgs: [{name: vg-test, base: [p1, p2]}]
    lvs: [{name: lv_var, base: vg-test, size: 80MiB}, {name: lv_root, base: vg-test, extents: 100%FREE}]
- mkfs: {name: mkfs_root, base: lv_root, mount: {mount_point: /, fstab: {fsck-passno: 1}}}
- mkfs: {base: lv_var, type: ext4, label: var, mount: {mount_point: /var, fstab: }}
";

/// Both volumes of [`LAYOUT`] on half a GiB or more, `lv_root` first: cut out of the raw file by what LVM says about
/// their extents, into files in `dir`.
pub fn volumes(dir: &Path, raw: &Path) -> [PathBuf; 2] {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("lvm.conf"), "backup { backup = 0\narchive = 0 }\n").unwrap();
    // As the table has them: the first partition from 1 MiB on, the second one behind it, to one MiB before the end.
    let end = raw.metadata().unwrap().len() / (1 << 20);
    let places = [(1, 200), (201, end - 201)];
    let devices = places.map(|(start, length)| {
        let place = [("--offset", start << 20), ("--sizelimit", length << 20)];
        let mut command = Command::new("losetup");
        command.args(["--find", "--show", "--read-only"]);
        for (option, bytes) in place {
            command.arg(option).arg(bytes.to_string());
        }
        let out = command.arg(raw).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    });
    let lvm = |args: &[&str]| {
        let mut command = Command::new("lvm");
        command.args(args).args(["--driverloaded", "n", "--devices", &devices.join(",")]);
        command.env("LVM_SYSTEM_DIR", dir).env("LVM_SUPPRESS_FD_WARNINGS", "1");
        command.output().unwrap()
    };
    let checked = lvm(&["vgck", "vg-test"]);
    let report = lvm(&["lvs", "--noheadings", "--separator", " ", "-o", "lv_name,seg_start_pe,seg_pe_ranges"]);
    for device in &devices {
        Command::new("losetup").args(["--detach", device]).status().unwrap();
    }
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let report = String::from_utf8(report.stdout).unwrap();
    ["lv_root", "lv_var"].map(|name| {
        let image = dir.join(format!("{name}.img"));
        let mut rows: Vec<Vec<&str>> = report.lines().map(|line| line.split_whitespace().collect()).collect();
        rows.retain(|row| row[0] == name);
        rows.sort_by_key(|row| row[1].parse::<u64>().unwrap());
        assert!(!rows.is_empty(), "{report}");
        for row in rows {
            let (device, range) = row[2].split_once(':').unwrap();
            let (first, last) = range.split_once('-').unwrap();
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            let (start, _) = places[devices.iter().position(|d| d == device).unwrap()];
            let skip = start + 1 + first * 4;
            let script =
                format!("dd if={} bs=1M skip={skip} count={} status=none", raw.display(), (last - first + 1) * 4);
            let status = Command::new("sh").arg("-c").arg(format!("{script} >>{}", image.display())).status().unwrap();
            assert!(status.success());
        }
        image
    })
}

/// Whether an ext filesystem is sound, and has a file.
pub fn sound_and_holds(image: &Path, file: &str) {
    let check = Command::new("e2fsck").args(["-f", "-n"]).arg(image).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let seen = Command::new("debugfs").args(["-R", &format!("stat {file}")]).arg(image).output().unwrap();
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("Type: regular"), "{file}: {seen}");
}
