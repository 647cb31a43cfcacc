//! Mirror lists, proxies, releases, and what is left out of packages.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::server::Server;
use super::{build, link, packages, probes, sandbox, unpack};
use crate::support::Standin;

#[test]
fn a_mirror_list_is_followed() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    let served = standin.serve();
    let file = sandbox.path("list.repo");
    let list = format!("{}/mirrorlist?arch=$basearch&repo=BaseOS-$releasever", served.url());
    fs::write(&file, format!("[listed]\nname=Listed\nmirrorlist={list}\n")).unwrap();
    sandbox.env("DIB_YUM_REPO_CONF", &file.to_string_lossy());
    build(&sandbox, "rocky-minimal", "x").succeeded();
    sandbox.assert_clean();
}

/// A metalink document (RFC 5854's predecessor, as Fedora's mirror manager writes it) with one dead mirror before `good`.
fn metalink(good: &str, repomd: &Path) -> String {
    let content = fs::read(repomd).unwrap();
    let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files><file name="repomd.xml">
  <size>{}</size><verification><hash type="sha256">{digest}</hash></verification>
  <resources>
   <url protocol="http" type="http" preference="100">http://127.0.0.1:9/dead/repodata/repomd.xml</url>
   <url protocol="http" type="http" preference="99">{good}/repodata/repomd.xml</url>
  </resources>
 </file></files>
</metalink>
"#,
        content.len()
    )
}

#[test]
fn a_metalink_is_followed_past_a_dead_mirror() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    let mirror = Server::start(&standin.mirror());
    let repository = "9/BaseOS/x86_64/os";
    let text = metalink(
        &format!("{}/{repository}", mirror.url()),
        &standin.mirror().join(repository).join("repodata/repomd.xml"),
    );
    fs::write(sandbox.path("metalink"), text).unwrap();
    let links = Server::start(&sandbox.path(""));
    let file = sandbox.path("linked.repo");
    fs::write(&file, format!("[linked]\nname=Linked\nmetalink={}/metalink\n", links.url())).unwrap();
    sandbox.env("DIB_YUM_REPO_CONF", &file.to_string_lossy());
    build(&sandbox, "rocky-minimal", "x").succeeded();
    assert!(mirror.requests().iter().any(|line| line.contains("/bash-")));
    sandbox.assert_clean();
}

#[test]
fn proxies_of_the_environment_are_used() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    // Only the proxy knows this host.
    let proxy = Server::start(&standin.mirror());
    sandbox.env("DIB_ROCKY_MIRROR", "http://mirror.rocky.test").env("http_proxy", proxy.url());
    build(&sandbox, "rocky-minimal", "x").succeeded();
    let asked = proxy.requests();
    assert!(asked.iter().all(|line| line.starts_with("GET http://mirror.rocky.test/")), "{asked:?}");
    // The key's package as well.
    sandbox.env("DIB_ROCKY_GPG_KEY", "");
    build(&sandbox, "rocky-minimal", "x").failed(1).says("lacks the key");
    sandbox.env("no_proxy", "mirror.rocky.test");
    proxy.requests();
    build(&sandbox, "rocky-minimal", "x").failed(1);
    assert_eq!(proxy.requests(), [] as [&str; 0]);
    sandbox.assert_clean();
}

#[test]
fn https_goes_through_its_own_proxy() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    let proxy = Server::start(&standin.mirror());
    sandbox.env("DIB_ROCKY_MIRROR", "https://mirror.rocky.test").env("https_proxy", proxy.url());
    build(&sandbox, "rocky-minimal", "x").failed(1);
    let asked = proxy.requests();
    assert!(asked.iter().any(|line| line.starts_with("CONNECT mirror.rocky.test:443")), "{asked:?}");
    sandbox.assert_clean();
}

#[test]
fn documentation_languages_and_recommended_packages_are_left_out() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    let file = probes::repository_file(&sandbox.path(""), true, "");
    sandbox.env("DIB_YUM_MINIMAL_EXTRA_REPOS", &file.to_string_lossy());
    sandbox.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "probe");
    let has = |tree: &Path, file: &str| tree.join("usr").join(file).exists();
    let (readme, german, french) =
        ("share/doc/probe/README", "share/locale/de/LC_MESSAGES/probe.mo", "share/locale/fr/LC_MESSAGES/probe.mo");
    build(&sandbox, "rocky-minimal", "all").succeeded();
    let tree = unpack(&sandbox, "all");
    assert!(has(&tree, "bin/probe") && has(&tree, readme) && has(&tree, german) && has(&tree, french));
    assert!(!has(&tree, "bin/probe-recommended"), "recommended packages are not installed");

    sandbox.env("IMAGE_RPM_NODOCS", "1").env("IMAGE_RPM_LANGUAGES", "C:de");
    build(&sandbox, "rocky-minimal", "less").succeeded();
    let tree = unpack(&sandbox, "less");
    assert!(has(&tree, "bin/probe") && has(&tree, german));
    assert!(!has(&tree, readme) && !has(&tree, french));
    sandbox.assert_clean();
}

#[test]
fn groups_and_minor_releases_can_be_asked_for() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_RELEASE", "9.4").env("DIB_ROCKY_PACKAGES", "@core");
    build(&sandbox, "rocky-minimal", "x").succeeded();
    let tree = unpack(&sandbox, "x");
    assert!(packages(&tree).iter().any(|name| name.starts_with("dnf-")));
    let list = fs::read_to_string(tree.join("etc/yum.repos.d/rocky.repo")).unwrap();
    assert!(list.contains(&format!("baseurl={}/$releasever/BaseOS/$basearch/os/", standin.url())), "{list}");
    sandbox.assert_clean();
}

#[test]
fn release_10_keeps_its_database_elsewhere() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = sandbox(&standin);
    link(&standin.mirror().join("9"), &sandbox.path("mirror/10"));
    let file = probes::repository_file(&sandbox.path(""), true, "");
    sandbox.env("DIB_ROCKY_MIRROR", &format!("file://{}", sandbox.path("mirror").display())).env("DIB_RELEASE", "10");
    sandbox.env("DIB_YUM_MINIMAL_EXTRA_REPOS", &file.to_string_lossy());
    // The stand-in's rpm looks where release 9 has it, and that is noticed.
    build(&sandbox, "rocky-minimal", "x").failed(1).says("its database is not /usr/lib/sysimage/rpm");
    sandbox.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "probe-database");
    build(&sandbox, "rocky-minimal", "x").succeeded();
    let tree = unpack(&sandbox, "x");
    assert!(tree.join("usr/lib/sysimage/rpm/rpmdb.sqlite").exists());
    assert!(!tree.join("var/lib/rpm/rpmdb.sqlite").exists());
    assert!(packages(&tree).contains("probe-database-1-1.noarch"));
    sandbox.assert_clean();
}
