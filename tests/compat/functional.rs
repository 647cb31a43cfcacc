//! diskimage-builder's own functional tests of elements (`elements/*/test-elements/*`), those that need nothing but
//! Debian's archive, run as its test runner does (contract 1.10). docs/compatibility.md names the others.

use crate::support::bootstrap;
use crate::support::trees::{self, Archives, UPSTREAM, skip_without_archives, skip_without_trees};
use crate::support::{LONG, Outcome, Sandbox, skip_without, skip_without_root};

const SENTINEL: &str = "dib-test-should-fail";

/// Builds `element` with its `test`; `first` is searched before upstream's tree.
fn build(sandbox: &mut Sandbox, element: &str, test: &str, first: &str) -> Outcome {
    let tests = UPSTREAM.path().join(element).join("test-elements");
    let format = std::fs::read_to_string(tests.join(test).join("test-output-formats"));
    let format = format.map_or_else(|_| "tar".to_owned(), |text| text.trim().replace([' ', '\n'], ","));
    let path = [tests.display().to_string(), first.to_owned(), trees::elements_path(&[UPSTREAM])];
    let path: Vec<String> = path.into_iter().filter(|dir| !dir.is_empty()).collect();
    let copy = format!("cp -v $TMP_MOUNT_PATH/tmp/{SENTINEL} {}", sandbox.path("out").display());
    let script = sandbox.path("copy-sentinel");
    std::fs::write(&script, format!("#!/bin/bash\n{copy} || true\n")).unwrap();
    sandbox
        .env("ELEMENTS_PATH", &path.join(":"))
        .env("break", "after-error")
        .env("break_outside_target", "1")
        .env("break_cmd", &format!("bash {}", script.display()));
    sandbox.run_long(["-n", "-t", &format, "-o", "image", element, test])
}

#[test]
fn c11_apt_sources_test_sources() {
    if skip_without_root() || skip_without_trees(&[UPSTREAM]) {
        return;
    }
    let mut sandbox = Sandbox::new();
    // No archive of Ubuntu is needed to see what is in /etc/apt: a small system of its name does.
    sandbox.fake_os();
    sandbox
        .element("ubuntu-minimal")
        .deps(&["fake-os"])
        .exports("DIB_INIT_SYSTEM", "systemd")
        .hook("root.d/20-apt", "mkdir -p $TARGET_ROOT/etc/apt");
    let first = sandbox.path("elements").display().to_string();
    let outcome = build(&mut sandbox, "apt-sources", "test-sources", &first);
    assert_ne!(outcome.code, 0, "{}", outcome.stderr);
    assert!(sandbox.path("out").join(SENTINEL).exists(), "{}", outcome.stderr);
    // The test makes a temporary file for each phase, and leaves them.
    for file in glob::glob(&sandbox.path("tmp/tmp.*").display().to_string()).unwrap().flatten() {
        std::fs::remove_file(file).unwrap();
    }
    sandbox.assert_clean();
}

/// Builds a test that is to succeed, of Debian's `release`.
fn succeeds(element: &str, test: &str, release: &'static str) {
    if skip_without_root()
        || skip_without_trees(&[UPSTREAM])
        || skip_without_archives()
        || skip_without(&["mmdebstrap", "debootstrap"])
    {
        return;
    }
    let mut sandbox = Sandbox::new();
    for (name, value) in Archives::of_host().unwrap().variables(release) {
        sandbox.env(name, value);
    }
    if release == "bookworm" {
        bootstrap::give_to(&mut sandbox, "debian", release);
    } else {
        sandbox.env("DIB_MMDEBSTRAP_EXTRA_ARGS", &bootstrap::small_initramfs());
    }
    let outcome = build(&mut sandbox, element, test, "").succeeded();
    assert!(outcome.time < LONG);
    assert!(!sandbox.path("out").join(SENTINEL).exists());
    let tar = std::fs::metadata(sandbox.path("out/image.tar")).unwrap();
    assert!(tar.len() > 100 << 20, "{} bytes", tar.len());
    sandbox.assert_clean();
}

#[test]
fn debian_build_succeeds() {
    succeeds("debian", "build-succeeds", "stable");
}

#[test]
fn debian_minimal_bookworm_build_succeeds() {
    // It has an architecture in its name, and builds for the one that it runs on.
    succeeds("debian-minimal", "bookworm-arm64-build-succeeds", "bookworm");
}
