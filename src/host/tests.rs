use super::*;
use std::os::unix::fs::PermissionsExt;

fn made_up(user: u32) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["usr/bin", "etc", "proc/self/ns", "dev"] {
        std::fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    let host = Host::below(dir.path(), user);
    (dir, host)
}

fn install(dir: &Path, program: &str, mode: u32) {
    let file = dir.join("usr/bin").join(program);
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_program_comes_with_the_command_that_installs_it() {
    let (dir, host) = made_up(0);
    std::fs::write(dir.path().join("etc/os-release"), "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n").unwrap();
    let lacks = host.check(&[Need::program("qemu-img", "-t qcow2"), Need::program("qemu-img", "-t qcow2")]);
    assert_eq!(lacks.len(), 1, "each thing is named once");
    assert_eq!(lacks[0].message, "qemu-img is not installed (-t qcow2)");
    assert_eq!(lacks[0].hint, "apt-get install qemu-utils");
    std::fs::write(dir.path().join("etc/os-release"), "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n").unwrap();
    assert_eq!(host.install_hint(&["mke2fs", "xz"]), "dnf install e2fsprogs xz");
    std::fs::remove_file(dir.path().join("etc/os-release")).unwrap();
    assert_eq!(host.install_hint(&["mke2fs"]), "install mke2fs");
}

#[test]
fn one_alternative_is_enough_and_must_be_executable() {
    let (dir, host) = made_up(0);
    let need = [Need::new(What::Program(vec!["mmdebstrap".into(), "debootstrap".into()]), "element debian-minimal")];
    install(dir.path(), "debootstrap", 0o644);
    assert_eq!(host.check(&need)[0].message, "mmdebstrap or debootstrap is not installed (element debian-minimal)");
    install(dir.path(), "debootstrap", 0o755);
    assert_eq!(host.check(&need), []);
}

#[test]
fn kernel_features_are_read_from_proc() {
    let (dir, host) = made_up(0);
    let needs = [
        Need::new(What::Overlay, "builds"),
        Need::new(What::Namespaces, "builds"),
        Need::new(What::LoopDevices, "element x").optional(),
    ];
    let lacks = host.check(&needs);
    assert_eq!(lacks.len(), 3);
    assert_eq!(lacks.iter().filter(|l| l.optional).count(), 1);
    std::fs::write(dir.path().join("proc/filesystems"), "nodev\ttmpfs\nnodev\toverlay\n").unwrap();
    for name in ["mnt", "pid", "ipc", "uts"] {
        std::os::unix::fs::symlink("x:[1]", dir.path().join("proc/self/ns").join(name)).unwrap();
    }
    std::fs::write(dir.path().join("dev/loop-control"), "").unwrap();
    assert_eq!(host.check(&needs), []);
}

#[test]
fn root_without_the_right_to_mount_is_not_enough() {
    let (dir, host) = made_up(0);
    let need = [Need::new(What::Root, "builds")];
    std::fs::write(dir.path().join("proc/self/status"), "CapEff:\t00000000a80425fb\n").unwrap();
    assert!(host.check(&need)[0].hint.contains("CAP_SYS_ADMIN"));
    std::fs::write(dir.path().join("proc/self/status"), "CapEff:\t000001ffffffffff\n").unwrap();
    assert_eq!(host.check(&need), []);
    let (_dir, user) = made_up(1000);
    assert!(user.check(&need)[0].hint.contains("sudo"));
}

#[test]
fn space_and_memory_are_compared_in_bytes() {
    let (dir, host) = made_up(0);
    std::fs::write(dir.path().join("proc/meminfo"), "MemTotal: 9 kB\nMemAvailable:    2048 kB\n").unwrap();
    let space = |bytes| Need::new(What::Space { dir: "/not/yet/there".into(), bytes }, "the work directory");
    let memory = |bytes| Need::new(What::Memory { bytes }, "tmpfs");
    assert_eq!(host.check(&[space(1), memory(2 << 20)]), []);
    let lacks = host.check(&[space(u64::MAX), memory((2 << 20) + 1)]);
    assert_eq!(lacks.len(), 2);
    assert!(lacks[1].message.starts_with("2.00 MiB of memory are free"), "{}", lacks[1].message);
}

#[test]
fn host_tools_files_hold_names_and_alternatives() {
    let text = "# tools of this element\ncurl\nmmdebstrap|debootstrap  # either\n\n";
    let needs = parse_host_tools(Path::new("x/host-tools"), text, "x").unwrap();
    assert_eq!(needs.len(), 2);
    assert_eq!(needs[1].what, What::Program(vec!["mmdebstrap".into(), "debootstrap".into()]));
    let faults = parse_host_tools(Path::new("x/host-tools"), "curl wget\na\n/bin/x|\n", "x").unwrap_err();
    assert_eq!(faults.0.len(), 2);
    assert_eq!(faults.0[1].to_string(), "x/host-tools:3: '/bin/x|' does not name a program");
}

#[test]
fn a_variable_can_stand_for_programs() {
    let needs = parse_host_tools(Path::new("x/host-tools"), "dnf|mmdebstrap|$TOOLS\n", "x").unwrap();
    assert!(needs[0].is_met_by_variables(|name| name == "TOOLS"));
    assert!(!needs[0].is_met_by_variables(|_| false));
    let (_dir, host) = made_up(0);
    assert_eq!(host.check(&needs)[0].message, "dnf or mmdebstrap or $TOOLS is not installed (element x)");
}
