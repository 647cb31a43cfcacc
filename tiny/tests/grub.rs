//! What GRUB itself makes of `custom.cfg` and `slots.env`: real GRUB under QEMU, on a disk whose /boot the slot program wrote.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use upgrade_tiny::slots::config::{Config, SLOTS_JSON, Version};
use upgrade_tiny::slots::envblock::EnvBlock;
use upgrade_tiny::slots::marks;
use upgrade_tiny::slots::place::Place;
use upgrade_tiny::slots::setup;
use upgrade_tiny::slots::state::Start;

/// Where the file system begins, and how long it is.
const BEGIN: u64 = 1 << 20;
const LENGTH: u64 = 15 << 20;

/// Modules that a GRUB needs that cannot load any. Without `linux`, as the entries' kernels are none.
const MODULES: &[&str] = &[
    "biosdisk",
    "part_msdos",
    "ext2",
    "normal",
    "configfile",
    "test",
    "loadenv",
    "regexp",
    "serial",
    "terminal",
    "echo",
    "reboot",
    "search",
    "search_fs_uuid",
];

/// GRUB's files for BIOS; none, with a line on stderr, when the test is to be skipped.
fn grub() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-data/grub-pc-bin/usr/lib/grub/i386-pc");
    let found = [PathBuf::from("/usr/lib/grub/i386-pc"), data].into_iter().find(|p| p.join("boot.img").exists());
    let has = |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists());
    let tools = ["grub-mkimage", "qemu-system-x86_64", "mke2fs", "debugfs"];
    let missing = tools.iter().find(|t| !has(t)).copied().or(found.is_none().then_some("the test data grub-pc-bin"));
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none(), "this test needs {missing}, and in CI nothing is skipped");
        writeln!(std::io::stderr(), "SKIPPED: it needs {missing} (make setup-test)").ok();
        return None;
    }
    found
}

/// A machine's /boot, and a disk that it is put on.
struct Machine {
    dir: tempfile::TempDir,
    grub: PathBuf,
    place: Place,
}

impl Machine {
    /// One with a good system in `root` and one in `back` that was never marked good.
    fn new(grub: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        let write = |path: &str, text: &str| {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        };
        write(SLOTS_JSON, r#"{"slot": "root", "group": "VA", "slots": ["root", "back"]}"#);
        write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet odd=\\\"a;b\\\"\"\n");
        write("etc/os-release", "PRETTY_NAME=\"It's {Linux}\"\n");
        write("usr/lib/modules/6.1/modules.dep", "");
        write("boot/vmlinuz-6.1", "kernel");
        write("boot/initramfs-6.1.img", "initramfs");
        write("boot/grub2/grub.cfg", include_str!("golden/grub.cfg"));
        let place = Place::at(&root);
        setup::setup(&place).unwrap();
        let machine = Self { dir, grub, place };
        machine.add_back();
        machine.make_disk();
        machine
    }

    fn config(&self) -> Config {
        Config::read(&self.place.root).unwrap()
    }

    fn add_back(&self) {
        let made = self.place.new_slot("back").unwrap();
        let version = Version {
            system: "Newer".into(),
            arguments: vec!["root=/dev/mapper/VA-back".into()],
            ..Version::default()
        };
        fs::write(made.join("vmlinuz"), "kernel").unwrap();
        fs::write(made.join("initramfs.img"), "initramfs").unwrap();
        fs::write(made.join("version.json"), version.to_text().unwrap()).unwrap();
        self.place.put_slot("back", &made).unwrap();
        self.set(&[("slots_new_back", "1")]);
        setup::write_menu(&self.place, &self.config()).unwrap();
    }

    /// Sets variables in the tree.
    fn set(&self, variables: &[(&str, &str)]) {
        let mut env = self.place.env().unwrap();
        variables.iter().for_each(|(name, value)| env.set(name, value));
        self.place.write_env(&env).unwrap();
    }

    fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Puts /boot on the disk, as a partition, with GRUB before it.
    fn make_disk(&self) {
        let core = self.dir.path().join("core.img");
        let mkimage = ["-O", "i386-pc", "-p", "(hd0,msdos1)/grub2", "-d"];
        run(Command::new("grub-mkimage").args(mkimage).arg(&self.grub).arg("-o").arg(&core).args(MODULES));
        let mut head = fs::read(self.grub.join("boot.img")).unwrap();
        // The table, where boot.img has code for floppies: one partition of type 0x83, in sectors of 512 bytes.
        head[0x1be..0x1fe].fill(0);
        let sectors = |bytes: u64| u32::try_from(bytes / 512).unwrap().to_le_bytes();
        head[0x1be..0x1c2].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff]);
        head[0x1c2..0x1c6].copy_from_slice(&[0x83, 0xfe, 0xff, 0xff]);
        head[0x1c6..0x1ca].copy_from_slice(&sectors(BEGIN));
        head[0x1ca..0x1ce].copy_from_slice(&sectors(LENGTH));
        head.extend(fs::read(&core).unwrap());
        assert!(head.len() < usize::try_from(BEGIN).unwrap());
        let disk = self.disk();
        let mut file = File::create(&disk).unwrap();
        file.write_all(&head).unwrap();
        file.set_len(BEGIN + LENGTH).unwrap();
        let offset = format!("offset={BEGIN}");
        let mke2fs = ["-q", "-F", "-t", "ext4", "-E", &offset, "-d"];
        let size = format!("{}k", LENGTH / 1024);
        run(Command::new("mke2fs").args(mke2fs).arg(self.place.boot()).arg(&disk).arg(size));
    }

    /// What GRUB left in the block on the disk.
    fn env_on_disk(&self) -> EnvBlock {
        let image = format!("{}?offset={BEGIN}", self.disk().display());
        let output = Command::new("debugfs").args(["-R", "cat /grub2/slots.env", &image]).output().unwrap();
        EnvBlock::parse(&output.stdout).unwrap()
    }

    /// Starts the machine and gives what it said until it restarted.
    fn start(&self) -> String {
        self.start_with("")
    }

    fn start_with(&self, drive: &str) -> String {
        let drive = format!("file={},format=raw,if=virtio{drive}", self.disk().display());
        let words = [
            "-accel",
            "tcg",
            "-m",
            "64",
            "-display",
            "none",
            "-nodefaults",
            "-no-reboot",
            "-serial",
            "stdio",
            "-drive",
            &drive,
        ];
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = qemu.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            out.read_to_end(&mut text).ok();
            String::from_utf8_lossy(&text).into_owned()
        });
        let end = Instant::now() + Duration::from_secs(60);
        let ended = loop {
            if qemu.try_wait().unwrap().is_some() {
                break true;
            }
            if Instant::now() > end {
                qemu.kill().ok();
                qemu.wait().ok();
                break false;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let said = reader.join().unwrap();
        assert!(ended, "GRUB started nothing within a minute:\n{said}");
        said
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The line that begins so. A terminal of 80 columns wraps it, so its rest is taken up to the next word in capitals.
#[track_caller]
fn kernel(said: &str) -> String {
    let at = said.find("LINUX ").unwrap_or_else(|| panic!("no slot was started:\n{said}"));
    let line = &said[at..];
    let line = &line[..line.find("INITRD").unwrap_or(line.len())];
    line.replace(['\r', '\n'], "")
}

#[test]
fn a_slot_is_tried_once_and_then_the_good_one_starts_again() {
    let Some(grub) = grub() else { return };
    let machine = Machine::new(grub);
    let line = kernel(&machine.start());
    assert!(
        line.contains("(hd0,msdos1)/slots/root/vmlinuz root=/dev/mapper/VA-root rd.lvm.lv=VA/root ro quiet"),
        "{line}"
    );
    assert!(line.contains("odd=\"a;b\" upgrade_slot.slot=root") && !line.contains("trial"), "{line}");

    marks::start_once(&machine.place, "back", Some(77)).unwrap();
    machine.make_disk();
    let line = kernel(&machine.start());
    assert!(line.contains("/slots/back/vmlinuz root=/dev/mapper/VA-back upgrade_slot.trial=1 panic=30"), "{line}");
    assert!(line.contains("upgrade_slot.timeout=77"), "{line}");
    let env = machine.env_on_disk();
    assert_eq!(
        (env.get("slots_next"), env.get("slots_good"), env.get("slots_new_back")),
        (None, Some("root"), Some("1"))
    );
    // The system that was tried never said a word.
    assert!(kernel(&machine.start()).contains("/slots/root/vmlinuz"));
}

#[test]
fn what_is_marked_good_stays_and_is_no_trial_any_more() {
    let Some(grub) = grub() else { return };
    let machine = Machine::new(grub);
    let config = Config { slot: "back".into(), ..machine.config() };
    fs::write(machine.place.root.join(SLOTS_JSON), config.to_text().unwrap()).unwrap();
    marks::mark_good(&machine.place, &Start::default(), &machine.dir.path().join("marked")).unwrap();
    machine.make_disk();
    let line = kernel(&machine.start());
    assert!(line.contains("/slots/back/vmlinuz") && !line.contains("trial"), "{line}");
    // Without the block, the menu itself says which one is good.
    fs::remove_file(machine.place.boot().join("grub2/slots.env")).unwrap();
    machine.make_disk();
    assert!(kernel(&machine.start()).contains("/slots/back/vmlinuz"));
}

#[test]
fn what_cannot_be_forgotten_is_not_tried() {
    let Some(grub) = grub() else { return };
    let machine = Machine::new(grub);
    marks::start_once(&machine.place, "back", None).unwrap();
    machine.make_disk();
    let line = kernel(&machine.start_with(",readonly=on"));
    assert!(line.contains("/slots/root/vmlinuz") && !line.contains("trial"), "{line}");
    // A block that is garbage is as good as none.
    fs::write(machine.place.boot().join("grub2/slots.env"), vec![b'x'; 1024]).unwrap();
    machine.make_disk();
    assert!(kernel(&machine.start()).contains("/slots/root/vmlinuz"));
}

#[test]
fn grub_reboot_has_the_first_word_and_a_default_of_grub_has_none() {
    let Some(grub) = grub() else { return };
    let machine = Machine::new(grub);
    let mut env = EnvBlock::default();
    env.set("saved_entry", "gnulinux-second");
    env.set("next_entry", "gnulinux-second");
    fs::write(machine.place.boot().join("grub2/grubenv"), env.to_bytes().unwrap()).unwrap();
    marks::start_once(&machine.place, "back", None).unwrap();
    machine.make_disk();
    let said = machine.start();
    assert!(said.contains("OTHER second") && !said.contains("LINUX"), "{said}");
    assert_eq!(machine.env_on_disk().get("slots_next"), Some("back"));
    // The next time it is the slot's turn, whatever saved_entry says.
    assert!(kernel(&machine.start()).contains("/slots/back/vmlinuz"));
    assert!(kernel(&machine.start()).contains("/slots/root/vmlinuz"));
}

#[test]
fn a_slot_without_a_kernel_is_no_choice() {
    let Some(grub) = grub() else { return };
    let machine = Machine::new(grub);
    machine.set(&[("slots_next", "back")]);
    machine.place.clear_slot("back").unwrap();
    machine.make_disk();
    assert!(kernel(&machine.start()).contains("/slots/root/vmlinuz"));
    assert_eq!(machine.env_on_disk().get("slots_next"), None);
}

#[test]
fn grubs_own_tool_takes_what_is_written() {
    let Some(grub) = grub() else { return };
    let machine = Machine::new(grub);
    let folder = machine.place.boot().join("grub2");
    if Path::new("/usr/bin/grub-script-check").exists() {
        run(Command::new("grub-script-check").arg(folder.join("custom.cfg")));
        run(Command::new("grub-script-check")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/custom.cfg")));
    }
    if Path::new("/usr/bin/grub-editenv").exists() {
        run(Command::new("grub-editenv").arg(folder.join("slots.env")).args(["set", "slots_next=back"]));
        assert_eq!(machine.place.env().unwrap().get("slots_next"), Some("back"));
    }
    let mut image = File::open(machine.disk()).unwrap();
    image.seek(SeekFrom::Start(BEGIN + 1024 + 0x38)).unwrap();
    let mut magic = [0; 2];
    image.read_exact(&mut magic).unwrap();
    assert_eq!(magic, [0x53, 0xef]);
}
