//! Ramdisks of both kinds (contract part 8): built from Debian's packages, compared with the list of what they hold, and
//! started. The element tests/elements/ramdisk-probe adds one of everything that an element can add.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::element::no_packages_element;
use crate::support::{LONG, Outcome, Sandbox, image_create, repository, skip_without, skip_without_root};
use image_create::boot::{AccelChoice, DirectBoot, Guest, Machine, Medium, QEMU, pattern};
use image_create::report::Reporter;

/// How long a ramdisk takes to its last fragment under emulation, on a machine that does other things as well.
const LIMIT: Duration = Duration::from_secs(300);

/// A sandbox with a debian-minimal that has the small kernel, and the elements of the tests.
fn debian() -> Sandbox {
    let mut sandbox = Sandbox::new();
    let own = repository().join("elements/debian-minimal");
    let to = sandbox.path("elements");
    assert!(Command::new("cp").arg("-r").arg(own).arg(&to).status().unwrap().success());
    let list = "elements/debian-minimal/package-installs.json";
    let text = sandbox.read(list).replace("linux-image-amd64", "linux-image-cloud-amd64");
    std::fs::write(sandbox.path(list), text).unwrap();
    let elements = format!("{}:{}", to.display(), repository().join("tests/elements").display());
    sandbox.env("ELEMENTS_PATH", &elements).env("DIB_RELEASE", "bookworm").env("SOURCE_DATE_EPOCH", "1700000000");
    sandbox
}

fn ramdisk_image_create(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let link = sandbox.path("ramdisk-image-create");
    symlink(image_create(), &link).unwrap();
    sandbox.spawn_as(&link, args).wait(LONG)
}

/// What the reference tool lists: names, each with its mode and, for a link, where it leads.
fn listing(archive: &Path) -> BTreeMap<String, String> {
    let script = "set -o pipefail; gzip -dc \"$0\" | cpio --list --verbose --numeric-uid-gid --quiet";
    let output = Command::new("bash").args(["-c", script]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2..4], ["0", "0"], "{line}");
        // Mode, links, owner, group, size (of a device: two numbers), three words of the date, name, arrow, target.
        let name = if words[4].ends_with(',') { 9 } else { 8 };
        let target = words.get(name + 2).copied().unwrap_or_default();
        (words[name].to_owned(), format!("{} {target}", words[0]).trim_end().to_owned())
    };
    text.lines().map(entry).collect()
}

/// A disk that is virtual media with a parameter.
fn virtual_media(sandbox: &Sandbox) -> PathBuf {
    let (disk, file) = (sandbox.path("out/disk.raw"), sandbox.path("out/parameters.txt"));
    std::fs::File::create(&disk).unwrap().set_len(16 << 20).unwrap();
    std::fs::write(&file, "iscsi_target_iqn=iqn.2020-01.org.example:probe\n").unwrap();
    assert!(Command::new("mkfs.vfat").args(["-n", "ir-vfd-dev"]).arg(&disk).output().unwrap().status.success());
    assert!(Command::new("mcopy").arg("-i").arg(&disk).arg(&file).arg("::").status().unwrap().success());
    disk
}

/// Boots kernel and ramdisk with a disk, and waits for what the probe says.
#[track_caller]
fn boots(sandbox: &Sandbox) {
    let disk = virtual_media(sandbox);
    let direct = DirectBoot {
        kernel: sandbox.path("out/deploy.kernel"),
        initrd: Some(sandbox.path("out/deploy.initramfs")),
        cmdline: "console=ttyS0 quiet no_timer_check boot_method=vmedia".into(),
    };
    let mut machine = Machine::from_image(Medium { path: disk, format: "raw".into(), disc: false });
    machine.direct = Some(direct);
    machine.accel = AccelChoice::Tcg;
    machine.memory_mib = 1024;
    machine.serial_log = Some(sandbox.path("out/serial"));
    let mut guest = Guest::start(machine, &Reporter::quiet()).unwrap();
    guest.expect(&pattern(r"ramdisk-probe: \[done\]").unwrap(), LIMIT).unwrap();
    let said = guest.transcript();
    for fact in [
        // binary-deps.d
        "sgdisk=GPT fdisk (sgdisk) version 1.0.9",
        // udev.d
        "rule=/dev/vda",
        // dracut-drivers.d, or all that there are
        "driver=/sys/module/dummy",
        // ramdisk-install.d
        "file=installed",
        // The network, and the functions of fragments
        "dhcp=10.0.2.15/255.255.255.0 via 10.0.2.2",
        "static=probe0 has the address 192.0.2.7, netmask 255.255.255.128, gateway 192.0.2.1",
        "disk=/dev/vda",
        "media=iqn.2020-01.org.example:probe",
        "target=0",
        "port=0",
        "stopped=0",
    ] {
        assert!(said.contains(&format!("ramdisk-probe: [{fact}]")), "the probe does not say '{fact}':\n{said}");
    }
    guest.close().unwrap();
}

#[test]
fn a_classic_ramdisk_holds_what_elements_add_and_boots() {
    if skip_without_root() || skip_without(&[QEMU, "mmdebstrap", "cpio", "mkfs.vfat", "mcopy"]) {
        return;
    }
    let sandbox = debian();
    let outcome = ramdisk_image_create(&sandbox, &["-o", "deploy", "debian-minimal", "ramdisk-probe"]).succeeded();
    assert_eq!(outcome.stdout, "deploy.initramfs\ndeploy.kernel\n");
    // Nobody needs the tree's own initramfs.
    let outcome = outcome.does_not_say("Generating /boot/initrd");
    let said = outcome.stderr;
    let version = said.split("Building the ramdisk of the kernel ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(version.ends_with("-cloud-amd64"), "{version}");

    let listing = listing(&sandbox.path("out/deploy.initramfs"));
    for (name, wanted) in [
        ("init", "-rwxr-xr-x"),
        ("sbin", "lrwxrwxrwx bin"),
        ("usr/lib", "lrwxrwxrwx ../lib"),
        ("bin/bash", "-rwxr-xr-x"),
        ("bin/busybox", "-rwxr-xr-x"),
        // Busybox's own, also where the system has another.
        ("bin/modprobe", "lrwxrwxrwx busybox"),
        ("bin/wget", "lrwxrwxrwx busybox"),
        ("bin/reboot", "lrwxrwxrwx busybox"),
        // Not busybox's.
        ("bin/ip", "-rwxr-xr-x"),
        ("bin/shutdown", "-rwxr-xr-x"),
        ("bin/udevadm", "-rwxr-xr-x"),
        ("bin/systemd-udevd", "-rwxr-xr-x"),
        ("bin/dhclient", "-rwxr-xr-x"),
        ("bin/tgtd", "-rwxr-xr-x"),
        ("bin/sgdisk", "-rwxr-xr-x"),
        ("bin/dhclient-script", "-rwxr-xr-x"),
        ("lib/libc.so.6", "-rwxr-xr-x"),
        ("lib/libstdc++.so.6", "-rw-r--r--"),
        ("lib64/ld-linux-x86-64.so.2", "lrwxrwxrwx /lib/ld-linux-x86-64.so.2"),
        ("lib/udev/rules.d/80-drivers.rules", "-rw-r--r--"),
        ("lib/udev/rules.d/90-ramdisk-probe.rules", "-rw-r--r--"),
        ("etc/modprobe.d/blacklist-dib-ramdisk.conf", "-rw-r--r--"),
        ("etc/udev/udev.conf", "-rw-r--r--"),
        ("etc/fstab", "-rw-r--r--"),
        ("etc/ramdisk-probe", "-rw-r--r--"),
        ("var/lib/dhcp", "drwxr-xr-x"),
        ("var/run", "drwxr-xr-x"),
        ("init-func", "-rw-r--r--"),
        ("iscsi-func", "-rw-r--r--"),
    ] {
        assert_eq!(listing.get(name).map(String::as_str), Some(wanted), "{name}");
    }
    let modules = format!("lib/modules/{version}/");
    assert!(listing.keys().filter(|name| name.starts_with(&modules)).count() > 500);
    assert!(listing.contains_key(&format!("{modules}modules.dep")));
    assert!(!listing.keys().any(|name| name.contains("drivers/video") && name.ends_with("fb.ko")));
    boots(&sandbox);
    sandbox.assert_clean();
}

#[test]
fn a_ramdisk_of_dracuts_holds_what_elements_add_and_boots() {
    if skip_without_root() || skip_without(&[QEMU, "mmdebstrap", "cpio", "mkfs.vfat", "mcopy"]) {
        return;
    }
    let sandbox = debian();
    let args = ["--ramdisk-element", "dracut-ramdisk", "-o", "deploy", "debian-minimal", "ramdisk-probe"];
    let outcome = ramdisk_image_create(&sandbox, &args).succeeded().does_not_say("Generating /boot/initrd");
    assert_eq!(outcome.stdout, "deploy.initramfs\ndeploy.kernel\n");
    let listing = listing(&sandbox.path("out/deploy.initramfs"));
    for name in
        ["init-func", "usr/lib/dracut/hooks/cmdline/80-deploy-cmdline.sh", "usr/lib/dracut/hooks/pre-mount/50-init.sh"]
    {
        assert!(listing.contains_key(name), "{name}");
    }
    for driver in ["virtio_blk", "target_core_iblock", "dummy"] {
        assert!(listing.keys().any(|name| name.contains(&format!("/{driver}.ko"))), "{driver}");
    }
    assert!(!listing.keys().any(|name| name.contains("python") || name.ends_with("/dash")));
    boots(&sandbox);
    sandbox.assert_clean();
}

/// A system with a kernel's name and a `modinfo` that knows some drivers.
const KERNEL: &str = r#"
mkdir -p "$TARGET_ROOT/boot"
touch "$TARGET_ROOT/boot/vmlinuz-6.1.0-9-fake" "$TARGET_ROOT/boot/vmlinuz-6.1.0-47-fake"
printf '#!/bin/bash\n[[ $4 == 6.1.0-47-fake && $5 != no-* ]]\n' > "$TARGET_ROOT/usr/bin/modinfo"
chmod 755 "$TARGET_ROOT/usr/bin/modinfo"
"#;

#[test]
fn programs_and_drivers_that_are_missing_are_told_all_at_once() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os().hook("root.d/60-kernel", KERNEL);
    no_packages_element(&sandbox.path("elements"));
    sandbox
        .element("storage")
        .file("binary-deps.d/storage", "no-such-program ls\n")
        .file("binary-deps.d/more", "no-other");
    sandbox.element("drivers").file("dracut-drivers.d/mine", "virtio =drivers/net\nno-such-driver no-other\n");
    let elements = ["-n", "fake-os", "no-packages", "storage", "drivers"];
    let outcome = sandbox.run([&elements[..], &["ramdisk-base"]].concat()).failed(1);
    let outcome =
        outcome.says("no-such-program is not found in PATH; wanted by binary-deps.d/storage of the element storage");
    outcome
        .says("no-other is not found in PATH; wanted by binary-deps.d/more of the element storage")
        .does_not_say("ls is");

    let dracut = sandbox.path("elements/dracut-ramdisk");
    let own = repository().join("elements/dracut-ramdisk");
    assert!(Command::new("cp").arg("-r").arg(own).arg(&dracut).status().unwrap().success());
    std::fs::remove_file(dracut.join("binary-deps.d/dracut-ramdisk")).unwrap();
    std::fs::remove_dir_all(sandbox.path("elements/storage/binary-deps.d")).unwrap();
    let outcome = sandbox.run([&elements[..], &["dracut-ramdisk"]].concat()).failed(1);
    let place = "wanted by dracut-drivers.d/mine of the element drivers";
    for driver in ["no-such-driver", "no-other"] {
        assert!(outcome.stderr.contains(&format!("the kernel 6.1.0-47-fake has no driver {driver}; {place}")));
    }
    outcome.does_not_say("has no driver virtio").does_not_say("has no driver =");
    assert!(!sandbox.path("out/image.initramfs").exists());
    sandbox.assert_clean();
}

/// Runs a script in bash with the functions of init; the answer's lines.
fn init_says(script: &str) -> Vec<String> {
    let functions = repository().join("elements/ramdisk-base/extra-data.d/scripts/d");
    let script = format!("for f in {}/*-func; do source \"$f\"; done\n{script}\ntrue", functions.display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn functions_for_fragments_know_parameters_and_disks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cmdline");
    std::fs::write(&file, "quiet disk=sda,vda ip= a=b=c console=ttyS0\n").unwrap();
    let find = |name: &str| init_says(&format!("find_parameter_from_file {name} {}; echo $?", file.display()));
    assert_eq!(find("disk"), ["sda,vda", "0"]);
    assert_eq!(find("a"), ["b=c", "0"]);
    assert_eq!(find("ip"), ["", "0"]);
    assert_eq!(find("quiet"), ["", "0"]);
    assert_eq!(find("dis"), ["", "1"]);
    for (name, disk, third) in [
        ("sda1", "/dev/sda", "/dev/sda3"),
        ("/dev/vdb", "/dev/vdb", "/dev/vdb3"),
        ("nvme0n1p2", "/dev/nvme0n1", "/dev/nvme0n1p3"),
        ("mmcblk0", "/dev/mmcblk0", "/dev/mmcblk0p3"),
        ("cciss/c0d1p1", "/dev/cciss/c0d1", "/dev/cciss/c0d1p3"),
        ("sr0", "", ""),
    ] {
        assert_eq!(init_says(&format!("whole_disk_name {name}; partition_name {name} 3")), [disk, third], "{name}");
    }
    assert_eq!(
        init_says("wait_for 3 0.01 'echo a; false'; echo $?; wait_for 3 1 'b=x'; echo $b"),
        ["a", "a", "a", "1", "x"]
    );
    assert_eq!(
        init_says("err_msg 'No disk & so on'; err_msg two >/dev/null; echo $FIRST_ERR_MSG"),
        ["No disk & so on", "No+disk++so+on"]
    );
    assert_eq!(init_says("find_interface 00:00:00:00:00:00; find_interface aa:bb:cc:dd:ee:0f; echo $?"), ["lo", "1"]);
}

#[test]
fn deploy_baremetal_offers_the_disk_and_tells_the_server() {
    let script = repository().join("elements/deploy-baremetal/init.d/80-deploy");
    let stubs = r#"
for f in start_iscsi_target stop_iscsi_target wget nc troubleshoot; do eval "$f() { echo $f \"\$@\"; }"; done
partition_exists() { [ "$1" = /dev/vda ]; }
ISCSI_TARGET_IQN=iqn.x DISK=sda,vda DEPLOYMENT_ID=7 DEPLOYMENT_KEY=k BOOT_IP_ADDRESS=192.0.2.7 BOOT_SERVER=192.0.2.1
"#;
    let said = init_says(&format!("{stubs}source {}", script.display()));
    let wanted = [
        "offering /dev/vda",
        "start_iscsi_target iqn.x /dev/vda ALL",
        "wget -O - --post-data i=7&k=k&a=192.0.2.7&n=iqn.x&e= http://192.0.2.1:10000",
        "waiting for the boot server",
        "nc -l -p 10000",
        "stop_iscsi_target",
    ];
    let said: Vec<&str> = said.iter().map(|line| line.trim_end()).filter(|line| !line.starts_with("/dev/")).collect();
    assert_eq!(said, wanted);
}

#[test]
fn the_archive_is_the_same_each_time() {
    if skip_without(&["cpio", "gzip"]) {
        return;
    }
    let archive = || {
        let dir = tempfile::tempdir().unwrap();
        let script = "source $_LIB/ramdisk-functions; mkdir -p $TMP_MOUNT_PATH/{b,a}/c; echo x > $TMP_MOUNT_PATH/a/f
            ln $TMP_MOUNT_PATH/a/f $TMP_MOUNT_PATH/b/f; ln -s a $TMP_MOUNT_PATH/l; finalise_image >&2";
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).env("_LIB", repository().join("lib"));
        bash.env("TMP_MOUNT_PATH", dir.path().join("mnt")).env("TMP_IMAGE_PATH", dir.path().join("image"));
        assert!(bash.env("SOURCE_DATE_EPOCH", "1700000000").status().unwrap().success());
        std::fs::read(dir.path().join("image")).unwrap()
    };
    let first = archive();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(first.len() > 100 && first == archive());
}
