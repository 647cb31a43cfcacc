//! Contract 10.3, P1 to P8 and P14, and the documented differences.

use std::collections::BTreeMap;

use super::super::{Var, known};
use super::*;

/// A directory of elements, written for one test.
struct Elements {
    dir: tempfile::TempDir,
    list: Vec<(String, PathBuf)>,
}

impl Elements {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut elements = Self { dir: tempfile::tempdir().unwrap(), list: Vec::new() };
        for (element, yaml) in files {
            elements.file(element, "package-installs.yaml", yaml);
        }
        elements
    }

    fn file(&mut self, element: &str, name: &str, text: &str) {
        let dir = self.dir.path().join(element);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
        if !self.list.iter().any(|(name, _)| name == element) {
            self.list.push((element.to_owned(), dir));
        }
    }

    fn squash(&self, environment: &[(&str, &str)]) -> Result<(Squashed, Vec<Fault>), Faults> {
        let environment: BTreeMap<_, _> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        squash(&self.list, &known(&environment))
    }

    fn install_d(&self, environment: &[(&str, &str)]) -> PhasePackages {
        self.squash(environment).unwrap().0.phase(Phase::Install).clone()
    }
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|e| format!("{}@{}", e.package, e.element)).collect()
}

#[test]
fn p1_a_package_without_parameters_is_installed_in_install_d() {
    let elements = Elements::new(&[("el", "pkg: ''\npkg2:\n")]);
    let (squashed, warnings) = elements.squash(&[]).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(squashed.to_json(), json!({"install.d": {"install": [["pkg", "el"], ["pkg2", "el"]], "uninstall": []}}));
}

#[test]
fn p2_architectures() {
    let elements = Elements::new(&[("el", "a: {arch: arm64}\nb: {not-arch: arm64}\n")]);
    assert_eq!(names(&elements.install_d(&[("ARCH", "arm64")]).install), ["a@el"]);
    assert_eq!(names(&elements.install_d(&[("ARCH", "amd64")]).install), ["b@el"]);
}

#[test]
fn p3_a_list_of_parameters_is_a_list_of_wishes() {
    let kernel = "
linux-image-generic:
  - not-arch: arm64
  - arch: arm64
    when: DIB_RELEASE != xenial
linux-generic-hwe-16.04:
  - arch: arm64
    when: DIB_RELEASE = xenial
";
    let elements = Elements::new(&[("el", kernel)]);
    let on = |arch, release| names(&elements.install_d(&[("ARCH", arch), ("DIB_RELEASE", release)]).install);
    assert_eq!(on("x86_64", "focal"), ["linux-image-generic@el"]);
    assert_eq!(on("arm64", "xenial"), ["linux-generic-hwe-16.04@el"]);
    assert_eq!(on("arm64", "focal"), ["linux-image-generic@el"]);
}

#[test]
fn p4_when() {
    let yaml =
        "a: {when: DIB_FEATURE=0}\nb: {when: DIB_FEATURE=1}\nc: {when: DIB_FEATURE!=0}\nd: {when: DIB_FEATURE!=1}\n";
    let elements = Elements::new(&[("el", yaml)]);
    assert_eq!(names(&elements.install_d(&[("DIB_FEATURE", "1")]).install), ["b@el", "c@el"]);
}

#[test]
fn p5_when_on_an_unset_variable_is_a_fault_with_its_place() {
    let elements = Elements::new(&[("el", "a:\n  phase: install.d\n  when: DIB_FEATURE = 1\n")]);
    let faults = elements.squash(&[]).unwrap_err();
    assert_eq!(faults.0.len(), 1);
    assert_eq!(faults.0[0].message, "The variable <DIB_FEATURE> is not set");
    assert_eq!(faults.0[0].place.as_ref().unwrap().line, Some(3));
}

#[test]
fn p6_all_when_lines_must_hold() {
    let elements = Elements::new(&[("el", "a:\n  when:\n    - A = 1\n    - B = 2\n    - C = 3\n")]);
    assert_eq!(names(&elements.install_d(&[("A", "1"), ("B", "2"), ("C", "3")]).install), ["a@el"]);
    assert_eq!(names(&elements.install_d(&[("A", "1"), ("B", "0"), ("C", "3")]).install), Vec::<String>::new());
}

#[test]
fn p7_build_only_after_a_plain_install_only_installs() {
    let elements = Elements::new(&[("el1", "pkg:\n"), ("el2", "pkg: {build-only: true}\n")]);
    let packages = elements.install_d(&[]);
    assert_eq!(names(&packages.install), ["pkg@el1", "pkg@el2"]);
    assert!(packages.uninstall.is_empty());
}

#[test]
fn p8_a_plain_install_takes_an_earlier_build_only_back() {
    let elements = Elements::new(&[("el1", "pkg: {build-only: true}\n"), ("el2", "pkg:\n")]);
    let packages = elements.install_d(&[]);
    assert_eq!(names(&packages.install), ["pkg@el1", "pkg@el2"]);
    assert!(packages.uninstall.is_empty());
}

#[test]
fn uninstalls_are_settled_per_phase() {
    let yaml = "a: {uninstall: true}\nb: {uninstall: true, phase: post-install.d}\n";
    let elements = Elements::new(&[("el1", "a:\nb:\n"), ("el2", yaml)]);
    let (squashed, _) = elements.squash(&[]).unwrap();
    assert!(squashed.phase(Phase::Install).uninstall.is_empty());
    assert_eq!(names(&squashed.phase(Phase::PostInstall).uninstall), ["b@el2"]);
}

#[test]
fn an_install_that_is_filtered_out_does_not_cancel_an_uninstall() {
    let elements = Elements::new(&[("el1", "pkg: {uninstall: true}\n"), ("el2", "pkg: {arch: s390x}\n")]);
    assert_eq!(names(&elements.install_d(&[("ARCH", "amd64")]).uninstall), ["pkg@el1"]);
}

#[test]
fn p14_only_the_directories_given_are_read_so_an_overridden_element_has_no_say() {
    let mut elements = Elements::new(&[("el", "mine:\n")]);
    // The same name elsewhere on the path is not in the list.
    fs::create_dir_all(elements.dir.path().join("elsewhere/el")).unwrap();
    fs::write(elements.dir.path().join("elsewhere/el/package-installs.yaml"), "theirs:\n").unwrap();
    assert_eq!(names(&elements.install_d(&[]).install), ["mine@el"]);
    // Both formats count, JSON first.
    elements.file("el", "package-installs.json", r#"{"from-json": null}"#);
    assert_eq!(names(&elements.install_d(&[]).install), ["from-json@el", "mine@el"]);
}

#[test]
fn an_unknown_variable_keeps_the_entry_and_says_on_what_it_depends() {
    let elements = Elements::new(&[
        ("el1", "gone: {uninstall: true}\n"),
        ("el2", "pkg: {when: [A = 1, B != 2]}\ngone: {when: A = 1}\nnever: {when: [C = 1, A = 1]}\n"),
    ]);
    let lookup = |name: &str| match name {
        "B" => Var::Set("3".into()),
        "C" => Var::Set("0".into()),
        _ => Var::Unknown,
    };
    let (squashed, _) = squash(&elements.list, &lookup).unwrap();
    let packages = squashed.phase(Phase::Install);
    assert_eq!(names(&packages.install), ["pkg@el2", "gone@el2"]);
    assert_eq!(packages.install[0].conditions, ["A = 1"]);
    assert_eq!(packages.uninstall[0].conditions, ["not A = 1"]);
}

#[test]
fn the_faults_of_all_elements_come_together() {
    let elements = Elements::new(&[("el1", "a: {when: X}\n"), ("el2", "b: ["), ("el3", "c: {phase: nope}\n")]);
    assert_eq!(elements.squash(&[]).unwrap_err().0.len(), 2);
}
