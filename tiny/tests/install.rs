//! `image-slots install` as it runs on a machine, but for LVM: in a chroot with a loop device as the other volume, and with
//! an `lvm` that only says what was asked of it. Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use upgrade_tiny::manifest::{
    FORMAT, FileEntry, Filesystem, Firmware, Grow, InitramfsPolicy, Layout, Manifest, Volume,
};
use upgrade_tiny::slots::config::SLOTS_JSON;
use upgrade_tiny::slots::place::Place;
use upgrade_tiny::slots::setup;

/// True, with a line on stderr, when the test is to be skipped.
fn skip() -> bool {
    let has = |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists());
    let tools = ["losetup", "unshare", "mkfs.ext4", "debugfs", "tar", "xz", "lvm"];
    let mut missing: Vec<&str> = tools.iter().filter(|t| !has(t)).copied().collect();
    if !busybox().exists() {
        missing.push("busybox-static");
    }
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    if Path::new("/sys/firmware/efi").exists() {
        missing.push("a machine started by BIOS");
    }
    assert!(
        missing.is_empty() || std::env::var_os("CI").is_none(),
        "this test needs {missing:?}, and in CI nothing is skipped"
    );
    if !missing.is_empty() {
        eprintln!("SKIPPED: it needs {missing:?} (make setup-test)");
    }
    !missing.is_empty()
}

/// A shell that needs no libraries.
fn busybox() -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-data/busybox-static/bin/busybox");
    if data.exists() { data } else { "/usr/bin/busybox".into() }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn slots_json(slot: &str) -> String {
    format!(r#"{{"slot": "{slot}", "group": "VA", "slots": ["root", "back"], "version": "1"}}"#)
}

/// A machine with one system, and an empty volume for another.
struct Machine {
    dir: tempfile::TempDir,
    device: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        Command::new("losetup").args(["-d", &self.device]).status().ok();
    }
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::File::create(&volume).unwrap().set_len(64 << 20).unwrap();
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&volume)).trim().to_owned();
        let machine = Self { dir, device };
        let root = machine.root();
        write(&root, SLOTS_JSON, &slots_json("root"));
        write(&root, "etc/os-release", "PRETTY_NAME=Old\n");
        write(&root, "etc/fstab", "/dev/mapper/VA-root / ext4 defaults 0 1\nUUID=mine /boot ext4 defaults 0 2\n");
        write(&root, "lib/modules/6.1/modules.dep", "");
        write(&root, "boot/vmlinuz-6.1", "old kernel");
        write(&root, "boot/initramfs-6.1.img", "old initramfs");
        write(&root, "boot/grub2/grub.cfg", "source $prefix/custom.cfg\n");
        setup::setup(&Place::at(&root)).unwrap();
        machine.add_programs();
        machine
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("machine")
    }

    /// The host's programs and libraries, and an `lvm` of its own.
    fn add_programs(&self) {
        let root = self.root();
        for name in ["bin", "sbin", "lib64"] {
            symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
        for entry in fs::read_dir("/usr/lib").unwrap().flatten().filter(|e| e.file_name() != "modules") {
            symlink(entry.path(), root.join("lib").join(entry.file_name())).unwrap();
        }
        for name in ["usr", "dev", "proc", "sys", "run", "tmp", "var/tmp"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["ld.so.cache", "passwd", "group", "mke2fs.conf"] {
            fs::copy(Path::new("/etc").join(name), root.join("etc").join(name)).ok();
        }
        fs::create_dir_all(root.join("own")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_upgrade-tiny"), root.join("own/image-slots")).unwrap();
        write(
            &root,
            "own/lvm",
            r#"#!/bin/sh
echo "$*" >>/own/asked
case $1 in
lvs) echo '{"report": [{"lv": [{"lv_name": "root", "lv_size": "67108864"}, {"lv_name": "back", "lv_size": "67108864"}]}]}' ;;
vgs) echo '{"report": [{"vg": [{"vg_free": "0", "vg_extent_size": "4194304"}]}]}' ;;
esac
"#,
        );
        fs::set_permissions(root.join("own/lvm"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs the program in the machine.
    fn slots(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    fn command(&self, words: &str) -> Command {
        let script = format!(
            "set -e; mount --bind {root} {root}; cd {root}; mount --rbind /usr usr; mount --rbind /proc proc; mount --rbind /sys sys
             mount -t tmpfs tmpfs dev; mount -t tmpfs tmpfs run; mkdir dev/mapper
             for name in null zero urandom random {device}; do cp -a /dev/$name dev/; done
             cp -a /dev/{device} dev/mapper/VA-back
             exec chroot . /usr/bin/env PATH=/own:/usr/sbin:/usr/bin image-slots {words}",
            root = self.root().display(),
            device = self.device.trim_start_matches("/dev/"),
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]);
        command
    }

    /// A file of the other volume.
    fn on_volume(&self, path: &str) -> String {
        run(Command::new("debugfs").args(["-R", &format!("cat {path}")]).arg(self.dir.path().join("volume")))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }

    /// Puts a bundle into the machine, with a payload that is a system, or garbage.
    fn add_bundle(&self, name: &str, whole: bool, restore: &str) {
        let bundle = self.root().join(name);
        let tree = self.dir.path().join("tree");
        write(&tree, SLOTS_JSON, &slots_json("root"));
        write(&tree, "sbin/init", "");
        write(&tree, "usr/bin/image-slots", "");
        write(&tree, "etc/os-release", "PRETTY_NAME=New\n");
        write(&tree, "etc/fstab", "/dev/mapper/VA-root / ext4 noatime 0 1\nUUID=theirs /boot ext4 defaults 0 2\n");
        write(&tree, "etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n");
        write(&tree, "usr/lib/modules/6.2/modules.dep", "");
        for (name, text) in
            [("passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("group", "root:x:0:\n"), ("shadow", "root:*:1::::::\n")]
        {
            write(&tree, &format!("etc/{name}"), text);
        }
        let script = "usr/lib/upgrade-tiny/restore.d/50-vendor";
        write(&tree, script, &format!("#!/bin/sh\n{restore}\n"));
        fs::set_permissions(tree.join(script), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::create_dir_all(tree.join("usr/lib/systemd/system")).unwrap();
        for name in ["sh", "cp", "mkfifo"] {
            fs::copy(busybox(), tree.join("bin").join(name)).unwrap();
        }
        write(&tree, "boot/vmlinuz-6.2", "new kernel");
        write(&tree, "boot/initramfs-6.2.img", "new initramfs");
        write(&bundle, "upgrade_to_tiny_system.sh", KEEP);
        let payload = bundle.join("va.tar.xz");
        if whole {
            run(Command::new("tar").arg("-cJf").arg(&payload).arg("-C").arg(&tree).arg("."));
        } else {
            fs::write(&payload, "no archive").unwrap();
        }
        fs::write(bundle.join("manifest.json"), manifest(&bundle).to_text().unwrap()).unwrap();
    }
}

/// What keeps the configuration, in short.
const KEEP: &str = r#"set -e
[ "$1" = --backup-only ]
mkdir -p "$2/files/etc" "$2/vendor/50-vendor"
echo hostname=old-name >"$2/facts"
echo 'root:x:0:0:root:/root:/bin/sh' >"$2/files/etc/passwd"
echo 'root:$6$saltsalt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:19000:0:99999:7:::' >"$2/files/etc/shadow"
echo 'root:x:0:' >"$2/files/etc/group"
echo secret >"$2/vendor/50-vendor/file"
"#;

fn manifest(bundle: &Path) -> Manifest {
    let files: BTreeMap<String, FileEntry> = ["va.tar.xz", "upgrade_to_tiny_system.sh"]
        .into_iter()
        .map(|name| {
            let bytes = fs::read(bundle.join(name)).unwrap();
            let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            (name.to_owned(), FileEntry { bytes: bytes.len() as u64, sha256 })
        })
        .collect();
    let filesystem =
        Filesystem { kind: "ext4".into(), uuid: "1".into(), label: String::new(), mount: Some("/".into()) };
    Manifest {
        format: FORMAT,
        name: "va".into(),
        version: "2".into(),
        system: "New".into(),
        arch: std::env::consts::ARCH.into(),
        kernel: "6.2".into(),
        firmware: Firmware::Bios,
        payload: "va.tar.xz".into(),
        initramfs: InitramfsPolicy::Keep,
        unpacked_bytes: 10 << 20,
        ram_bytes: 0,
        disk_bytes: 0,
        boot_free_bytes: 0,
        files,
        layout: Layout {
            partitions: Vec::new(),
            group: "VA".into(),
            extent_bytes: 4 << 20,
            volumes: vec![Volume { name: "root".into(), bytes: 0, grow: Grow::No, filesystem }],
        },
    }
}

#[test]
fn a_bundle_is_installed_refused_and_repaired() {
    if skip() {
        return;
    }
    let machine = Machine::new();
    machine.add_bundle("whole", true, "cp $BACKUP_DIR/file /etc/vendor");
    machine.add_bundle("broken", false, "");

    // Refused: nothing is changed.
    let before = fs::read(machine.dir.path().join("volume")).unwrap();
    fs::rename(machine.root().join("whole/va.tar.xz"), machine.root().join("payload")).unwrap();
    let refused = machine.slots("install /whole --no-reboot --key /no/key");
    fs::rename(machine.root().join("payload"), machine.root().join("whole/va.tar.xz")).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("va.tar.xz is missing") && said.contains("not signed") && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(fs::read(machine.dir.path().join("volume")).unwrap() == before);
    assert!(machine.root().join("boot/slots/root/vmlinuz").is_symlink());

    // Fails in the middle: the good slot stays, with files of its own.
    let failed = machine.slots("install /broken --no-reboot");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("slot back is empty now, slot root starts as before"), "{said}");
    assert!(!machine.read("boot/grub2/custom.cfg").contains("slot-back {"));
    assert!(machine.read("boot/grub2/slots.env").contains("slots_good=root\nslots_next=\n"));
    assert!(!machine.root().join("boot/slots/root/vmlinuz").is_symlink());
    assert_eq!(machine.read("boot/slots/root/vmlinuz"), "old kernel");

    // The next one repairs it.
    let done = machine.slots("install /whole --no-reboot --timeout 90");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(machine.read("boot/grub2/slots.env").contains("slots_good=root\nslots_next=back\nslots_timeout=90\n"));
    assert!(machine.read("boot/grub2/slots.env").contains("slots_new_back=1\n"));
    assert_eq!(machine.read("boot/slots/back/initramfs.img"), "new initramfs");
    let menu = machine.read("boot/grub2/custom.cfg");
    assert!(menu.contains("menuentry 'New, version 2 (back)' --unrestricted --id slot-back {"), "{menu}");
    assert!(
        menu.contains("root=/dev/mapper/VA-back rd.lvm.lv=VA/back ro console=ttyS0 upgrade_slot.slot=back"),
        "{menu}"
    );
    let fstab = machine.on_volume("/etc/fstab");
    assert_eq!(fstab, "/dev/mapper/VA-back / ext4 noatime 0 1\nUUID=mine /boot ext4 defaults 0 2\n");
    assert!(machine.on_volume("/etc/upgrade-tiny/slots.json").contains("\"slot\": \"back\""));
    assert_eq!(machine.on_volume("/boot/vmlinuz-6.2"), "");
    assert_eq!(machine.on_volume("/etc/hostname").trim(), "old-name");
    assert!(machine.on_volume("/etc/shadow").starts_with("root:$6$saltsalt$"));
    assert_eq!(machine.on_volume("/etc/vendor"), "secret\n");
    assert!(!said.contains("saltsalt") && !said.contains("secret"), "{said}");
    assert!(machine.read("own/asked").contains("lvchange -ay VA/back"));
    let status = machine.slots("status --json");
    assert!(String::from_utf8_lossy(&status.stdout).contains("\"state\": \"new\""), "{status:?}");
}

#[test]
fn an_installation_that_was_killed_is_in_nobodys_way() {
    if skip() {
        return;
    }
    let machine = Machine::new();
    // The script waits for ever, without a program of its own that would survive it.
    machine.add_bundle("hanging", true, "mkfifo /run/never; read line </run/never");
    machine.add_bundle("whole", true, "cp $BACKUP_DIR/file /etc/vendor");
    // `exec` all the way: this process is image-slots itself in the end.
    let mut running =
        machine.command("install /hanging --no-reboot").stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("running restore.d/50-vendor")), "the script was not started");
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(machine.read("boot/grub2/slots.env").contains("slots_good=root\nslots_next=\n"));
    assert!(!machine.root().join("boot/slots/back").exists());
    // The kernel ends the script a moment later.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let done = machine.slots("install /whole --no-reboot");
        if done.status.success() {
            break;
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("has to end") && Instant::now() < end, "{said}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(machine.read("boot/slots/back/vmlinuz"), "new kernel");
}
