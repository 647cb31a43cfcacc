//! Distributions, families and architectures, and their spellings.

/// The package families that maps are written for, with the `DISTRO_NAME`s that belong to each
/// (contract 4.1).
pub const FAMILIES: &[(&str, &[&str])] = &[
    ("debian", &["debian", "ubuntu"]),
    ("gentoo", &["gentoo"]),
    ("redhat", &["almalinux", "centos", "fedora", "openeuler", "rhel", "rocky"]),
    ("suse", &["opensuse"]),
];

/// The family of a `DISTRO_NAME`, if it has one.
pub fn family(distro: &str) -> Option<&'static str> {
    FAMILIES.iter().find(|(_, members)| members.contains(&distro)).map(|(family, _)| *family)
}

/// The architecture name that diskimage-builder uses for a machine name of `uname -m`
/// (contract 2.2): Debian's spelling for the common ones, all others unchanged.
pub fn arch_from_machine(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        m if m.starts_with("armv") => "armhf",
        m => m,
    }
}

/// The architecture name that OCI images use (Go's `GOARCH`), for the spelling that elements use.
pub fn oci_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armhf" => "arm",
        "i386" | "i686" => "386",
        "ppc64el" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_follow_the_contract() {
        assert_eq!(family("rocky"), Some("redhat"));
        assert_eq!(family("ubuntu"), Some("debian"));
        assert_eq!(family("slackware"), None);
    }

    #[test]
    fn machines_are_spelt_as_debian_does() {
        assert_eq!(arch_from_machine("x86_64"), "amd64");
        assert_eq!(arch_from_machine("armv7l"), "armhf");
        assert_eq!(arch_from_machine("riscv64"), "riscv64");
    }
}
