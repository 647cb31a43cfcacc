//! CLI tier: arguments, names and bad input (contract 1.2, 10.5); nothing here needs root.

mod support;

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use support::{SHORT, Sandbox, image_create, run};

/// Runs the program under another name.
fn as_name(sandbox: &Sandbox, name: &str, args: &[&str]) -> support::Outcome {
    let link = sandbox.path(name);
    if !link.exists() {
        symlink(image_create(), &link).unwrap();
    }
    sandbox.spawn_as(&link, args).wait(SHORT)
}

#[test]
fn c1_usage_errors_help_and_version() {
    let sandbox = Sandbox::new();
    as_name(&sandbox, "disk-image-create", &[])
        .failed(1)
        .says("At least one distribution root element must be specified");
    as_name(&sandbox, "disk-image-create", &["--no-such-option", "vm"]).failed(1).says("--no-such-option");
    as_name(&sandbox, "disk-image-create", &["-h"]).succeeded().prints("--image-size");
    as_name(&sandbox, "disk-image-create", &["--version"]).succeeded().prints(env!("CARGO_PKG_VERSION"));
    // Under its own name a mistake in the request is 2.
    run(["build"]).failed(2).says("At least one distribution root element");
    run(["--no-such-option", "vm"]).failed(2);
    run(["--help"]).succeeded().prints("VERB");
    run(["--version"]).succeeded().prints(env!("CARGO_PKG_VERSION"));
}

#[test]
fn c2_options_may_stand_anywhere_and_be_shortened() {
    let sandbox = Sandbox::new();
    let args = ["plan", "--format", "json", "vm", "-a", "amd64", "--image-s", "5", "debian-minimal", "--image-size=6"];
    sandbox.run(&args[..9]).succeeded().prints("\"size_gib\": 5.0");
    // --image alone could be several.
    sandbox.run(["plan", "--image", "5", "vm", "debian-minimal"]).failed(2);
    sandbox.run(["plan", "--mkfs-journal-size", "32", "--image-extra-size", "100", "vm", "debian-minimal"]).succeeded();
    sandbox.run(["plan", "-xxnu", "-t", "qcow2", "debian-minimal"]).succeeded();
}

#[test]
fn an_element_with_a_verbs_name_is_reached() {
    let sandbox = Sandbox::new();
    sandbox.element("plan").provides(&["operating-system"]);
    sandbox.run(["element", "show", "plan"]).succeeded();
    // The request is complete; what fails is the lack of a tree (as root) or of the privilege.
    let outcome = sandbox.run(["build", "-n", "-t", "tar", "plan"]);
    assert!([1, 3].contains(&outcome.code), "{outcome:?}");
}

#[test]
fn unknown_elements_are_answered_with_near_names() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(["plan", "vmm", "debian-minimla"]).failed(2);
    outcome.says("Element 'vmm' not found").says("Element 'debian-minimla' not found").says("debian-minimal");
}

#[test]
fn mistakes_in_elements_come_with_file_and_line() {
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("deps").file("element-deps", "base\nno-such-thing\n");
    sandbox.run(["plan", "-n", "fake-os", "deps"]).failed(2).says("deps/element-deps:2").says("no-such-thing");
    sandbox.element("json").file("package-installs.json", "{\"a\": {\"phase\": \"install.d\"\n");
    sandbox.run(["plan", "-n", "fake-os", "json"]).failed(2).says("package-installs.json:2:1");
    sandbox.element("yaml").file("package-installs.yaml", "a:\n  phase: [install.d\nb:\n");
    sandbox.run(["plan", "-n", "fake-os", "yaml"]).failed(2).says("package-installs.yaml:3");
    sandbox.element("when").file("package-installs.yaml", "a:\n  when: DIB_NO_SUCH = 1\n");
    sandbox.run(["plan", "-n", "fake-os", "when"]).failed(2).says("The variable <DIB_NO_SUCH> is not set").says(":2");
    sandbox
        .element("layout")
        .provides(&["block-device"])
        .file("block-device-default.yaml", "- local_loop:\n    name: image0\n    partitionin: {}\n");
    let outcome = sandbox.run(["plan", "-n", "fake-os", "layout"]);
    outcome.failed(2).says("block-device-default.yaml");
}

#[test]
fn two_providers_no_system_and_bad_paths() {
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("other-os").provides(&["operating-system"]);
    sandbox
        .run(["plan", "fake-os", "other-os"])
        .failed(2)
        .says("operating-system: already provided by")
        .says("other-os");
    sandbox.run(["plan", "base"]).failed(2).says("Please include an operating system element");
    let mut bad = Sandbox::new();
    let path = format!("{}:/not/a/dir", bad.path("elements").display());
    bad.env("ELEMENTS_PATH", &path);
    bad.run(["plan", "vm"]).failed(2).says("ELEMENTS_PATH entry '/not/a/dir' is not a directory");
}

#[test]
fn formats_that_nobody_knows_are_told_before_the_build() {
    run(["plan", "-t", "qcow3", "vm", "debian-minimal"]).failed(2).says("qcow3").says("qcow2");
    run(["plan", "-t", "docker", "vm", "debian-minimal"]).failed(2).says("--docker-target");
}

#[test]
fn without_root_a_build_ends_with_3_and_says_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let mut command = Command::new(image_create());
    command.args(["-n", "-t", "tar", "fake-os"]).env("ELEMENTS_PATH", sandbox.path("elements")).current_dir("/tmp");
    if nix::unistd::geteuid().is_root() {
        // The tests' own directory may be closed to others: nobody runs a copy that it may read.
        let copy = tempfile::Builder::new().prefix("image-create.").tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(copy.path(), open).unwrap();
        let program = copy.path().join("image-create");
        std::fs::copy(image_create(), &program).unwrap();
        let out = Command::new(&program)
            .args(["-n", "-t", "tar", "debian-minimal"])
            .env("HOME", copy.path())
            .env("DIB_IMAGE_CACHE", "/tmp/image-create-nobody")
            .uid(65534)
            .gid(65534)
            .current_dir("/tmp")
            .output()
            .unwrap();
        std::fs::remove_dir_all("/tmp/image-create-nobody").ok();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(3), "{said}");
        assert!(said.contains("needs root") && said.contains("hint:"), "{said}");
    } else {
        let out = command.output().unwrap();
        assert_eq!(out.status.code(), Some(3));
    }
}

#[test]
fn a_missing_destination_is_told_before_the_build() {
    if support::skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os().hook("root.d/00-ran", "echo it began");
    sandbox.run(["-n", "-t", "tar", "-o", "no/such/dir/x", "fake-os"]).failed(3).does_not_say("it began");
    sandbox.run(["-n", "-t", "tar", "--logfile", "/no/such/dir/log", "fake-os"]).failed(3).does_not_say("it began");
}

#[test]
fn a_missing_tool_is_told_with_what_it_is_for() {
    if support::skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os().hook("root.d/00-ran", "echo it began");
    sandbox.element("wants").file("host-tools", "no-such-program-anywhere\n");
    let outcome = sandbox.run(["-n", "-t", "tar", "fake-os", "wants"]).failed(3);
    outcome.says("no-such-program-anywhere").says("wants").does_not_say("it began");
    sandbox.run(["doctor", "fake-os", "wants"]).failed(3).prints("no-such-program-anywhere");
}

#[test]
fn elements_can_be_looked_at() {
    run(["element", "list"]).succeeded().prints("debian-minimal");
    run(["element", "show", "bootloader"]).succeeded().prints("DIB_GRUB_TIMEOUT");
    let deps = run(["element", "deps", "vm", "debian-minimal"]).succeeded().stdout;
    let names: Vec<_> = deps.lines().collect();
    assert!(names.contains(&"debootstrap") && names.contains(&"block-device-mbr"), "{names:?}");
    let place = |n| names.iter().position(|e| *e == n).unwrap();
    assert!(place("debootstrap") < place("debian-minimal"));
    run(["element", "show", "no-such"]).failed(2);
}

#[test]
fn completions_and_a_man_page_come_from_the_definition() {
    run(["completions", "bash"]).succeeded().prints("--image-size");
    run(["man"]).succeeded().prints(".TH image-create");
}
