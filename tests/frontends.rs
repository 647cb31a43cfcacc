//! The commands that keep diskimage-builder's names (contract part 1; cases by id). Nothing here needs root.

mod support;

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use support::{Outcome, SHORT, Sandbox, image_create, repository};

/// The program under another name.
fn link(sandbox: &Sandbox, name: &str) -> PathBuf {
    let link = sandbox.path(name);
    if !link.exists() {
        symlink(image_create(), &link).unwrap();
    }
    link
}

fn as_name(sandbox: &Sandbox, name: &str, args: &[&str]) -> Outcome {
    sandbox.spawn_as(&link(sandbox, name), args).wait(SHORT)
}

/// Writes `out/NAME`, where programs are started.
fn yaml(sandbox: &Sandbox, name: &str, text: &str) {
    std::fs::write(sandbox.path("out").join(name), text).unwrap();
}

/// Two images that cannot be built: their elements do not exist.
const TWO: &str = "
- imagename: one
  environment: {DIB_RELEASE: '9'}
  elements: [no-such-one]
- imagename: two
  elements: [no-such-two]
";

#[test]
fn c6_a_dry_run_prints_the_commands_and_runs_nothing() {
    let sandbox = Sandbox::new();
    yaml(&sandbox, "two.yaml", TWO);
    let outcome = as_name(&sandbox, "diskimage-builder", &["--dry-run", "two.yaml"]).succeeded();
    let expected = "DIB_RELEASE=9 disk-image-create -o one no-such-one\n\ndisk-image-create -o two no-such-two\n\n";
    assert_eq!((outcome.stderr.as_str(), outcome.stdout.as_str()), (expected, ""));
}

#[test]
fn c6_builds_go_on_after_a_failure_unless_that_is_to_stop_them() {
    let sandbox = Sandbox::new();
    yaml(&sandbox, "two.yaml", TWO);
    let all = as_name(&sandbox, "diskimage-builder", &["two.yaml"]).failed(1);
    let all = all.says("Element 'no-such-one' not found").says("Element 'no-such-two' not found");
    // The last one that failed is told at the end.
    assert!(all.stderr.trim_end().ends_with("disk-image-create -o two no-such-two"), "{}", all.stderr);
    let first = as_name(&sandbox, "diskimage-builder", &["--stop-on-failure", "two.yaml"]).failed(1);
    first.says("Element 'no-such-one' not found").does_not_say("no-such-two");
}

#[test]
fn c5_mistakes_in_the_files_end_in_1_before_anything_runs() {
    let sandbox = Sandbox::new();
    yaml(&sandbox, "good.yaml", TWO);
    yaml(&sandbox, "bad.yaml", "- imagename: x\n  image-size: -1\n  element: [vm]\n");
    let outcome = as_name(&sandbox, "diskimage-builder", &["good.yaml", "bad.yaml"]).failed(1);
    outcome.says("bad.yaml:2").says("bad.yaml:3").says("did you mean 'elements'?").does_not_say("no-such-one");
    as_name(&sandbox, "diskimage-builder", &[]).failed(2);
    as_name(&sandbox, "diskimage-builder", &["--version"]).succeeded().prints(env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_child_runs_where_the_caller_is_with_the_variables_of_the_file() {
    let mut sandbox = Sandbox::new();
    // Without a directory of elements anywhere the request fails, and names the variable's value.
    sandbox.env("CALLERS", "kept");
    yaml(&sandbox, "x.yaml", "- environment: {ELEMENTS_PATH: /from/the/file}\n  elements: [vm]\n");
    as_name(&sandbox, "diskimage-builder", &["x.yaml"]).failed(1).says("'/from/the/file' is not a directory");
}

#[test]
fn a_ramdisk_build_begins_with_its_element_and_says_when_there_is_none() {
    let mut sandbox = Sandbox::new();
    sandbox.fake_os();
    let outcome = as_name(&sandbox, "ramdisk-image-create", &["-n", "fake-os", "--ramdisk-element", "my-ramdisk"]);
    outcome.failed(1).says("Element 'my-ramdisk' not found").says("ramdisk-image-create puts it in front");
    as_name(&sandbox, "ramdisk-image-create", &["-n"]).failed(1).says("At least one distribution root element");
    // The variable does the same; what fails now is the build itself: no privilege, or no tree.
    sandbox.env("RAMDISK_ELEMENT", "my-ramdisk");
    as_name(&sandbox, "ramdisk-image-create", &["-n", "fake-os"]).says("Element 'my-ramdisk' not found");
    as_name(&sandbox, "disk-image-create", &["-n", "no-os"]).does_not_say("my-ramdisk");
    yaml(&sandbox, "r.yaml", "- ramdisk: true\n  elements: [fake-os]\n");
    as_name(&sandbox, "diskimage-builder", &["r.yaml"]).failed(1).says("Element 'my-ramdisk' not found");
}

#[test]
fn e16_element_info_prints_names_or_what_bash_can_evaluate() {
    let mut sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("with-deps").deps(&["plain", "fake-os"]);
    sandbox.element("plain");
    let names = as_name(&sandbox, "element-info", &["with-deps"]).succeeded().stdout;
    assert_eq!(names, "fake-os plain with-deps\n");
    let program = link(&sandbox, "element-info");
    let script = format!(
        "set -eu; eval \"$({} --env with-deps)\"; eval declare -A dirs=\"($(get_image_element_array))\"\n\
         echo \"$IMAGE_ELEMENT ${{dirs[plain]}} ${{#dirs[@]}}\"; bash -c 'echo \"$IMAGE_ELEMENT_YAML\"'",
        program.display()
    );
    let elements = sandbox.path("elements").canonicalize().unwrap();
    let out = Command::new("bash").args(["-c", &script]).env("ELEMENTS_PATH", &elements).output().unwrap();
    let dir = elements.display();
    let expected = format!(
        "fake-os plain with-deps {dir}/plain 3\nfake-os: {dir}/fake-os\nplain: {dir}/plain\nwith-deps: {dir}/with-deps\n\n"
    );
    assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{}", String::from_utf8_lossy(&out.stderr));
    as_name(&sandbox, "element-info", &["plain"]).failed(1).says("Please include an operating system element");
    as_name(&sandbox, "element-info", &[]).failed(2);
    sandbox.env("ELEMENTS_PATH", "");
    as_name(&sandbox, "element-info", &["plain"]).failed(1).says("$ELEMENTS_PATH must be set.");
}

#[test]
fn usage_is_told_under_the_name_in_use() {
    let sandbox = Sandbox::new();
    for name in ["disk-image-create", "ramdisk-image-create"] {
        as_name(&sandbox, name, &["--help"]).succeeded().prints(&format!("Usage: {name} [OPTION]... ELEMENT..."));
        as_name(&sandbox, name, &["--version"]).succeeded().prints(env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn dib_lint_ends_as_it_did_and_tells_more() {
    let mut sandbox = Sandbox::new();
    let lint = |sandbox: &Sandbox, args: &[&str]| as_name(sandbox, "dib-lint", args);
    lint(&sandbox, &[]).failed(1).says("set ELEMENTS_DIR");
    let elements = sandbox.path("elements");
    sandbox.env("ELEMENTS_DIR", &elements.to_string_lossy());
    sandbox.element("e").file("README.rst", "e\n").file("install.d/50-x.sh", "x\n");
    // What diskimage-builder's linter does not find does not fail its callers.
    lint(&sandbox, &[]).succeeded().prints("WARNING: ").prints("[neverruns]").prints("PASS");
    sandbox.element("e").file("notes.md", "x\n");
    lint(&sandbox, &[]).failed(1).prints("notes.md: ").prints("*** FAIL: Some tests failed!");
    yaml(&sandbox, "tox.ini", "[dib-lint]\nignore = mddocs neverruns\n");
    assert_eq!(lint(&sandbox, &[]).succeeded().stdout, "PASS\n");
    let json = lint(&sandbox, &["--format", "json"]).succeeded().stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["passed"], true);
}

#[test]
fn element_lint_is_the_same_for_elements_by_name() {
    let sandbox = Sandbox::new();
    sandbox.element("good").file("README.rst", "e\n");
    sandbox.element("bad").file("README.rst", "e\n").file("install.d/50-x.sh", "x\n");
    sandbox.run(["element", "lint", "good"]).succeeded().prints("PASS");
    sandbox.run(["element", "lint", "good", "bad"]).failed(2).prints("bad/install.d/50-x.sh: ");
    sandbox.run(["element", "lint"]).failed(2).prints("[neverruns]");
    sandbox.run(["element", "lint", "god"]).failed(2).says("did you mean 'good'?");
    let json = sandbox.run(["element", "lint", "--format", "json"]).failed(2).stdout;
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["findings"][0]["check"], "neverruns");
    let elements = repository().join("elements");
    sandbox.run(["element", "lint", "--elements", &elements.to_string_lossy(), "vm"]).succeeded();
}

#[test]
fn what_git_ignores_is_not_checked() {
    let sandbox = Sandbox::new();
    if support::skip_without(&["git"]) {
        return;
    }
    let git = Command::new("git").args(["init", "-q"]).current_dir(sandbox.path("out")).status().unwrap();
    assert!(git.success());
    let element = sandbox.path("out/elements/e");
    std::fs::create_dir_all(&element).unwrap();
    std::fs::write(element.join("README.rst"), "e\n").unwrap();
    std::fs::write(element.join("x.md"), "e\n").unwrap();
    as_name(&sandbox, "dib-lint", &[]).failed(1).prints("elements/e/x.md");
    std::fs::write(sandbox.path("out/.gitignore"), "*.md\n").unwrap();
    as_name(&sandbox, "dib-lint", &[]).succeeded();
}
