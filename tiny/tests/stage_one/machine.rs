//! An old system as a tree of files, a bundle, and the programs that stage one may call.
//!
//! The shape is that of CentOS 7's default installation: MBR, /boot on the first partition, the root in LVM on the second.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use upgrade_tiny::manifest::{FileEntry, Firmware, Manifest};

/// Programs that stage one is given as they are.
const REAL: &str = "awk basename cat chmod cp cut df dirname du env find grep ln ls mkdir mktemp mv od readlink rm rmdir sed \
                    sha256sum sh sort stat sync tr uname wc openssl";

/// Where the disk's controller is in /sys.
const CONTROLLER: &str = "sys/devices/pci0000:00/0000:00:1f.2";
/// Where the disk is.
pub const DISK: &str = "sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda";

/// What one run needs.
pub struct Machine {
    dir: TempDir,
    /// The shell that runs the script.
    pub shell: Vec<&'static str>,
}

/// How a run ended.
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// stdout and stderr.
    pub text: String,
}

impl Machine {
    /// A machine that can be moved, and a bundle for it.
    pub fn new() -> Self {
        let machine = Self { dir: TempDir::new().unwrap(), shell: vec!["dash"] };
        machine.old_system();
        machine.devices();
        machine.programs();
        machine.bundle(|_| {});
        machine
    }

    /// A path in the old system.
    pub fn root(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    /// A path in the bundle.
    pub fn bundled(&self, path: &str) -> PathBuf {
        self.dir.path().join("bundle").join(path)
    }

    /// A path beside both.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file of the old system.
    pub fn write(&self, path: &str, text: &str) {
        write(&self.root(path), text);
    }

    /// Makes a link in the old system.
    pub fn link(&self, path: &str, to: &str) {
        let path = self.root(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    /// Puts a program in place of the machine's.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.beside("bin").join(name);
        if path.is_symlink() {
            fs::remove_file(&path).unwrap();
        }
        write(&path, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes a program away.
    pub fn without(&self, name: &str) {
        fs::remove_file(self.beside("bin").join(name)).unwrap();
    }

    /// Runs the script on the old system.
    pub fn run(&self, args: &[&str]) -> Ended {
        let root = self.root("");
        let mut all = vec!["--root", root.to_str().unwrap()];
        all.extend(args);
        self.start(&self.bundled("upgrade_to_tiny_system.sh"), &all)
    }

    /// Runs the script by a path.
    pub fn start(&self, script: &Path, args: &[&str]) -> Ended {
        let mut command = Command::new(installed(self.shell[0]));
        command.args(&self.shell[1..]).arg(script).args(args).current_dir(self.dir.path());
        command.env_clear().env("PATH", self.beside("bin")).env("TMPDIR", self.beside("tmp"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        Ended { code: status.code(), text }
    }

    /// Everything in the old system and the temporary directory: paths with kind, mode, and digest or target.
    pub fn listing(&self) -> BTreeMap<PathBuf, String> {
        let mut list = BTreeMap::new();
        for top in ["root", "tmp"] {
            walk(&self.beside(top), &mut list);
        }
        list
    }

    /// Writes the bundle, with a manifest that the caller can change before files are listed.
    pub fn bundle(&self, change: impl FnOnce(&mut Manifest)) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../elements/upgrade-tiny/upgrade-tiny");
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "sh") {
                write(&self.bundled(path.file_name().unwrap().to_str().unwrap()), &fs::read_to_string(&path).unwrap());
            }
        }
        write(&self.bundled("va.tar.xz"), "the payload");
        write(&self.bundled("va.sgdisk"), "a table");
        write(&self.bundled("vmlinuz-convert"), "a kernel");
        write(&self.bundled("initramfs-convert.img"), "an initramfs");
        write(&self.bundled("va.drivers"), DRIVERS);
        let mut manifest = manifest();
        change(&mut manifest);
        self.seal(manifest);
    }

    /// Lists the bundle's files in its manifest and writes it.
    pub fn seal(&self, mut manifest: Manifest) {
        manifest.files.clear();
        let mut names: Vec<PathBuf> = fs::read_dir(self.bundled("")).unwrap().map(|e| e.unwrap().path()).collect();
        names.extend(fs::read_dir(self.bundled("backup.d")).into_iter().flatten().map(|e| e.unwrap().path()));
        for path in names.iter().filter(|p| p.is_file() && !p.to_string_lossy().contains("manifest.json")) {
            let name = path.strip_prefix(self.bundled("")).unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(path).unwrap();
            manifest.files.insert(name, FileEntry { bytes: bytes.len() as u64, sha256: hex(&bytes) });
        }
        write(&self.bundled("manifest.json"), &manifest.to_text().unwrap());
    }

    fn old_system(&self) {
        self.write("etc/os-release", "NAME=\"CentOS Linux\"\nID=\"centos\"\n");
        self.write("etc/hostname", "appliance.example.com\n");
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\njoe:x:1000:1000::/home/joe:/bin/bash\n");
        self.write("etc/shadow", "root:$6$salt$TOPSECRET:18000:0:99999:7:::\njoe:$6$salt$TOPSECRET:18000::::::\n");
        self.write("etc/ssh/ssh_host_ed25519_key", "TOPSECRET\n");
        self.write("home/joe/.ssh/authorized_keys", "ssh-ed25519 AAAA joe\n");
        self.write("proc/meminfo", "MemTotal:        4000000 kB\nMemFree:         3000000 kB\n");
        self.write(
            "proc/cmdline",
            "BOOT_IMAGE=/vmlinuz root=/dev/mapper/centos-root ro quiet console=tty0 console=ttyS0,115200n8\n",
        );
        self.write(
            "proc/self/mountinfo",
            "17 1 0:1 / / rw - rootfs rootfs rw\n\
             22 1 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/centos-root rw,attr2,inode64,noquota\n\
             23 22 8:1 / /boot rw,relatime shared:2 - xfs /dev/sda1 rw,attr2\n",
        );
        self.write("boot/grub2/grub.cfg", GRUB_CFG);
        fs::create_dir_all(self.beside("tmp")).unwrap();
    }

    fn devices(&self) {
        self.write(&format!("{CONTROLLER}/class"), "0x010601\n");
        self.write(&format!("{CONTROLLER}/modalias"), "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01\n");
        self.link(&format!("{CONTROLLER}/driver"), "../../../bus/pci/drivers/ahci");
        self.write("sys/bus/pci/drivers/ahci/bind", "");
        let target = Path::new(DISK).parent().unwrap().parent().unwrap().to_str().unwrap();
        self.write(&format!("{target}/modalias"), "scsi:t-0x00\n");
        self.link(&format!("{target}/driver"), "../../../../../../../../bus/scsi/drivers/sd");
        self.write("sys/bus/scsi/drivers/sd/bind", "");
        self.write(&format!("{DISK}/size"), "41943040\n");
        self.write(&format!("{DISK}/ro"), "0\n");
        self.write(&format!("{DISK}/queue/logical_block_size"), "512\n");
        self.block("sda", "8:0", DISK);
        for (name, number) in [("sda1", "1"), ("sda2", "2")] {
            self.write(&format!("{DISK}/{name}/partition"), number);
            self.block(name, &format!("8:{number}"), &format!("{DISK}/{name}"));
        }
        let uuid = "LVM-mQyVTnTqLXPqs8KhCdJkB7Dm8Xrw6aP1nNcZpWgqRxRXs4VYkQkWgdmF0mX0q7Lk";
        self.mapped("dm-0", "253:0", uuid, "sda2");
        self.link("dev/disk/by-uuid/11111111-aaaa-4bbb-8ccc-000000000001", "../../sda1");
        self.link("dev/disk/by-uuid/22222222-aaaa-4bbb-8ccc-000000000002", "../../dm-0");
    }

    /// Makes a block device known under its name and numbers.
    pub fn block(&self, name: &str, numbers: &str, path: &str) {
        let inside = path.strip_prefix("sys/").unwrap();
        self.link(&format!("sys/class/block/{name}"), &format!("../../{inside}"));
        self.link(&format!("sys/dev/block/{numbers}"), &format!("../../{inside}"));
    }

    /// A mapped device on another one.
    pub fn mapped(&self, name: &str, numbers: &str, uuid: &str, on: &str) {
        let path = format!("sys/devices/virtual/block/{name}");
        self.write(&format!("{path}/dm/uuid"), &format!("{uuid}\n"));
        self.link(&format!("{path}/slaves/{on}"), &format!("../../../../../class/block/{on}"));
        self.block(name, numbers, &path);
    }

    /// A second disk with one partition.
    pub fn second_disk(&self) {
        let path = format!("{CONTROLLER}/ata2/host1/target1:0:0/1:0:0:0/block/sdb");
        self.write(&format!("{path}/size"), "41943040\n");
        self.write(&format!("{path}/sdb1/partition"), "1\n");
        self.block("sdb", "8:16", &path);
        self.block("sdb1", "8:17", &format!("{path}/sdb1"));
    }

    fn programs(&self) {
        for name in REAL.split_whitespace() {
            let link = self.beside("bin").join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(installed(name), link).unwrap();
        }
        self.program("id", "echo 0");
        self.program("reboot", "echo REBOOTED");
    }
}

/// A manifest for the bundle: figures that the machine fulfils.
pub fn manifest() -> Manifest {
    let text = r#"{"format": 1, "name": "va", "version": "2026.1", "system": "Rocky Linux 9.4", "arch": "x86_64",
        "kernel": "5.14.0", "firmware": "bios", "payload": "va.tar.xz", "unpacked_bytes": 1000,
        "ram_bytes": 2147483648, "disk_bytes": 10737418240, "boot_free_bytes": 4096, "files": {},
        "layout": {"partitions": [], "group": "VA", "extent_bytes": 4194304, "volumes": []}}"#;
    let mut manifest = Manifest::parse(text).unwrap();
    manifest.arch = std::env::consts::ARCH.into();
    manifest.firmware = Firmware::Bios;
    manifest
}

/// What the tiny system has drivers for.
pub const DRIVERS: &str = "virtio:d00000002v*\n\
    pci:v*d*sv*sd*bc01sc06i01*\n\
    scsi:t-0x00*\n\
    fs-xfs\n\
    fs-ext4\n";

/// As grub2-mkconfig of CentOS 7 writes it, without what is not read.
const GRUB_CFG: &str = r#"
set pager=1
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
menuentry 'CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)' --class centos --unrestricted {
	linux16 /vmlinuz-3.10.0-1160.el7.x86_64 root=/dev/mapper/centos-root ro
	initrd16 /initramfs-3.10.0-1160.el7.x86_64.img
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg;
fi
"#;

/// The digest of bytes, in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Where a program of this machine is.
fn installed(name: &str) -> PathBuf {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .chain(["/usr/bin".into(), "/bin".into(), "/usr/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("there is no {name} here"))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn walk(path: &Path, list: &mut BTreeMap<PathBuf, String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let content = if meta.is_symlink() {
        format!("link to {}", fs::read_link(path).unwrap().display())
    } else if meta.is_file() {
        hex(&fs::read(path).unwrap())
    } else {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), list);
        }
        "directory".into()
    };
    list.insert(path.to_owned(), format!("{:o} {content}", meta.permissions().mode()));
}
