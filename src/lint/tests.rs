//! Elements with one of each mistake, and the built-in ones, which have none.

use std::path::Path;

use super::*;
use crate::element::fixture::Elements;

/// A script that every check is content with.
const HOOK: &str = "#!/bin/bash\nif [ \"${DIB_DEBUG_TRACE:-0}\" -gt 0 ]; then set -x; fi\nset -eu\nset -o pipefail\n";

fn scope(paths: &[PathBuf], builtin: Option<&Path>) -> Scope {
    let (catalog, _) = ElementCatalog::load(paths, builtin).unwrap();
    let elements = catalog.iter().cloned().collect();
    Scope { elements, catalog, ..Default::default() }
}

/// `CHECK FILE:LINE` of each finding in these elements.
fn found(elements: &Elements) -> Vec<String> {
    let base = elements.path();
    let shown = |finding: &Finding| {
        let place = finding.fault.place.as_ref().unwrap();
        let file = place.file.strip_prefix(&base).unwrap().display().to_string();
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{} {file}{line}", finding.check.name())
    };
    run(&scope(std::slice::from_ref(&base), None)).findings.iter().map(shown).collect()
}

/// An element `e` with a README and this file.
fn one(path: &str, text: &str, mode: u32) -> Vec<String> {
    let elements = Elements::new();
    elements.file("e/README.rst", "=\ne\n=\n\nSet CALLERS_OWN.\n", 0o644).file(&format!("e/{path}"), text, mode);
    found(&elements)
}

#[test]
fn the_built_in_elements_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut scope = scope(&[], Some(&root.join("elements")));
    scope.shared = SharedMaps::load(&root.join("package-maps")).unwrap();
    assert_eq!(run(&scope).to_text(), "PASS");
}

#[test]
fn files_of_an_element() {
    let elements = Elements::new();
    elements.file("e/element-deps", "f\ne\n", 0o644).file("f/README.rst", "x", 0o644);
    assert_eq!(found(&elements), ["readme e/README.rst", "depsorder e/element-deps:2", "newline f/README.rst"]);
    assert_eq!(one("notes.md", "", 0o644), ["mddocs e/notes.md"]);
    assert_eq!(one("source-repository-x", "x git /x https://x", 0o644), ["sourcerepository e/source-repository-x"]);
    assert_eq!(one("x.yaml", "a: [\n", 0o644), ["yaml e/x.yaml:2"]);
    assert_eq!(one("pkg-map", "{\n\"a\": {},\n}\n", 0o644).last().unwrap(), "pkgmapjson e/pkg-map:3");
    assert_eq!(one("element-deps", "no-such\n", 0o644), ["definition e/element-deps:1"]);
    assert_eq!(one("package-installs.yaml", "x:\n  phase: install\n", 0o644), ["definition e/package-installs.yaml:2"]);
}

#[test]
fn scripts() {
    let hook = |text: &str| one("install.d/50-x", text, 0o755);
    assert_eq!(hook(HOOK), [""; 0]);
    let strict = ["sete", "setu", "setpipefail", "dibdebugtrace"].map(|check| format!("{check} e/install.d/50-x"));
    assert_eq!(hook("#!/bin/bash\n"), strict);
    assert_eq!(hook("#!/usr/bin/env bash\n"), ["interpreter e/install.d/50-x:1"]);
    assert_eq!(
        hook("#!/bin/bash\n# dib-lint: disable=sete setu\n# dib-lint: disable=setpipefail dibdebugtrace\n"),
        [""; 0]
    );
    assert_eq!(hook("#!/bin/sh\nif true; then\n  echo\nfi\n"), ["indent e/install.d/50-x:3"]);
    assert_eq!(hook("#!/bin/sh\n    \techo"), ["newline e/install.d/50-x", "tabindent e/install.d/50-x:2"]);
    assert_eq!(hook("#!/bin/sh\nexport A=\"$(date)\"\n# export A=$(date)\n"), ["exportsubst e/install.d/50-x:2"]);
    let which = "#!/bin/sh\nx=$(which ls)\necho one, which is\nif ! which ls; then :; fi\nwhich ls # dib-lint: which\n";
    assert_eq!(hook(which), ["which e/install.d/50-x:2", "which e/install.d/50-x:4"]);
    let sudo = "#!/bin/sh\nsudo rm /x\nsudo rm \\\n    $TARGET_ROOT/x\nsudo rm $TARGET_ROOT/x\n# sudo x\nsudo x # dib-lint: safe_sudo\n";
    assert_eq!(one("root.d/50-x", sudo, 0o755), ["safe_sudo e/root.d/50-x:2"]);
    assert_eq!(hook(sudo), [""; 0]);
    assert_eq!(
        one("environment.d/10-x", "set -x\n", 0o755),
        ["environment e/environment.d/10-x", "environment e/environment.d/10-x:1"]
    );
}

#[test]
fn python_is_left_to_others() {
    let elements = Elements::new();
    elements.file("e/README.rst", "e\n", 0o644).file("e/bin/x", "#!/usr/bin/env python3\nif x:\n  y\n", 0o755);
    let report = run(&scope(&[elements.path()], None));
    assert_eq!((report.findings.len(), report.python), (0, vec![elements.path().join("e/bin/x")]));
}

#[test]
fn what_never_runs() {
    assert_eq!(
        one("install.d/50-x", "#!/bin/sh\n", 0o644),
        ["neverruns e/install.d/50-x", "executable e/install.d/50-x:1"]
    );
    assert_eq!(one("install.d/50-x.sh", "#!/bin/sh\n", 0o755), ["neverruns e/install.d/50-x.sh"]);
    assert_eq!(one("finalize.d/50-x", "#!/bin/sh\n", 0o755), ["phase e/finalize.d"]);
    assert_eq!(one("pre_install.d/50-x", "#!/bin/sh\n", 0o755), ["phase e/pre_install.d"]);
    assert_eq!(one("install/50-x", "#!/bin/sh\n", 0o755), ["phase e/install"]);
    assert_eq!(one("deploy.d/50-x", "#!/bin/sh\n", 0o755), ["phase e/deploy.d"]);
    assert_eq!(one("install.d/motd", "hello\n", 0o644), ["phasedata e/install.d/motd"]);
    assert_eq!(one("install.d/files/motd", "hello\n", 0o644), ["phasedata e/install.d/files"]);
    for fine in ["install.d/package-installs-e", "install.d/e-source-install/50-x", "init.d/10-x", "files/x.sh"] {
        assert_eq!(one(fine, "#!/bin/sh\n", 0o755), [""; 0], "{fine}");
    }
}

#[test]
fn variables_that_nothing_sets() {
    let hook = |text: &str| one("install.d/50-x", &format!("{HOOK}{text}"), 0o755);
    assert_eq!(
        hook("echo $tempdir\nread -r a <<<\"$b\"\necho $b\n"),
        ["unset e/install.d/50-x:5", "unset e/install.d/50-x:6"]
    );
    for fine in [
        "x=1; echo $x",
        "for x in a; do echo $x; done",
        "echo ${x:-}",
        "if [ -n \"${x:-}\" ]; then echo $x; fi",
        "echo $CALLERS_OWN $DIB_RELEASE $HOME",
        ". /etc/os-release\necho $PRETTY_NAME",
        "set +u\necho $x",
        "echo '$x' \\$x",
    ] {
        assert_eq!(hook(&format!("{fine}\n")), [""; 0], "{fine}");
    }
    assert_eq!(one("environment.d/10-x", "export A=$NOWHERE\n", 0o644), ["unset e/environment.d/10-x:1"]);
    let elements = Elements::new();
    elements.file("e/README.rst", "e\n", 0o644).file("f/README.rst", "f\n", 0o644);
    elements.file("e/install.d/50-x", &format!("{HOOK}echo $FROM_F\n"), 0o755);
    elements.file("f/environment.d/10-f", "export FROM_F=1\n", 0o644);
    assert_eq!(found(&elements), [""; 0]);
}

#[test]
fn missing_rows_of_a_map() {
    let elements = Elements::new();
    elements.file("e/README.rst", "e\n", 0o644).file("e/package-installs.yaml", "a:\nb:\nc:\nd:\n", 0o644).file(
        "e/pkg-map",
        r#"{"family": {"redhat": {"a": "x", "b": "y"}, "suse": {"a": "z"}}, "distro": {"debian": {"d": "w"}}, "default": {"d": "v"}}"#,
        0o644,
    );
    let report = run(&scope(&[elements.path()], None));
    let said: Vec<_> = report.findings.iter().map(|f| f.fault.message.as_str()).collect();
    assert_eq!(said, ["'a' has no row for debian in the pkg-map", "'b' has no row for debian and suse in the pkg-map"]);
}

#[test]
fn a_report_is_text_or_json_and_checks_can_be_turned_off_everywhere() {
    let elements = Elements::new();
    elements.file("e/README.rst", "e\n", 0o644).file("e/install.d/50-x.sh", "#!/bin/sh\n  :\n", 0o755);
    let mut scope = scope(&[elements.path()], None);
    let report = run(&scope);
    let path = elements.path().join("e/install.d/50-x.sh").display().to_string();
    let text = report.to_text();
    assert!(text.starts_with(&format!("WARNING: {path}: 'install.d/50-x.sh' of element 'e' will not run")), "{text}");
    assert!(text.contains("    hint: rename it\n") && text.contains(&format!("ERROR: {path}:2: indented")), "{text}");
    assert!(text.ends_with("*** FAIL: Some tests failed!"), "{text}");
    let json = report.to_json();
    assert_eq!(json["findings"][1]["check"], "indent");
    assert_eq!(json["findings"][1]["line"], 2);
    assert_eq!(json["findings"][0]["severity"], "warning");
    scope.disabled = vec!["indent".into()];
    assert!(run(&scope).to_text().ends_with("PASS"));
    scope.ignored = [elements.path().join("e/install.d/50-x.sh")].into();
    assert_eq!(run(&scope).findings, []);
}
