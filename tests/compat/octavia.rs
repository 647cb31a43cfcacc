//! The image of octavia's amphora, built as its diskimage-create.sh builds it.

use std::process::Command;

use crate::support::bootstrap;
use crate::support::trees::{self, OCTAVIA, UPSTREAM, git_of_programs, skip_without_archives, skip_without_trees};
use crate::support::ubuntu::Ubuntu;
use crate::support::{repository, skip_without, skip_without_root};

/// What the script lists for Ubuntu, in its order.
const ELEMENTS: &[&str] = &[
    "base",
    "vm",
    "ubuntu-minimal",
    "haproxy-octavia",
    "rebind-sshd",
    "no-resolvconf",
    "amphora-agent",
    "octavia-lib",
    "sos",
    "cloud-init-datasources",
    "remove-default-ints",
    "amphora-apparmor",
    "keepalived-octavia",
    "ipvsadmin",
    "pip-cache",
    "certs-ramfs",
];

/// What the agent installs, without the agent.
const PROGRAMS: &[&str] =
    &["amphora-agent", "amphora-health-checker", "amphora-interface", "haproxy-vrrp-check", "prometheus-proxy"];

/// A file of Ubuntu's rsyslog that Debian's has elsewhere.
const RSYSLOG: &str = "mkdir -p $TARGET_ROOT/etc/apparmor.d\n\
                       echo 'profile rsyslogd /usr/sbin/rsyslogd {' >$TARGET_ROOT/etc/apparmor.d/usr.sbin.rsyslogd";

#[test]
fn c20_octavias_amphora_builds() {
    if skip_without_root()
        || skip_without_trees(&[OCTAVIA, UPSTREAM])
        || skip_without(&["mmdebstrap", "debootstrap", "git", "gpg", "qemu-img"])
        || skip_without_archives()
    {
        return;
    }
    let mut sandbox = trees::sandbox(&[OCTAVIA, UPSTREAM]);
    let own = [repository().join("tests/elements"), sandbox.path("elements")].map(|dir| dir.display().to_string());
    sandbox.env("ELEMENTS_PATH", &format!("{}:{}", trees::elements_path(&[OCTAVIA, UPSTREAM]), own.join(":")));
    sandbox.element("ubuntu-files").hook("root.d/90-ubuntu-files", RSYSLOG);
    let archive = Ubuntu::new(&sandbox.path("archive"));
    sandbox.env("DIB_DISTRIBUTION_MIRROR", &archive.url()).env("DIB_UBUNTU_MIRROR_DISTS", "updates,security");
    sandbox.env("DIB_APT_KEYRING", &archive.keyring().to_string_lossy());
    bootstrap::give_to(&mut sandbox, "ubuntu", "noble");

    let path = |name: &str| sandbox.path(name).display().to_string();
    git_of_programs(&sandbox.path("agent"), "octavia", PROGRAMS);
    git_of_programs(&sandbox.path("lib"), "octavia-lib", &["octavia-lib"]);
    std::fs::write(sandbox.path("upper-constraints.txt"), "octavia-lib==99\n").unwrap();
    let places = [
        ("DIB_REPOLOCATION_amphora_agent", path("agent")),
        ("DIB_REPOLOCATION_octavia_lib", path("lib")),
        ("DIB_REPOLOCATION_upper_constraints", format!("file://{}", path("upper-constraints.txt"))),
    ];
    for (name, place) in &places {
        sandbox.env(name, place);
    }
    // As the script exports them.
    for (name, value) in [
        ("DIB_OCTAVIA_AMP_USE_SSH", "True"),
        ("DIB_OCTAVIA_AMP_USE_NFTABLES", "True"),
        ("DIB_CLOUD_INIT_DATASOURCES", "ConfigDrive"),
        ("DIB_GRUB_TIMEOUT", "0"),
    ] {
        sandbox.env(name, value);
    }
    let args = ["-a", "amd64", "-t", "qcow2", "--image-size", "3", "-o", "amphora"];
    sandbox.run_long(args.iter().chain(ELEMENTS).chain(&["host-certificates", "ubuntu-files"])).succeeded();

    let image = sandbox.path("out/amphora.qcow2");
    let info = Command::new("qemu-img").args(["info", "--output=json"]).arg(&image).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((&info["format"], &info["virtual-size"]), (&"qcow2".into(), &(3_u64 << 30).into()));
    let manifest = sandbox.read("out/amphora.d/dib-manifests/dib-manifest-dpkg-amphora");
    for package in ["haproxy", "keepalived", "ipvsadm", "nftables"] {
        assert!(manifest.contains(&format!("\"package\": \"{package}\"")), "{package}");
    }
    let sources = sandbox.read("out/amphora.d/dib-manifests/dib-manifest-git-amphora");
    assert!(sources.contains("amphora-agent git /opt/amphora-agent /"), "{sources}");
    sandbox.assert_clean();
}
