//! `extract-image` and the elements on top of it: disk images are taken apart again (contract 3.10).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Mirror, Sandbox, image_create, skip_without, skip_without_root};

/// A sandbox with the made-up system and a file of its own kind in it.
fn made_up() -> Sandbox {
    let sandbox = Sandbox::new();
    let special = "cd $TARGET_ROOT; echo sealed > etc/sealed; chown 1234:2345 etc/sealed; chmod 4711 etc/sealed
mkdir -p boot/efi/EFI/BOOT; echo kernel > boot/vmlinuz-1; echo loader > boot/efi/EFI/BOOT/BOOTX64.EFI
ln usr/bin/true usr/bin/hard; setfattr -n user.note -v kept etc/sealed 2>/dev/null || true";
    sandbox.fake_os().hook("root.d/60-special", special);
    sandbox
}

/// Calls the tool as an element does, with more variables; the tree that it made.
struct Extract<'a> {
    sandbox: &'a mut Sandbox,
    program: PathBuf,
}

impl<'a> Extract<'a> {
    fn new(sandbox: &'a mut Sandbox) -> Self {
        let program = sandbox.path("extract-image");
        symlink(image_create(), &program).unwrap();
        let cache = sandbox.path("cache");
        sandbox.env("DIB_IMAGE_CACHE", &cache.to_string_lossy());
        let hooks = sandbox.path("hooks");
        fs::create_dir_all(hooks.join("bin")).unwrap();
        symlink(image_create(), hooks.join("bin/cache-url")).unwrap();
        sandbox.env("TMP_HOOKS_PATH", &hooks.to_string_lossy());
        Self { sandbox, program }
    }

    fn call(&mut self, location: &str, name: &str) -> (crate::support::Outcome, PathBuf) {
        let root = self.sandbox.path("root");
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        fs::create_dir(&root).unwrap();
        self.sandbox.env("TARGET_ROOT", &root.to_string_lossy());
        let cached = self.sandbox.path("cache").join(name);
        let args = [name, "base.tgz", location, cached.to_str().unwrap()];
        (self.sandbox.spawn_as(&self.program, args).wait(crate::support::SHORT), root)
    }
}

fn assert_is_the_tree(root: &Path) {
    use std::os::unix::fs::MetadataExt;
    let sealed = root.join("etc/sealed").metadata().unwrap();
    assert_eq!((sealed.uid(), sealed.gid(), sealed.mode() & 0o7777), (1234, 2345, 0o4711));
    assert_eq!(
        root.join("usr/bin/true").metadata().unwrap().ino(),
        root.join("usr/bin/hard").metadata().unwrap().ino()
    );
    assert_eq!(fs::read_to_string(root.join("boot/vmlinuz-1")).unwrap(), "kernel\n");
}

#[test]
fn root_filesystems_of_all_kinds_come_out_as_they_went_in() {
    if skip_without_root() || skip_without(&["qemu-img", "mkfs.xfs", "mkfs.btrfs"]) {
        return;
    }
    for (layout, filesystem) in [("gpt", "ext4"), ("mbr", "xfs"), ("mbr", "btrfs"), ("none", "ext4")] {
        let mut sandbox = made_up();
        sandbox.env("FS_TYPE", filesystem);
        if layout == "none" {
            let config = "- local_loop:\n    name: image0\n- mkfs:\n    name: mkfs_root\n    base: image0\n    type: ext4\n\
                          \x20   mount:\n      mount_point: /\n";
            fs::write(sandbox.path("layout.yaml"), config).unwrap();
            let url = format!("file://{}", sandbox.path("layout.yaml").display());
            sandbox.env("DIB_BLOCK_DEVICE_CONFIG", &url);
        }
        let element = format!("block-device-{}", if layout == "none" { "mbr" } else { layout });
        sandbox.run(["-n", "-t", "qcow2", "-o", "x", "--image-size", "0.5", "fake-os", &element]).succeeded();
        let image = format!("file://{}", sandbox.path("out/x.qcow2").display());
        let (outcome, root) = Extract::new(&mut sandbox).call(&image, "x.qcow2");
        outcome.succeeded();
        assert_is_the_tree(&root);
        assert!(root.join("boot/efi/EFI/BOOT/BOOTX64.EFI").exists());
        sandbox.assert_clean();
    }
}

#[test]
fn boot_and_the_esp_are_put_in_their_places() {
    if skip_without_root() || skip_without(&["qemu-img", "mcopy", "xz"]) {
        return;
    }
    let mut sandbox = made_up();
    let config = "- local_loop:\n    name: image0\n- partitioning:\n    base: image0\n    label: gpt\n    partitions:
      - name: ESP
        type: 'EF00'
        size: 48MiB
        mkfs:
          type: vfat
          mount:
            mount_point: /boot/efi
            fstab:
              options: defaults
      - name: boot
        type: 'bc13c2ff-59e6-4262-a352-b275fd6f7172'
        size: 64MiB
        mkfs:
          type: ext4
          mount:
            mount_point: /boot
            fstab:
              options: defaults
      - name: root
        type: '8300'
        size: 100%
        mkfs:
          type: ext4
          mount:
            mount_point: /
            fstab:
              options: defaults
";
    fs::write(sandbox.path("layout.yaml"), config).unwrap();
    let url = format!("file://{}", sandbox.path("layout.yaml").display());
    sandbox.env("DIB_BLOCK_DEVICE_CONFIG", &url);
    sandbox.run(["-n", "-t", "raw", "-o", "x", "--image-size", "0.6", "fake-os", "block-device-gpt"]).succeeded();
    assert!(Command::new("xz").args(["-0"]).arg(sandbox.path("out/x.raw")).status().unwrap().success());
    let image = format!("file://{}", sandbox.path("out/x.raw.xz").display());
    let (outcome, root) = Extract::new(&mut sandbox).call(&image, "x.raw.xz");
    outcome.succeeded();
    assert_is_the_tree(&root);
    assert_eq!(fs::read_to_string(root.join("boot/efi/EFI/BOOT/BOOTX64.EFI")).unwrap(), "loader\n");
    sandbox.assert_clean();
}

#[test]
fn the_cached_archive_serves_until_the_image_is_newer() {
    if skip_without_root() || skip_without(&["qemu-img", "curl"]) {
        return;
    }
    let mut sandbox = made_up();
    sandbox.run(["-n", "-t", "qcow2", "-o", "x", "--image-size", "0.5", "fake-os", "block-device-mbr"]).succeeded();
    let mirror = Mirror::of(&sandbox.path("out"), &[]);
    let url = format!("{}/x.qcow2", mirror.url());
    let mut extract = Extract::new(&mut sandbox);
    extract.call(&url, "x.qcow2").0.succeeded();
    let archive = extract.sandbox.path("cache/base.tgz");
    let made = archive.metadata().unwrap().modified().unwrap();

    // Offline the archive is enough.
    fs::remove_file(extract.sandbox.path("cache/x.qcow2")).unwrap();
    extract.sandbox.env("DIB_OFFLINE", "1");
    let (outcome, root) = extract.call("http://127.0.0.1:9/nobody", "x.qcow2");
    outcome.succeeded();
    assert_is_the_tree(&root);
    assert_eq!(archive.metadata().unwrap().modified().unwrap(), made);

    // A local image that is newer than the archive replaces it.
    extract.sandbox.env("DIB_OFFLINE", "");
    let local = extract.sandbox.path("out/x.qcow2");
    assert!(Command::new("touch").args(["-d", "+1 hour"]).arg(&local).status().unwrap().success());
    extract.sandbox.env("DIB_LOCAL_IMAGE", &local.to_string_lossy());
    extract.call("http://127.0.0.1:9/nobody", "x.qcow2").0.succeeded();
    assert!(archive.metadata().unwrap().modified().unwrap() > made);
    sandbox.assert_clean();
}

#[test]
fn what_cannot_be_extracted_is_said() {
    if skip_without_root() || skip_without(&["qemu-img", "curl"]) {
        return;
    }
    let mut sandbox = made_up();
    fs::write(sandbox.path("out/noise.img"), vec![7u8; 1 << 20]).unwrap();
    let mirror = Mirror::of(&sandbox.path("out"), &[]);
    let mut extract = Extract::new(&mut sandbox);
    let missing = format!("{}/none.qcow2", mirror.url());
    let (outcome, _) = extract.call(&missing, "none.qcow2");
    outcome.failed(1).says("trying once more").says("failed with status 44");
    let noise = format!("{}/noise.img", mirror.url());
    let (outcome, _) = extract.call(&noise, "noise.img");
    outcome.failed(1).says("looking for the root filesystem in").says("noise.img");
    assert!(!extract.sandbox.path("cache/base.tgz").exists());
    sandbox
        .spawn_as(&sandbox.path("extract-image"), ["too", "few"])
        .wait(crate::support::SHORT)
        .failed(1)
        .says("usage");
    sandbox.assert_clean();
}

#[test]
fn replace_partition_moves_a_system_to_another_layout() {
    if skip_without_root() || skip_without(&["qemu-img", "mkfs.xfs", "sfdisk"]) {
        return;
    }
    let mut sandbox = made_up();
    sandbox.run(["-n", "-t", "qcow2", "-o", "old", "--image-size", "0.5", "fake-os", "block-device-gpt"]).succeeded();
    let args = ["-n", "-t", "tar,raw", "-o", "new", "--image-size", "0.7", "replace-partition", "block-device-mbr"];
    sandbox.run(args).failed(1).says("replace-partition: DIB_LOCAL_IMAGE must be set");
    let old = sandbox.path("out/old.qcow2");
    sandbox.env("DIB_LOCAL_IMAGE", &old.to_string_lossy()).env("FS_TYPE", "xfs").env("DISTRO_NAME", "debian");
    sandbox.env("DIB_RELEASE", "bookworm").env("DIB_INIT_SYSTEM", "systemd").env("EFI_BOOT_DIR", "EFI/debian");
    // The made-up system has no GRUB: this is how an element says that it takes care of booting.
    sandbox
        .element("boots-itself")
        .hook("root.d/50-own", "mkdir -p $TARGET_ROOT/tmp/grub; touch $TARGET_ROOT/tmp/grub/install");
    sandbox.run([&args[..], &["boots-itself"]].concat()).succeeded();
    let out = sandbox.path("unpacked");
    fs::create_dir(&out).unwrap();
    let unpack = Command::new("tar").arg("-xpf").arg(sandbox.path("out/new.tar")).arg("-C").arg(&out).status();
    assert!(unpack.unwrap().success());
    assert_is_the_tree(&out);
    let table = Command::new("sfdisk").arg("-d").arg(sandbox.path("out/new.raw")).output().unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("label: dos"));
    assert!(fs::read_to_string(out.join("etc/fstab")).unwrap().contains(" xfs "));
    sandbox.assert_clean();
}
