//! How the root tree of the dnf family comes to be. Everything is installed from the stand-in.

mod cache;
mod family;
mod keys;
mod network;
mod options;
mod probes;
mod server;
mod tools;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Outcome, Sandbox, Standin};

/// A tree that is there in seconds, and that has an rpm to look into it with.
const SMALL: &str = "basesystem bash coreutils gawk rpm";

/// A sandbox whose builds of rocky-minimal use the stand-in as files, and install [`SMALL`].
fn sandbox(standin: &Standin) -> Sandbox {
    let mut sandbox = Sandbox::new();
    standin.give_to(&mut sandbox);
    sandbox.env("DIB_ROCKY_PACKAGES", SMALL);
    sandbox
}

/// Builds `element` alone into out/NAME.tar.
fn build(sandbox: &Sandbox, element: &str, name: &str) -> Outcome {
    sandbox.run(["-n", "-t", "tar", "-o", name, element])
}

/// Unpacks out/NAME.tar, and says where.
fn unpack(sandbox: &Sandbox, name: &str) -> PathBuf {
    let tree = sandbox.path(format!("{name}.tree"));
    std::fs::create_dir(&tree).unwrap();
    let archive = sandbox.path(format!("out/{name}.tar"));
    run(Command::new("tar").arg("--numeric-owner").arg("-xpf").arg(archive).arg("-C").arg(&tree));
    tree
}

/// The packages of a tree, told by its own rpm; keys are not among them.
fn packages(tree: &Path) -> BTreeSet<String> {
    let list = run(Command::new("chroot").arg(tree).args(["/usr/bin/rpm", "-qa"]));
    list.lines().filter(|name| !name.starts_with("gpg-pubkey")).map(str::to_owned).collect()
}

/// Runs a command that has to succeed; gives what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A link, with the folders above it.
fn link(target: &Path, link: &Path) {
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(target, link).unwrap();
}
