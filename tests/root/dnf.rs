//! Packages on systems with dnf (contract 4.2 and 4.4), by the real dnf in real trees.

use std::collections::BTreeSet;

use crate::support::Sandbox;
use crate::support::standin::{Standin, build_tar};
use image_create::package::map::{ElementMap, Mapped, SharedMaps, Target, map};
use serde_json::Value;

/// What the small trees of these tests hold: dnf, and what scripts need.
const SMALL: &str = "basesystem bash coreutils dnf dnf-plugins-core findutils gawk grep rocky-repos rpm sed";

/// Helpers for the hooks in which these tests look at what happens.
const HELPERS: &str = r#"
fails() { # STATUS TEXT COMMAND...: the command ends with the status and says the text
    local status=0
    "${@:3}" >/root/out 2>&1 || status=$?
    [ "$status" = "$1" ] && grep -qF -e "$2" /root/out || { cat /root/out; echo "not as expected: ${*:3}"; exit 9; }
}
absent() { ! rpm -q "$@" || exit 8; }
wanted() { dnf -q -C repoquery --userinstalled --qf '%{name}' | grep -qx "$1"; }
"#;

#[test]
fn install_packages_installs_removes_upgrades_and_downloads() {
    let Some(standin) = Standin::get() else { return };
    let sandbox = standin.sandbox(SMALL);
    let body = r#"
dnf -y -q mark remove gawk
install-packages "rsync gawk" zstd > /root/out
grep -x 'Running dnf -y -v install rsync gawk zstd' /root/out
grep -x 'Running dnf -y mark install rsync gawk zstd' /root/out
rpm -q rsync zstd
wanted gawk

# One that is not there, and one among others: nothing is installed.
fails 1 'No match for argument: no-such' install-packages no-such
fails 1 'Unable to find a match: no-such' install-packages file no-such
absent file

install-packages -e zstd no-such
absent zstd
install-packages -u no-such > /root/out
grep -x 'Running dnf -y update' /root/out

install-packages -d /root/new/dir zstd
ls /root/new/dir/zstd-*.rpm
absent zstd

# Files and groups cannot be marked.
install-packages /root/new/dir/zstd-*.rpm
rpm -q zstd
install-packages @core
rpm -q NetworkManager

YUM=yum YUM_FLAGS="-y -q" install-packages file > /root/out
grep -x 'Running yum -y -q install file' /root/out
install-packages -h > /root/out
grep usage /root/out
"#;
    sandbox.element("look").hook("install.d/50-look", &format!("{HELPERS}{body}"));
    build_tar(&sandbox, &["look"]).succeeded();
    sandbox.assert_clean();
}

#[test]
fn names_are_mapped_and_left_out() {
    let Some(standin) = Standin::get() else { return };
    let sandbox = standin.sandbox(SMALL);
    let body = r#"
# By an element's map, which may name several packages or none.
install-packages -m look tools nothing
rpm -q bzip2 cpio
fails 1 'bin/pkg-map error' install-packages -m look no-such
[ -z "$(install-packages -m look nothing)" ]
[ -z "$(install-packages)" ]
[ -z "$(install-packages -e)" ]

# Debian's names.
install-packages iputils-ping 2> /root/err
rpm -q iputils
grep "warning: 'iputils-ping' is a name of Debian, iputils is meant here" /root/err
fails 1 'No match for argument: no-such-devel' install-packages no-such-dev

# Names that the distribution lacks.
echo no-such-package > /tmp/yum-blacklist
install-packages file no-such-package such-pack > /root/out
rpm -q file
grep 'The package such-pack is in /tmp/yum-blacklist' /root/out
[ -z "$(install-packages no-such 2>&1 | grep -v blacklist)" ]

# A key that is there and not trusted yet.
cp /tmp/in_target.d/a-key/key /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release
before=$(rpm -q gpg-pubkey | wc -l)
install-packages hostname
[ "$(rpm -q gpg-pubkey | wc -l)" = $((before + 1)) ]
"#;
    let map = r#"{"family": {"redhat": {"tools": "bzip2 cpio", "nothing": ""}}}"#;
    let look = sandbox.element("look").file("pkg-map", map).file("a-key/key", &new_key(&sandbox)).deps(&["pkg-map"]);
    look.hook("install.d/50-look", &format!("{HELPERS}{body}"));
    build_tar(&sandbox, &["look"]).succeeded();
    sandbox.assert_clean();
}

/// A public key that nobody knows yet.
fn new_key(sandbox: &Sandbox) -> String {
    let home = sandbox.path("gnupg");
    std::fs::create_dir(&home).unwrap();
    let gpg = |args: &[&str]| {
        let mut command = std::process::Command::new("gpg");
        let out =
            command.arg("--homedir").arg(&home).args(["--batch", "--pinentry-mode", "loopback"]).args(args).output();
        let out = out.unwrap();
        assert!(out.status.success(), "gpg {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    gpg(&["--passphrase", "", "--quick-gen-key", "test@localhost", "rsa2048", "sign", "never"]);
    let key = gpg(&["--armor", "--export"]);
    let mut end = std::process::Command::new("gpgconf");
    end.arg("--homedir").arg(&home).args(["--kill", "gpg-agent"]).status().unwrap();
    key
}

#[test]
fn package_lists_of_elements_and_who_asked_for_what() {
    let Some(standin) = Standin::get() else { return };
    let sandbox = standin.sandbox(SMALL);
    sandbox
        .element("first")
        .deps(&["package-installs", "pkg-map"])
        .file("pkg-map", r#"{"family": {"redhat": {"tools": "bzip2 cpio"}}}"#)
        .file(
            "package-installs.yaml",
            "tools:\nrsync:\n  when: DIB_FIRST = 1\nfile:\n  when: DIB_FIRST = 0\nparted:\n  arch: arm64\n\
             gdisk:\n  not-arch: arm64\n  phase: pre-install.d\nzstd:\n  build-only: true\npsmisc:\n  uninstall: true\n\
             openssl:\n",
        )
        .hook("install.d/50-look", "rpm -q zstd\ninstall-packages parted psmisc")
        .exports("DIB_FIRST", "1");
    let second = sandbox.element("second").deps(&["package-installs"]);
    second.file("package-installs.json", r#"{"rsync": {}, "dmidecode": {"phase": "post-install.d"}}"#);
    let args = ["-n", "-t", "tar", "-o", "x", "-p", "which", "rocky-minimal", "second", "first"];
    sandbox.run_long(args).succeeded();
    sandbox.assert_clean();

    let manifest = Manifest::read(&sandbox);
    let of = |package: &str| manifest.elements(package, "elements");
    assert_eq!(of("bash"), Some("rocky-minimal".into()));
    assert_eq!(of("standin-libs"), Some("rocky-minimal".into()));
    for package in ["bzip2", "cpio", "gdisk", "openssl", "parted"] {
        assert_eq!(of(package), Some("first".into()), "{package}");
    }
    assert_eq!(of("rsync"), Some("first second".into()));
    assert_eq!(of("dmidecode"), Some("second".into()));
    assert_eq!(of("which"), Some("-p".into()));
    for package in ["file", "zstd", "psmisc"] {
        assert_eq!(of(package), None, "{package}");
    }
    let dependencies: Vec<_> = manifest.packages.iter().filter(|p| p["elements"] == Value::Array(vec![])).collect();
    assert!(dependencies.iter().all(|p| p["dependency_of"] != Value::Array(vec![])), "{dependencies:?}");
    let rsync = manifest.get("rsync").unwrap();
    let facts: Value = serde_json::from_str(&std::fs::read_to_string(standin.made_from()).unwrap()).unwrap();
    let fingerprint = facts["fingerprint"].as_str().unwrap().to_lowercase();
    assert!(fingerprint.ends_with(rsync["key"].as_str().unwrap()), "{rsync}");
    assert_eq!((&rsync["epoch"], &rsync["arch"]), (&"0".into(), &"x86_64".into()));
    assert_eq!(rsync["vendor"], "stand-in test fixture");
}

/// The manifest of a build.
struct Manifest {
    packages: Vec<Value>,
}

impl Manifest {
    fn read(sandbox: &Sandbox) -> Self {
        let text = sandbox.read("out/x.d/dib-manifests/dib-manifest-rpm-x");
        let root: Value = serde_json::from_str(&text).unwrap();
        Self { packages: root["packages"].as_array().unwrap().clone() }
    }

    fn get(&self, package: &str) -> Option<&Value> {
        self.packages.iter().find(|p| p["package"] == package)
    }

    /// The elements in a field of a package.
    fn elements(&self, package: &str, field: &str) -> Option<String> {
        let names = self.get(package)?[field].as_array()?;
        Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// Packages that built-in elements ask for and the stand-in lacks, by name.
const NOT_IN_THE_STANDIN: &[&str] = &[
    // In BaseOS and AppStream of Rocky Linux 9; no element that is built from the stand-in needs them.
    "biosdevname",
    // In EPEL, likewise.
    "busybox",
    // BaseOS and AppStream.
    "dnf-automatic",
    // EPEL.
    "fail2ban",
    // Of arm64.
    "grub2-efi-aa64",
    "grub2-efi-aa64-modules",
    // BaseOS.
    "net-tools",
    // AppStream.
    "nmap-ncat",
    // In OpenStack's repositories (RDO) only: simple-init installs from source unless it is told otherwise.
    "python3-glean",
    // BaseOS and EPEL.
    "python3-pip",
    "python3-virtualenv",
    // EPEL.
    "scsi-target-utils",
    // Of arm64.
    "shim-aa64",
    // AppStream.
    "tftp",
    "wget",
];

/// Elements that are only ever used on Debian or Ubuntu.
const OF_OTHER_FAMILIES: &[&str] = &["debian", "debian-minimal", "debootstrap", "ubuntu", "ubuntu-minimal"];

#[test]
fn names_that_built_in_elements_ask_for_are_known_to_the_repositories() {
    let Some(standin) = Standin::get() else { return };
    let wanted = mapped_names();
    assert!(wanted.len() > 20, "{wanted:?}");
    let mut query = std::process::Command::new("dnf");
    for repo in ["9/BaseOS/x86_64/os", "9/AppStream/x86_64/os", "9/extras/x86_64/os", "epel/9/Everything/x86_64"] {
        let (dir, name) = (standin.mirror().join(repo), repo.replace('/', "-"));
        query.arg(format!("--repofrompath={name},file://{}", dir.display())).arg(format!("--repo={name}"));
    }
    let sandbox = Sandbox::new();
    query.env("HOME", sandbox.path("home")).arg(format!("--setopt=cachedir={}", sandbox.path("cache").display()));
    let out = query.args(["-q", "repoquery", "--qf", "%{name}"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let known = String::from_utf8(out.stdout).unwrap();
    let mut lacking: Vec<&str> = wanted.iter().map(|p| p.trim_start_matches("/usr/bin/")).collect();
    lacking.retain(|package| !known.lines().any(|k| k == *package));
    assert_eq!(lacking, NOT_IN_THE_STANDIN);
}

/// What the generic elements' packages are called on Rocky Linux 9.
fn mapped_names() -> BTreeSet<String> {
    let repository = crate::support::repository();
    let shared = SharedMaps::load(&repository.join("package-maps")).unwrap();
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(repository.join("elements")).unwrap() {
        let dir = entry.unwrap().path();
        if OF_OTHER_FAMILIES.iter().any(|e| dir.ends_with(e)) {
            continue;
        }
        let own = ElementMap::load(&dir.join("pkg-map")).unwrap().map(|(map, _)| map);
        let target = Target { distro: "rocky", release: "9" };
        let mut ask = |name: &str| {
            let mapped = map(name, own.as_ref(), &shared, target).unwrap_or_else(|| Mapped::itself(name));
            names.extend(mapped.packages);
        };
        let json =
            |file: &str| std::fs::read_to_string(dir.join(file)).map(|t| serde_json::from_str::<Value>(&t).unwrap());
        if let Ok(list) = json("package-installs.json") {
            list.as_object().unwrap().keys().for_each(|name| ask(name));
        }
        if let Ok(list) = json("pkg-map") {
            let rows = list["family"]["redhat"].as_object().cloned().unwrap_or_default();
            rows.keys().for_each(|name| ask(name));
        }
    }
    names
}
