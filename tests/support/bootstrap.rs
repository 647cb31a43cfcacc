//! A tree of Debian that is bootstrapped once for all tests whose subject is not the bootstrap. Elements find it where
//! they look for the one that they have kept themselves.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use super::{Sandbox, repository, trees};

/// The variable that asks for it, diskimage-builder's own.
pub const ASKED: &str = "DIB_DEBIAN_USE_DEBOOTSTRAP_CACHE";

/// What builds of diskimage-builder's Debian install anyway, one package after the other.
const PACKAGES: &str = "ca-certificates,systemd-sysv,busybox,sudo,gnupg2,python3,apt-transport-https,\
    software-properties-common,lsb-release,netbase,rsync,linux-image-amd64,adduser,locales,tzdata";

/// Lets builds in the sandbox start from the tree, as one of `distribution`'s `release`: `debian` and its own name,
/// unless it is to stand for another.
pub fn give_to(sandbox: &mut Sandbox, distribution: &str, release: &str) {
    let cache = sandbox.path("home/.cache/image-create");
    fs::create_dir_all(&cache).unwrap();
    fs::hard_link(tarball(), cache.join(format!("debootstrap-{distribution}-{release}-amd64.tar.gz"))).unwrap();
    sandbox.env(ASKED, "1");
}

/// What `DIB_MMDEBSTRAP_EXTRA_ARGS` has to be for tests/elements/small-initramfs without naming it.
pub fn small_initramfs() -> String {
    let script = repository().join("tests/elements/small-initramfs/root.d/40-small-initramfs");
    format!("--setup-hook='TARGET_ROOT=\"\\$1\" {}'", script.display())
}

/// The tree of Debian 12 with its settings of apt removed, as elements keep it.
fn tarball() -> PathBuf {
    let dir = repository().join("target/test-images");
    fs::create_dir_all(&dir).unwrap();
    let (file, unfinished) = (dir.join("bookworm.tar.gz"), dir.join("bookworm.tar.gz.new"));
    let lock = File::create(dir.join("bookworm.lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    if file.exists() {
        return file;
    }
    let small = repository().join("tests/elements/small-initramfs/root.d/40-small-initramfs");
    let sources = trees::Archives::of_host().unwrap().sources("bookworm").map(|(_, line)| line);
    let script = r#"set -e -o pipefail
        mmdebstrap --quiet --mode=root --variant=minbase --format=tar --dpkgopt=force-unsafe-io --include="$1" \
            --setup-hook="TARGET_ROOT=\$1 $2" --customize-hook='rm -r "$1"/etc/apt/sources.list*' bookworm - \
            "${@:4}" | gzip -1 >"$3""#;
    // In a mount namespace of its own: tests beside it look for mounts that are left.
    let mut make = Command::new("unshare");
    make.args(["--mount", "bash", "-c", script, "bash", PACKAGES]).arg(&small).arg(&unfinished).args(sources);
    let made = make.env_remove("TMPDIR").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::rename(&unfinished, &file).unwrap();
    file
}
