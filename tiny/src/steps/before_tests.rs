//! Tests of the steps before the point of no return, on files and descriptions.

use image_init::probe::Identity;

use super::*;
use crate::manifest::tests::example;

fn device(name: &str, uuid: &str) -> Device {
    let identity = Some(Identity { kind: "ext4".into(), uuid: uuid.into(), label: String::new() });
    Device { name: name.into(), number: (8, 0), identity, partition: None, mapped: None }
}

fn disk(name: &str, bytes: u64) -> Block {
    Block { name: name.into(), bytes, sector: 512, ..Block::default() }
}

#[test]
fn the_programs_that_a_bundle_needs() {
    let expected = ["e2fsck", "lvm", "mkfs.ext4", "sgdisk", "tar", "xz"];
    assert_eq!(tools(&example()).unwrap(), expected);
    let mut manifest = example();
    manifest.payload = "va.tar.zst".into();
    manifest.layout.volumes[0].filesystem.kind = "xfs".into();
    let tools = tools(&manifest).unwrap();
    assert!(["zstd", "mkfs.xfs", "xfs_repair"].iter().all(|name| tools.contains(&(*name).to_owned())), "{tools:?}");
}

#[test]
fn copies_of_the_old_or_the_new_file_systems_are_refused() {
    let manifest = example();
    let new = manifest.layout.volumes[0].filesystem.uuid.to_uppercase();
    let blocks = [disk("sda", 1), disk("sdb", 1)];
    let old = device("sda", "aa");
    let alone =
        |other: Device| is_alone(&old, "sda", &[old.clone(), other], &blocks, &manifest).map_err(|e| e.to_string());
    alone(device("sdb", "bb")).unwrap();
    alone(device("sdb", "")).unwrap();
    assert!(alone(device("sdb", "AA")).unwrap_err().contains("the old system's file system has too"));
    assert!(alone(device("sdb", &new)).unwrap_err().contains("the new system will have"));
    // The system that is replaced may be one that a bundle made.
    let own = [old.clone(), device("sda", &new)];
    is_alone(&own[0], "sda", &own, &blocks, &manifest).unwrap();
}

#[test]
fn disks_that_cannot_become_the_new_one() {
    let manifest = example();
    let why = |disk: Block| disk_fits(&disk, &manifest).unwrap_err().to_string();
    disk_fits(&disk("vda", 10 << 30), &manifest).unwrap();
    assert!(why(disk("vda", 8 << 30)).contains("vda has 8192 MiB, and the layout needs 10240 MiB"));
    assert!(why(Block { sector: 4096, ..disk("vda", 10 << 30) }).contains("sectors of 4096"));
    assert!(why(Block { read_only: true, ..disk("vda", 10 << 30) }).contains("read-only"));
}

#[test]
fn an_ext_file_system_in_need_of_a_check_is_told_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let ran = |command: &mut std::process::Command| assert!(command.status().unwrap().success());
    ran(std::process::Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image));
    let sound = |kind: &str| is_marked_sound(kind, &mut File::open(&image).unwrap());
    assert!(sound("ext4"));
    // Cleanly unmounted, and errors were found while it was in use; then, not unmounted.
    for state in [3, 0] {
        let request = format!("set_super_value state {state}");
        ran(std::process::Command::new("debugfs").args(["-w", "-R", &request]).arg(&image));
        assert!(!sound("ext4"), "{state}");
        assert!(sound("xfs"));
    }
    assert!(!is_marked_sound("ext4", &mut std::io::Cursor::new(Vec::<u8>::new())));
}

#[test]
fn trees_are_copied_with_modes_and_links() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("backup"), dir.path().join("copy"));
    fs::create_dir_all(from.join("files/etc")).unwrap();
    fs::write(from.join("files/etc/shadow"), "secret").unwrap();
    fs::set_permissions(from.join("files/etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("../files", from.join("link")).unwrap();
    copy_tree(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("files/etc/shadow")).unwrap(), "secret");
    assert_eq!(fs::metadata(to.join("files/etc/shadow")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("../files"));
    assert!(size_of_tree(&from) >= 3 * 4096);
}

#[test]
fn files_are_copied_and_digested() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("va.tar.xz"), dir.path().join("copy"));
    fs::write(&from, "abc").unwrap();
    let mut report = Report::new(&dir.path().join("log"), Vec::new());
    copy_file(&from, &to, &mut report).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest(&to, &mut report).unwrap(), expected);
}

#[test]
fn the_tiny_system_knows_less_of_its_bundle_but_nothing_else() {
    let own = Manifest { ram_bytes: 0, ..example() };
    let mut bundle = example();
    bundle.files.insert("vmlinuz-convert".into(), bundle.files["va.sgdisk"].clone());
    assert!(is_same(&own, &bundle));
    bundle.files.get_mut("va.tar.xz").unwrap().sha256 = "1".repeat(64);
    assert!(!is_same(&own, &bundle));
    assert!(!is_same(&own, &Manifest { version: "2".into(), ..example() }));
}
