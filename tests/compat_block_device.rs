//! `dib-block-device`, as hooks and other people's scripts call it (contract 1.6, 5.10, 5.11).

mod support;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::volumes::{self, sound_and_holds};
use support::{Sandbox, image_create, repository, skip_without, skip_without_root};

/// A place with parameters for the block device layer.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(config: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for sub in ["images", "mnt", "built/etc"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        std::fs::write(path("config.yaml"), config).unwrap();
        let parameters = format!(
            "config: {}\nimage-dir: {}\nroot-fs-type: ext4\nroot-label:\nmount-base: {}\nbuild-dir: {}\n{more}",
            path("config.yaml"),
            path("images"),
            path("mnt"),
            path("")
        );
        std::fs::write(path("params.yaml"), parameters).unwrap();
        Self { dir }
    }

    fn of(layout: &str, more: &str) -> Self {
        let file = repository().join("elements").join(layout).join("block-device-default.yaml");
        Self::new(&std::fs::read_to_string(file).unwrap(), more)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(image_create());
        command.arg0("dib-block-device").env("DIB_BLOCK_DEVICE_PARAMS_YAML", self.path("params.yaml"));
        command.args(args).output().unwrap()
    }

    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    #[track_caller]
    fn fails(&self, args: &[&str], message: &str) {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn b15_values_of_the_layouts() {
    for (layout, more, label, kind, points) in [
        ("block-device-mbr", "", "cloudimg-rootfs", "ext4", "/"),
        ("block-device-gpt", "", "cloudimg-rootfs", "ext4", "/"),
        ("block-device-efi", "", "cloudimg-rootfs", "ext4", "/boot/efi|/"),
    ] {
        let place = Place::of(layout, more);
        place.prints(&["init"]);
        assert_eq!(place.prints(&["getval", "root-label"]), label, "{layout}");
        assert_eq!(place.prints(&["getval", "root-fstype"]), kind, "{layout}");
        assert_eq!(place.prints(&["getval", "boot-label"]), "", "{layout}");
        let mut found: Vec<String> = place.prints(&["getval", "mount-points"]).split('|').map(str::to_owned).collect();
        let mut wanted: Vec<&str> = points.split('|').collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{layout}");
        place.fails(&["getval", "no-such-symbol"], "[no-such-symbol] is no symbol");
    }
}

#[test]
fn b15_the_root_filesystem_takes_what_the_parameters_say() {
    let place = Place::of("block-device-mbr", "");
    let text = std::fs::read_to_string(place.path("params.yaml")).unwrap().replace("ext4", "xfs");
    std::fs::write(place.path("params.yaml"), text + "root-fs-opts: '-i size=1024'\n").unwrap();
    place.prints(&["init"]);
    assert_eq!(place.prints(&["getval", "root-label"]), "img-rootfs");
    assert_eq!(place.prints(&["getval", "root-fstype"]), "xfs");
    let config = std::fs::read_to_string(place.path("states/block-device/config.json")).unwrap();
    let nodes: Vec<serde_json::Value> = serde_json::from_str(&config).unwrap();
    let root = nodes.iter().find_map(|node| node.get("mkfs")).unwrap();
    assert_eq!(
        *root,
        serde_json::json!({"name": "mkfs_root", "base": "root", "type": "xfs", "label": "img-rootfs", "opts": "-i size=1024"})
    );
}

#[test]
fn b12_states_that_are_not_there() {
    let place = Place::of("block-device-mbr", "");
    for symbol in ["image-path", "image-block-device", "image-block-devices"] {
        place.fails(&["getval", symbol], "State dump not found");
    }
    for command in ["cleanup", "delete"] {
        place.fails(&[command], "Pickle file not found");
    }
    assert_eq!(place.prints(&["umount"]), "State already cleaned");
    place.fails(&[], "no command is given");
    place.fails(&["fly"], "unknown: fly");
    let mut without = Command::new(image_create());
    without.arg0("dib-block-device").arg("init").env_remove("DIB_BLOCK_DEVICE_PARAMS_YAML");
    assert_eq!(without.output().unwrap().status.code(), Some(2));
    assert_eq!(place.run(&["--params", "/no/such/file", "init"]).status.code(), Some(1));
}

const DATA_DISK: &str = "\
- local_loop: {name: image0, size: 128MiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - name: root
        size: 64MiB
        mkfs: {name: mkfs_root, mount: {mount_point: /, fstab: {options: noatime, fsck-passno: 1}}}
      - name: var
        size: 100%
        mkfs: {type: FSTYPE, label: variable, mount: {mount_point: /var, fstab: {}}}
";

fn mounts_below(dir: &Path) -> usize {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    mounts.lines().filter(|line| line.contains(dir.to_str().unwrap())).count()
}

/// Whether a loop device shows a file below `dir`.
fn is_attached(dir: &Path) -> bool {
    let files = glob::glob("/sys/block/loop*/loop/backing_file").unwrap().flatten();
    files.filter_map(|file| std::fs::read_to_string(file).ok()).any(|text| Path::new(text.trim_end()).starts_with(dir))
}

#[test]
fn a_disk_is_made_mounted_and_removed() {
    if skip_without_root() || skip_without(&["mke2fs"]) {
        return;
    }
    let place = Place::new(&DATA_DISK.replace("FSTYPE", "ext4"), "image-size: 1048576KiB\n");
    place.prints(&["init"]);
    place.prints(&["create"]);
    let image = place.path("images/image0.raw");
    assert_eq!(place.prints(&["getval", "image-path"]), image.display().to_string());
    let device = place.prints(&["getval", "image-block-device"]);
    assert!(device.starts_with("/dev/loop"), "{device}");
    let devices = place.prints(&["getval", "image-block-devices"]);
    for part in [format!("[image0]={device} "), format!("[root]={device}p1 "), format!("[var]={device}p2 ")] {
        assert!(devices.contains(&part), "{devices}");
    }
    assert_eq!(mounts_below(&place.path("mnt")), 2);
    std::fs::write(place.path("mnt/var/file"), "kept").unwrap();
    place.prints(&["writefstab"]);
    let fstab = std::fs::read_to_string(place.path("built/etc/fstab")).unwrap();
    assert_eq!(fstab, "LABEL=cloudimg-rootfs / ext4 noatime 0 1\nLABEL=variable /var ext4 defaults 0 2\n");

    place.prints(&["umount"]);
    assert_eq!((mounts_below(&place.path("mnt")), is_attached(place.dir.path())), (0, false));
    // A second time there is nothing left to do.
    place.prints(&["umount"]);
    place.prints(&["delete"]);
    assert!(!image.exists() && !place.path("states/block-device").exists());
}

#[test]
fn b10_volume_groups_are_made_mounted_and_removed() {
    if skip_without_root() || skip_without(&["mke2fs", "lvm", "e2fsck", "debugfs"]) {
        return;
    }
    let place = Place::new(volumes::LAYOUT, "image-size: 512MiB\n");
    place.prints(&["init"]);
    place.prints(&["create"]);
    let image = place.path("images/image0.raw");
    let devices = place.prints(&["getval", "image-block-devices"]);
    for name in ["image0", "a", "b", "lv_var", "lv_root"] {
        assert!(devices.contains(&format!("[{name}]=/dev/loop")), "{devices}");
    }
    assert_eq!(mounts_below(&place.path("mnt")), 2);
    std::fs::write(place.path("mnt/file"), "kept").unwrap();
    std::fs::write(place.path("mnt/var/file"), "kept").unwrap();
    place.prints(&["umount"]);
    place.prints(&["umount"]);
    assert_eq!((mounts_below(&place.path("mnt")), is_attached(place.dir.path())), (0, false));
    // Both have what was written to them, the one that lies on two partitions as well.
    for volume in volumes::volumes(&place.path("lvm"), &image) {
        sound_and_holds(&volume, "/file");
    }
    place.prints(&["delete"]);
    assert!(!image.exists() && !place.path("states/block-device").exists());
}

/// Makes disks whose second mount has no place; the first one is there by then.
fn create_that_fails(layout: &str) {
    let place = Place::new(layout, "image-size: 512MiB\n");
    place.prints(&["init"]);
    let config = place.path("states/block-device/config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"/var\"", "\"/lost+found/x\\u0000y\"");
    std::fs::write(&config, text).unwrap();
    assert_eq!(place.run(&["create"]).status.code(), Some(1));
    let image = place.path("images/image0.raw");
    assert_eq!((mounts_below(&place.path("mnt")), is_attached(place.dir.path()), image.exists()), (0, false, false));
    assert!(!place.path("states/block-device/work").exists());
    let state = std::fs::read_to_string(place.path("states/block-device/state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["mount_order"], serde_json::json!(["/"]));
    place.fails(&["cleanup"], "Pickle file not found");
    assert_eq!(place.prints(&["umount"]), "State already cleaned");
}

#[test]
fn b13_what_was_made_before_a_failure_is_undone_and_the_state_stays() {
    if skip_without_root() || skip_without(&["mke2fs"]) {
        return;
    }
    create_that_fails(&DATA_DISK.replace("FSTYPE", "ext4"));
    create_that_fails(volumes::LAYOUT);
}

#[test]
fn hooks_ask_for_values_of_the_build_in_every_phase() {
    if skip_without_root() || skip_without(&["mke2fs", "qemu-img"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let layout =
        "- local_loop:\n    name: image0\n    mkfs:\n      name: mkfs_root\n      mount:\n        mount_point: /\n";
    sandbox
        .element("asks")
        .file("block-device-default.yaml", layout)
        .hook("root.d/50-ask", "echo label=$(dib-block-device getval root-label)\n! dib-block-device getval image-path")
        .hook(
            "pre-finalise.d/50-ask",
            "echo path=$(dib-block-device getval image-path) same=$([ $(dib-block-device getval image-block-device) = $IMAGE_BLOCK_DEVICE ] && echo yes)\neval \"declare -A D=( $(dib-block-device getval image-block-devices) )\"\necho device=${D[image0]}\ndib-block-device umount",
        );
    let outcome = sandbox.run(["-n", "-t", "raw", "-o", "x", "fake-os", "asks"]).succeeded();
    for text in [
        "label=cloudimg-rootfs",
        "State dump not found",
        "/image0.raw same=yes",
        "device=/dev/loop",
        "State already cleaned",
    ] {
        assert!(outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
    }
    sandbox.assert_clean();
}

#[test]
fn grub_finds_the_fat_of_boot_efi_whether_or_not_this_kernel_can_mount_it() {
    if skip_without_root() || skip_without(&["mke2fs", "grub-probe", "mtype"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("asks").hook(
        "pre-finalise.d/50-ask",
        "efi=$TMP_MOUNT_PATH/boot/efi\n[ $(grub-probe --target=device $efi) = ${IMAGE_BLOCK_DEVICE}p1 ]\n[ $(grub-probe --target=fs $efi) = fat ]\nmkdir $efi/EFI\necho kept > $efi/EFI/file.txt",
    );
    sandbox.run(["-n", "-t", "raw", "-o", "x", "fake-os", "asks", "block-device-efi"]).succeeded();
    let mut read = Command::new("mtype");
    let output =
        read.arg("-i").arg(format!("{}@@1M", sandbox.path("out/x.raw").display())).arg("::/EFI/file.txt").output();
    assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), "kept\n");
    sandbox.assert_clean();
}
