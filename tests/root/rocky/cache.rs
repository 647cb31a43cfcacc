//! The cache of downloaded packages: kept, shared, and whole whatever happens.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::server::Server;
use super::{build, sandbox};
use crate::support::{SHORT, Standin};

const BUILD: [&str; 6] = ["-n", "-t", "tar", "-o", "x", "rocky-minimal"];

/// The requests that are not a look at whether the repository has changed.
fn downloads(server: &Server) -> Vec<String> {
    server.requests().into_iter().filter(|line| !line.contains("repomd.xml")).collect()
}

#[test]
fn a_second_build_downloads_nothing() {
    let Some(standin) = Standin::get() else { return };
    let server = Server::start(&standin.mirror());
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_ROCKY_MIRROR", server.url());
    build(&sandbox, "rocky-minimal", "first").succeeded();
    let first = downloads(&server);
    assert!(first.iter().any(|line| line.contains("/bash-")), "{first:?}");
    build(&sandbox, "rocky-minimal", "second").succeeded();
    assert_eq!(downloads(&server), [] as [&str; 0]);
    sandbox.env("DIB_OFFLINE", "1");
    build(&sandbox, "rocky-minimal", "third").succeeded();
    assert_eq!(server.requests(), [] as [&str; 0], "DIB_OFFLINE asks nobody");
    sandbox.assert_clean();
}

#[test]
fn a_build_that_fails_later_keeps_what_it_downloaded() {
    let Some(standin) = Standin::get() else { return };
    let server = Server::start(&standin.mirror());
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_ROCKY_MIRROR", server.url());
    sandbox.element("broken").hook("pre-install.d/50-fail", "exit 7");
    sandbox.run(BUILD.iter().chain(&["broken"])).failed(7);
    assert!(!downloads(&server).is_empty());
    build(&sandbox, "rocky-minimal", "x").succeeded();
    assert_eq!(downloads(&server), [] as [&str; 0]);
    sandbox.assert_clean();
}

#[test]
fn two_builds_at_once_share_the_cache() {
    let Some(standin) = Standin::get() else { return };
    let server = Server::start(&standin.mirror());
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_ROCKY_MIRROR", server.url());
    let runs = ["one", "two"].map(|name| sandbox.spawn(["-n", "-t", "tar", "-o", name, "rocky-minimal"]));
    for run in runs {
        run.wait(SHORT).succeeded();
    }
    sandbox.env("DIB_OFFLINE", "1");
    build(&sandbox, "rocky-minimal", "three").succeeded();
    sandbox.assert_clean();
}

#[test]
fn a_killed_build_leaves_the_cache_usable() {
    let Some(standin) = Standin::get() else { return };
    let (stuck, reached) = Server::start_stuck_at(&standin.mirror(), "/coreutils-");
    let mut sandbox = sandbox(&standin);
    // The address is a part of the cache: it has to be the same for both builds, so a proxy tells them apart.
    sandbox.env("DIB_ROCKY_MIRROR", "http://mirror.rocky.test").env("http_proxy", stuck.url());
    let run = sandbox.spawn(BUILD);
    reached.recv_timeout(Duration::from_secs(60)).expect("the build asks for coreutils");
    run.signal(Signal::SIGKILL);
    drop(run);
    sandbox.assert_no_build_left();
    // As if it had been killed while it was saving.
    let part = sandbox.path("home/.cache/image-create/yum/rocky-9/half.rpm.part");
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, "half").unwrap();

    let server = Server::start(&standin.mirror());
    sandbox.env("http_proxy", server.url());
    build(&sandbox, "rocky-minimal", "x").succeeded();
    assert!(!part.exists(), "what a killed build left is removed");
    server.requests();
    build(&sandbox, "rocky-minimal", "x").succeeded();
    assert_eq!(downloads(&server), [] as [&str; 0]);
    sandbox.assert_clean();
}
