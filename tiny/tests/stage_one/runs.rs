//! What a run does when nothing speaks against it, and how it is undone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::machine::{Machine, manifest};

const SHELLS: [&[&str]; 3] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"]];

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_shell_prepares_the_machine_and_takes_it_back() {
    for shell in SHELLS {
        let mut machine = Machine::new();
        machine.shell = shell.to_vec();
        let before = machine.listing();
        let ended = machine.run(&["--no-reboot"]);
        assert_eq!(ended.code, Some(0), "{shell:?}: {}", ended.text);
        assert!(ended.text.contains("disk: sda, 20480 MiB"), "{}", ended.text);
        assert!(!ended.text.contains("TOPSECRET") && !ended.text.contains("REBOOTED"), "{}", ended.text);
        for (path, wanted) in [
            ("etc/upd", 0o700),
            ("etc/upd/backup", 0o700),
            ("etc/upd/backup/files/etc/shadow", 0o600),
            ("etc/upd/backup/files/etc/ssh/ssh_host_ed25519_key", 0o600),
            ("etc/upd/backup/files/home/joe/.ssh/authorized_keys", 0o600),
            ("boot/vmlinuz-convert", 0o600),
        ] {
            assert_eq!(mode(&machine.root(path)), wanted, "{path}");
        }
        assert_eq!(fs::read_to_string(machine.root("etc/upd/va.tar.xz")).unwrap(), "the payload");
        let facts = fs::read_to_string(machine.root("etc/upd/backup/facts")).unwrap();
        assert!(facts.contains("hostname=appliance.example.com\n"), "{facts}");
        let again = machine.run(&["--no-reboot"]);
        assert_eq!(again.code, Some(0), "a second run replaces the first: {}", again.text);
        let cleaned = machine.run(&["--clean"]);
        assert_eq!(cleaned.code, Some(0), "{}", cleaned.text);
        assert_eq!(machine.listing(), before, "{shell:?}");
    }
}

#[test]
fn without_grubby_the_entry_is_in_custom_cfg_and_counts_once() {
    let machine = Machine::new();
    machine.write("boot/grub2/custom.cfg", "# the operator's own\n");
    assert_eq!(machine.run(&[]).code, Some(0));
    let text = fs::read_to_string(machine.root("boot/grub2/custom.cfg")).unwrap();
    assert!(text.starts_with("# the operator's own\n"), "{text}");
    assert!(
        text.contains(
            "  linux16 /vmlinuz-convert upgrade_tiny.root=UUID=22222222-aaaa-4bbb-8ccc-000000000002 \
             upgrade_tiny.dir=/etc/upd upgrade_tiny.disk=sda:21474836480 panic=30 console=tty0 console=ttyS0,115200n8\n"
        ),
        "{text}"
    );
    assert!(text.contains("  initrd16 /initramfs-convert.img\n"), "{text}");
    assert!(text.contains("--set=root 11111111-aaaa-4bbb-8ccc-000000000001\n"), "{text}");
    let block = fs::read(machine.root("boot/grub2/va-migration.env")).unwrap();
    assert_eq!(block.len(), 1024);
    assert!(block.starts_with(b"# GRUB Environment Block\nva_migration=1\n###"));
    assert!(block.ends_with(b"###"));
    assert_eq!(machine.run(&["--clean"]).code, Some(0));
    let left = fs::read_to_string(machine.root("boot/grub2/custom.cfg")).unwrap();
    assert_eq!(left, "# the operator's own\n");
}

#[test]
fn grubby_makes_the_entry_and_never_the_default() {
    let machine = Machine::new();
    let log = machine.beside("grubby.log");
    let program = format!(
        r#"echo "$*" >>{log}
        case "$*" in *--default-kernel*) echo /boot/vmlinuz-3.10.0 ;; esac"#,
        log = log.display()
    );
    machine.program("grubby", &program);
    machine.program("grub2-reboot", &format!("echo \"grub2-reboot $*\" >>{}", log.display()));
    let ended = machine.run(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let calls = fs::read_to_string(log).unwrap();
    assert!(calls.contains("--add-kernel=/boot/vmlinuz-convert"), "{calls}");
    assert!(calls.contains("--title=VA Migration --copy-default --args=upgrade_tiny.root=UUID=2222"), "{calls}");
    assert!(calls.contains("--config-file="), "below --root the machine's own file stays: {calls}");
    assert!(calls.lines().any(|l| l.starts_with("grub2-reboot") && l.ends_with("VA Migration")), "{calls}");
    assert!(!calls.contains("--set-default"), "{calls}");
    assert!(!machine.root("boot/grub2/custom.cfg").exists());
}

#[test]
fn a_grubby_that_changes_the_default_is_set_right() {
    let machine = Machine::new();
    let state = machine.beside("default");
    fs::write(&state, "/boot/vmlinuz-3.10.0\n").unwrap();
    machine.program(
        "grubby",
        &format!(
            r#"for word; do case $word in
            --default-kernel) cat {0} ;;
            --add-kernel=*) echo "${{word#*=}}" >{0} ;;
            --set-default=*) echo "${{word#*=}}" >{0} ;;
            esac; done"#,
            state.display()
        ),
    );
    machine.program("grub2-reboot", "");
    assert_eq!(machine.run(&[]).code, Some(0));
    assert_eq!(fs::read_to_string(&state).unwrap(), "/boot/vmlinuz-3.10.0\n");
}

#[test]
fn what_was_done_is_undone_when_a_change_fails() {
    for (program, script) in
        [("grubby", "case \"$*\" in *--info*|*--remove*) exit 1;; esac; exit 1"), ("sync", "exit 1")]
    {
        let machine = Machine::new();
        let before = machine.listing();
        machine.program(program, script);
        machine.program("grub2-reboot", "");
        let ended = machine.run(&[]);
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        assert!(ended.text.contains("undoing what was done"), "{}", ended.text);
        assert_eq!(machine.listing(), before);
    }
}

#[test]
fn check_and_dry_run_change_nothing() {
    let machine = Machine::new();
    let before = machine.listing();
    let check = machine.run(&["--check"]);
    assert_eq!(check.code, Some(0), "{}", check.text);
    assert!(check.text.contains("all checks hold: va 2026.1 (Rocky Linux 9.4)"), "{}", check.text);
    let dry = machine.run(&["--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.text);
    for line in
        ["would copy va.tar.xz, va.sgdisk", "would copy vmlinuz-convert", "would add the boot entry", "would restart"]
    {
        assert!(dry.text.contains(line), "{line}: {}", dry.text);
    }
    assert_eq!(machine.listing(), before);
}

#[test]
fn it_is_found_by_relative_paths_and_links() {
    let machine = Machine::new();
    let root = machine.root("");
    let args = ["--root", root.to_str().unwrap(), "--check"];
    let ended = machine.start("bundle/upgrade_to_tiny_system.sh".as_ref(), &args);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    symlink("bundle/upgrade_to_tiny_system.sh", machine.beside("start")).unwrap();
    let ended = machine.start("./start".as_ref(), &args);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
}

#[test]
fn only_the_configuration_is_collected_if_asked() {
    let machine = Machine::new();
    let before = machine.listing();
    machine.write("../bundle/backup.d/licence", "#!/bin/sh\necho number >$BACKUP_DIR/licence\n");
    let out = machine.beside("kept");
    let ended = machine.run(&["--backup-only", out.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert_eq!(mode(&out), 0o700);
    assert_eq!(mode(&out.join("files/etc/shadow")), 0o600);
    assert_eq!(fs::read_to_string(out.join("vendor/licence/licence")).unwrap(), "number\n");
    assert_eq!(machine.listing(), before);
    assert_eq!(machine.run(&["--backup-only", out.to_str().unwrap()]).code, Some(2), "it has to be empty");
}

#[test]
fn vendors_scripts_have_a_directory_each() {
    let machine = Machine::new();
    machine.write("../bundle/backup.d/10-licence", "#!/bin/sh\necho number >$BACKUP_DIR/licence\n");
    // A program, not a script.
    fs::create_dir_all(machine.bundled("backup.d")).unwrap();
    fs::copy("/bin/true", machine.bundled("backup.d/20-program")).unwrap();
    machine.seal(manifest());
    let ended = machine.run(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let kept = machine.root("etc/upd/backup/vendor/10-licence/licence");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "number\n");
    assert_eq!(mode(&kept), 0o600);
}

#[test]
fn wrong_words_are_usage_errors() {
    let machine = Machine::new();
    for args in [&["--nonsense"][..], &["--dir", "relative"], &["--dir", "/"], &["--dir", "/a b"], &["--key"]] {
        let ended = machine.run(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.text);
    }
    assert_eq!(machine.run(&["--help"]).code, Some(0));
}

#[test]
fn uefi_machines_of_centos_7_keep_grub_cfg_on_the_esp() {
    let machine = Machine::new();
    machine.bundle(|m| m.firmware = upgrade_tiny::manifest::Firmware::Uefi);
    machine.write("sys/firmware/efi/fw_platform_size", "64\n");
    let cfg = fs::read_to_string(machine.root("boot/grub2/grub.cfg")).unwrap().replace("linux16", "linuxefi");
    fs::remove_file(machine.root("boot/grub2/grub.cfg")).unwrap();
    machine.write("boot/efi/EFI/centos/grub.cfg", &cfg.replace("initrd16", "initrdefi"));
    let ended = machine.run(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let text = fs::read_to_string(machine.root("boot/efi/EFI/centos/custom.cfg")).unwrap();
    assert!(
        text.contains("  linuxefi /vmlinuz-convert ") && text.contains("  initrdefi /initramfs-convert.img"),
        "{text}"
    );
    assert_eq!(machine.run(&["--clean"]).code, Some(0));
    assert!(!machine.root("boot/efi/EFI/centos/custom.cfg").exists());
}

#[test]
fn facts_links_and_keys_are_collected_wherever_they_are() {
    let machine = Machine::new();
    machine.write("etc/sysconfig/network", "HOSTNAME=older\nNETWORKING=yes\n");
    machine.write("etc/locale.conf", "LANG=\"de_DE.UTF-8\"\n");
    machine.write("etc/vconsole.conf", "KEYMAP='de' # German\n");
    machine.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    machine.link("etc/localtime", "../usr/share/zoneinfo/Europe/Berlin");
    machine.write("etc/ssh/sshd_config", "AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\n");
    machine.write("etc/ssh/keys/joe", "ssh-rsa BBBB joe\n");
    for (name, number) in [("eth0", "01"), ("eth1", "02"), ("eth2", "03")] {
        machine.write(&format!("sys/class/net/{name}/address"), &format!("52:54:00:00:00:{number}\n"));
        machine.write(&format!("sys/class/net/{name}/type"), "1\n");
        machine.write(&format!("sys/class/net/{name}/device/vendor"), "0x1af4\n");
    }
    machine.write("sys/class/net/lo/type", "772\n");
    machine.write("sys/class/net/bond0/type", "1\n");
    machine.write("sys/class/net/eth1/bonding_slave/perm_hwaddr", "52:54:00:00:00:aa\n");
    machine.write(
        "proc/net/bonding/bond0",
        "Slave Interface: eth1\nPermanent HW addr: 52:54:00:00:00:aa\n\nSlave Interface: eth2\nPermanent HW addr: 52:54:00:00:00:bb\n",
    );
    let out = machine.beside("kept");
    let ended = machine.run(&["--backup-only", out.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let read = |path: &str| fs::read_to_string(out.join(path)).unwrap();
    assert_eq!(
        read("facts"),
        "hostname=appliance.example.com\ntimezone=Europe/Berlin\nlocale=de_DE.UTF-8\nkeymap=de\n\
         machine_id=0123456789abcdef0123456789abcdef\n"
    );
    assert_eq!(read("links"), "eth0 52:54:00:00:00:01\neth1 52:54:00:00:00:aa\neth2 52:54:00:00:00:bb\n");
    assert_eq!(read("files/home/joe/.ssh/authorized_keys"), "ssh-rsa BBBB joe\nssh-ed25519 AAAA joe\n");
}

#[test]
fn disks_on_virtio_and_nvme_are_known_by_their_whole_chain() {
    // virtio: the card is a PCI device, and the disk is behind a device of virtio's own bus.
    let machine = Machine::new();
    let card = "sys/devices/pci0000:00/0000:00:04.0";
    machine.disk("vda", &format!("{card}/virtio1/block/vda"));
    machine.device(card, "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio-pci");
    machine.device(&format!("{card}/virtio1"), "virtio:d00000002v00001AF4", "virtio_blk");
    machine.write(&format!("{card}/class"), "0x010000\n");
    let ended = machine.run(&["--check"]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    assert!(ended.text.contains("matches pci:v00001AF4d00001001"), "{}", ended.text);
    machine.drivers("pci:v00001AF4d*sv*sd*bc*sc*i*\nvirtio:d00000002v*\n");
    assert_eq!(machine.run(&["--check"]).code, Some(0));
    // NVMe with several paths: the disk is below the subsystem, not below the card.
    let machine = Machine::new();
    let card = "sys/devices/pci0000:00/0000:00:05.0";
    let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    machine.disk("nvme0n1", &format!("{subsystem}/nvme0n1"));
    machine.device(card, "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", "nvme");
    machine.write(&format!("{card}/nvme/nvme0/model"), "QEMU\n");
    machine.link(&format!("{subsystem}/nvme0"), "../../../pci0000:00/0000:00:05.0/nvme/nvme0");
    let ended = machine.run(&["--check"]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    assert!(
        ended.text.contains("matches pci:v00001B36d00000010") && ended.text.contains("(nvme here)"),
        "{}",
        ended.text
    );
    machine.drivers("pci:v*d*sv*sd*bc01sc08i02*\n");
    assert_eq!(machine.run(&["--check"]).code, Some(0));
    // Part of the kernel: few kernels tell what devices that is for.
    machine.drivers("builtin:nvme_core\n");
    assert_eq!(machine.run(&["--check"]).code, Some(3));
    machine.drivers("builtin:nvme\n");
    assert_eq!(machine.run(&["--check"]).code, Some(0));
}

#[test]
fn drivers_patterns_can_begin_with_a_star() {
    let machine = Machine::new();
    let bus = "sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00";
    machine.disk("sda", &format!("{bus}/f8b3781a/host0/target0:0:0/0:0:0:0/block/sda"));
    machine.device(bus, "acpi:VMBUS:VMBus:", "vmbus");
    machine.device(&format!("{bus}/f8b3781a"), "vmbus:d96361baa104294db60572e2ffb1dc7f", "hv_storvsc");
    machine.drivers("acpi*:VMBUS:*\nvmbus:d96361baa104294db60572e2ffb1dc7f\n");
    let ended = machine.run(&["--check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
}
