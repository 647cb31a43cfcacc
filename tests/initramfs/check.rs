//! `image-create initramfs check`: real images, and the hardware profile of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{Sandbox, run, skip_without, skip_without_data, skip_without_root, test_data};
use image_create::assemble::initramfs::closure::Closure;
use image_create::assemble::initramfs::view::{Node, RootDir};

const INSTALLER: &str = "debian-installer-12-netboot-amd64";

#[test]
fn a_real_installer_is_complete_and_drives_a_guest() {
    if skip_without_data(&[INSTALLER]) {
        return;
    }
    let image =
        test_data(INSTALLER).join("usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz");
    let sandbox = Sandbox::new();
    let profile = sandbox.path("machine.hardware");
    fs::write(&profile, "# QEMU\n/sys/devices/x/virtio0: virtio:d00000001v00001AF4\nacpi:NOSUCH00:\n").unwrap();
    let args = ["initramfs", "check", image.to_str().unwrap(), "--hardware", profile.to_str().unwrap(), "--json"];
    let outcome = sandbox.run(args).succeeded();
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["init"], "/init");
    assert_eq!(report["errors"].as_array().unwrap().len(), 0);
    assert!(report["kernels"][0]["modules"].as_u64().unwrap() > 300, "{}", report["kernels"]);
    assert!(report["counts"]["programs"].as_u64().unwrap() > 20);
    let drivers: Vec<&str> =
        report["devices"].as_array().unwrap().iter().map(|d| d["driver"].as_str().unwrap()).collect();
    assert_eq!(drivers, ["module", "unknown"]);
}

#[test]
fn what_is_missing_ends_in_exit_code_1_and_what_is_asked_wrongly_in_2() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("root");
    fs::create_dir(&root).unwrap();
    let root = root.to_str().unwrap();
    let outcome = sandbox.run(["initramfs", "check", "--root-dir", root]).failed(1);
    assert!(outcome.stdout.contains("error: there is no /init"), "{}", outcome.stdout);
    let profile = sandbox.path("profile");
    fs::write(&profile, "pci\n").unwrap();
    let profile = profile.to_str().unwrap();
    sandbox
        .run(["initramfs", "check", "--root-dir", root, "--hardware", profile])
        .failed(2)
        .says(&format!("{profile}:1: 'pci' is no modalias"));
    sandbox.run(["initramfs", "check"]).failed(2);
}

#[test]
fn the_gather_script_is_printed_and_its_profile_is_read() {
    let script = run(["initramfs", "check", "--print-gather-script"]).succeeded();
    let sandbox = Sandbox::new();
    let sys = sandbox.path("sys");
    for (dir, alias) in [("devices/a/b", "pci:v1d2\n"), ("devices/a", "platform:Fixed MDIO bus"), ("devices/c", "\n")] {
        fs::create_dir_all(sys.join(dir)).unwrap();
        fs::write(sys.join(dir).join("modalias"), alias).unwrap();
    }
    let path = sandbox.path("gather");
    fs::write(&path, &script.stdout).unwrap();
    let output = Command::new("sh").arg(&path).arg(&sys).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let sys = sys.display();
    assert_eq!(lines, [format!("{sys}/devices/a/b: pci:v1d2"), format!("{sys}/devices/a: platform:Fixed MDIO bus")]);
}

/// A program of this machine with a library in a directory that only ld.so.conf names, packed with a cache that was
/// written without ldconfig: the real loader has to find it.
#[test]
fn the_loader_finds_libraries_by_the_cache_that_a_closure_writes() {
    if skip_without_root() || skip_without(&["gcc", "chroot"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let dir = sandbox.path("root");
    fs::create_dir_all(dir.join("opt/conf")).unwrap();
    fs::create_dir_all(dir.join("bin")).unwrap();
    fs::write(dir.join("lib.c"), "int answer(void) { return 42; }\n").unwrap();
    fs::write(dir.join("main.c"), "int answer(void); int main(void) { return answer(); }\n").unwrap();
    for line in [
        "-shared -Wl,-soname,libanswer.so.1 -o opt/conf/libanswer.so.1 lib.c",
        "-o bin/main main.c opt/conf/libanswer.so.1",
    ] {
        assert!(Command::new("gcc").args(line.split(' ')).current_dir(&dir).status().unwrap().success());
    }
    // The rest of the program is this machine's.
    let host = RootDir::new(Path::new("/")).unwrap();
    let mut closure = Closure::new(&host);
    closure.add_program("chroot");
    for item in closure.finish().unwrap().items {
        let to = dir.join(item.path.strip_prefix("/").unwrap());
        match item.node {
            Node::Dir => fs::create_dir_all(to).unwrap(),
            Node::Link(target) if !to.exists() => symlink(target, to).unwrap(),
            Node::File { .. } => drop(fs::copy(item.path, to).unwrap()),
            _ => {}
        }
    }
    fs::create_dir_all(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/ld.so.conf"), "/opt/conf\n").unwrap();
    let view = RootDir::new(&dir).unwrap();
    let mut closure = Closure::new(&view);
    closure.add_program("/bin/main");
    let cache = closure.finish().unwrap().cache.unwrap();
    let code = || Command::new("chroot").arg(&dir).arg("/bin/main").output().unwrap().status.code();
    assert_eq!(code(), Some(127), "no cache, no library");
    fs::write(dir.join("etc/ld.so.cache"), cache.write()).unwrap();
    assert_eq!(code(), Some(42));
}
