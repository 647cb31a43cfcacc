//! The ramdisk of ironic's agent, built as ironic-python-agent-builder builds it (contract 8.3).

mod support;

use std::path::Path;
use std::process::Command;

use support::trees::{self, IRONIC, UPSTREAM, skip_without_trees};
use support::{repository, skip, skip_without, skip_without_root};

const RELEASE: &str = "bookworm";

/// A git repository with these files, for sources whose own server cannot be reached.
fn repository_of(dir: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(dir).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
        assert!(git.output().unwrap().status.success(), "git {args:?}");
    };
    git(&["init", "--quiet", "--initial-branch", "master"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "All"]);
}

/// A program of the agent's names that needs nothing.
const SETUP: &str = "\
from setuptools import setup
setup(name='ironic-python-agent', version='1.0', scripts=['ironic-python-agent', 'ironic-collect-introspection-data'])
";
const PROGRAM: &str = "#!/usr/bin/env python3\nprint('stand-in agent')\n";

#[test]
#[ignore = "has not passed whole yet: part of the work on existing element trees"]
fn c20_ironics_ramdisk_builds() {
    if skip_without_root()
        || skip_without_trees(&[IRONIC, UPSTREAM])
        || skip_without(&["mmdebstrap", "debootstrap", "git", "cpio", "qemu-img"])
    {
        return;
    }
    let mirrors = trees::debian_mirrors(RELEASE);
    if skip(mirrors.is_none().then(|| format!("an apt that knows {RELEASE}"))) {
        return;
    }
    let mut sandbox = trees::sandbox(&[IRONIC, UPSTREAM]);
    let own = repository().join("tests/elements");
    sandbox.env("ELEMENTS_PATH", &format!("{}:{}", trees::elements_path(&[IRONIC, UPSTREAM]), own.display()));
    for (name, value) in mirrors.unwrap() {
        sandbox.env(name, value);
    }
    let agent = [("setup.py", SETUP), ("ironic-python-agent", PROGRAM), ("ironic-collect-introspection-data", PROGRAM)];
    repository_of(&sandbox.path("agent"), &agent);
    repository_of(&sandbox.path("requirements"), &[("upper-constraints.txt", "")]);
    sandbox.env("DIB_REPOLOCATION_ironic_python_agent", &sandbox.path("agent").display().to_string());
    sandbox.env("DIB_REPOLOCATION_requirements", &sandbox.path("requirements").display().to_string());
    sandbox.env("DIB_DEBIAN_COMPONENTS", "main").env("DIB_CHECKSUM", "sha256");
    // As its caller does.
    let elements = ["ironic-python-agent-ramdisk", "debian-minimal", "host-certificates"];
    sandbox.run_long(["-o", "ipa"].iter().chain(&elements)).succeeded();

    for name in ["ipa.kernel", "ipa.initramfs"] {
        let bytes = std::fs::metadata(sandbox.path("out").join(name)).unwrap().len();
        assert!(bytes > 4 << 20, "{name}: {bytes}");
        assert!(sandbox.read("out/ipa.sha256").contains(name));
    }
    assert!(!sandbox.path("out/ipa.qcow2").exists(), "no-final-image leaves it out");
    let list = Command::new("sh")
        .args(["-c", "zcat \"$1\" | cpio --list --quiet", "list"])
        .arg(sandbox.path("out/ipa.initramfs"))
        .output()
        .unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let names: Vec<&str> = list.lines().map(|name| name.trim_start_matches("./")).collect();
    for name in [
        "init",
        "opt/ironic-python-agent/bin/ironic-python-agent",
        "usr/local/bin/ironic-python-agent",
        "usr/lib/systemd/system/ironic-python-agent.service",
        "etc/systemd/system/multi-user.target.wants/ironic-python-agent.service",
    ] {
        assert!(names.contains(&name), "{name} is missing in the ramdisk");
    }
    assert!(!names.iter().any(|name| name.starts_with("proc/") || name.starts_with("sys/")));
    sandbox.assert_clean();
}
