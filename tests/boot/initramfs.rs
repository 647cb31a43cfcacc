//! An initramfs that is built from nothing finds roots, and says what is wrong when it does not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::{Sandbox, skip_without, skip_without_data, skip_without_root, test_data};
use image_create::assemble::initramfs::closure::Closure;
use image_create::assemble::initramfs::view::{Node, RootDir};
use image_create::boot::{AccelChoice, DirectBoot, Guest, Machine, Medium, QEMU, pattern};
use image_create::report::Reporter;

const LIMIT: Duration = Duration::from_secs(180);
const KERNEL: &str = "linux-image-cloud-amd64";

/// The init of the small system on the disks.
const INIT: &str = "#!/bin/busybox sh
busybox sh -c 'while read device place rest; do [ $place != / ] || echo \"root on $device $rest\"; done </proc/mounts'
echo \"modules: $(busybox cut -d' ' -f1 /proc/modules | busybox tr '\\n' ' ')\"
echo \"udev: $(busybox cat /run/udev/data/b25* 2>/dev/null | busybox tr '\\n' ' ')\"
echo \"mapped: $(busybox ls /dev/mapper | busybox tr '\\n' ' ')\"
[ -e /init ] && echo 'the initramfs is still there'
echo \"arguments: $*\"
echo THE REAL SYSTEM RUNS
busybox sync
busybox poweroff -f
";

/// A machine's root with a kernel, busybox and the host's lvm.
struct Tree {
    sandbox: Sandbox,
    version: String,
}

fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let sandbox = Sandbox::new();
        let root = sandbox.path("root");
        fs::create_dir_all(&root).unwrap();
        let host = RootDir::new(Path::new("/")).unwrap();
        let mut closure = Closure::new(&host);
        closure.add_program("lvm");
        for item in closure.finish().unwrap().items {
            let to = root.join(item.path.strip_prefix("/").unwrap());
            match item.node {
                Node::Dir => fs::create_dir_all(to).unwrap(),
                Node::Link(target) => symlink(target, to).unwrap(),
                _ => drop(fs::copy(&item.path, to).unwrap()),
            }
        }
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::copy(busybox(), root.join("usr/bin/busybox")).unwrap();
        let package = test_data(KERNEL);
        let modules = root.join("usr/lib/modules");
        fs::create_dir_all(&modules).unwrap();
        let version = fs::read_dir(package.join("lib/modules")).unwrap().next().unwrap().unwrap().file_name();
        let copied =
            Command::new("cp").arg("-a").arg(package.join("lib/modules").join(&version)).arg(&modules).status();
        assert!(copied.unwrap().success());
        fs::create_dir_all(root.join("boot")).unwrap();
        let version = version.into_string().unwrap();
        fs::copy(package.join(format!("boot/config-{version}")), root.join(format!("boot/config-{version}"))).unwrap();
        Tree { sandbox, version }
    })
}

fn busybox() -> PathBuf {
    test_data("busybox-static").join("bin/busybox")
}

impl Tree {
    /// Builds an initramfs with more arguments; gives it and what was said.
    fn initramfs(&self, name: &str, arguments: &[&str]) -> (PathBuf, String) {
        let out = self.sandbox.path(format!("out/{name}"));
        let mut all = vec!["initramfs", "build", "--root", "../root", "-o"];
        all.push(out.to_str().unwrap());
        all.extend(arguments);
        let said = self.sandbox.run(&all).succeeded().stdout.clone();
        (out, said)
    }

    fn guest(&self, initrd: PathBuf, disk: Option<&Path>, cmdline: &str) -> Guest {
        let mut machine = disk.map_or_else(Machine::default, |d| Machine::from_image(Medium::detect(d).unwrap()));
        let kernel = test_data(KERNEL).join(format!("boot/vmlinuz-{}", self.version));
        let cmdline = format!("console=ttyS0 {cmdline}");
        machine.direct = Some(DirectBoot { kernel, initrd: Some(initrd), cmdline });
        machine.accel = AccelChoice::Tcg;
        machine.memory_mib = 512;
        Guest::start(machine, &Reporter::quiet()).unwrap()
    }
}

fn skip() -> bool {
    skip_without_root() || skip_without(&[QEMU, "qemu-img", "lvm"]) || skip_without_data(&[KERNEL, "busybox-static"])
}

/// A disk with the small system, in the layout that is given.
fn disk(sandbox: &mut Sandbox, layout: &str) -> PathBuf {
    sandbox.env("DIB_BLOCK_DEVICE_CONFIG", layout).env("BUSYBOX", busybox().to_str().unwrap());
    let install = format!(
        "cd $TARGET_ROOT; mkdir -p bin sbin proc sys dev run etc var; cp $BUSYBOX bin/busybox; cat > sbin/init <<'END'\n{INIT}END\nchmod 755 sbin/init"
    );
    sandbox.fake_os().hook("root.d/60-small-system", &install);
    sandbox.run(["-n", "-t", "raw", "-o", "x", "--image-size", "0.5", "fake-os"]).succeeded();
    sandbox.path("out/x.raw")
}

fn uuid(partition: u32, raw: &Path, tag: &str) -> String {
    let table = Command::new("sfdisk").arg("--json").arg(raw).output().unwrap();
    let table: serde_json::Value = serde_json::from_slice(&table.stdout).unwrap();
    let part = &table["partitiontable"]["partitions"][partition as usize - 1];
    let offset = part["start"].as_u64().unwrap() * 512;
    let out = Command::new("blkid").args(["-p", "-s", tag, "-o", "value", "-O", &offset.to_string()]).arg(raw).output();
    String::from_utf8(out.unwrap().stdout).unwrap().trim().to_owned()
}

const PLAIN: &str = "
- local_loop: {name: image0}
- partitioning: {base: image0, label: gpt, partitions: [{name: a, size: 100MiB}, {name: root, size: 100%}]}
- mkfs: {name: other, base: a, type: ext4, mount: {mount_point: /var, fstab: {}}}
- mkfs: {name: mkfs_root, base: root, mount: {mount_point: /, fstab: {}}}
";

#[test]
fn a_root_is_found_by_its_uuid_and_everything_is_handed_over() {
    if skip() {
        return;
    }
    let tree = tree();
    let mut sandbox = Sandbox::new();
    let disk = disk(&mut sandbox, PLAIN);
    let (initrd, said) = tree.initramfs("plain", &[]);
    assert!(said.contains("of memory at most while it boots"), "{said}");
    let mut guest = tree.guest(initrd, Some(&disk), &format!("root=UUID={} single", uuid(2, &disk, "UUID")));
    guest.expect(&pattern("THE REAL SYSTEM RUNS").unwrap(), LIMIT).unwrap();
    let transcript = guest.transcript();
    for fact in ["root on /dev/vda2 ext4 ro", "virtio_blk", "arguments: single"] {
        assert!(transcript.contains(fact), "'{fact}' is not in\n{transcript}");
    }
    assert!(!transcript.contains("the initramfs is still there"), "{transcript}");
    guest.close().unwrap();
}

#[test]
fn a_root_on_a_logical_volume_is_found_and_the_others_are_left_alone() {
    if skip() {
        return;
    }
    let tree = tree();
    let mut sandbox = Sandbox::new();
    let disk = disk(&mut sandbox, crate::support::volumes::LAYOUT);
    let (initrd, _) = tree.initramfs("lvm", &[]);
    let [root, _] = crate::support::volumes::volumes(&sandbox.path("etc"), &disk);
    let out = Command::new("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(&root).output().unwrap();
    let uuid = String::from_utf8(out.stdout).unwrap();
    let mut guest = tree.guest(initrd, Some(&disk), &format!("root=UUID={} rw", uuid.trim()));
    guest.expect(&pattern("THE REAL SYSTEM RUNS").unwrap(), LIMIT).unwrap();
    let transcript = guest.transcript();
    for fact in [
        "root on /dev/mapper/vg--test-lv_root ext4 rw",
        "mapped: control vg--test-lv_root \r",
        "E:DM_UDEV_PRIMARY_SOURCE_FLAG=1",
    ] {
        assert!(transcript.contains(fact.trim_end()), "'{fact}' is not in\n{transcript}");
    }
    assert!(
        !transcript.contains("vg--test-lv_var \r") && !transcript.contains("lv_root vg--test-lv_var"),
        "{transcript}"
    );
    guest.close().unwrap();
}

#[test]
fn what_is_missing_is_told_and_a_shell_helps() {
    if skip() {
        return;
    }
    let tree = tree();
    let mut sandbox = Sandbox::new();
    let disk = disk(&mut sandbox, PLAIN);
    let (initrd, _) = tree.initramfs("rescue", &["--compress", "xz"]);
    let mut guest = tree.guest(initrd, Some(&disk), "root=LABEL=nowhere rd.timeout=2 quiet");
    guest.expect(&pattern("the root LABEL=nowhere did not show up within 2 s").unwrap(), LIMIT).unwrap();
    guest.expect(&pattern(r"/dev/vda2 TYPE=ext4 UUID=.* LABEL=cloudimg-rootfs PARTUUID=").unwrap(), LIMIT).unwrap();
    guest.expect(&pattern(r"\(initramfs\) ").unwrap(), LIMIT).unwrap();
    guest
        .send_line("modprobe dm-mod && lsmod | grep -c dm_mod; mount -o ro /dev/vda2 /sysroot && echo mounted it; exit")
        .unwrap();
    guest.expect(&pattern("^mounted it").unwrap(), LIMIT).unwrap();
    // The root that was mounted by hand is taken when the boot is tried again.
    guest.expect(&pattern("THE REAL SYSTEM RUNS").unwrap(), LIMIT).unwrap();
    guest.close().unwrap();
}

/// What the edited installer runs in place of its own init.
const MARKER: &str = "#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo \"version: $(e2fsck -V 2>&1 | head -n 1)\"
modprobe virtio_pci
modprobe virtio_blk
modprobe xfs
sleep 1
echo \"loaded: $(grep -c -e '^virtio_blk ' -e '^xfs ' /proc/modules) disk: $(ls /dev/vda2)\"
e2fsck -n /dev/vda2
echo THE INSTALLER WAS EDITED
poweroff -f
";

#[test]
fn an_edited_installer_runs_an_added_program_and_loads_added_modules() {
    const INSTALLER: &str = "debian-installer-12-netboot-amd64";
    if skip() || skip_without_data(&[INSTALLER]) || skip_without(&["e2fsck"]) {
        return;
    }
    let tree = tree();
    let mut sandbox = Sandbox::new();
    let disk = disk(&mut sandbox, PLAIN);
    let base =
        test_data(INSTALLER).join("usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz");
    let marker = sandbox.path("out/marker");
    fs::write(&marker, MARKER).unwrap();
    fs::set_permissions(&marker, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let modules = tree.sandbox.path("root");
    let edited = sandbox.path("out/edited");
    // The kernel is another than the installer's own: its modules are added beside those that are there.
    sandbox
        .run([
            "initramfs".as_ref(),
            "edit".as_ref(),
            base.as_os_str(),
            "-o".as_ref(),
            edited.as_os_str(),
            "--add".as_ref(),
            format!("{}:/marker", marker.display()).as_ref(),
            "--program".as_ref(),
            "e2fsck".as_ref(),
            "--modules-dir".as_ref(),
            modules.as_os_str(),
            "--modules".as_ref(),
            format!("{}:virtio_pci,virtio_blk,xfs", tree.version).as_ref(),
            "--compress".as_ref(),
            "zstd:3".as_ref(),
        ])
        .succeeded();
    let mut guest = tree.guest(edited, Some(&disk), "rdinit=/marker quiet");
    guest.expect(&pattern("THE INSTALLER WAS EDITED").unwrap(), LIMIT).unwrap();
    let transcript = guest.transcript();
    for fact in ["version: e2fsck ", "loaded: 2 disk: /dev/vda2", "cloudimg-rootfs: clean"] {
        assert!(transcript.contains(fact), "'{fact}' is not in\n{transcript}");
    }
    guest.close().unwrap();
}
