//! Diskimage-builder's own elements, unchanged and before the built-in ones: they build, and what they build boots.

use std::path::Path;
use std::process::Command;

use image_create::boot::{Guest, Ovmf, QEMU};

use crate::support::bootstrap;
use crate::support::guest::{LONG_BOOT, SOON, answer, log_in, ovmf, probe_says, probed, prompts};
use crate::support::images::Wanted;
use crate::support::trees::{
    self, Archives, Tree, UPSTREAM, git_repository, skip_without_archives, skip_without_trees,
};
use crate::support::{Sandbox, repository, skip, skip_without, skip_without_root};

/// True when the test is to be skipped because the host cannot build Debian from upstream's tree.
fn skipped(trees: &[Tree]) -> bool {
    skip_without_root()
        || skip_without_trees(trees)
        || skip_without(&[QEMU, "qemu-img", "mmdebstrap", "debootstrap"])
        || skip_without_archives()
}

/// An image of elements from these trees, upstream's tree and tests/elements.
fn wanted(name: &'static str, trees: &[Tree], args: &[&'static str], env: &[(&'static str, &'static str)]) -> Wanted {
    let own = repository().join("tests/elements");
    let path = format!("{}:{}", trees::elements_path(trees), own.display());
    let mut variables = Archives::of_host().unwrap().variables("bookworm");
    // tests/compat/functional.rs lets the tree's own hook bootstrap.
    variables.extend([("ELEMENTS_PATH", &*path.leak()), (bootstrap::ASKED, "1")]);
    variables.extend(env);
    Wanted { name, args: args.to_vec(), env: variables, standin: None }
}

/// Boots an image to a login prompt, and logs in.
fn boot(image: &Path, uefi: Option<Ovmf>) -> Guest {
    let mut guest = probed(image, uefi, LONG_BOOT);
    prompts(&mut guest, "^debian login: ", LONG_BOOT);
    log_in(&mut guest, SOON);
    guest
}

const USER: &[(&str, &str)] = &[
    ("DIB_DEV_USER_USERNAME", "visitor"),
    ("DIB_DEV_USER_PASSWORD", "tries-it"),
    ("DIB_DEV_USER_PWDLESS_SUDO", "yes"),
    ("DIB_DEV_USER_SHELL", "/bin/bash"),
];

/// simple-init is here, and not beside cloud-init and dhcp-all-interfaces: it removes cloud-init, and has interfaces
/// set up by glean.
const PLAIN: &[&str] = &["vm", "debian-minimal", "simple-init", "devuser", "host-certificates", "boot-probe"];

#[test]
fn upstreams_debian_builds_and_boots_with_a_bios() {
    if skipped(&[UPSTREAM]) {
        return;
    }
    let image = wanted("upstream-mbr", &[UPSTREAM], PLAIN, USER).image();
    let mut guest = boot(&image, None);
    probe_says(&guest, &["state=running", "failed=", "root=ext4", "fstab=good", "left=", "machine-id=1"]);
    let mut run = |line: &str| answer(&mut guest, line, SOON);
    assert!(run("hostname -I").contains("10.0.2.15"));
    assert!(run("systemctl list-units 'glean@*'").contains("active exited"));
    assert!(run("ls /etc/ssh /usr/lib/systemd/system").contains("ssh-keygen.service"));
    guest.close().unwrap();
}

const SERVICES: &[&str] = &[
    "vm",
    "block-device-efi",
    "debian-minimal",
    "cloud-init",
    "openssh-server",
    "enable-serial-console",
    "growroot",
    "dhcp-all-interfaces",
    "devuser",
    "boot-probe",
];

#[test]
fn upstreams_services_build_and_work_with_uefi() {
    if skipped(&[UPSTREAM]) {
        return;
    }
    let Some(firmware) = ovmf() else { return };
    let image = wanted("upstream-services", &[UPSTREAM], SERVICES, USER).image();
    let mut guest = boot(&image, Some(firmware));
    probe_says(&guest, &["root=ext4", "fstab=good", "left="]);
    let mut run = |line: &str| answer(&mut guest, line, SOON);
    // sudo says first that nobody knows the name of the host.
    assert!(run("sudo -n id -un").ends_with("root"));
    assert!(run("hostname -I").contains("10.0.2.15"));
    assert!(run("ls /etc/ssh").contains("ssh_host_ed25519_key"));
    assert!(run("sudo -n grep -h ^MACs /etc/ssh/sshd_config").contains("hmac-sha2-512-etm"));
    assert_eq!(run("systemctl is-active ssh"), "active");
    assert_eq!(run("systemctl is-active growroot"), "active");
    assert_eq!(run("systemctl is-enabled cloud-init"), "enabled");
    guest.close().unwrap();
}

/// Python and what upstream's hooks call, taken from this host; a package manager that has everything.
const SMALL_SYSTEM: &str = r#"
cd "$TARGET_ROOT"
mkdir -p usr/local/bin usr/lib/systemd/system
for program in python3 getopt dd xargs tee unlink; do
    path=$(PATH=/usr/bin:/bin type -P "$program")
    cp -L "$path" "usr/bin/$program"
    for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        [ -e ".$library" ] || { mkdir -p ".$(dirname "$library")"; cp -L "$library" ".$library"; }
    done
done
cp -a "$(/usr/bin/python3 -c 'import os; print(os.path.dirname(os.__file__))')" usr/lib/
printf '#!/bin/bash\necho fake-install "$@"\n' > usr/local/bin/install-packages
printf '#!/bin/bash\nexit 0\n' > usr/bin/apt-get
chmod 755 usr/local/bin/install-packages usr/bin/apt-get
"#;

const GLUE: &[&str] = &[
    "package-installs",
    "pkg-map",
    "svc-map",
    "manifests",
    "element-manifest",
    "source-repositories",
    "install-types",
    "modprobe",
    "dhcp-all-interfaces",
    "enable-serial-console",
    "sysprep",
];

#[test]
fn upstreams_own_tools_run_in_a_small_system() {
    if skip_without_root() || skip_without_trees(&[UPSTREAM]) || skip_without(&["git"]) {
        return;
    }
    let yaml = Command::new("python3").args(["-c", "import yaml"]).status().is_ok_and(|s| s.success());
    if skip((!yaml || !Path::new("/usr/bin/python3").exists()).then(|| "Python with PyYAML".to_owned())) {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.fake_os();
    let source = sandbox.path("source");
    git_repository(&source, &[("file", "text\n")]);
    sandbox
        .element("small")
        .exports("DIB_INIT_SYSTEM", "systemd")
        .hook("root.d/30-small", SMALL_SYSTEM)
        .file("source-repository-small", &format!("small git /opt/small {}\n", source.display()));
    let own = sandbox.path("elements").display().to_string();
    sandbox.env("ELEMENTS_PATH", &format!("{}:{own}", trees::elements_path(&[UPSTREAM])));
    sandbox.env("DIB_PYTHON_VERSION", "3");
    let args = ["-t", "tar", "-o", "x", "-p", "some,thing", "fake-os", "small"];
    let outcome = sandbox.run(args.iter().chain(GLUE)).succeeded();
    for line in [
        // Squashed here, mapped and installed by upstream's Python in the tree.
        "Map install for dhcp-all-interfaces: dhcp-client, ifupdown, ndisc6",
        "isc-dhcp-client",
        "fake-install some thing",
        "Copying pkg-map for dhcp-all-interfaces",
    ] {
        assert!(outcome.stderr.contains(line), "'{line}' is missing:\n{}", outcome.stderr);
    }
    let manifest = sandbox.read("out/x.d/dib-manifests/dib-element-manifest");
    assert!(manifest.contains("dhcp-all-interfaces"), "{manifest}");
    assert!(sandbox.read("out/x.d/dib-manifests/dib-manifest-git-x").starts_with("small git /opt/small /"));
    sandbox.assert_clean();
}
