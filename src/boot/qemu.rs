//! A machine as data, and the QEMU command line that makes it.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

use super::accel::{Accel, AccelChoice};
use super::firmware::Ovmf;
use super::medium::Medium;

/// The emulator.
pub const QEMU: &str = "qemu-system-x86_64";

/// A port of this host (on 127.0.0.1 only) that leads to a port of the guest; written `HOST:GUEST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortForward {
    /// Port on 127.0.0.1.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

impl FromStr for PortForward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, guest) = text.split_once(':').ok_or("a forward is written HOST:GUEST, for example 2222:22")?;
        let port = |text: &str| text.parse::<u16>().map_err(|_| format!("'{text}' is no port number"));
        Ok(Self { host: port(host)?, guest: port(guest)? })
    }
}

/// A kernel that QEMU itself loads, instead of the image's boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    /// The kernel (bzImage).
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub cmdline: String,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The image to boot, if any (a direct boot may do without).
    pub image: Option<Medium>,
    /// A kernel that QEMU loads.
    pub direct: Option<DirectBoot>,
    /// What is to run the guest's instructions.
    pub accel: AccelChoice,
    /// UEFI firmware; none means BIOS.
    pub uefi: Option<Ovmf>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// Whether the guest writes into the image. If not, its writes go to a file that is deleted
    /// already when the guest starts.
    pub writable: bool,
    /// Ports of this host that lead into the guest.
    pub ports: Vec<PortForward>,
    /// A file for every byte of the serial console.
    pub serial_log: Option<PathBuf>,
    /// Further QEMU arguments, last.
    pub extra: Vec<OsString>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            image: None,
            direct: None,
            accel: AccelChoice::Auto,
            uefi: None,
            memory_mib: 1024,
            cpus: 1,
            writable: false,
            ports: Vec::new(),
            serial_log: None,
            extra: Vec::new(),
        }
    }
}

impl Machine {
    /// A machine that boots `image`, with everything else as by default.
    pub fn from_image(image: Medium) -> Self {
        Self { image: Some(image), ..Self::default() }
    }

    /// The arguments for [`QEMU`]: serial console on stdin and stdout, control channel (QMP) on the
    /// open socket `control`.
    pub fn arguments(&self, accel: Accel, control: RawFd) -> Vec<OsString> {
        let mut args = Args::default();
        // graphics=off makes SeaBIOS, and boot loaders that print through it, use the serial port.
        args.pair("-machine", format!("q35,graphics=off,accel={accel}"));
        args.pair("-cpu", accel.cpu());
        args.pair("-m", format!("{}M", self.memory_mib));
        args.pair("-smp", self.cpus.to_string());
        args.pair("-display", "none");
        args.one("-nodefaults");
        args.pair("-vga", "std");
        args.pair("-chardev", "stdio,id=console,signal=off");
        args.pair("-serial", "chardev:console");
        args.pair("-chardev", format!("socket,id=control,fd={control}"));
        args.pair("-mon", "chardev=control,mode=control");
        // Guests under TCG wait long for entropy without this.
        args.pair("-device", "virtio-rng-pci");
        self.firmware(&mut args);
        self.disk(&mut args);
        self.network(&mut args);
        self.direct_boot(&mut args);
        args.0.extend(self.extra.iter().cloned());
        args.0
    }

    fn firmware(&self, args: &mut Args) {
        let Some(ovmf) = &self.uefi else { return };
        args.drive("if=pflash,unit=0,format=raw,readonly=on", &ovmf.code);
        // The guest gets a variable store of its own that vanishes with it: what it writes goes to a
        // temporary file of QEMU's that has no name.
        args.drive("if=pflash,unit=1,format=raw,snapshot=on", &ovmf.vars);
    }

    fn disk(&self, args: &mut Args) {
        let Some(image) = &self.image else { return };
        if image.disc {
            args.drive("if=none,id=disc,media=cdrom,format=raw,readonly=on", &image.path);
            args.pair("-device", "ide-cd,drive=disc,bootindex=1");
            return;
        }
        let snapshot = if self.writable { "off" } else { "on" };
        let options = format!("if=none,id=disk,format={},snapshot={snapshot},discard=unmap", image.format);
        args.drive(&options, &image.path);
        args.pair("-device", "virtio-blk-pci,drive=disk,bootindex=1");
    }

    fn network(&self, args: &mut Args) {
        let mut netdev = String::from("user,id=net");
        for PortForward { host, guest } in &self.ports {
            netdev.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
        }
        args.pair("-netdev", netdev);
        // No option ROM: the guest boots from its image, and the firmware need not try the network.
        args.pair("-device", "virtio-net-pci,netdev=net,romfile=");
    }

    fn direct_boot(&self, args: &mut Args) {
        let Some(direct) = &self.direct else { return };
        args.pair("-kernel", &direct.kernel);
        if let Some(initrd) = &direct.initrd {
            args.pair("-initrd", initrd);
        }
        args.pair("-append", &direct.cmdline);
    }
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn one(&mut self, arg: impl Into<OsString>) {
        self.0.push(arg.into());
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.one(option);
        self.one(value);
    }

    /// `-drive OPTIONS,file=PATH`; QEMU wants a comma in a path doubled.
    fn drive(&mut self, options: &str, path: &std::path::Path) {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let mut value = format!("{options},file=").into_bytes();
        for &byte in path.as_os_str().as_bytes() {
            value.push(byte);
            if byte == b',' {
                value.push(byte);
            }
        }
        self.pair("-drive", OsString::from_vec(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: &Machine, accel: Accel) -> String {
        let args = machine.arguments(accel, 7);
        args.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_image_is_not_written_unless_asked() {
        let image = Medium { path: "/out/a,b.qcow2".into(), format: "qcow2".into(), disc: false };
        let mut machine = Machine::from_image(image);
        let read_only = line(&machine, Accel::Tcg);
        assert!(read_only.contains("format=qcow2,snapshot=on,discard=unmap,file=/out/a,,b.qcow2"), "{read_only}");
        machine.writable = true;
        assert!(line(&machine, Accel::Tcg).contains("snapshot=off"));
    }

    #[test]
    fn each_accelerator_gets_its_cpu() {
        let machine = Machine::default();
        assert!(line(&machine, Accel::Tcg).contains("accel=tcg -cpu max"));
        assert!(line(&machine, Accel::Kvm).contains("accel=kvm -cpu host"));
    }

    #[test]
    fn forwards_listen_on_the_loopback_address_only() {
        let machine = Machine { ports: vec!["2222:22".parse().unwrap()], ..Machine::default() };
        assert!(line(&machine, Accel::Tcg).contains("hostfwd=tcp:127.0.0.1:2222-:22"));
        assert!("2222".parse::<PortForward>().is_err());
        assert!("2222:x".parse::<PortForward>().is_err());
    }

    #[test]
    fn a_disc_is_no_disk() {
        let image = Medium { path: "/x.iso".into(), format: "raw".into(), disc: true };
        let line = line(&Machine::from_image(image), Accel::Tcg);
        assert!(line.contains("ide-cd,drive=disc") && !line.contains("virtio-blk"), "{line}");
    }
}
