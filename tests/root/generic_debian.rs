//! Elements of the generic kind in real trees, made from the packages of the host's archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::ubuntu::Ubuntu;
use crate::support::{Sandbox, pypi, skip_without, skip_without_root};

fn unpacked(sandbox: &Sandbox, name: &str) -> PathBuf {
    let out = sandbox.path(name);
    fs::create_dir_all(&out).unwrap();
    let archive = sandbox.path(format!("out/{name}.tar"));
    assert!(Command::new("tar").arg("-xpf").arg(archive).arg("-C").arg(&out).status().unwrap().success());
    out
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

#[track_caller]
fn is_installed(tree: &Path, package: &str) -> bool {
    read(tree.join("var/lib/dpkg/status")).split("\n\n").any(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().collect();
        lines.contains(&&*format!("Package: {package}")) && lines.contains(&"Status: install ok installed")
    })
}

#[track_caller]
fn is_enabled(tree: &Path, unit: &str) {
    let wanted = tree.join("etc/systemd/system/multi-user.target.wants").join(unit);
    assert!(wanted.symlink_metadata().is_ok(), "{unit} is not enabled");
}

/// Gives a sandbox an index in its cache that has glean, and nothing else.
fn give_glean(sandbox: &mut Sandbox) -> bool {
    let Some(wheel) = pypi::wheel("glean==1.25.1") else { return false };
    let dir = sandbox.path("home/.cache/image-create/pypi/mirror/glean");
    fs::create_dir_all(&dir).unwrap();
    let name = wheel.file_name().unwrap().to_str().unwrap();
    fs::copy(&wheel, dir.join(name)).unwrap();
    fs::write(dir.join("index.html"), format!("<a href=\"{name}\">{name}</a>\n")).unwrap();
    sandbox.env("DIB_NO_PYPI_PIP", "1");
    true
}

#[test]
fn ubuntu_is_made_from_packages_and_from_a_cloud_image() {
    let tools = ["mmdebstrap", "gpg", "gpgconf", "dpkg-deb", "unsquashfs", "mksquashfs", "python3"];
    if skip_without_root() || skip_without(&tools) {
        return;
    }
    let mut sandbox = Sandbox::new();
    if !give_glean(&mut sandbox) {
        return;
    }
    let archive = Ubuntu::new(&sandbox.path("archive"));
    sandbox.env("DIB_DISTRIBUTION_MIRROR", &archive.url()).env("DIB_UBUNTU_MIRROR_DISTS", "updates");
    sandbox.env("DIB_DEBIAN_KEYRING", &archive.keyring().to_string_lossy());
    sandbox.env("DIB_ADD_APT_KEYS", &archive.keyring().parent().unwrap().to_string_lossy());
    sandbox.run_long(["-t", "tar", "-o", "minimal", "ubuntu-minimal"]).succeeded();
    let tree = unpacked(&sandbox, "minimal");
    let sources = ["noble", "noble-updates"].map(|suite| format!("deb {} {suite} main universe\n", archive.url()));
    assert_eq!(read(tree.join("etc/apt/sources.list")), sources.concat());
    for package in ["linux-image-generic", "initramfs-tools", "systemd-resolved", "systemd-sysv", "sudo"] {
        assert!(is_installed(&tree, package), "{package}");
    }
    assert!(read(tree.join("etc/systemd/network/80-wired.network")).contains("Name=en* eth*\n"));
    is_enabled(&tree, "systemd-networkd.service");
    assert!(read(tree.join("etc/sysctl.d/99-cloudimg-ipv6.conf")).contains("net.ipv6.conf.default.use_tempaddr = 0\n"));
    assert_eq!(
        fs::read_link(tree.join("etc/resolv.conf")).unwrap(),
        Path::new("../run/systemd/resolve/stub-resolv.conf")
    );
    assert!(read(tree.join("etc/hosts")).contains("127.0.1.1\tubuntu\n"));

    // The same system as a cloud image; its sources get another address of the same archive.
    let images = sandbox.path("images");
    fs::create_dir(&images).unwrap();
    let image = images.join("noble-server-cloudimg-amd64.squashfs");
    // Not packed: that takes minutes of a build machine that has other work.
    let pack = Command::new("mksquashfs")
        .arg(&tree)
        .arg(&image)
        .args(["-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress"])
        .status();
    assert!(pack.unwrap().success());
    fs::write(images.join("SHA256SUMS"), "0000  *noble-server-cloudimg-amd64.squashfs\n").unwrap();
    sandbox.env("DIB_CLOUD_IMAGES", &format!("file://{}", images.display()));
    let other = archive.url().replace("127.0.0.1", "localhost");
    sandbox.env("DIB_DISTRIBUTION_MIRROR", &other).env("DIB_DISTRIBUTION_MIRROR_UBUNTU_IGNORE", "noble-updates");
    let args = ["-t", "tar", "-o", "cloud", "ubuntu", "simple-init", "pypi"];
    sandbox.run(args).failed(1).says("does not have the digest that");

    let digest = Command::new("sha256sum").arg("-b").arg(image.file_name().unwrap()).current_dir(&images).output();
    fs::write(images.join("SHA256SUMS"), digest.unwrap().stdout).unwrap();
    sandbox.run_long(args).succeeded();
    let tree = unpacked(&sandbox, "cloud");
    let wanted = sources.concat().replacen(&archive.url(), &other, 1);
    assert_eq!(read(tree.join("etc/apt/sources.list")), wanted);
    assert!(is_installed(&tree, "dkms") && is_installed(&tree, "ifupdown") && !is_installed(&tree, "cloud-init"));
    assert!(read(tree.join("etc/cloud/cloud.cfg.d/91-dib-cloud-init-datasources.cfg")).contains("[ None ]"));
    assert!(tree.join("usr/glean/bin/glean").exists());
    let unit = read(tree.join("usr/lib/systemd/system/glean@.service"));
    assert!(unit.contains("/usr/glean/") && !unit.contains("%%"), "{unit}");
    assert!(tree.join("etc/udev/rules.d/99-glean.rules").exists());
    is_enabled(&tree, "networking.service");
    assert!(!read(tree.join("etc/network/interfaces")).contains("eth0"));
    assert!(!tree.join("root/.pip").exists() && !tree.join("tmp/pypi/glean").exists());
    sandbox.assert_clean();
}

/// A hook that logs in as dynamic-login lets one: from a made-up kernel command line.
const LOGIN: &str = r#"
password=$(echo '$6$salt$encrypted' | base64 -w 0)
echo "quiet sshkey=\"ssh-ed25519 AAAA me@home\" rootpwd=\"$password\" ro" > /tmp/cmdline
DYNAMIC_LOGIN_CMDLINE=/tmp/cmdline dynamic-login
DYNAMIC_LOGIN_CMDLINE=/tmp/cmdline dynamic-login
grep ^root: /etc/shadow > /etc/seen-shadow
echo 'quiet ro' > /tmp/cmdline
DYNAMIC_LOGIN_CMDLINE=/tmp/cmdline dynamic-login
"#;

#[test]
fn elements_for_servers_have_their_effect_in_debian() {
    if skip_without_root() || skip_without(&["mmdebstrap"]) {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.env("DIB_RELEASE", "bookworm").env("DIB_GROWVOLS_TRIGGER", "systemd");
    sandbox.env("DIB_GROWVOLS_ARGS", "img-rootfs=20% fs_home=20GiB").env("DIB_GROWVOLS_GROUP", "vg");
    for (name, text) in
        [("DIB_FAIL2BAN_CONF", "[sshd]\nenabled = true\n"), ("DIB_DEB_UPDATES_CONF", "// the caller's\n")]
    {
        let file = sandbox.path(name);
        fs::write(&file, text).unwrap();
        sandbox.env(name, &file.to_string_lossy());
    }
    sandbox.element("looks").hook("install.d/90-login", LOGIN).hook(
        "install.d/91-python",
        "$DIB_PYTHON_PIP --version > /etc/seen-pip; $DIB_PYTHON_VIRTUALENV /opt/venv; growvols --help > /etc/seen-growvols",
    );
    let servers = ["debian", "autoupdates", "dynamic-login", "fail2ban", "growvols", "grub2", "ibft-interfaces"];
    let elements = [&servers[..], &["pip-and-virtualenv", "looks"]].concat();
    sandbox.run_long([&["-t", "tar", "-o", "x"][..], &elements].concat()).succeeded();
    let tree = unpacked(&sandbox, "x");
    for package in
        ["cloud-init", "openssh-server", "rsync", "bash-completion", "python3-virtualenv", "lvm2", "grub-pc-bin"]
    {
        assert!(is_installed(&tree, package), "{package}");
    }
    assert_eq!(read(tree.join("root/.ssh/authorized_keys")), "ssh-ed25519 AAAA me@home\n");
    assert!(read(tree.join("etc/seen-shadow")).starts_with("root:$6$salt$encrypted:"));
    for unit in ["dynamic-login.service", "growvols.service", "init-ibft-interfaces.service"] {
        is_enabled(&tree, unit);
        let verified = Command::new("chroot").arg(&tree).args(["systemd-analyze", "verify", unit]).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(!said.contains(unit), "{said}");
    }
    is_enabled(&tree, "fail2ban.service");
    assert!(read(tree.join("etc/fail2ban/jail.local")).starts_with("[sshd]"));
    assert_eq!(read(tree.join("etc/apt/apt.conf.d/50unattended-upgrades")), "// the caller's\n");
    assert!(read(tree.join("etc/apt/apt.conf.d/20auto-upgrades")).contains("Unattended-Upgrade \"1\""));
    let settings = read(tree.join("etc/default/growvols"));
    assert!(settings.contains("GROWVOLS_OPTIONS=\"--group vg \"\nGROWVOLS_ARGS=\"img-rootfs=20% fs_home=20GiB\"\n"));
    assert_eq!(read(tree.join("etc/modules-load.d/ibft.conf")), "iscsi_ibft\n");
    assert!(read(tree.join("etc/seen-pip")).starts_with("pip ") && tree.join("opt/venv/bin/pip").exists());
    assert!(read(tree.join("etc/seen-growvols")).contains("--exit-on-no-grow"));
    assert!(read(tree.join("etc/cloud/cloud.cfg.d/90-debian-cloud.cfg")).contains("apt_preserve_sources_list: true"));
    sandbox.assert_clean();
}
