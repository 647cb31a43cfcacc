//! The built-in elements against the rules of this folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::catalog::ElementCatalog;
use super::hooks::{self, HookTree};
use super::phase::Phase;
use super::resolve::{OPERATING_SYSTEM, Request, Resolution, resolve};
use super::{Warning, describe, run_order};
use crate::plan::environment;

fn elements() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("elements")
}

fn catalog() -> ElementCatalog {
    ElementCatalog::load(&[], Some(&elements())).unwrap().0
}

fn build(names: &[&str], arch: &str) -> (Resolution, HookTree, Vec<Warning>) {
    let resolution = resolve(&catalog(), &Request::build(names, arch)).unwrap();
    let (tree, warnings) = hooks::merge(&resolution.elements, &run_order::pattern(None).unwrap()).unwrap();
    (resolution, tree, warnings)
}

/// Elements that a build can have one of.
fn alternatives(name: &str) -> Vec<String> {
    catalog().providers(name).into_iter().map(str::to_owned).collect()
}

/// An element and all that it brings along.
fn with_dependencies(name: &str) -> BTreeSet<String> {
    let catalog = catalog();
    let (mut found, mut queue) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = queue.pop() {
        if let Some(element) = catalog.get(&name) {
            queue.extend(element.deps().unwrap().into_iter().map(|dep| dep.name).filter(|dep| !found.contains(dep)));
        }
        found.insert(name);
    }
    found
}

#[test]
fn elements_need_only_what_is_there() {
    let catalog = catalog();
    let mut wrong = Vec::new();
    for element in catalog.iter() {
        for dep in element.deps().unwrap() {
            if catalog.get(&dep.name).is_none() && catalog.providers(&dep.name).is_empty() {
                wrong.push(format!("{}: {}", dep.place, dep.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_element_has_a_readme_that_says_what_it_is_for() {
    let mute: Vec<_> =
        describe::list(&catalog()).unwrap().into_iter().filter(|l| l.summary.is_none()).map(|l| l.name).collect();
    assert_eq!(mute, Vec::<String>::new());
}

#[test]
fn r14_all_elements_that_can_be_used_together_have_hooks_of_different_names_and_all_of_them_run() {
    let all: Vec<String> = catalog().iter().map(|e| e.name.clone()).collect();
    for os in alternatives(OPERATING_SYSTEM) {
        for layout in alternatives("block-device") {
            let others = |name: &&str| {
                let all = with_dependencies(name);
                !alternatives(OPERATING_SYSTEM).iter().any(|n| all.contains(n) && *n != os)
                    && !alternatives("block-device").iter().any(|n| all.contains(n) && *n != layout)
            };
            let names: Vec<&str> = all.iter().map(String::as_str).filter(others).collect();
            let (_, _, warnings) = build(&names, "amd64");
            assert_eq!(warnings, [], "{os} {layout}");
        }
    }
}

#[test]
fn a_plain_vm_has_hooks_in_every_phase_that_makes_it() {
    let (resolution, tree, _) = build(&["vm", "debian-minimal"], "amd64");
    assert_eq!(resolution.provided["block-device"], "block-device-mbr");
    for phase in [Phase::Root, Phase::ExtraData, Phase::PreInstall, Phase::Install, Phase::Finalise] {
        assert!(tree.running(phase).next().is_some(), "{phase}");
    }
    for phase in [Phase::BlockDevice, Phase::PreFinalise] {
        assert!(tree.running(phase).next().is_none(), "built-in elements need no loop device: {phase}");
    }
}

#[test]
fn the_plan_can_tell_what_the_environment_files_set() {
    for (os, distro) in [
        ("centos-minimal", "centos"),
        ("debian-minimal", "debian"),
        ("fedora-minimal", "fedora"),
        ("rocky-minimal", "rocky"),
        ("ubuntu", "ubuntu"),
        ("ubuntu-minimal", "ubuntu"),
    ] {
        let (_, tree, _) = build(&["vm", os], "amd64");
        let files: Vec<_> = tree.environment.iter().map(|h| &h.path).collect();
        let initial =
            BTreeMap::from([("ARCH".to_owned(), "amd64".to_owned()), ("FS_TYPE".to_owned(), "ext4".to_owned())]);
        let env = environment::evaluate(&files, &initial).unwrap();
        assert_eq!(env.known("DISTRO_NAME"), Some(distro));
        for name in ["DIB_RELEASE", "DIB_INIT_SYSTEM"] {
            assert!(env.known(name).is_some(), "{os} {name}: {:?}", env.get(name));
        }
    }
}

#[test]
fn each_release_of_the_dnf_family_has_its_key_and_database() {
    let env = |os: &str, release: &str| {
        let (_, tree, _) = build(&[os], "amd64");
        let files: Vec<_> = tree.environment.iter().map(|h| &h.path).collect();
        let initial = [("ARCH", "amd64"), ("DIB_RELEASE", release)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let env = environment::evaluate(&files, &BTreeMap::from(initial)).unwrap();
        ["DIB_RELEASE", "IMAGE_RPM_DATABASE", "IMAGE_RPM_KEY_FINGERPRINT"]
            .map(|name| env.known(name).unwrap_or("unknown").to_owned())
    };
    let (var, usr) = ("/var/lib/rpm", "/usr/lib/sysimage/rpm");
    let (rocky9, rocky10) = ("21CB256AE16FC54C6E652949702D426D350D275D", "FC226859C0860BF0DDB95B085B106C736FEDFC85");
    let centos = "99DB70FAE1D7CE227FB6488205B555B38483C65D";
    assert_eq!(env("rocky-minimal", "9"), ["9", var, rocky9]);
    assert_eq!(env("rocky-minimal", "9.4"), ["9.4", var, rocky9]);
    assert_eq!(env("rocky-minimal", "10.1"), ["10.1", usr, rocky10]);
    assert_eq!(env("centos-minimal", "9"), ["9-stream", var, centos]);
    assert_eq!(env("centos-minimal", "10-stream"), ["10-stream", usr, centos]);
    assert_eq!(env("fedora-minimal", "44"), ["44", usr, "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"]);
    assert_eq!(env("fedora-minimal", "77"), ["77", usr, ""]);
}

#[test]
fn bash_agrees_with_what_the_plan_tells_about_the_environment() {
    for os in alternatives(OPERATING_SYSTEM) {
        bash_agrees(&["vm", &os, "cloud-init", "devuser", "dhcp-all-interfaces", "epel"]);
        bash_agrees(&["vm", &os, "growvols", "pip-and-virtualenv", "pip-cache", "simple-init"]);
    }
}

#[track_caller]
fn bash_agrees(elements: &[&str]) {
    let (_, tree, _) = build(elements, "amd64");
    // The last two are for systems that their callers describe (containerfile, replace-partition).
    let mut initial =
        BTreeMap::from([("ARCH", "amd64"), ("FS_TYPE", "ext4"), ("HOME", "/root"), ("IMAGE_NAME", "image")]);
    initial.extend([("DISTRO_NAME", "debian"), ("DIB_INIT_SYSTEM", "systemd")]);
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", "set -ue -o pipefail; for f in \"$@\"; do . \"$f\"; done >&2; env -0", "bash"]);
    bash.args(tree.environment.iter().map(|h| &h.path)).env_clear().envs(&initial).env("PATH", "/usr/bin:/bin");
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let real: BTreeMap<&str, &str> = text.split('\0').filter_map(|line| line.split_once('=')).collect();

    let files: Vec<_> = tree.environment.iter().map(|h| &h.path).collect();
    let initial = initial.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let told = environment::evaluate(&files, &initial).unwrap();
    for (name, value) in &told.values {
        if let Some(known) = value.known() {
            assert_eq!(real.get(name.as_str()), Some(&known), "{name}");
        }
    }
    let untold: Vec<_> =
        real.keys().filter(|n| told.get(n).is_none() && !["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(n)).collect();
    assert_eq!(untold, Vec::<&&str>::new());
}
