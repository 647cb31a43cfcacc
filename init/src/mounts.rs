//! The kernel's own file systems, and mounts that are handed over.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};

/// File systems that are mounted first: type, place, options. All move to the real root later.
const API: [(&str, &str, MsFlags, &str); 4] = [
    ("proc", "/proc", MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC), ""),
    ("sysfs", "/sys", MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC), ""),
    ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755"),
    ("tmpfs", "/run", MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV), "mode=0755,size=20%"),
];

/// Mounts /proc, /sys, /dev and /run.
///
/// # Errors
/// What cannot be mounted, and why.
pub fn mount_api() -> io::Result<()> {
    for (kind, place, flags, options) in API {
        fs::create_dir_all(place)?;
        mount(Some(kind), place, Some(kind), flags, Some(options))
            .map_err(|e| io::Error::other(format!("mounting {kind} on {place}: {e}")))?;
    }
    // Systems find there what an initramfs leaves for them.
    fs::create_dir_all("/run/initramfs")
}

/// Moves those file systems below the new root. A place that the root lacks is made if that is possible.
///
/// # Errors
/// Which cannot be moved, and why.
pub fn move_api(root: &Path) -> io::Result<()> {
    for (_, place, ..) in API {
        let target = root.join(&place[1..]);
        if !target.is_dir() && fs::create_dir(&target).is_err() {
            let why = format!("the root file system has no {place}, and it cannot be made there");
            return Err(io::Error::other(why));
        }
        mount(Some(place), &target, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .map_err(|e| io::Error::other(format!("moving {place} to the root file system: {e}")))?;
    }
    Ok(())
}

/// Splits mount options into the kernel's flags and the rest, which is the file system's.
#[must_use]
pub fn options(text: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut rest = Vec::new();
    for option in text.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" => flags -= MsFlags::MS_RDONLY,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "lazytime" => flags |= MsFlags::MS_LAZYTIME,
            // Words for mount programs and for systemd.
            "defaults" | "auto" | "noauto" | "nofail" | "user" | "nouser" | "exec" | "suid" | "dev" | "async"
            | "_netdev" => {}
            other if other.starts_with("x-") || other.starts_with("comment=") => {}
            other => rest.push(other),
        }
    }
    (flags, rest.join(","))
}

/// Mounts a file system.
///
/// # Errors
/// The device, the type, the options and what the kernel says.
pub fn mount_device(device: &Path, place: &Path, kind: &str, flags: MsFlags, data: &str) -> io::Result<()> {
    mount(Some(device), place, Some(kind), flags, (!data.is_empty()).then_some(data)).map_err(|e| {
        let with = if data.is_empty() { String::new() } else { format!(" with options {data}") };
        let hint = match e {
            nix::errno::Errno::ENODEV => "; the kernel does not know this type: its module is not in the initramfs",
            nix::errno::Errno::EINVAL => "; the file system may be damaged, or an option wrong (dmesg tells more)",
            _ => "",
        };
        io::Error::other(format!("mounting {} as {kind}{with}: {e}{hint}", device.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::{MsFlags, options};

    #[test]
    fn options_are_split_by_who_reads_them() {
        let (flags, rest) = options("noatime,errors=remount-ro,x-systemd.growfs,nodev,subvol=@,defaults");
        assert_eq!(flags, MsFlags::MS_NOATIME | MsFlags::MS_NODEV);
        assert_eq!(rest, "errors=remount-ro,subvol=@");
        assert_eq!(options("ro,rw"), (MsFlags::empty(), String::new()));
    }
}
