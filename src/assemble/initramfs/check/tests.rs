//! Checks of small trees that are made of this machine's programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::assemble::initramfs::closure::{Closure, Item};
use crate::assemble::initramfs::view::{Node, RootDir};

/// A tree with `programs` of this machine and all they need.
fn tree(programs: &[&str]) -> tempfile::TempDir {
    let host = RootDir::new(Path::new("/")).unwrap();
    let mut closure = Closure::new(&host);
    programs.iter().for_each(|name| {
        closure.add_program(name);
    });
    let dir = tempfile::tempdir().unwrap();
    for Item { path, node, .. } in closure.finish().unwrap().items {
        let inner = dir.path().join(path.strip_prefix("/").unwrap());
        match node {
            Node::Dir => fs::create_dir(inner).unwrap(),
            Node::Link(target) => symlink(target, inner).unwrap(),
            _ => {
                fs::copy(path, inner).unwrap();
            }
        }
    }
    dir
}

fn script(root: &Path, name: &str, text: &str) {
    fs::write(root.join(name), text).unwrap();
    fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

fn report(root: &Path) -> Report {
    check(&RootDir::new(root).unwrap(), None, None).unwrap()
}

#[test]
fn a_closure_is_complete_and_runs() {
    let dir = tree(&["/bin/bash", "ls"]);
    script(dir.path(), "init", "#!/bin/bash\n");
    symlink("/proc/self/mounts", dir.path().join("mtab")).unwrap();
    let report = report(dir.path());
    assert_eq!((&report.errors, &report.warnings), (&vec![], &vec![]));
    assert!(report.is_good() && report.init.as_deref() == Some(Path::new("/init")));
    assert_eq!((report.counts.programs, report.counts.scripts), (2, 1));
    assert!(report.counts.libraries >= 3);
}

#[test]
fn what_is_missing_is_told_with_chains() {
    let dir = tree(&["/bin/bash", "ls"]);
    let root = dir.path();
    script(root, "init", "#!/bin/sh\n");
    script(root, "hook", "#!/usr/bin/env python3\n");
    symlink("nowhere", root.join("link")).unwrap();
    let libraries = RootDir::new(root).unwrap();
    let selinux = walk::Walk::of(&libraries).unwrap().files;
    let (selinux, _) = selinux.iter().find(|(path, _)| path.to_string_lossy().contains("libtinfo.so")).unwrap().clone();
    fs::remove_file(root.join(selinux.strip_prefix("/").unwrap())).unwrap();
    let report = report(root);
    let text = report.errors.join("\n");
    assert!(text.contains("missing /bin/sh, needed by /init"), "{text}");
    assert!(text.contains("missing /usr/bin/env, needed by /hook"), "{text}");
    assert!(text.contains("missing program python3, needed by /usr/bin/env, needed by /hook"), "{text}");
    assert!(text.contains("missing library libtinfo.so.6, needed by /usr/bin/bash"), "{text}");
    assert!(
        report.warnings.iter().any(|w| w == "the link /link leads nowhere: /nowhere is not there"),
        "{:?}",
        report.warnings
    );
}

#[test]
fn an_image_needs_an_init_that_can_be_started() {
    let dir = tempfile::tempdir().unwrap();
    assert!(report(dir.path()).errors[0].starts_with("there is no /init"));
    script(dir.path(), "init", "echo\n");
    assert_eq!(
        report(dir.path()).errors,
        ["/init cannot be started: it is neither an ELF program nor a script with '#!'"]
    );
    fs::set_permissions(dir.path().join("init"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(report(dir.path()).errors, ["/init cannot be started: it has no execute bit"]);
}

#[test]
fn modules_are_checked_against_each_other_and_against_a_machine() {
    let dir = tree(&["/bin/bash"]);
    script(dir.path(), "init", "#!/bin/bash\n");
    let modules = dir.path().join("usr/lib/modules/1.0");
    fs::create_dir_all(modules.join("kernel")).unwrap();
    fs::write(modules.join("modules.dep"), "kernel/a.ko: kernel/b.ko\nkernel/b.ko:\nkernel/later.ko:\n").unwrap();
    fs::write(
        modules.join("modules.alias"),
        "alias pci:v1* a\nalias pci:v2* later\nalias pci:v5* b\nalias pci:v6* a\n",
    )
    .unwrap();
    fs::write(modules.join("modules.builtin.modinfo"), "c.alias=pci:v3*\0").unwrap();
    for name in ["a", "stray"] {
        // Any ELF file without the section .modinfo is a module that says nothing.
        fs::copy("/usr/bin/true", modules.join(format!("kernel/{name}.ko"))).unwrap();
    }
    fs::create_dir_all(dir.path().join("etc/modprobe.d")).unwrap();
    let settings = "blacklist b\nalias pci:v6* off\nalias pci:v7* a\n";
    fs::write(dir.path().join("etc/modprobe.d/x.conf"), settings).unwrap();
    let profile =
        Profile::parse(Path::new("p"), "pci:v1\npci:v2\n/sys/x: pci:v3\npci:v4\npci:v5\npci:v6\npci:v7\n").unwrap();
    let report = check(&RootDir::new(dir.path()).unwrap(), Some(&profile), None).unwrap();
    let text = report.errors.join("\n");
    assert!(text.starts_with("missing module b, needed by a: modules.dep names"), "{text}");
    let text = report.warnings.join("\n");
    assert!(
        text.contains("modules.dep.bin is not there") && text.contains("kernel/stray.ko is not in modules.dep"),
        "{text}"
    );
    let states: Vec<&Driver> = report.devices.iter().map(|d| &d.driver).collect();
    let named = |name: &str| vec![name.to_owned()];
    assert_eq!(
        states,
        [
            &Driver::Module { modules: named("a") },
            &Driver::Missing { modules: named("later") },
            &Driver::BuiltIn { modules: named("c") },
            &Driver::Unknown,
            &Driver::Blacklisted { modules: named("b") },
            &Driver::Unknown,
            &Driver::Module { modules: named("a") },
        ]
    );
}
