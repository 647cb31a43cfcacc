//! Builds with logical volumes, over the small made-up system.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Sandbox, skip_without, skip_without_root};

/// A volume on one partition, and one with a piece on each of two.
const LAYOUT: &str = "
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

/// Both volumes, cut out of the raw file by what LVM says about their extents.
fn volumes(sandbox: &Sandbox, raw: &Path) -> [PathBuf; 2] {
    fs::create_dir_all(sandbox.path("etc")).unwrap();
    fs::write(sandbox.path("etc/lvm.conf"), "backup { backup = 0\narchive = 0 }\n").unwrap();
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
        command.env("LVM_SYSTEM_DIR", sandbox.path("etc")).env("LVM_SUPPRESS_FD_WARNINGS", "1");
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
        let image = sandbox.path(format!("{name}.img"));
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

fn sound_and_holds(image: &Path, file: &str) {
    let check = Command::new("e2fsck").args(["-f", "-n"]).arg(image).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let seen = Command::new("debugfs").args(["-R", &format!("stat {file}")]).arg(image).output().unwrap();
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("Type: regular"), "{file}: {seen}");
}

/// What a hook of finalise.d sees.
const LOOK: &str = "printf '%s\\n' \"$IMAGE_ROOT_VOLUME\" \"$IMAGE_BOOT_VOLUME\" \"$IMAGE_ROOT_PARTITION\" \"${IMAGE_BLOCK_DEVICES:-}\" \
                    \"$DIB_MOUNTPOINTS\" >/var/seen\ncat /etc/fstab >>/var/seen";

fn built(attach: bool) -> (Sandbox, String) {
    let mut sandbox = Sandbox::new();
    sandbox.env("DIB_BLOCK_DEVICE_CONFIG", LAYOUT);
    sandbox.fake_os().hook("install.d/50-file", "mkdir -p /var /etc; date >/etc/old");
    sandbox.element("look").hook(
        "cleanup.d/50-look",
        &LOOK.replace("/var/seen", "$TARGET_ROOT/var/seen").replace("/etc", "$TARGET_ROOT/etc"),
    );
    let mut args = vec!["-n", "-t", "raw", "-o", "x", "--image-size", "0.5", "fake-os", "look"];
    if attach {
        args.insert(0, "--attach");
    }
    sandbox.run(args).succeeded();
    let raw = sandbox.path("out/x.raw");
    let [root, var] = volumes(&sandbox, &raw);
    sound_and_holds(&root, "/etc/old");
    sound_and_holds(&var, "/seen");
    let seen = Command::new("debugfs").args(["-R", "cat /seen"]).arg(&var).output().unwrap();
    sandbox.assert_clean();
    (sandbox, String::from_utf8(seen.stdout).unwrap())
}

#[test]
fn volumes_are_written_without_a_device() {
    if skip_without_root() || skip_without(&["lvm", "e2fsck", "debugfs"]) {
        return;
    }
    let (_sandbox, seen) = built(false);
    let fstab = "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=var /var ext4 defaults 0 2\n";
    assert_eq!(seen, format!("vg--test-lv_root\nvg--test-lv_root\n\n\n/|/var\n{fstab}"));
}

#[test]
fn volumes_are_mounted_for_hooks_that_want_a_device() {
    if skip_without_root() || skip_without(&["lvm", "e2fsck", "debugfs"]) {
        return;
    }
    let (_sandbox, seen) = built(true);
    let devices = seen.lines().nth(3).unwrap();
    for name in ["a", "b", "image0", "lv_root", "lv_var"] {
        assert!(devices.contains(&format!("[{name}]=/dev/loop")), "{devices}");
    }
}
