//! Which kernel a system starts: the newest that has its modules, an image and an initramfs.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A kernel of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its version, as the folder of its modules is called.
    pub version: String,
    /// Its image.
    pub image: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
}

/// What a slot has already, when two systems write to /boot: an image there may be the other one's, or none at all.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Its kernel's version.
    pub version: &'a str,
    /// Its kernel's image.
    pub image: &'a Path,
}

impl Kernel {
    /// The kernel of that version in `root`; none if something of it is missing.
    #[must_use]
    pub fn find(root: &Path, version: &str, own: Option<Own>) -> Option<Self> {
        let first = |all: Vec<PathBuf>| all.into_iter().find(|p| p.is_file());
        let mut images: Vec<PathBuf> =
            ["boot/vmlinuz-", "boot/vmlinux-"].iter().map(|n| root.join(format!("{n}{version}"))).collect();
        images.extend(["usr/lib/modules", "lib/modules"].iter().map(|n| root.join(n).join(version).join("vmlinuz")));
        if let Some(own) = own {
            images.rotate_left(2);
            images.extend((own.version == version).then(|| own.image.to_owned()));
        }
        let image = first(images)?;
        let initramfs =
            ["boot/initramfs-VERSION.img", "boot/initrd.img-VERSION"].map(|n| root.join(n.replace("VERSION", version)));
        let initramfs = first(initramfs.into())?;
        Some(Self { version: version.to_owned(), image, initramfs })
    }

    /// When its initramfs was written, in seconds since 1970; 0 if nobody knows.
    #[must_use]
    pub fn made(&self) -> u64 {
        let time = fs::metadata(&self.initramfs).and_then(|m| m.modified()).ok();
        time.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs())
    }

    /// How many bytes both files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        [&self.image, &self.initramfs].iter().filter_map(|p| fs::metadata(p).ok()).map(|m| m.len()).sum()
    }
}

/// The versions of kernels that have modules in `root`, the newest first.
#[must_use]
pub fn versions(root: &Path) -> Vec<String> {
    let mut all: Vec<String> = ["usr/lib/modules", "lib/modules"]
        .iter()
        .filter_map(|dir| fs::read_dir(root.join(dir)).ok())
        .flat_map(|entries| entries.flatten())
        // What a removed kernel leaves behind has no list of modules any more.
        .filter(|e| e.path().join("modules.dep").is_file() || e.path().join("modules.builtin").is_file())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    all.sort_by(|a, b| compare(b, a));
    all.dedup();
    all
}

/// The newest kernel of the system in `root`.
#[must_use]
pub fn newest(root: &Path, own: Option<Own>) -> Option<Kernel> {
    versions(root).iter().find_map(|version| Kernel::find(root, version, own))
}

/// Orders versions as rpm does: runs of digits by their value, runs of letters by their bytes, and digits after letters, so
/// that `427.13.1.el9` follows `427.el9`. A release follows its candidates.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (runs(a), runs(b));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(more)) => {
                if more == "rc" {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Some(more), None) => {
                if more == "rc" {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (Some(l), Some(r)) => match (is_number(l), is_number(r)) {
                (true, true) => {
                    let (l, r) = (l.trim_start_matches('0'), r.trim_start_matches('0'));
                    l.len().cmp(&r.len()).then_with(|| l.cmp(r))
                }
                (number, other) => number.cmp(&other).then_with(|| l.cmp(r)),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}

/// The runs of digits and of letters.
fn runs(version: &str) -> impl Iterator<Item = &str> {
    let mut rest = version;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let first = rest.chars().next()?;
        let same = |c: char| c.is_ascii_alphanumeric() && c.is_ascii_digit() == first.is_ascii_digit();
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Puts a kernel into a tree.
    pub(crate) fn add(root: &Path, version: &str, content: &str) {
        let modules = root.join("usr/lib/modules").join(version);
        fs::create_dir_all(&modules).unwrap();
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(modules.join("modules.dep"), "").unwrap();
        fs::write(root.join(format!("boot/vmlinuz-{version}")), format!("kernel {content}")).unwrap();
        fs::write(root.join(format!("boot/initramfs-{version}.img")), format!("initramfs {content}")).unwrap();
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut all =
            ["5.14.0-70.el9", "5.14.0-427.13.1.el9", "5.14.0-427.el9", "6.1.0-56-amd64", "6.1.0-9-amd64", "6.1.0"];
        all.sort_by(|a, b| compare(a, b));
        assert_eq!(
            all,
            ["5.14.0-70.el9", "5.14.0-427.el9", "5.14.0-427.13.1.el9", "6.1.0", "6.1.0-9-amd64", "6.1.0-56-amd64"]
        );
        assert_eq!(compare("6.1-rc1", "6.1"), Ordering::Less);
        assert_eq!(compare("6.01", "6.1"), Ordering::Equal);
    }

    #[test]
    fn the_newest_whole_kernel_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path(), None), None);
        add(dir.path(), "5.14.0-70.el9", "a");
        add(dir.path(), "5.14.0-427.el9", "b");
        // An initramfs that is still to come, and a kernel whose package is gone.
        add(dir.path(), "6.0", "c");
        fs::remove_file(dir.path().join("boot/initramfs-6.0.img")).unwrap();
        add(dir.path(), "7.0", "d");
        fs::remove_file(dir.path().join("usr/lib/modules/7.0/modules.dep")).unwrap();
        assert_eq!(newest(dir.path(), None).unwrap().version, "5.14.0-427.el9");
        assert!(newest(dir.path(), None).unwrap().made() > 0);
    }

    #[test]
    fn of_two_systems_each_takes_its_own_image() {
        let dir = tempfile::tempdir().unwrap();
        add(dir.path(), "6.1", "a");
        let own = dir.path().join("own");
        fs::write(&own, "kernel").unwrap();
        let find = || Kernel::find(dir.path(), "6.1", Some(Own { version: "6.1", image: &own })).unwrap().image;
        assert!(find().ends_with("boot/vmlinuz-6.1"));
        fs::remove_file(find()).unwrap();
        assert_eq!(find(), own);
        fs::write(dir.path().join("usr/lib/modules/6.1/vmlinuz"), "").unwrap();
        assert!(find().ends_with("modules/6.1/vmlinuz"));
        assert_eq!(Kernel::find(dir.path(), "6.2", Some(Own { version: "6.1", image: &own })), None);
    }
}
