//! `initramfs build`, and descriptions in it and in `edit`, on a tree with the distribution's cloud kernel.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::support::{Sandbox, skip_without_data, test_data};

const KERNEL: &str = "linux-image-cloud-amd64";

/// A tree with a kernel and busybox in `root`; gives the kernel's version.
fn tree(sandbox: &Sandbox) -> String {
    let root = sandbox.path("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir_all(root.join("usr/lib/modules")).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::copy(test_data("busybox-static").join("bin/busybox"), root.join("usr/bin/busybox")).unwrap();
    let modules = test_data(KERNEL).join("lib/modules");
    let version = fs::read_dir(&modules).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let copied = Command::new("cp").arg("-al").arg(modules.join(&version)).arg(root.join("usr/lib/modules")).status();
    if !copied.unwrap().success() {
        // Hard links do not reach to another file system.
        let copied =
            Command::new("cp").arg("-a").arg(modules.join(&version)).arg(root.join("usr/lib/modules")).status();
        assert!(copied.unwrap().success());
    }
    version
}

fn description(sandbox: &Sandbox, text: &str) {
    let dir = sandbox.path("spec");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("initramfs.json"), text).unwrap();
    fs::write(dir.join("note"), "from a description\n").unwrap();
    fs::write(dir.join("hook"), "#!/bin/sh\ntrue\n").unwrap();
    fs::set_permissions(dir.join("hook"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn names(sandbox: &Sandbox, image: &str) -> String {
    sandbox.run(["initramfs", "list", image]).succeeded().stdout
}

#[test]
fn the_same_tree_and_description_give_the_same_bytes() {
    if skip_without_data(&[KERNEL, "busybox-static"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let version = tree(&sandbox);
    description(
        &sandbox,
        r#"{"modules": ["nbd"], "optional-modules": ["of-no-kernel"], "load": ["nbd"],
            "files": {"/etc/note": {"source": "note", "mode": "0600"}}, "hooks": {"mounted": ["hook"]}}"#,
    );
    let build = |out: &str| {
        let args = ["initramfs", "build", "--root", "../root", "--spec", "../spec/initramfs.json", "-o", out];
        sandbox.run(args).succeeded().stdout
    };
    let said = build("one");
    assert!(said.contains(&format!("one: kernel {version}, ")) && said.contains("MiB of memory at most"), "{said}");
    build("two");
    assert!(fs::read(sandbox.path("out/one")).unwrap() == fs::read(sandbox.path("out/two")).unwrap());
    let names = names(&sandbox, "one");
    for name in ["init", "etc/note", "etc/initramfs/load", "etc/initramfs/hooks.d/mounted/000-hook", "usr/bin/sh"] {
        assert!(names.lines().any(|n| n == name), "{name} is not in\n{names}");
    }
    assert!(names.contains("/block/nbd.ko") && names.contains("/xfs/xfs.ko"), "{names}");
    let long = sandbox.run(["initramfs", "list", "-l", "one", "etc/note"]).succeeded().stdout;
    assert!(long.starts_with("-rw-------"), "{long}");
    sandbox.run(["initramfs", "check", "one"]).succeeded();
}

#[test]
fn one_machine_needs_fewer_drivers() {
    if skip_without_data(&[KERNEL, "busybox-static"]) {
        return;
    }
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let profile = "# a guest\n/sys/devices/pci0000:00/0000:00:03.0: pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00\n\
        /sys/devices/pci0000:00/0000:00:03.0/virtio0: virtio:d00000002v00001AF4\n";
    fs::write(sandbox.path("out/profile"), profile).unwrap();
    let build = |out: &str, more: &[&str]| {
        let args = ["initramfs", "build", "--root", "../root", "--json", "-o", out];
        let said = sandbox.run(args.iter().chain(more)).succeeded().stdout;
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["peak"].as_u64().unwrap()
    };
    let general = build("general", &[]);
    let narrow = build("narrow", &["--hostonly", "profile"]);
    assert!(narrow < general, "{narrow} {general}");
    let names = names(&sandbox, "narrow");
    assert!(
        names.contains("/virtio_blk.ko") && names.contains("/virtio_pci.ko") && names.contains("/xfs.ko"),
        "{names}"
    );
    assert!(!names.contains("/nvme.ko") && !names.contains("/hv_storvsc.ko"), "{names}");
    sandbox.run(["initramfs", "check", "narrow", "--hardware", "profile"]).succeeded();
    let refused = sandbox.run(["initramfs", "build", "--root", "../root", "--max-ram", "1M", "-o", "never"]).failed(1);
    assert!(refused.stderr.contains("more than --max-ram allows"), "{}", refused.stderr);
    assert!(!sandbox.path("out/never").exists());
}

#[test]
fn a_description_adds_to_an_image_that_is_there() {
    if skip_without_data(&[KERNEL, "busybox-static"]) {
        return;
    }
    let sandbox = Sandbox::new();
    tree(&sandbox);
    sandbox.run(["initramfs", "build", "--root", "../root", "-o", "base"]).succeeded();
    description(
        &sandbox,
        r#"{"modules": ["nbd"], "load": ["loop"], "files": {"/etc/note": "note", "/etc/box": "/bin/busybox"},
            "hooks": {"pre-mount": ["hook"]}}"#,
    );
    let edit = |base: &str| {
        let args = ["initramfs", "edit", base, "-o", "new", "--root", "../root", "--spec", "../spec/initramfs.json"];
        sandbox.run(args)
    };
    edit("base").succeeded();
    let names = names(&sandbox, "new");
    for name in ["etc/note", "etc/box", "etc/initramfs/load", "etc/initramfs/hooks.d/pre-mount/500-hook"] {
        assert!(names.lines().any(|n| n == name), "{name} is not in\n{names}");
    }
    assert!(names.contains("/block/nbd.ko"), "{names}");
    sandbox.run(["initramfs", "check", "new"]).succeeded();
    // An image of somebody else's has another init.
    sandbox.run(["initramfs", "edit", "base", "-o", "other", "--remove", "etc/initramfs"]).succeeded();
    let refused = edit("other").failed(2);
    assert!(refused.stderr.contains("which the init of this image does not know"), "{}", refused.stderr);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    if skip_without_data(&[KERNEL, "busybox-static"]) {
        return;
    }
    let sandbox = Sandbox::new();
    tree(&sandbox);
    description(&sandbox, r#"{"modules": ["virtio_blkk"], "programs": ["no-such-program"]}"#);
    let args = ["initramfs", "build", "--root", "../root", "--spec", "../spec/initramfs.json", "-o", "x"];
    let failed = sandbox.run(args).failed(2);
    for part in ["module virtio_blkk", "did you mean", "no-such-program", "needed by ", "initramfs.json:1:"] {
        assert!(failed.stderr.contains(part), "'{part}' is not in\n{}", failed.stderr);
    }
    assert!(!sandbox.path("out/x").exists());
    let failed = sandbox.run(["initramfs", "build", "--root", "../root", "--kernel", "9.9", "-o", "x"]).failed(2);
    assert!(failed.stderr.contains("there are no modules of kernel 9.9: there are those of 6."), "{}", failed.stderr);
    description(&sandbox, r#"{"module": []}"#);
    let failed = sandbox.run(args).failed(2);
    assert!(failed.stderr.contains("did you mean 'modules'?"), "{}", failed.stderr);
}
