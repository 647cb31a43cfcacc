//! How the root file system may be named.

use std::path::PathBuf;

/// What `root=` and the first field of fstab say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSpec {
    /// The file system's UUID.
    Uuid(String),
    /// The file system's label.
    Label(String),
    /// The partition's UUID in its table.
    PartUuid(String),
    /// The partition's name in its table.
    PartLabel(String),
    /// A device node.
    Device(PathBuf),
    /// A device number.
    Number(u32, u32),
}

impl RootSpec {
    /// Reads a name; `None` if it is none that is known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("block:").unwrap_or(text);
        let tagged =
            |prefix: &str, folder: &str| text.strip_prefix(prefix).or_else(|| text.strip_prefix(folder)).map(unquoted);
        if let Some(uuid) = tagged("UUID=", "/dev/disk/by-uuid/") {
            return Some(Self::Uuid(uuid));
        }
        if let Some(label) = tagged("LABEL=", "/dev/disk/by-label/") {
            return Some(Self::Label(unescaped(&label)));
        }
        if let Some(uuid) = tagged("PARTUUID=", "/dev/disk/by-partuuid/") {
            return Some(Self::PartUuid(uuid.to_lowercase()));
        }
        if let Some(label) = tagged("PARTLABEL=", "/dev/disk/by-partlabel/") {
            return Some(Self::PartLabel(unescaped(&label)));
        }
        if text.starts_with("/dev/") {
            return Some(Self::Device(PathBuf::from(text)));
        }
        let (major, minor) = text.split_once(':')?;
        Some(Self::Number(major.parse().ok()?, minor.parse().ok()?))
    }

    /// The volume group and logical volume, if the name is one of theirs.
    #[must_use]
    pub fn logical_volume(&self) -> Option<(String, String)> {
        let Self::Device(path) = self else { return None };
        let text = path.to_str()?;
        if let Some(mapped) = text.strip_prefix("/dev/mapper/") {
            return split_mapped(mapped);
        }
        let (group, volume) = text.strip_prefix("/dev/")?.split_once('/')?;
        let other = matches!(group, "disk" | "block" | "md" | "mapper" | "cciss" | "ida" | "rd" | "nbd" | "loop");
        (!other && !volume.contains('/')).then(|| (group.to_owned(), volume.to_owned()))
    }
}

/// A value that may stand in quotes, as in fstab.
fn unquoted(text: &str) -> String {
    text.trim_matches('"').to_owned()
}

/// udev writes bytes that a file name should not have as `\x20`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .strip_prefix(b"x")
            .and_then(|c| c.get(..2))
            .and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 16).ok());
        match code {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Device-mapper writes `GROUP-VOLUME` with each hyphen of the names doubled.
#[must_use]
pub fn split_mapped(name: &str) -> Option<(String, String)> {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'-' {
            if bytes.get(at + 1) != Some(&b'-') {
                let (group, volume) = (&name[..at], &name[at + 1..]);
                return (!group.is_empty() && !volume.is_empty())
                    .then(|| (group.replace("--", "-"), volume.replace("--", "-")));
            }
            at += 1;
        }
        at += 1;
    }
    None
}

impl std::fmt::Display for RootSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(uuid) => write!(f, "UUID={uuid}"),
            Self::Label(label) => write!(f, "LABEL={label}"),
            Self::PartUuid(uuid) => write!(f, "PARTUUID={uuid}"),
            Self::PartLabel(label) => write!(f, "PARTLABEL={label}"),
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Number(major, minor) => write!(f, "{major}:{minor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_roots() {
        assert_eq!(RootSpec::parse("UUID=ab-c"), Some(RootSpec::Uuid("ab-c".into())));
        assert_eq!(RootSpec::parse("/dev/disk/by-label/my\\x20root"), Some(RootSpec::Label("my root".into())));
        assert_eq!(RootSpec::parse("PARTUUID=12AB-02"), Some(RootSpec::PartUuid("12ab-02".into())));
        assert_eq!(RootSpec::parse("LABEL=\"x\""), Some(RootSpec::Label("x".into())));
        assert_eq!(RootSpec::parse("254:1"), Some(RootSpec::Number(254, 1)));
        assert_eq!(RootSpec::parse("block:/dev/vda1"), Some(RootSpec::Device("/dev/vda1".into())));
        assert_eq!(RootSpec::parse("nfs"), None);
    }

    #[test]
    fn logical_volumes_by_both_names() {
        let volume = |text: &str| RootSpec::parse(text).unwrap().logical_volume();
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(volume("/dev/mapper/my--vg-lv_root"), pair("my-vg", "lv_root"));
        assert_eq!(volume("/dev/vg/root"), pair("vg", "root"));
        assert_eq!(volume("/dev/vda1"), None);
        assert_eq!(volume("/dev/mapper/crypt"), None);
        assert_eq!(volume("/dev/disk/by-id/x"), None);
        assert_eq!(volume("UUID=x"), None);
    }
}
