//! What `make install` and `make dist` write: every name of the program, working from an empty directory.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{image_create, repository};

/// All names that callers of diskimage-builder know, and the program's own.
const NAMES: [&str; 8] = [
    "image-create",
    "disk-image-create",
    "ramdisk-image-create",
    "diskimage-builder",
    "element-info",
    "dib-run-parts",
    "dib-block-device",
    "dib-lint",
];

/// Installs the program under test below `dir`.
fn install(dir: &Path, prefix: &str) {
    let out = Command::new("make")
        .arg("install-files")
        .arg(format!("DESTDIR={}", dir.display()))
        .arg(format!("PREFIX={prefix}"))
        .arg(format!("BINARY={}", image_create().display()))
        .current_dir(repository())
        // The options of a make that runs the tests are not this one's.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Runs an installed name in an empty directory, with nothing in the environment but a home.
fn run(bin: &Path, name: &str, arg: &str) -> Output {
    let empty = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let out = Command::new(bin.join(name))
        .arg(arg)
        .current_dir(empty.path())
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "{name} {arg} left something behind");
    out
}

#[test]
fn every_name_is_installed_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), "/usr");
    let bin = dir.path().join("usr/bin");
    let mut found: Vec<_> =
        fs::read_dir(&bin).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut wanted = NAMES.map(str::to_owned);
    wanted.sort();
    assert_eq!(found, wanted);
    for name in NAMES {
        let help = run(&bin, name, "--help");
        assert!(help.status.success(), "{name} --help: {}", String::from_utf8_lossy(&help.stderr));
        assert!(String::from_utf8_lossy(&help.stdout).contains("sage: "), "{name} --help");
        // dib-block-device never had a version.
        if name != "dib-block-device" {
            let version = run(&bin, name, "--version");
            let said = String::from_utf8_lossy(&version.stdout);
            assert!(version.status.success() && said.contains(env!("CARGO_PKG_VERSION")), "{name} --version: {said}");
        }
        // Links that go on working wherever the tree is put.
        if name != "image-create" {
            assert_eq!(fs::read_link(bin.join(name)).unwrap(), Path::new("image-create"));
            let page = dir.path().join("usr/share/man/man1").join(format!("{name}.1"));
            assert_eq!(fs::read_link(page).unwrap(), Path::new("image-create.1"));
        }
    }
    let mode = fs::metadata(bin.join("image-create")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    for file in [
        "man/man1/image-create.1",
        "bash-completion/completions/image-create",
        "zsh/site-functions/_image-create",
        "fish/vendor_completions.d/image-create.fish",
    ] {
        assert!(fs::metadata(dir.path().join("usr/share").join(file)).unwrap().len() > 1000, "{file}");
    }
}

#[test]
fn the_tarball_is_one_directory_and_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str| -> PathBuf {
        // Not the program itself: a debug build takes a minute to compress.
        let tree = dir.path().join(name).join("tree");
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::write(tree.join("bin/image-create"), "#!/bin/sh\necho \"${0##*/}\"\n").unwrap();
        fs::set_permissions(tree.join("bin/image-create"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("image-create", tree.join("bin/dib-lint")).unwrap();
        let file = dir.path().join(name).join("image-create-1.tar.gz");
        let out = Command::new(repository().join("packaging/tarball.sh")).args([&tree, &file]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        file
    };
    let (one, two) = (archive("one"), archive("two"));
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "the archives differ");
    let out = Command::new("tar").arg("-xzf").arg(&one).arg("-C").arg(dir.path()).output().unwrap();
    assert!(out.status.success());
    let unpacked = dir.path().join("image-create-1");
    assert_eq!(String::from_utf8_lossy(&run(&unpacked.join("bin"), "dib-lint", "").stdout), "dib-lint\n");
    assert!(unpacked.join("share/doc/image-create/README.md").exists());
}
