//! The ramdisk of ironic's agent, built as ironic-python-agent-builder builds it (contract 8.3).

use std::process::Command;

use crate::support::bootstrap;
use crate::support::trees::{
    self, Archives, IRONIC, UPSTREAM, git_of_programs, git_repository, skip_without_archives, skip_without_trees,
};
use crate::support::{repository, skip_without, skip_without_root};

#[test]
fn c20_ironics_ramdisk_builds() {
    if skip_without_root()
        || skip_without_trees(&[IRONIC, UPSTREAM])
        || skip_without_archives()
        || skip_without(&["mmdebstrap", "debootstrap", "git", "cpio", "qemu-img"])
    {
        return;
    }
    let mut sandbox = trees::sandbox(&[IRONIC, UPSTREAM]);
    let own = repository().join("tests/elements");
    sandbox.env("ELEMENTS_PATH", &format!("{}:{}", trees::elements_path(&[IRONIC, UPSTREAM]), own.display()));
    for (name, value) in Archives::of_host().unwrap().variables("bookworm") {
        sandbox.env(name, value);
    }
    let programs = ["ironic-python-agent", "ironic-collect-introspection-data"];
    git_of_programs(&sandbox.path("agent"), "ironic-python-agent", &programs);
    git_repository(&sandbox.path("requirements"), &[("upper-constraints.txt", "")]);
    trees::give_glean(&mut sandbox);
    sandbox.env("DIB_REPOLOCATION_ironic_python_agent", &sandbox.path("agent").display().to_string());
    sandbox.env("DIB_REPOLOCATION_requirements", &sandbox.path("requirements").display().to_string());
    sandbox.env("DIB_DEBIAN_COMPONENTS", "main").env("DIB_CHECKSUM", "sha256");
    // Its own way to be told; the usual gzip takes a minute more.
    sandbox.env("DIB_IPA_COMPRESS_CMD", "gzip -1");
    bootstrap::give_to(&mut sandbox, "debian", "bookworm");
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
