//! Logical volumes, by the `lvm` program of the image.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cmdline::CommandLine;
use crate::console;
use crate::devices::Device;
use crate::root_spec::{RootSpec, split_mapped};

/// Where the program may be.
const PROGRAMS: [&str; 4] = ["/usr/sbin/lvm", "/sbin/lvm", "/usr/bin/lvm", "/bin/lvm"];

/// There is no udev here to be asked or waited for.
const CONFIG: &str = "activation { udev_sync=0 udev_rules=0 monitoring=0 } \
    devices { obtain_device_list_from_udev=0 external_device_info_source=\"none\" use_devicesfile=0 } \
    global { event_activation=0 use_lvmpolld=0 } log { level=0 }";

/// Activates logical volumes as their physical volumes show up.
#[derive(Debug, Default)]
pub struct Lvm {
    tried: BTreeSet<String>,
    told: bool,
}

impl Lvm {
    /// Activates what can be activated if there are physical volumes that were not there at the last look. Gives whether
    /// it tried. Volumes named by `root=` or `rd.lvm.lv=` are activated alone, those of `rd.lvm.vg=` by group.
    pub fn run(&mut self, devices: &[Device], specs: &[RootSpec], line: &CommandLine) -> bool {
        let member = |d: &&Device| d.identity.as_ref().is_some_and(|i| i.kind == "LVM2_member");
        let now: BTreeSet<String> = devices.iter().filter(member).map(|d| d.name.clone()).collect();
        if now.is_empty() || now == self.tried || line.get("rd.lvm") == Some("0") {
            return false;
        }
        self.tried = now;
        let Some(program) = program() else {
            if !std::mem::replace(&mut self.told, true) {
                console::warn("there are LVM physical volumes, and no lvm program in the initramfs");
            }
            return false;
        };
        let mut wanted: BTreeSet<String> = line.all("rd.lvm.lv").map(str::to_owned).collect();
        wanted.extend(specs.iter().filter_map(RootSpec::logical_volume).map(|(vg, lv)| format!("{vg}/{lv}")));
        let groups: Vec<&str> = line.all("rd.lvm.vg").collect();
        // A name says where the root is; a UUID does not, so everything has to be looked at.
        if specs.iter().all(|s| s.logical_volume().is_some()) || (!wanted.is_empty() && line.has("rd.lvm.lv")) {
            wanted.iter().for_each(|volume| call(program, &["lvchange", "-ay", "--sysinit", volume]));
        } else if groups.is_empty() {
            call(program, &["vgchange", "-ay", "--sysinit"]);
        } else {
            groups.iter().for_each(|group| call(program, &["vgchange", "-ay", "--sysinit", group]));
        }
        true
    }
}

/// Deactivates the volumes that nothing here uses, so that the real system activates them with all that belongs to it, and
/// leaves word for its udev that the others are in order.
pub fn tidy(devices: &[Device], used: &[String]) {
    let Some(program) = program() else { return };
    for device in devices {
        let Some(mapped) = device.mapped.as_deref() else { continue };
        let dir = Path::new("/sys/class/block").join(&device.name);
        let ours = fs::read_to_string(dir.join("dm/uuid")).is_ok_and(|u| u.starts_with("LVM-"));
        let held = fs::read_dir(dir.join("holders")).is_ok_and(|mut h| h.next().is_some());
        if !ours {
            continue;
        }
        match split_mapped(mapped) {
            Some((group, volume)) if !held && !used.contains(&device.name) => {
                call(program, &["lvchange", "-an", "--sysinit", &format!("{group}/{volume}")]);
            }
            _ => leave_word(device.number),
        }
    }
}

/// Writes what udev would have written when the volume was activated. Its rules (`55-dm.rules`, `10-dm.rules`) take a
/// volume without that for one that is not ready, and make no links to it.
fn leave_word((major, minor): (u32, u32)) {
    let entry = "E:DM_UDEV_PRIMARY_SOURCE_FLAG=1\nE:DM_ACTIVATION=1\nE:DM_UDEV_RULES_VSN=2\n";
    let written = fs::create_dir_all("/run/udev/data")
        .and_then(|()| fs::write(format!("/run/udev/data/b{major}:{minor}"), entry));
    if let Err(e) = written {
        console::warn(&format!("telling udev about a logical volume: {e}"));
    }
}

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|p| Path::new(p).exists())
}

fn call(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).args(["--config", CONFIG]).stdin(Stdio::null());
    // Files that are open here are not leaks of a caller.
    command.env("DM_DISABLE_UDEV", "1").env("LVM_SUPPRESS_FD_WARNINGS", "1");
    match command.output() {
        Ok(out) if out.status.success() => console::info(&format!("lvm {}", arguments.join(" "))),
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stderr);
            console::warn(&format!("lvm {}: {}\n{}", arguments.join(" "), out.status, said.trim()));
        }
        Err(e) => console::warn(&format!("running {program}: {e}")),
    }
}
