//! Guests as such. Small things that boot in seconds under emulation: a boot sector,
//! the distribution's cloud kernel with a shell, a rescue disc.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Sandbox, skip_without, skip_without_data, test_data};
use image_create::boot::{AccelChoice, DirectBoot, Guest, Machine, Medium, QEMU, pattern};
use image_create::report::Reporter;
use nix::sys::signal::Signal;

const LIMIT: Duration = Duration::from_secs(120);
const CLOUD_KERNEL: &str = "linux-image-cloud-amd64";

/// A boot sector that greets on the first serial port and then echoes what is typed.
fn boot_sector() -> Vec<u8> {
    let mut code = vec![
        0xfa, // cli: the BIOS's timer would read the serial port before us
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xbe, 0x22, 0x7c, // mov si, greeting
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x06, // jz echo
        0xba, 0xf8, 0x03, // mov dx, 0x3f8 (data register of the UART)
        0xee, // out dx, al
        0xeb, 0xf5, // jmp next
        0xba, 0xfd, 0x03, // echo: mov dx, 0x3fd (line status register)
        0xec, // in al, dx
        0xa8, 0x01, // test al, 1
        0x74, 0xf8, // jz echo
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xec, // in al, dx
        0xee, // out dx, al
        0xeb, 0xf1, // jmp echo
    ];
    code.extend(b"\r\n\x1b[1mhello from the boot sector\x1b[0m\r\n\0");
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code.resize(1 << 20, 0);
    code
}

fn sector_image(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.path("out/sector.raw");
    std::fs::write(&path, boot_sector()).unwrap();
    path
}

fn start(mut machine: Machine) -> Guest {
    machine.accel = AccelChoice::Tcg;
    machine.memory_mib = 512;
    Guest::start(machine, &Reporter::quiet()).unwrap()
}

fn find(dir: &Path, prefix: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut names = entries.map(|e| e.unwrap().path());
    names.find(|p| p.file_name().unwrap().to_string_lossy().starts_with(prefix)).unwrap()
}

/// The cloud kernel with a shell behind a login prompt.
fn cloud_kernel(sandbox: &Sandbox) -> DirectBoot {
    const INIT: &str = "#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
busybox --install -s /bin
echo root::0:0:root:/:/bin/sh > /etc/passwd
echo 'clerk:$1$salt$qJH7.N4xYta3aEG/dfqo/0:1:1:clerk:/:/bin/sh' >> /etc/passwd
trap 'poweroff -f' USR2
while :; do setsid getty -L 115200 ttyS0 vt100; done
";
    let busybox = find(&test_data("busybox-static").join("bin"), "busybox");
    let archive = crate::support::cpio::Cpio::default().dir("bin").dir("dev").dir("proc").dir("etc");
    let archive = archive.program("bin/busybox", &std::fs::read(busybox).unwrap()).program("init", INIT.as_bytes());
    let initrd = sandbox.path("out/initrd");
    std::fs::write(&initrd, archive.finish()).unwrap();
    DirectBoot {
        kernel: find(&test_data(CLOUD_KERNEL).join("boot"), "vmlinuz-"),
        initrd: Some(initrd),
        cmdline: "console=ttyS0 quiet".into(),
    }
}

#[test]
fn a_disk_boots_talks_and_is_not_written() {
    if skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let image = sector_image(&sandbox);
    let mut guest = start(Machine::from_image(Medium::detect(&image).unwrap()));
    guest.expect(&pattern("^hello from the (boot) sector$").unwrap(), LIMIT).unwrap();
    guest.send("echo this").unwrap();
    guest.expect(&pattern("echo this").unwrap(), LIMIT).unwrap();
    let error = guest.expect(&pattern("never").unwrap(), Duration::from_millis(300)).unwrap_err().to_string();
    assert!(error.contains("/never/ did not appear") && error.contains("hello from the boot sector"), "{error}");
    let pid = guest.pid().unwrap();
    guest.close().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(std::fs::read(&image).unwrap(), boot_sector());
    sandbox.assert_clean();
}

#[test]
fn a_dropped_guest_is_gone() {
    if skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let guest = start(Machine::from_image(Medium::detect(&sector_image(&sandbox)).unwrap()));
    drop(guest);
    sandbox.assert_clean();
}

#[test]
fn a_wrong_machine_is_told_in_qemus_words() {
    if skip_without(&[QEMU]) {
        return;
    }
    let machine = Machine { extra: vec!["-nonsense".into()], ..Machine::default() };
    let error = start(machine).expect(&pattern("x").unwrap(), LIMIT).unwrap_err().to_string();
    assert!(error.contains("the guest ended") && error.contains("-nonsense: invalid option"), "{error}");
}

#[test]
fn a_shell_on_the_console_runs_commands() {
    if skip_without(&[QEMU]) || skip_without_data(&[CLOUD_KERNEL, "busybox-static"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mut guest = start(Machine { direct: Some(cloud_kernel(&sandbox)), ..Machine::default() });
    guest.login("root", "", LIMIT).unwrap();
    let answer = guest.command("echo one; echo two >&2; cat /proc/cmdline", LIMIT).unwrap();
    assert_eq!((answer.code, answer.output.as_str()), (0, "one\ntwo\nconsole=ttyS0 quiet"));
    let answer = guest.command("(exit 7)", LIMIT).unwrap();
    assert_eq!((answer.code, answer.output.as_str()), (7, ""));
    // More than a pipe or a UART's buffer holds.
    let answer = guest.command("seq 5000", LIMIT).unwrap();
    assert_eq!(answer.output.lines().count(), 5000);
    guest.send_line("kill -USR2 1").unwrap();
    guest.send_line("exit").unwrap();
    guest.wait_end(LIMIT).unwrap();
    guest.close().unwrap();
}

#[test]
fn a_wrong_password_is_told() {
    if skip_without(&[QEMU]) || skip_without_data(&[CLOUD_KERNEL, "busybox-static"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mut guest = start(Machine { direct: Some(cloud_kernel(&sandbox)), ..Machine::default() });
    let error = guest.login("clerk", "wrong", LIMIT).unwrap_err().to_string();
    assert_eq!(error, "the guest refused the login of 'clerk'");
}

#[test]
fn a_disc_boots_and_takes_keys() {
    if skip_without(&[QEMU]) || skip_without_data(&["grub-rescue-pc"]) {
        return;
    }
    let disc = test_data("grub-rescue-pc").join("usr/lib/grub-rescue/grub-rescue-cdrom.iso");
    let mut guest = start(Machine::from_image(Medium::detect(&disc).unwrap()));
    guest.expect(&pattern("GNU GRUB +version").unwrap(), LIMIT).unwrap();
    guest.expect(&pattern("executed automatically").unwrap(), LIMIT).unwrap();
    guest.send("c").unwrap();
    guest.expect(&pattern("grub>").unwrap(), LIMIT).unwrap();
    guest.close().unwrap();
}

#[test]
fn the_verb_reads_answers_and_reports() {
    if skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sector_image(&sandbox);
    let boot = ["boot", "sector.raw", "--accel", "tcg", "--memory", "256", "--expect", "^hello"];
    sandbox
        .run(boot.iter().chain(&["--send", "ping", "--expect", "ping", "--serial-log", "serial.log"]))
        .succeeded()
        .says("hello from the boot sector");
    assert!(sandbox.read("out/serial.log").contains("\x1b[1mhello"));
    let outcome = sandbox.run(boot.iter().chain(&["--expect", "never", "--timeout", "3", "--serial-log", "s.log"]));
    outcome.failed(1).says("/never/").says("    hello from the boot sector").says("s.log");
    sandbox.run(["boot", "no-such.raw"]).failed(2).says("no-such.raw");
    sandbox.assert_clean();
}

#[test]
fn signals_end_the_verb_and_its_guest() {
    if skip_without(&[QEMU, "qemu-img"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sector_image(&sandbox);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 130), (Signal::SIGKILL, 137)] {
        for args in [&["--expect", "never"][..], &[]] {
            let boot = ["boot", "sector.raw", "--accel", "tcg", "--memory", "256", "--serial-log", "s.log"];
            let running = sandbox.spawn(boot.iter().chain(args));
            while !std::fs::read_to_string(sandbox.path("out/s.log")).unwrap_or_default().contains("hello") {
                std::thread::sleep(Duration::from_millis(50));
            }
            running.signal(signal);
            assert_eq!(running.wait(LIMIT).code, code, "{signal} {args:?}");
            sandbox.assert_clean();
            std::fs::remove_file(sandbox.path("out/s.log")).unwrap();
        }
    }
}
