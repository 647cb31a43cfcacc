//! Where the key of the packages comes from, and that there is no way around it.

use std::fs;

use super::{build, packages, probes, sandbox, unpack};
use crate::support::Standin;

/// The stand-in's fingerprint as people write it: in groups, lower case.
fn fingerprint(standin: &Standin) -> String {
    let text = fs::read_to_string(standin.mirror().join("../standin.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let digits = value["fingerprint"].as_str().unwrap().to_lowercase();
    let groups: Vec<&str> = digits.as_bytes().chunks(4).map(|four| std::str::from_utf8(four).unwrap()).collect();
    groups.join(" ")
}

#[test]
fn the_key_can_be_given_as_text() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_ROCKY_GPG_KEY", &fs::read_to_string(standin.key()).unwrap());
    build(&sandbox, "rocky-minimal", "x").succeeded();
    sandbox.assert_clean();
    sandbox.env("DIB_ROCKY_GPG_KEY", "/no/such/key");
    build(&sandbox, "rocky-minimal", "x").failed(1).says("/no/such/key, cannot be read");
    sandbox.assert_clean();
}

#[test]
fn the_key_of_the_release_package_is_taken_for_its_fingerprint_only() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_ROCKY_GPG_KEY", "");
    // Rocky's own fingerprint: the stand-in is signed by someone else.
    let refused = build(&sandbox, "rocky-minimal", "x").failed(1);
    refused
        .says("lacks the key 21CB256AE16FC54C6E652949702D426D350D275D")
        .says(&format!("RPM-GPG-KEY-Rocky-9 holds {}", fingerprint(&standin).replace(' ', "").to_uppercase()))
        .does_not_say("Running transaction");
    sandbox.assert_clean();

    sandbox.env("DIB_ROCKY_GPG_FINGERPRINT", &fingerprint(&standin));
    build(&sandbox, "rocky-minimal", "x").succeeded().says("in the package rocky-gpg-keys");
    assert!(packages(&unpack(&sandbox, "x")).len() > 5);
    sandbox.assert_clean();
}

#[test]
fn a_release_that_is_not_known_needs_a_key() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_ROCKY_GPG_KEY", "").env("DIB_RELEASE", "8");
    build(&sandbox, "rocky-minimal", "x")
        .failed(1)
        .says("The key of rocky 8 is not known to this element: set DIB_ROCKY_GPG_KEY or DIB_ROCKY_GPG_FINGERPRINT");
    sandbox.assert_clean();
}

#[test]
fn gpgcheck_cannot_be_turned_off() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    let file = probes::repository_file(&sandbox.path(""), false, "gpgcheck = 0");
    sandbox.env("DIB_YUM_MINIMAL_EXTRA_REPOS", &file.to_string_lossy());
    build(&sandbox, "rocky-minimal", "x").succeeded().says("probes.repo: signatures are checked all the same");
    sandbox.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "probe");
    build(&sandbox, "rocky-minimal", "x").failed(1).says("probe-1-1.noarch.rpm is not signed");
    sandbox.assert_clean();
}

#[test]
fn a_package_file_that_is_named_is_checked_too() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    probes::repository_file(&sandbox.path(""), false, "");
    let file = sandbox.path("probes/repository/noarch/probe-1-1.noarch.rpm");
    sandbox.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", &file.to_string_lossy());
    build(&sandbox, "rocky-minimal", "x").failed(1).says("probe-1-1.noarch.rpm is not signed");
    sandbox.assert_clean();
}

#[test]
fn a_repository_file_names_its_own_key() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    let file = sandbox.path("own.repo");
    let os = format!("[own]\nname=Own\nbaseurl={}/9/BaseOS/$basearch/os\n", standin.url());
    fs::write(&file, format!("{os}gpgkey=file://{}\n", standin.key().display())).unwrap();
    sandbox.env("DIB_YUM_REPO_CONF", &file.to_string_lossy()).env("DIB_ROCKY_GPG_KEY", "");
    build(&sandbox, "rocky-minimal", "x").succeeded().does_not_say("rocky-gpg-keys in");
    // One that names none falls back to the release package.
    fs::write(&file, os).unwrap();
    build(&sandbox, "rocky-minimal", "x").failed(1).says("lacks the key 21CB256AE16FC54C6E652949702D426D350D275D");
    sandbox.assert_clean();
}
