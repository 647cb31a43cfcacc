//! A build that is ended from outside leaves nothing: no mount, loop device, process or file.

use std::time::{Duration, Instant};

use crate::support::{Sandbox, skip_without_root};
use nix::sys::signal::Signal;

/// A build that takes its time in `install.d`, with a mount and a daemon of its own.
fn slow(sandbox: &Sandbox) {
    sandbox.fake_os();
    sandbox
        .element("slow")
        .hook("root.d/90-mount", "mkdir -p $TARGET_ROOT/opt; mount --bind /usr/share $TARGET_ROOT/opt")
        .hook("install.d/40-daemon", "sleep 4721 &")
        .hook("install.d/50-slow", "echo now it sleeps; sleep 4720");
}

const BUILD: [&str; 8] = ["-n", "-t", "tar,qcow2", "-o", "x", "--no-tmpfs", "fake-os", "slow"];

#[test]
fn sigint_and_sigterm_end_a_build_at_once() {
    if skip_without_root() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let sandbox = Sandbox::new();
        slow(&sandbox);
        let mut running = sandbox.spawn(BUILD);
        running.wait_until_it_says("now it sleeps", Duration::from_secs(60));
        let start = Instant::now();
        running.signal(signal);
        running.wait(Duration::from_secs(30)).failed(130).says("interrupted");
        assert!(start.elapsed() < Duration::from_secs(10), "{signal}: {:?}", start.elapsed());
        sandbox.assert_clean();
        assert_eq!(std::fs::read_dir(sandbox.path("out")).unwrap().count(), 0);
    }
}

#[test]
fn ten_kills_at_random_moments_leave_no_mount_and_no_process() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    slow(&sandbox);
    for round in 0..10 {
        let running = sandbox.spawn(BUILD);
        // Not the same moment twice: the clock's low digits are as random as this needs.
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        std::thread::sleep(Duration::from_millis(u64::from(nanos / 1000) % 1500 + round * 10));
        running.signal(Signal::SIGKILL);
        running.wait(Duration::from_secs(30)).failed(137);
    }
    sandbox.assert_no_build_left();
    // The next run removes the work directories.
    sandbox.run(["-n", "-t", "tar", "-o", "y", "fake-os"]).succeeded();
    sandbox.assert_clean();
}
