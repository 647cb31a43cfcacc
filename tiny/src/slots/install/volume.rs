//! The volume that is filled: what LVM says of it, its file system, and its mounts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use crate::slots::checks::Volume;
use crate::slots::config::Config;
use crate::slots::tools;

/// Asks LVM.
///
/// # Errors
/// When there is no such volume.
pub fn look(config: &Config) -> Result<Volume> {
    let report = |what: &str, columns: &str| {
        let args = [what, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns, &config.group];
        tools::run(&mut tools::command("lvm", args))
    };
    parse(&report("lvs", "lv_name,lv_size")?, &report("vgs", "vg_free,vg_extent_size")?, config)
}

/// Reads LVM's reports (lvmreport(7)).
fn parse(volumes: &str, groups: &str, config: &Config) -> Result<Volume> {
    let rows = |text: &str, kind: &str| -> Result<Vec<Value>> {
        let report: Value = serde_json::from_str(text).context("reading what lvm reports")?;
        Ok(report["report"][0][kind].as_array().cloned().unwrap_or_default())
    };
    let number = |row: &Value, column: &str| row[column].as_str().and_then(|s| s.trim().parse::<u64>().ok());
    let volumes = rows(volumes, "lv")?;
    let size = |name: &str| {
        let row = volumes.iter().find(|row| row["lv_name"] == name);
        row.and_then(|row| number(row, "lv_size"))
            .with_context(|| format!("group {} has no volume '{name}', which slots.json names", config.group))
    };
    let groups = rows(groups, "vg")?;
    let group = groups.first().with_context(|| format!("there is no volume group '{}'", config.group))?;
    Ok(Volume {
        bytes: size(config.other())?,
        running: size(&config.slot)?,
        free: number(group, "vg_free").unwrap_or(0),
        extent: number(group, "vg_extent_size").unwrap_or(0),
    })
}

/// Where a device is mounted, by its number: it has several names. What an interrupted installation left running may have
/// it mounted where only that sees it.
#[must_use]
pub fn mounted(device: &str) -> Option<String> {
    let number = fs::metadata(device).ok()?.rdev();
    let number = format!("{}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let of = |folder: &Path| mount_of(&fs::read_to_string(folder.join("mountinfo")).ok()?, &number);
    if let Some(point) = of(Path::new("/proc/self")) {
        return Some(point);
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut processes = processes.filter(|e| e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()));
    processes.find_map(|e| {
        let point = of(&e.path())?;
        let name = fs::read_to_string(e.path().join("comm")).unwrap_or_default();
        Some(format!("{point} as process {} ({}) sees it, which has to end", e.file_name().display(), name.trim()))
    })
}

fn mount_of(mountinfo: &str, number: &str) -> Option<String> {
    let fields = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(|f| f.get(2) == Some(&number)).find_map(|f| f.get(4).map(|p| (*p).to_owned()))
}

/// Makes an empty file system, whose identity no other has.
///
/// # Errors
/// What mkfs says.
pub fn make_filesystem(device: &str, kind: &str, label: &str) -> Result<()> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("asking the kernel for a UUID")?;
    tools::run(&mut tools::command(&format!("mkfs.{kind}"), mkfs(device, kind, label, uuid.trim())?))?;
    Ok(())
}

fn mkfs(device: &str, kind: &str, label: &str, uuid: &str) -> Result<Vec<String>> {
    let identity = format!("uuid={uuid}");
    let mut words = match kind {
        "ext4" => vec!["-q", "-F", "-U", uuid],
        "xfs" => vec!["-q", "-f", "-m", &identity],
        _ => bail!("the bundle wants {kind} for its root, and ext4 and xfs are known here"),
    };
    if !label.is_empty() {
        words.extend(["-L", label]);
    }
    words.push(device);
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// Looks at a file system that is not mounted, without changing it.
///
/// # Errors
/// What is wrong with it.
pub fn check_filesystem(device: &str, kind: &str) -> Result<()> {
    let (program, words) = if kind == "xfs" { ("xfs_repair", ["-n", device]) } else { ("e2fsck", ["-fn", device]) };
    tools::run(&mut tools::command(program, words)).context("the new file system is not in order")?;
    Ok(())
}

/// File systems mounted below a folder. Those that are left when it is dropped are taken away.
#[derive(Debug, Default)]
pub struct Mounts {
    points: Vec<PathBuf>,
}

impl Mounts {
    /// Mounts a device.
    ///
    /// # Errors
    /// When the kernel does not.
    pub fn device(&mut self, device: &str, point: &Path, kind: &str) -> Result<()> {
        fs::create_dir_all(point).with_context(|| format!("making {}", point.display()))?;
        mount(Some(device), point, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mounting {device} on {}", point.display()))?;
        self.points.push(point.to_owned());
        Ok(())
    }

    /// Shows the kernel's file systems in a tree, for programs that run in it: /run is an empty one of its own.
    ///
    /// # Errors
    /// What cannot be mounted.
    pub fn kernel(&mut self, root: &Path) -> Result<()> {
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        let all =
            [("/proc", "proc", None), ("/sys", "sys", None), ("/dev", "dev", None), ("tmpfs", "run", Some("tmpfs"))];
        for (source, point, kind) in all {
            let point = root.join(point);
            fs::create_dir_all(&point).with_context(|| format!("making {}", point.display()))?;
            let flags = if kind.is_none() { bind } else { MsFlags::MS_NOSUID | MsFlags::MS_NODEV };
            let options = kind.map(|_| "mode=0755");
            mount(Some(source), &point, kind, flags, options)
                .with_context(|| format!("mounting {source} on {}", point.display()))?;
            self.points.push(point);
        }
        Ok(())
    }

    /// Shows a folder at another place, without what is mounted in it.
    ///
    /// # Errors
    /// When the kernel does not.
    pub fn bind(&mut self, folder: &Path, point: &Path) -> Result<()> {
        fs::create_dir_all(point).with_context(|| format!("making {}", point.display()))?;
        mount(Some(folder), point, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("showing {} at {}", folder.display(), point.display()))?;
        self.points.push(point.to_owned());
        Ok(())
    }

    /// Takes them away, the last one first.
    ///
    /// # Errors
    /// Which is in use.
    pub fn close(mut self) -> Result<()> {
        while let Some(point) = self.points.pop() {
            // What is below /dev and /sys is the running system's and goes with it.
            let below = ["dev", "sys", "proc"].iter().any(|name| point.ends_with(name));
            let flags = if below { MntFlags::MNT_DETACH } else { MntFlags::empty() };
            umount2(&point, flags).with_context(|| format!("unmounting {}", point.display()))?;
        }
        Ok(())
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for point in self.points.drain(..).rev() {
            let _ = umount2(&point, MntFlags::MNT_DETACH);
        }
    }
}

/// Gives this program mounts of its own, which the kernel takes away with it, however it ends. So an installation that
/// was killed leaves none.
///
/// # Errors
/// When the kernel does not.
pub fn own_mounts() -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)
        .context("asking for mounts of its own (this needs root)")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("keeping its mounts to itself")
}

/// Makes the volume longer.
///
/// # Errors
/// What LVM says.
pub fn grow(config: &Config, extents: u64) -> Result<()> {
    let volume = format!("{}/{}", config.group, config.other());
    tools::run(&mut tools::command("lvm", ["lvextend", "-l", &extents.to_string(), &volume]))?;
    Ok(())
}

/// Makes sure that the volume has a device.
///
/// # Errors
/// When it has none.
pub fn activate(config: &Config) -> Result<()> {
    let volume = format!("{}/{}", config.group, config.other());
    tools::run(&mut tools::command("lvm", ["lvchange", "-ay", &volume]))?;
    let device = config.device(config.other());
    ensure!(Path::new(&device).exists(), "volume {volume} is active, and there is no {device}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::config::tests::example;

    const VOLUMES: &str = r#"{"report": [{"lv": [{"lv_name":"back", "lv_size":"536870912"},
        {"lv_name":"data", "lv_size":"536870912"}, {"lv_name":"root", "lv_size":"8489271296"}]}]}"#;
    const GROUPS: &str = r#"{"report": [{"vg": [{"vg_free":"4194304", "vg_extent_size":"4194304"}]}]}"#;

    #[test]
    fn lvms_reports_are_read() {
        let volume = parse(VOLUMES, GROUPS, &example()).unwrap();
        assert_eq!(volume, Volume { bytes: 536_870_912, free: 4_194_304, extent: 4_194_304, running: 8_489_271_296 });
        let none = parse(&VOLUMES.replace("back", "x"), GROUPS, &example()).unwrap_err();
        assert_eq!(none.to_string(), "group VA has no volume 'back', which slots.json names");
        assert!(parse(VOLUMES, "{}", &example()).is_err());
        assert!(parse("", GROUPS, &example()).is_err());
    }

    #[test]
    fn mounts_are_found_by_number() {
        let text = "22 1 253:0 / / rw - ext4 /dev/mapper/VA-root rw\n40 22 253:1 / /back rw - ext4 /dev/dm-1 rw\n";
        assert_eq!(mount_of(text, "253:1").as_deref(), Some("/back"));
        assert_eq!(mount_of(text, "253:2"), None);
        assert_eq!(mounted("/no/such/device"), None);
    }

    #[test]
    fn file_systems_get_their_words() {
        assert_eq!(mkfs("/dev/x", "ext4", "back", "1-2").unwrap().join(" "), "-q -F -U 1-2 -L back /dev/x");
        assert_eq!(mkfs("/dev/x", "xfs", "", "1-2").unwrap().join(" "), "-q -f -m uuid=1-2 /dev/x");
        assert!(mkfs("/dev/x", "btrfs", "", "").unwrap_err().to_string().contains("wants btrfs"));
    }
}
