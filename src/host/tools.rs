//! Which package has which tool: data.

/// The name under which UEFI firmware for guests stands in the table, though it is no program.
pub const OVMF: &str = "OVMF";

/// How a distribution names its packages and installs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageFamily {
    /// Debian, Ubuntu.
    Debian,
    /// Fedora, Enterprise Linux.
    Fedora,
    /// openSUSE, SLES.
    Suse,
}

impl PackageFamily {
    /// The family of an `ID` or a word of `ID_LIKE` in os-release(5).
    pub fn of_distribution(id: &str) -> Option<Self> {
        match id {
            "debian" | "ubuntu" => Some(Self::Debian),
            "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => Some(Self::Fedora),
            "suse" | "opensuse" | "sles" => Some(Self::Suse),
            _ => None,
        }
    }

    /// The command to which package names are appended.
    pub fn install_command(self) -> &'static str {
        match self {
            Self::Debian => "apt-get install",
            Self::Fedora => "dnf install",
            Self::Suse => "zypper install",
        }
    }
}

/// A tool and its packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The program.
    pub program: &'static str,
    packages: [Option<&'static str>; 3],
}

impl Tool {
    /// The package that has it.
    pub fn package(&self, family: PackageFamily) -> Option<&'static str> {
        self.packages[match family {
            PackageFamily::Debian => 0,
            PackageFamily::Fedora => 1,
            PackageFamily::Suse => 2,
        }]
    }
}

/// The table's row for `program`.
pub fn tool(program: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.program == program)
}

const fn row(program: &'static str, debian: &'static str, fedora: &'static str, suse: &'static str) -> Tool {
    const fn some(name: &'static str) -> Option<&'static str> {
        if name.is_empty() { None } else { Some(name) }
    }
    Tool { program, packages: [some(debian), some(fedora), some(suse)] }
}

/// Program, then its package in Debian, Fedora and openSUSE; empty where there is none.
const TOOLS: &[Tool] = &[
    row("apt-get", "apt", "apt", ""),
    row("bash", "bash", "bash", "bash"),
    row("blkid", "util-linux", "util-linux", "util-linux"),
    row("buildah", "buildah", "buildah", "buildah"),
    row("bzip2", "bzip2", "bzip2", "bzip2"),
    row("cpio", "cpio", "cpio", "cpio"),
    row("createrepo_c", "createrepo-c", "createrepo_c", "createrepo_c"),
    row("curl", "curl", "curl", "curl"),
    row("debootstrap", "debootstrap", "debootstrap", "debootstrap"),
    row("dnf", "dnf", "dnf", "dnf"),
    row("docker", "docker.io", "moby-engine", "docker"),
    row("dpkg", "dpkg", "dpkg", "dpkg"),
    row("dracut", "dracut-core", "dracut", "dracut"),
    row("git", "git", "git-core", "git-core"),
    row("gpg", "gpg", "gnupg2", "gpg2"),
    row("gzip", "gzip", "gzip", "gzip"),
    row("losetup", "mount", "util-linux", "util-linux"),
    row("lvm", "lvm2", "lvm2", "lvm2"),
    row("mcopy", "mtools", "mtools", "mtools"),
    row("mkfs.btrfs", "btrfs-progs", "btrfs-progs", "btrfsprogs"),
    row("mke2fs", "e2fsprogs", "e2fsprogs", "e2fsprogs"),
    row("mkfs.ext4", "e2fsprogs", "e2fsprogs", "e2fsprogs"),
    row("mkfs.vfat", "dosfstools", "dosfstools", "dosfstools"),
    row("mkfs.xfs", "xfsprogs", "xfsprogs", "xfsprogs"),
    row("mksquashfs", "squashfs-tools", "squashfs-tools", "squashfs"),
    row("mkswap", "util-linux", "util-linux", "util-linux"),
    row("mmdebstrap", "mmdebstrap", "mmdebstrap", ""),
    row(OVMF, "ovmf", "edk2-ovmf", "qemu-ovmf-x86_64"),
    row("podman", "podman", "podman", "podman"),
    row("python3", "python3", "python3", "python3"),
    row("qemu-img", "qemu-utils", "qemu-img", "qemu-img"),
    row("qemu-system-x86_64", "qemu-system-x86", "qemu-system-x86-core", "qemu-x86"),
    row("rpm", "rpm", "rpm", "rpm"),
    row("rsync", "rsync", "rsync", "rsync"),
    row("sgdisk", "gdisk", "gdisk", "gptfdisk"),
    row("sudo", "sudo", "sudo", "sudo"),
    row("tar", "tar", "tar", "tar"),
    row("thin_restore", "thin-provisioning-tools", "device-mapper-persistent-data", "thin-provisioning-tools"),
    row("tune2fs", "e2fsprogs", "e2fsprogs", "e2fsprogs"),
    row("unsquashfs", "squashfs-tools", "squashfs-tools", "squashfs"),
    row("unzip", "unzip", "unzip", "unzip"),
    row("wget", "wget", "wget2-wget", "wget"),
    row("xfs_db", "xfsprogs", "xfsprogs", "xfsprogs"),
    row("xorriso", "xorriso", "xorriso", "xorriso"),
    row("xz", "xz-utils", "xz", "xz"),
    row("zstd", "zstd", "zstd", "zstd"),
    row("zypper", "zypper", "zypper", "zypper"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_one_row_and_a_package() {
        for (index, tool) in TOOLS.iter().enumerate() {
            assert!(!TOOLS[..index].iter().any(|t| t.program == tool.program), "{} stands twice", tool.program);
            assert!(tool.package(PackageFamily::Debian).is_some(), "{} has no package", tool.program);
        }
    }

    #[test]
    fn families_are_told_by_os_release_words() {
        assert_eq!(PackageFamily::of_distribution("rhel"), Some(PackageFamily::Fedora));
        assert_eq!(PackageFamily::of_distribution("plan9"), None);
    }
}
