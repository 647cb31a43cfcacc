//! The command lines of dnf 4 and dnf 5. The host of the tests has dnf 4 only, whose lines the other tests run; of
//! dnf 5, the options are compared with its manual (dnf5(8), dnf5-installroot(7)).

use std::fs;
use std::path::Path;
use std::process::Command;

use super::run;
use crate::support::repository;

/// What the script prints when `dnf` is a link to a program of this name.
fn options(name: &str, arch: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for link in ["dirname", "env", "readlink", "sh", "uname"] {
        let real = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(link)).find(|p| p.exists()).unwrap();
        std::os::unix::fs::symlink(real, dir.path().join(link)).unwrap();
    }
    let program = dir.path().join(name);
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    if name != "dnf5" {
        std::os::unix::fs::symlink(name, dir.path().join("dnf")).unwrap();
    }
    let script = repository().join("elements/yum-minimal/yum-bootstrap/options");
    let mut command = Command::new(script);
    command.args(["/scratch", "/root-tree"]).env_clear().env("PATH", dir.path());
    for (name, value) in [
        ("ARCH", arch),
        ("DIB_RELEASE", "9"),
        ("IMAGE_RPM_PLATFORM", "platform:el9"),
        ("IMAGE_DNF_CACHE", "/var/cache/dnf"),
    ] {
        command.env(name, value);
    }
    run(&mut command).lines().skip(1).map(str::to_owned).collect()
}

const COMMON: [&str; 6] = [
    "-y",
    "--installroot=/root-tree",
    "--releasever=9",
    "--config=/scratch/dnf.conf",
    "--setopt=reposdir=/scratch/repos.d",
    "--setopt=module_platform_id=platform:el9",
];

#[test]
fn dnf_4() {
    let machine = std::env::consts::ARCH;
    assert_eq!(options("dnf-3", machine), [&COMMON[..], &["--noplugins"]].concat());
}

#[test]
fn dnf_5_is_told_to_use_our_settings_and_our_cache() {
    let own = [
        "--use-host-config",
        "--no-plugins",
        "--setopt=cachedir=/root-tree/var/cache/dnf",
        "--setopt=system_cachedir=/root-tree/var/cache/dnf",
    ];
    let machine = std::env::consts::ARCH;
    assert_eq!(options("dnf5", machine), [&COMMON[..], &own].concat());
}

#[test]
fn another_architecture_is_forced() {
    assert_eq!(options("dnf-3", "ppc64le").last().unwrap(), "--forcearch=ppc64le");
}
