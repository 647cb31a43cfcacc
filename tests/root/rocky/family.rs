//! CentOS Stream and Fedora, as far as the stand-in can show: their own mirror layouts with its packages.

use std::path::PathBuf;

use super::{SMALL, build, link, packages, probes, unpack};
use crate::support::{Sandbox, Standin};

/// A mirror with the stand-in's repositories at other places.
fn mirror(sandbox: &Sandbox, standin: &Standin, places: &[(&str, &str)]) -> PathBuf {
    let mirror = sandbox.path("mirror");
    for (place, repository) in places {
        link(&standin.mirror().join("9").join(repository).join("x86_64/os"), &mirror.join(place));
    }
    mirror
}

#[test]
fn centos_stream_comes_from_a_mirror_of_its_layout() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = Sandbox::new();
    let places = [("9-stream/BaseOS/x86_64/os", "BaseOS"), ("9-stream/AppStream/x86_64/os", "AppStream")];
    let mirror = mirror(&sandbox, &standin, &places);
    sandbox.env("DIB_DISTRIBUTION_MIRROR", &format!("file://{}", mirror.display()));
    sandbox.env("DIB_CENTOS_PACKAGES", SMALL);
    // The stand-in has no package centos-gpg-keys.
    build(&sandbox, "centos-minimal", "x")
        .failed(1)
        .says("in the package centos-gpg-keys")
        .says("The repositories have no package centos-gpg-keys");
    sandbox.env("DIB_CENTOS_GPG_KEY", &standin.key().to_string_lossy());
    build(&sandbox, "centos-minimal", "x").succeeded();
    // The short name of the release means the same.
    sandbox.env("DIB_RELEASE", "9");
    build(&sandbox, "centos-minimal", "y").succeeded();
    assert_eq!(packages(&unpack(&sandbox, "x")), packages(&unpack(&sandbox, "y")));
    sandbox.assert_clean();
}

#[test]
fn fedora_comes_from_a_mirror_of_its_layout() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = Sandbox::new();
    let places = [("releases/44/Everything/x86_64/os", "BaseOS"), ("updates/44/Everything/x86_64", "AppStream")];
    let mirror = mirror(&sandbox, &standin, &places);
    let probes = probes::repository_file(&sandbox.path(""), true, "");
    sandbox.env("DIB_DISTRIBUTION_MIRROR", &format!("file://{}", mirror.display()));
    sandbox.env("DIB_FEDORA_PACKAGES", SMALL).env("DIB_FEDORA_GPG_KEY", &standin.key().to_string_lossy());
    sandbox.env("DIB_YUM_MINIMAL_EXTRA_REPOS", &probes.to_string_lossy());
    sandbox.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "probe-database");
    build(&sandbox, "fedora-minimal", "x").succeeded();
    let tree = unpack(&sandbox, "x");
    assert!(tree.join("usr/lib/sysimage/rpm/rpmdb.sqlite").exists());
    assert!(packages(&tree).len() > 5);
    assert_eq!(std::fs::read_to_string(tree.join("etc/hostname")).unwrap(), "fedora\n");
    sandbox.env("DIB_FEDORA_GPG_KEY", "").env("DIB_RELEASE", "77");
    build(&sandbox, "fedora-minimal", "x").failed(1).says("The key of fedora 77 is not known to this element");
    sandbox.assert_clean();
}
