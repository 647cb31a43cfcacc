//! The tree of `image-create -t tar rocky-minimal`, compared with that of a plain `dnf --installroot`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::{packages, run, unpack};
use crate::support::{LONG, Sandbox, Standin};

/// Where the trees may differ, and why: a path; all below one that ends with a slash; all that begin with what ends with
/// a star, or hold what stands between two.
const DIFFERENCES: &[(&str, &str)] = &[
    ("/etc/dib-manifests", "the element manifests: what the image was built from"),
    ("/etc/dib-manifests/", "likewise"),
    ("/etc/hostname", "yum-minimal: an image has a name, and not that of the host"),
    ("/etc/machine-id", "sysprep empties it: each machine makes its own at its first boot"),
    ("/etc/yum.repos.d/", "yum: the image uses the mirror that it was built from"),
    ("/proc", "yum-minimal makes it as the package filesystem does, before that is there; mkdir alone gives 0755"),
    ("/sys", "likewise"),
    ("*/__pycache__*", "the dnf of the image ran in the build; the stand-in ships it without its compiled files"),
    ("/boot/initramfs-*", "dracut writes times and a random name into it"),
    ("/var/cache/dnf/", "the plain one keeps its cache; the image's is elsewhere and kept for the next build"),
    ("/var/cache/ldconfig/aux-cache", "it holds the inodes and times of libraries"),
    ("/var/lib/dnf/history.sqlite*", "times and command lines of transactions"),
    ("/var/lib/rpm/rpmdb.sqlite", "times of installations; its packages are compared above"),
    ("/var/log/", "sysprep empties logs"),
];

/// Whether a path is one of those that a place of [`DIFFERENCES`] names.
fn is_at(path: &str, place: &str) -> bool {
    if let Some(word) = place.strip_prefix('*') {
        return path.contains(word.trim_end_matches('*'));
    }
    match place.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == place || place.ends_with('/') && path.starts_with(place),
    }
}

/// What is compared of a file: type and mode, owner, and content or the link's target.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    content: String,
}

fn entries(tree: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    for file in WalkDir::new(tree).min_depth(1) {
        let file = file.unwrap();
        let meta = file.metadata().unwrap();
        let content = if meta.is_file() {
            let digest = Sha256::digest(fs::read(file.path()).unwrap());
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        } else if meta.is_symlink() {
            fs::read_link(file.path()).unwrap().display().to_string()
        } else {
            format!("device {}", meta.rdev())
        };
        let entry = Entry { mode: meta.mode(), owner: (meta.uid(), meta.gid()), content };
        found.insert(Path::new("/").join(file.path().strip_prefix(tree).unwrap()), entry);
    }
    found
}

/// A plain `dnf --installroot` of these packages, with the mounts and the place of the database that any such use needs.
fn plain(sandbox: &Sandbox, standin: &Standin, packages: &[String]) -> PathBuf {
    let (tree, home) = (sandbox.path("plain.tree"), sandbox.path("plain"));
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir_all(home.join("repos.d")).unwrap();
    fs::write(home.join(".rpmmacros"), "%_dbpath /var/lib/rpm\n").unwrap();
    let mut text = String::new();
    for name in ["BaseOS", "AppStream"] {
        text += &format!("[{name}]\nname={name}\nbaseurl={}/9/{name}/x86_64/os\n", standin.url());
        text += &format!("gpgcheck=1\ngpgkey=file://{}\n", standin.key().display());
    }
    fs::write(home.join("repos.d/plain.repo"), text).unwrap();
    let script = r#"
        root=$1; home=$2; shift 2
        mkdir -p "$root/dev" "$root/proc" "$root/sys" "$root/run"
        mount -t proc proc "$root/proc"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t tmpfs -o mode=0755 devices "$root/dev"
        cp -a /dev/null /dev/zero /dev/random /dev/urandom "$root/dev/"
        ln -s /proc/self/fd "$root/dev/fd"
        mount -t tmpfs -o mode=0755 run "$root/run"
        HOME=$home exec dnf -y --installroot="$root" --releasever=9 --noplugins --setopt=reposdir="$home/repos.d" \
            --setopt=install_weak_deps=0 install "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script, "sh"]);
    run(command.args([&tree, &home]).args(packages));
    tree
}

#[test]
fn the_tree_is_that_of_a_plain_dnf() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = Sandbox::new();
    standin.give_to(&mut sandbox);
    sandbox.spawn(["-t", "tar", "-o", "built", "rocky-minimal"]).wait(LONG).succeeded();
    sandbox.assert_clean();
    let built = unpack(&sandbox, "built");
    let installed: Vec<String> = packages(&built).into_iter().collect();
    let plain = plain(&sandbox, &standin, &installed);
    assert_eq!(packages(&plain).into_iter().collect::<Vec<_>>(), installed);

    let (built, plain) = (entries(&built), entries(&plain));
    let mut wrong = Vec::new();
    let mut used = vec![false; DIFFERENCES.len()];
    for path in built.keys().chain(plain.keys().filter(|path| !built.contains_key(*path))) {
        if built.get(path) == plain.get(path) {
            continue;
        }
        let name = path.to_str().unwrap();
        let known = DIFFERENCES.iter().position(|(place, _)| is_at(name, place));
        match known {
            Some(index) => used[index] = true,
            None => wrong.push(format!("{name}\n  built {:?}\n  plain {:?}", built.get(path), plain.get(path))),
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    let needless: Vec<_> = DIFFERENCES.iter().zip(used).filter(|(_, used)| !used).map(|(known, _)| known.0).collect();
    assert!(needless.is_empty(), "these do not differ any more: {needless:?}");
}
