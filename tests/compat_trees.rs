//! Other projects' element trees resolve and plan unchanged, with diskimage-builder's own tree before the built-in one.

mod support;

use support::trees::{self, IRONIC, OCTAVIA, SAHARA, TRIPLEO, Tree, UPSTREAM, skip_without_trees};

/// Operating systems of diskimage-builder's tree that the elements are planned with.
const SYSTEMS: [&str; 4] = ["debian-minimal", "ubuntu-minimal", "centos-minimal", "fedora-minimal"];

/// Plans each element of a tree with each of the systems; `env` is what its callers set.
fn plans(tree: Tree, env: &[(&str, &str)], systems: &[&str], left_out: &[&str]) {
    if skip_without_trees(&[tree, UPSTREAM]) {
        return;
    }
    let mut sandbox = trees::sandbox(&[tree, UPSTREAM]);
    for (name, value) in env {
        sandbox.env(name, value);
    }
    let elements = tree.elements();
    assert!(elements.len() >= 8, "{elements:?}");
    for element in elements.iter().filter(|element| !left_out.contains(&element.as_str())) {
        for system in systems {
            let outcome = sandbox.run(["plan", system, element]).succeeded();
            assert!(outcome.stdout.lines().any(|line| line.trim_start().starts_with(element.as_str())), "{element}");
        }
    }
}

/// Brings a disk layout with LVM on it.
const LVM: &str = "overcloud-partition-uefi";

#[test]
fn every_element_of_tripleo_plans() {
    plans(TRIPLEO, &[], &SYSTEMS, &[LVM]);
}

#[test]
fn every_element_of_sahara_plans() {
    plans(SAHARA, &[], &SYSTEMS, &[]);
}

#[test]
fn every_element_of_octavia_plans() {
    // What its diskimage-create.sh exports.
    let env = [("DIB_OCTAVIA_AMP_USE_SSH", "True"), ("DIB_OCTAVIA_AMP_USE_NFTABLES", "True")];
    plans(OCTAVIA, &env, &["ubuntu-minimal", "centos-minimal"], &[]);
}

#[test]
fn c20_every_element_of_ironic_plans() {
    plans(IRONIC, &[("IPA_DISTRO_FAMILY", "debian")], &["debian-minimal", "centos-minimal"], &[]);
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
const SPECIAL: [&str; 5] = [
    // Needs LVM on disks.
    "block-device-efi-lvm",
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
