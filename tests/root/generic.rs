//! Elements of the generic kind, over a small made-up system: what each of them leaves in the tree (contract 6.3).
//! Those that need a real system are in generic_debian.rs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Sandbox, pypi, skip_without, skip_without_root};

/// A sandbox with the made-up system, on which packages are always there.
fn made_up() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.env("DIB_INIT_SYSTEM", "systemd");
    sandbox.fake_os();
    crate::support::element::no_packages_element(&sandbox.path("elements"));
    sandbox
}

/// Builds the made-up system with more elements and returns the finished tree.
fn tree(sandbox: &Sandbox, elements: &[&str]) -> PathBuf {
    let all = [&["-n", "-t", "tar", "-o", "x", "fake-os", "no-packages"], elements].concat();
    sandbox.run(all).succeeded();
    unpacked(sandbox, "out/x.tar")
}

fn unpacked(sandbox: &Sandbox, archive: &str) -> PathBuf {
    let out = sandbox.path("unpacked");
    fs::create_dir_all(&out).unwrap();
    let status = Command::new("tar").arg("-xpf").arg(sandbox.path(archive)).arg("-C").arg(&out).status().unwrap();
    assert!(status.success());
    out
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

#[test]
fn small_elements_leave_their_settings_in_the_tree() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = made_up();
    sandbox.env("DIB_MODPROBE_BLACKLIST", "floppy pcspkr");
    let names = "mkdir -p /etc/udev/rules.d /etc/systemd/network; cd /etc/udev/rules.d
touch 70-persistent-net.rules; ln -s /dev/null 80-net-setup-link.rules; echo own > 75-persistent-net-generator.rules
ln -s /dev/null /etc/systemd/network/99-default.link";
    sandbox
        .element("uses")
        .deps(&["sysctl"])
        .hook("pre-install.d/50-names", names)
        .hook("install.d/50-forward", "sysctl-set-value net.ipv4.ip_forward 1; sysctl-set-value net.ipv4.ip_forward 1");
    let elements = [
        "uses",
        "modprobe-blacklist",
        "disable-nouveau",
        "journal-to-console",
        "stable-interface-names",
        "nm-dhcp-ib-interfaces",
    ];
    let tree = tree(&sandbox, &elements);
    assert_eq!(read(tree.join("etc/sysctl.d/net.ipv4.ip_forward.conf")), "net.ipv4.ip_forward = 1\n");
    assert!(tree.join("usr/local/bin/sysctl-set-value").exists());
    assert_eq!(read(tree.join("etc/modprobe.d/dib-blacklist.conf")), "blacklist floppy\nblacklist pcspkr\n");
    assert!(read(tree.join("etc/modprobe.d/disable-nouveau.conf")).contains("blacklist nouveau\n"));
    assert!(read(tree.join("etc/systemd/journald.conf.d/50-journal-to-console.conf")).contains("ForwardToConsole=yes"));
    let rules: Vec<_> = fs::read_dir(tree.join("etc/udev/rules.d")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(rules, ["75-persistent-net-generator.rules"], "only what holds something of its own stays");
    assert!(tree.join("etc/systemd/network/99-default.link").symlink_metadata().is_err());
    let infiniband = tree.join("etc/NetworkManager/system-connections/infiniband.nmconnection");
    assert_eq!(infiniband.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.assert_clean();
}

#[test]
fn two_elements_that_want_different_kernel_parameters_are_told() {
    if skip_without_root() {
        return;
    }
    let sandbox = made_up();
    sandbox.element("one").deps(&["sysctl"]).hook("install.d/50-one", "sysctl-set-value vm.swappiness 1");
    sandbox.element("two").deps(&["sysctl"]).hook("install.d/60-two", "sysctl-set-value vm.swappiness 2");
    let args = ["-n", "-t", "tar", "fake-os", "no-packages", "one", "two"];
    sandbox.run(args).failed(1).says("vm.swappiness is to be '2', but another element set: vm.swappiness = 1");
}

#[test]
fn a_manifest_pins_the_versions_of_packages() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = made_up();
    let manifest = sandbox.path("manifest");
    let json = r#"{"packages": [
        {"package": "bash", "arch": "amd64", "version": "5.2.15-2+b7", "status": "installed"},
        {"package": "libc6", "arch": "amd64", "version": "2:2.36-9", "status": "installed"}
    ]}"#;
    fs::write(&manifest, json).unwrap();
    sandbox.env("DIB_DPKG_MANIFEST", &manifest.to_string_lossy());
    let tree = tree(&sandbox, &["apt-preferences"]);
    let wanted = "Package: bash\nPin: version 5.2.15-2+b7\nPin-Priority: 1001\n\n\
                  Package: libc6\nPin: version 2:2.36-9\nPin-Priority: 1001\n\n";
    assert_eq!(read(tree.join("etc/apt/preferences")), wanted);
}

#[test]
fn pips_mirrors_and_cache_are_there_in_the_build_only() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = made_up();
    sandbox.env("DIB_PYPI_MIRROR_URL", "http://a.invalid/simple").env("DIB_PYPI_MIRROR_URL_2", "http://c.invalid");
    sandbox.env("DIB_PYPI_MIRROR_URL_1", "http://b.invalid").env("DIB_PIP_RETRIES", "0");
    let look = "cp /root/.pip/pip.conf /etc/seen; ls /tmp/pypi >> /etc/seen; echo $PIP_CACHE_DIR > $PIP_CACHE_DIR/kept";
    sandbox
        .element("looks")
        .hook("root.d/60-own", "mkdir $TARGET_ROOT/root/.pip; echo own > $TARGET_ROOT/root/.pip/pip.conf")
        .hook("install.d/50-look", look);
    let mirror = sandbox.path("home/.cache/image-create/pypi/mirror/some-package");
    fs::create_dir_all(mirror).unwrap();
    let all = tree(&sandbox, &["pypi", "pip-cache", "looks"]);
    let wanted = "[global]\nextra-index-url =\n    http://a.invalid/simple\n    http://b.invalid\n    http://c.invalid\n\
                  retries = 0\nsome-package\n";
    assert_eq!(read(all.join("etc/seen")), wanted);
    assert_eq!(read(all.join("root/.pip/pip.conf")), "own\n");
    assert!(!all.join("root/.pydistutils.cfg").exists() && !all.join("tmp/pip/kept").exists());
    assert_eq!(sandbox.read("home/.cache/image-create/pip/kept"), "/tmp/pip\n");

    sandbox.env("DIB_NO_PYPI_PIP", "1");
    let seen = read(tree(&sandbox, &["pypi", "pip-cache", "looks"]).join("etc/seen"));
    assert!(
        seen.starts_with("[global]\nindex-url = http://a.invalid/simple\nextra-index-url =\n    http://b"),
        "{seen}"
    );
    sandbox.assert_clean();
}

#[test]
fn the_newest_kernel_is_chosen_copied_out_and_kept() {
    if skip_without_root() {
        return;
    }
    let versions = |kernel: &str, initrd: &str| {
        let files = ["6.1.0-9-amd64", "6.1.0-10-amd64"].map(|v| format!("{}{v} {}{v}.img", kernel, initrd)).join(" ");
        format!("cd $TARGET_ROOT/boot; for f in {files} config-6.1.0-9-amd64; do echo $f > $f; done")
    };
    let choose = "select-boot-kernel-initrd > /etc/chosen";
    for (family, file, kernel, initrd) in [
        ("debian", "debian_version", "vmlinuz-", "initrd.img-"),
        ("redhat", "redhat-release", "vmlinuz-", "initramfs-"),
    ] {
        let sandbox = made_up();
        sandbox
            .element("kernels")
            .hook("root.d/60-kernels", &format!("{}; touch $TARGET_ROOT/etc/{file}", versions(kernel, initrd)))
            .hook("root.d/61-rescue", "cd $TARGET_ROOT/boot; echo r > vmlinuz-0-rescue-1; echo r > vmlinuz-7.0-debug")
            .hook("install.d/50-choose", choose);
        if family == "debian" {
            fs::remove_file(sandbox.path("elements/kernels/root.d/61-rescue")).unwrap();
        }
        let all = tree(&sandbox, &["kernels", "baremetal", "cleanup-kernel-initrd"]);
        let (kernel, initrd) = (format!("{kernel}6.1.0-10-amd64"), format!("{initrd}6.1.0-10-amd64.img"));
        assert_eq!(read(all.join("etc/chosen")), format!("{kernel}:{initrd}\n"));
        assert_eq!(sandbox.read("out/x.vmlinuz"), format!("{kernel}\n"));
        assert_eq!(sandbox.read("out/x.initrd"), format!("{initrd}\n"));
        let mut left: Vec<_> =
            fs::read_dir(all.join("boot")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut wanted = vec!["config-6.1.0-9-amd64".to_owned(), kernel, initrd];
        wanted.sort();
        assert_eq!(left, wanted);
        assert!(!all.join("usr/local/bin/select-boot-kernel-initrd").exists());
    }
}

#[test]
fn iscsi_boot_writes_what_the_initramfs_reads() {
    if skip_without_root() {
        return;
    }
    let sandbox = made_up();
    sandbox.element("stub").hook(
        "root.d/60-stub",
        "printf '#!/bin/bash\\necho \"$*\" > /etc/updated\\n' > $TARGET_ROOT/usr/bin/update-initramfs; chmod 755 $TARGET_ROOT/usr/bin/*",
    );
    let debian = tree(&sandbox, &["iscsi-boot", "stub"]);
    assert_eq!(read(debian.join("etc/iscsi/iscsi.initramfs")), "ISCSI_AUTO=true\n");
    assert_eq!(read(debian.join("etc/updated")), "-u -k all\n");
    sandbox.element("rocky").exports("DISTRO_NAME", "rocky");
    fs::rename(
        sandbox.path("elements/rocky/environment.d/10-DISTRO_NAME.bash"),
        sandbox.path("elements/rocky/environment.d/11-rocky.bash"),
    )
    .unwrap();
    let args = ["-n", "-t", "tar", "fake-os", "no-packages", "iscsi-boot", "rocky"];
    sandbox.run(args).failed(1).says("rocky needs the element dracut-regenerate, too");
}

#[test]
fn cloud_init_is_told_what_to_grow_or_to_leave_alone() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = made_up();
    let list = "cloud_init_modules:\n - seed_random\n - growpart\n - resizefs\n - disk_setup\n";
    sandbox.element("has").hook(
        "root.d/60-cloud",
        &format!(
            "mkdir -p $TARGET_ROOT/etc/cloud; printf '{}' > $TARGET_ROOT/etc/cloud/cloud.cfg",
            list.replace('\n', "\\n")
        ),
    );
    let args = ["-n", "-t", "tar", "-o", "x", "fake-os", "no-packages", "has", "cloud-init-growpart"];
    sandbox.run(args).failed(1).says("DIB_CLOUD_INIT_GROWPART_DEVICES must be set");
    sandbox.env("DIB_CLOUD_INIT_GROWPART_DEVICES", "\n    - /dev/sda1\n    - /dev/vda3");
    let tree = tree(&sandbox, &["has", "cloud-init-growpart", "cloud-init-disable-resizefs"]);
    let wanted = "growpart:\n  mode: auto\n  devices:\n    - \"/dev/sda1\"\n    - \"/dev/vda3\"\n";
    assert_eq!(read(tree.join("etc/cloud/cloud.cfg.d/55-growpart.cfg")), wanted);
    assert_eq!(read(tree.join("etc/cloud/cloud.cfg")), "cloud_init_modules:\n - seed_random\n - disk_setup\n");
}

/// A stand-in for a container program: "builds" the container from a tar archive, and writes down how it was called.
const RUNTIME: &str = r#"#!/bin/bash
echo "$*" >> @CALLS@
case $1 in
    build) ;;
    create) echo container-1 ;;
    export) exec cat @TAR@ ;;
    rm | rmi) ;;
    *) exit 9 ;;
esac
"#;

#[test]
fn a_container_file_becomes_the_root_tree() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = made_up();
    sandbox.run(["-n", "-t", "tar", "-o", "base", "fake-os"]).succeeded();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    let calls = sandbox.path("calls");
    let script = RUNTIME
        .replace("@CALLS@", &calls.to_string_lossy())
        .replace("@TAR@", &sandbox.path("out/base.tar").to_string_lossy());
    fs::write(bin.join("podman"), script).unwrap();
    fs::set_permissions(bin.join("podman"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    sandbox.env("PATH", &path).env("DISTRO_NAME", "debian").env("DIB_RELEASE", "twelve");
    sandbox.env("DIB_CONTAINERFILE_BUILDOPTS", "--from some/image");
    sandbox.run(["-n", "-t", "tar", "-o", "x", "containerfile"]).failed(1).says("containerfiles/twelve");

    sandbox
        .element("mine")
        .file("containerfiles/twelve", "FROM scratch\n")
        .hook("install.d/50-here", "touch /etc/here");
    sandbox.run(["-n", "-t", "tar", "-o", "x", "containerfile", "mine"]).succeeded();
    let tree = unpacked(&sandbox, "out/x.tar");
    assert!(tree.join("etc/here").exists() && tree.join("usr/bin/bash").exists());
    let calls = read(calls);
    let lines: Vec<&str> = calls.lines().collect();
    assert!(lines[0].starts_with("build --from some/image --network host -t image-create-"), "{calls}");
    assert!(lines[0].contains("containerfiles/twelve") && lines[0].ends_with(".cache/image-create/containerfile"));
    assert!(lines[1].starts_with("create image-create-") && lines[2] == "export container-1", "{calls}");
    assert!(lines[3] == "rm container-1" && lines[4].starts_with("rmi -f image-create-"), "{calls}");
    sandbox.assert_clean();
}

#[test]
fn without_a_container_program_the_build_does_not_start() {
    let mut sandbox = Sandbox::new();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["bash", "tar"] {
        let real = output(Command::new("sh").args(["-c", &format!("command -v {program}")]));
        std::os::unix::fs::symlink(real.trim(), bin.join(program)).unwrap();
    }
    sandbox.env("PATH", &bin.to_string_lossy()).env("DIB_RELEASE", "twelve").env("DISTRO_NAME", "debian");
    sandbox.run(["-n", "-t", "tar", "containerfile"]).failed(3).says("podman");
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// What oslotest's base class gives to upstream's tests of growvols, so that Python's own modules are enough.
const OSLOTEST: &str = "import unittest

class BaseTestCase(unittest.TestCase):
    def assertRaises(self, error, call=None, *args, **kwargs):
        if call is None:
            return super().assertRaises(error)
        with super().assertRaises(error) as caught:
            call(*args, **kwargs)
        return caught.exception
";

#[test]
fn c21_growvols_passes_upstreams_own_tests() {
    if skip_without(&["python3", "unzip"]) {
        return;
    }
    let Some(wheel) = pypi::wheel("diskimage-builder==3.43.0") else { return };
    let sandbox = Sandbox::new();
    let tests = output(Command::new("unzip").arg("-p").arg(wheel).arg("*/growvols/tests/test_growvols.py"));
    for dir in ["growvols/tests", "growvols/static/usr/local/sbin", "stub/oslotest"] {
        fs::create_dir_all(sandbox.path(dir)).unwrap();
    }
    let script = "static/usr/local/sbin/growvols";
    fs::copy(
        crate::support::repository().join("elements/growvols").join(script),
        sandbox.path("growvols").join(script),
    )
    .unwrap();
    fs::write(sandbox.path("growvols/tests/test_growvols.py"), tests).unwrap();
    fs::write(sandbox.path("stub/oslotest/__init__.py"), "").unwrap();
    fs::write(sandbox.path("stub/oslotest/base.py"), OSLOTEST).unwrap();
    let run = Command::new("python3")
        .args(["-m", "unittest", "tests/test_growvols.py"])
        .current_dir(sandbox.path("growvols"))
        .env("PYTHONPATH", sandbox.path("stub"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("Ran 27 tests"), "{said}");
}

#[test]
fn the_table_says_of_every_element_of_upstream_what_becomes_of_it() {
    if skip_without(&["unzip"]) {
        return;
    }
    let Some(wheel) = pypi::wheel("diskimage-builder==3.43.0") else { return };
    let files = output(Command::new("unzip").arg("-Z1").arg(wheel).arg("diskimage_builder/elements/*/*"));
    let upstream: BTreeSet<&str> =
        files.lines().filter_map(|f| f.split('/').nth(2)).filter(|n| !n.contains("__")).collect();
    let text = read(crate::support::repository().join("docs/upstream-elements.md"));
    let mut told = BTreeSet::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| ")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        for name in cells[0].split(", ").map(|n| n.split(' ').next().unwrap()).filter(|n| *n != "Element") {
            told.insert(name);
            let here = cells[1].starts_with("here") || cells[1].ends_with("here");
            let dir = crate::support::repository().join("elements").join(name);
            assert!(here || !dir.is_dir(), "{name} is here, and the table says: {}", cells[1]);
        }
    }
    let missing: Vec<_> = upstream.difference(&told).collect();
    assert!(upstream.len() > 100 && missing.is_empty(), "{missing:?}");
}
