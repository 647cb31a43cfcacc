//! Other projects' element trees resolve and plan unchanged, with diskimage-builder's own tree before the built-in one.

use std::path::Path;
use std::process::Command;

use crate::support::trees::{self, IRONIC, OCTAVIA, SAHARA, TRIPLEO, Tree, UPSTREAM, skip_without_trees};
use crate::support::{SHORT, Sandbox, image_create, skip_without, skip_without_root};

/// Operating systems of diskimage-builder's tree that the elements are planned with.
const SYSTEMS: [&str; 4] = ["debian-minimal", "ubuntu-minimal", "centos-minimal", "fedora-minimal"];

/// Plans each element of a tree with each of the systems; `env` is what its callers set.
fn plans(tree: Tree, env: &[(&str, &str)], systems: &[&str]) {
    if skip_without_trees(&[tree, UPSTREAM]) {
        return;
    }
    let mut sandbox = trees::sandbox(&[tree, UPSTREAM]);
    for (name, value) in env {
        sandbox.env(name, value);
    }
    let elements = tree.elements();
    assert!(elements.len() >= 8, "{elements:?}");
    for element in &elements {
        for system in systems {
            let outcome = sandbox.run(["plan", system, element]).succeeded();
            assert!(outcome.stdout.lines().any(|line| line.trim_start().starts_with(element.as_str())), "{element}");
        }
    }
}

#[test]
fn every_element_of_tripleo_plans() {
    plans(TRIPLEO, &[], &SYSTEMS);
}

#[test]
fn every_element_of_sahara_plans() {
    plans(SAHARA, &[], &SYSTEMS);
}

#[test]
fn every_element_of_octavia_plans() {
    // What its diskimage-create.sh exports.
    let env = [("DIB_OCTAVIA_AMP_USE_SSH", "True"), ("DIB_OCTAVIA_AMP_USE_NFTABLES", "True")];
    plans(OCTAVIA, &env, &["ubuntu-minimal", "centos-minimal"]);
}

#[test]
fn c20_every_element_of_ironic_plans() {
    plans(IRONIC, &[("IPA_DISTRO_FAMILY", "debian")], &["debian-minimal", "centos-minimal"]);
}

#[test]
fn c20_the_list_of_ironic_and_that_of_octavia_expand() {
    if skip_without_trees(&[IRONIC, OCTAVIA, UPSTREAM]) {
        return;
    }
    let ironic = trees::sandbox(&[IRONIC, UPSTREAM]);
    let outcome = ironic.run(["plan", "ironic-python-agent-ramdisk", "debian-minimal"]).succeeded();
    assert!(outcome.stdout.contains("99-ramdisk-create"), "{}", outcome.stdout);
    let mut octavia = trees::sandbox(&[OCTAVIA, UPSTREAM]);
    octavia.env("DIB_OCTAVIA_AMP_USE_SSH", "False").env("DIB_OCTAVIA_AMP_USE_NFTABLES", "True");
    // Without pip-cache, which was diskimage-builder's and is gone from it.
    let list = ["base", "vm", "ubuntu-minimal", "openssh-server", "haproxy-octavia", "rebind-sshd", "no-resolvconf"];
    let more = ["amphora-agent", "octavia-lib", "sos", "cloud-init-datasources", "remove-default-ints"];
    let outcome = octavia.run(["plan"].iter().chain(&list).chain(&more)).succeeded();
    assert!(outcome.stdout.contains("amphora-agent"), "{}", outcome.stdout);
}

/// diskimage-builder's elements that need a system of their own, or are none that can be used.
const SPECIAL: [&str; 4] = [
    // Depends on `deploy`, which is gone from the tree.
    "deploy-kexec",
    // Parts of opensuse-minimal, which cannot be beside another package manager.
    "zypper",
    "zypper-minimal",
    // A folder of the Python package.
    "__pycache__",
];

#[test]
fn every_element_of_diskimage_builder_plans() {
    if skip_without_trees(&[UPSTREAM]) {
        return;
    }
    let sandbox = trees::sandbox(&[UPSTREAM]);
    for element in UPSTREAM.elements().iter().filter(|element| !SPECIAL.contains(&element.as_str())) {
        // A system alone, or an element with the first of the systems that it goes with.
        let alone = sandbox.run(["plan", element]);
        let with = |system: &&str| sandbox.run(["plan", system, element]).code == 0;
        assert!(alone.code == 0 || SYSTEMS.iter().any(with), "{element}: {}", alone.stderr);
    }
}

#[test]
fn a_tree_that_comes_first_overrides_all_built_in_elements_of_its_names() {
    if skip_without_trees(&[UPSTREAM]) {
        return;
    }
    let sandbox = trees::sandbox(&[UPSTREAM]);
    let services = ["block-device-efi", "cloud-init", "openssh-server", "growroot", "dhcp-all-interfaces", "devuser"];
    let outcome = sandbox.run(["plan", "--format", "json", "vm", "debian-minimal"].iter().chain(&services)).succeeded();
    let plan: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    for element in plan["elements"].as_array().unwrap() {
        let path = element["dir"].as_str().unwrap();
        assert!(path.starts_with(UPSTREAM.path().to_str().unwrap()), "{element}");
    }
}

#[test]
fn the_linter_finds_in_real_trees_what_is_wrong_there_and_nothing_where_they_say_that_it_is_right() {
    if skip_without_trees(&[UPSTREAM, OCTAVIA, TRIPLEO]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("dib-lint");
    std::os::unix::fs::symlink(image_create(), &program).unwrap();
    let lint = |tree: Tree| {
        let mut sandbox = Sandbox::new();
        sandbox.env("ELEMENTS_DIR", &tree.path().display().to_string());
        sandbox.spawn_as(&program, [""; 0]).wait(SHORT)
    };
    // Its own linter passes diskimage-builder's tree; what that cannot see is no reason to fail.
    let outcome = lint(UPSTREAM).succeeded().prints("\nPASS\n");
    assert!(!outcome.stdout.contains("ERROR"), "{}", outcome.stdout);
    for finding in [
        "/deploy-kexec/element-deps:1: Element 'deploy' not found",
        "/enable-serial-console/cleanup.d/99-fix-grub: 'cleanup.d/99-fix-grub' of element 'enable-serial-console' will not run",
        "'install.d/dhcp-interface@.service' is no hook: data in a phase folder",
    ] {
        assert!(outcome.stdout.contains(finding), "{finding}: {}", outcome.stdout);
    }
    let warnings = outcome.stdout.matches("WARNING: ").count();
    assert!(warnings < 40, "{warnings} warnings: {}", outcome.stdout);
    lint(OCTAVIA)
        .failed(1)
        .prints("'post-install.d/20-enable-tuned' of element 'cpu-pinning' will not run: it is not executable")
        .prints("/certs-ramfs/element-deps:3: the names are not in alphabetical order");
    lint(TRIPLEO).failed(1).prints("/interface-names/README.md: documents of elements are reStructuredText");
}

/// The text of a file in an archive.
fn file_in(tar: &Path, name: &str) -> String {
    let output = Command::new("tar").arg("-xOf").arg(tar).arg(format!("./{name}")).output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn elements_of_tripleo_and_sahara_do_in_a_debian_what_they_say() {
    if skip_without_root() || skip_without_trees(&[TRIPLEO, SAHARA]) || skip_without(&["mmdebstrap"]) {
        return;
    }
    // With the built-in Debian: diskimage-builder's own needs no trying with them, tests/boot/upstream.rs builds it.
    let mut sandbox = trees::sandbox(&[TRIPLEO, SAHARA]);
    sandbox.env("DIB_RELEASE", "bookworm").env("DIB_PYTHON_VERSION", "3");
    let tripleo = ["iptables", "pip-manifest", "reset-bls-entries", "enable-packages-install"];
    let sahara = ["xfs-tools", "nfs-shares", "sahara-version"];
    // reset-bls-entries has files for it, and does not ask for it.
    let more = ["install-static"];
    let args = ["-t", "tar", "-o", "image", "debian-minimal"];
    sandbox.run_long(args.iter().chain(&tripleo).chain(&sahara).chain(&more)).succeeded();
    let tar = sandbox.path("out/image.tar");
    let packages = file_in(&tar, "var/lib/dpkg/status");
    for package in ["iptables-persistent", "xfsprogs", "nfs-common"] {
        assert!(
            packages.contains(&format!("\nPackage: {package}\n"))
                || packages.starts_with(&format!("Package: {package}\n")),
            "{package}"
        );
    }
    // iptables: its helpers, and its answer to what the package asks.
    assert!(file_in(&tar, "usr/local/bin/add-rule").contains("iptables-save"));
    let answers = file_in(&tar, "var/cache/debconf/config.dat");
    assert!(
        answers.contains(
            "Name: iptables-persistent/autosave_v4\nTemplate: iptables-persistent/autosave_v4\nValue: false\n"
        )
    );
    // pip-manifest and reset-bls-entries: programs, and a unit that is enabled.
    assert!(file_in(&tar, "usr/local/bin/get-pip-manifest").contains("DIB_MANIFEST_PIP_DIR"));
    assert!(file_in(&tar, "usr/lib/systemd/reset-bls-entries").contains("/boot/loader/entries"));
    let list = Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).contains("sysinit.target.wants/reset-bls-entries.service"));
    // sahara-version: a file that a hook on the host has written.
    assert!(file_in(&tar, "etc/sahara-extra.version").contains("diskimage-builder version:"));
    sandbox.assert_clean();
}
