//! Built-in elements over the small made-up system (contract 10.5), and what happens when
//! the world outside is not as it should be.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Sandbox, skip_without, skip_without_root};

/// A finished tar, unpacked.
fn unpacked(sandbox: &Sandbox, archive: &str) -> std::path::PathBuf {
    let out = sandbox.path("unpacked");
    fs::create_dir_all(&out).unwrap();
    let status = Command::new("tar").arg("-xpf").arg(sandbox.path(archive)).arg("-C").arg(&out).status().unwrap();
    assert!(status.success());
    out
}

/// Runs git with an identity, in a directory.
fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=master"];
    let out = Command::new("git").args(identity).args(args).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn c16_source_repositories_of_all_types() {
    if skip_without_root() || skip_without(&["git", "curl"]) {
        return;
    }
    let mut sandbox = Sandbox::new();
    let sources = sandbox.path("sources");
    fs::create_dir_all(sources.join("pack/inner")).unwrap();
    fs::write(sources.join("pack/inner/file"), "from a tar").unwrap();
    let tar =
        Command::new("tar").args(["-czf", "pack.tar.gz", "-C", "pack", "."]).current_dir(&sources).status().unwrap();
    assert!(tar.success());
    fs::write(sources.join("single"), "a file").unwrap();
    let repo = sources.join("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q"]);
    fs::write(repo.join("f"), "first").unwrap();
    git(&repo, &["add", "f"]);
    git(&repo, &["commit", "-qm", "one"]);
    let first = git(&repo, &["rev-parse", "HEAD"]);
    fs::write(repo.join("f"), "second").unwrap();
    git(&repo, &["commit", "-qam", "two"]);
    let at = |name: &str| format!("file://{}", sources.join(name).display());
    sandbox.fake_os();
    let list = format!(
        "# a comment\nbranch git /opt/branch {0}\npinned git /opt/pinned {0} {first}\npack tar /opt/pack {1} .\n\
         inner tar /opt/inner {1} ./inner\nsingle file /opt/single {2}\nskipped git /opt/skipped {0}\n",
        at("repo"),
        at("pack.tar.gz"),
        at("single")
    );
    sandbox.element("uses").deps(&["source-repositories"]).file("source-repository-uses", &list);
    sandbox.env("DIB_INSTALLTYPE_skipped", "package");
    crate::support::element::no_packages_element(&sandbox.path("elements"));
    sandbox.run(["-n", "-t", "tar", "-o", "x", "fake-os", "no-packages", "uses"]).succeeded();
    let tree = unpacked(&sandbox, "out/x.tar");
    let read = |file: &str| fs::read_to_string(tree.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert_eq!(read("opt/branch/f"), "second");
    assert_eq!(read("opt/pinned/f"), "first");
    assert_eq!(read("opt/pack/inner/file"), "from a tar");
    assert_eq!(read("opt/inner/file"), "from a tar");
    assert_eq!(read("opt/single"), "a file");
    assert!(!tree.join("opt/skipped").exists());
    assert!(read("etc/dib-source-repositories").contains("/opt/pinned"));
    let manifest = read("etc/dib-manifests/dib-manifest-git-x");
    assert!(manifest.contains(&format!("pinned git /opt/pinned {} {first}", at("repo"))), "{manifest}");

    // Offline, the cache serves what the sources no longer have.
    fs::rename(&sources, sandbox.path("gone")).unwrap();
    sandbox.run(["-n", "-t", "tar", "-o", "y", "--offline", "fake-os", "no-packages", "uses"]).succeeded();
    sandbox.run(["-n", "-t", "tar", "-o", "z", "--image-cache", "other", "fake-os", "no-packages", "uses"]).failed(1);
    sandbox.assert_clean();
}

#[test]
fn c11_sources_given_by_the_caller_are_seen_before_packages() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let wanted = sandbox.path("wanted.list");
    fs::write(&wanted, "deb http://mirror.invalid/debian bookworm main\n").unwrap();
    sandbox.env("DIB_APT_SOURCES", &wanted.to_string_lossy());
    // A sentinel in the tree tells that the failure is the wanted one (contract 1.10).
    sandbox.env("break", "after-error").env("break_outside_target", "1");
    sandbox.env("break_cmd", &format!("cp $TMP_MOUNT_PATH/tmp/dib-test-should-fail {}", sandbox.path("out").display()));
    sandbox.fake_os().hook("root.d/50-apt", "mkdir -p $TARGET_ROOT/etc/apt/sources.list.d");
    sandbox.element("sentinel").hook(
        "pre-install.d/99-check",
        "grep -q mirror.invalid /etc/apt/sources.list && touch /tmp/dib-test-should-fail; exit 1",
    );
    sandbox.run(["-n", "-t", "tar", "fake-os", "apt-sources", "sentinel"]).failed(1);
    assert!(sandbox.path("out/dib-test-should-fail").exists());
}

#[test]
fn no_final_image_leaves_out_disks_and_keeps_archives() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.run(["-n", "-t", "tar,qcow2", "-o", "x", "fake-os", "no-final-image"]).succeeded();
    assert!(sandbox.path("out/x.tar").exists() && !sandbox.path("out/x.qcow2").exists());
}

#[test]
fn xfs_and_btrfs_roots_are_written_and_sound() {
    if skip_without_root() || skip_without(&["mkfs.xfs", "mkfs.btrfs", "sfdisk"]) {
        return;
    }
    for (kind, check) in [("xfs", "xfs_repair -n -f"), ("btrfs", "btrfs check --readonly")] {
        let mut sandbox = Sandbox::new();
        sandbox.env("FS_TYPE", kind);
        sandbox.fake_os();
        let args = ["-n", "-t", "raw", "-o", "x", "--image-size", "0.5", "fake-os", "block-device-mbr"];
        sandbox.run(args).succeeded();
        let raw = sandbox.path("out/x.raw");
        let label = if kind == "xfs" { "img-rootfs" } else { "cloudimg-rootfs" };
        let root = sandbox.path("root.img");
        let copied = Command::new("dd")
            .args(["bs=1M", "skip=1", "conv=sparse", "status=none"])
            .arg(format!("if={}", raw.display()))
            .arg(format!("of={}", root.display()))
            .status();
        assert!(copied.unwrap().success());
        let out = Command::new("blkid").args(["-p", "-o", "export"]).arg(&root).output().unwrap();
        let seen = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(seen.contains(&format!("TYPE={kind}")) && seen.contains(&format!("LABEL={label}")), "{seen}");
        let mut words = check.split(' ');
        let out = Command::new(words.next().unwrap()).args(words).arg(&root).output().unwrap();
        assert!(out.status.success(), "{check}: {}", String::from_utf8_lossy(&out.stderr));
        sandbox.assert_clean();
    }
}

#[test]
fn the_same_inputs_give_the_same_image() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.env("SOURCE_DATE_EPOCH", "1700000000");
    sandbox.fake_os().hook("cleanup.d/99-times", "find $TARGET_ROOT -xdev -mindepth 1 ! -path $TARGET_ROOT/proc ! -path $TARGET_ROOT/sys ! -path $TARGET_ROOT/dev -newermt @1700000000 -exec touch -hd @1700000000 {} +");
    let build = |name: &str| {
        sandbox.run(["-n", "-t", "raw,tar", "-o", name, "fake-os", "block-device-gpt"]).succeeded();
        ["raw", "tar"].map(|e| {
            let out = Command::new("sha256sum").arg(sandbox.path(format!("out/{name}.{e}"))).output().unwrap();
            String::from_utf8_lossy(&out.stdout).split(' ').next().unwrap().to_owned()
        })
    };
    assert_eq!(build("one"), build("two"));
}

#[test]
fn a_mirror_that_is_down_ends_the_build_with_the_tools_own_words() {
    if skip_without_root() || skip_without(&["mmdebstrap"]) {
        return;
    }
    let mut sandbox = Sandbox::new();
    // Nobody listens on the discard port.
    sandbox.env("DIB_DISTRIBUTION_MIRROR", "http://127.0.0.1:9/debian").env("DIB_RELEASE", "bookworm");
    let outcome = sandbox.run(["-t", "tar", "debian-minimal"]);
    assert!(![0, 2, 3, 130].contains(&outcome.code), "{}", outcome.code);
    outcome.says("127.0.0.1").says("hook root.d/08-debootstrap of element debootstrap failed");
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 0);
    sandbox.assert_clean();
}

/// Two builds of the same system, one with an element more: the trees differ in what that element does.
#[test]
fn an_elements_effect_is_the_difference_of_two_trees() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox
        .element("adds")
        .deps(&["install-static", "install-bin", "modprobe"])
        .file("static/etc/added.conf", "x\n")
        .file_with_mode("bin/added-tool", "#!/bin/sh\n", 0o755)
        .file("modprobe.d/added.conf", "blacklist evbug\n");
    crate::support::element::no_packages_element(&sandbox.path("elements"));
    let list = |name: &str, elements: &[&str]| {
        sandbox.run([&["-n", "-t", "tar", "-o", name, "fake-os", "no-packages"], elements].concat()).succeeded();
        let out = Command::new("tar").arg("-tf").arg(sandbox.path(format!("out/{name}.tar"))).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|l| l.trim_end_matches('/').to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let (plain, with) = (list("plain", &[]), list("with", &["adds"]));
    let added: Vec<_> = with.difference(&plain).map(String::as_str).collect();
    let removed: Vec<_> = plain.difference(&with).collect();
    assert!(removed.is_empty(), "{removed:?}");
    let wanted = ["./etc/added.conf", "./etc/modprobe.d", "./etc/modprobe.d/added.conf", "./usr/local/bin/added-tool"];
    for path in wanted {
        assert!(added.contains(&path), "{path} is missing in {added:?}");
    }
    // Whatever else came is a directory on the way: no tool, map or list of the build stays behind.
    let stray: Vec<_> = added
        .iter()
        .filter(|a| !wanted.contains(a) && !["./usr/local", "./usr/local/bin", "./usr/share"].contains(a))
        .collect();
    assert!(stray.is_empty(), "left in the image: {stray:?}");
}
