//! Questions and answers.

use super::*;

pub(in crate::target) fn layout() -> GrubLayout {
    serde_json::from_str(
        r#"{"table": "gpt", "filesystems": [
            {"mount_point": "/", "kind": "ext4", "uuid": "1111-root", "label": "rootfs", "partition": "gpt3", "partuuid": "aaaa"},
            {"mount_point": "/boot", "kind": "xfs", "uuid": "2222-boot", "label": "", "partition": "gpt2", "partuuid": null},
            {"mount_point": "/boot/efi", "kind": "vfat", "uuid": "ABCD-0123", "partition": "gpt1"}]}"#,
    )
    .unwrap()
}

fn ask(target: &str, mount_point: &str) -> Vec<String> {
    let layout = layout();
    let fs = layout.of_path(Path::new(mount_point)).unwrap();
    filesystem_answer(&layout, fs, target).unwrap()
}

#[test]
fn a_path_belongs_to_the_deepest_mount_point() {
    let layout = layout();
    let uuid = |path: &str| layout.of_path(Path::new(path)).unwrap().uuid.clone();
    assert_eq!(uuid("/usr/share/grub/unicode.pf2"), "1111-root");
    assert_eq!(uuid("/boot/grub"), "2222-boot");
    assert_eq!(uuid("/bootx"), "1111-root");
    assert_eq!(uuid("/boot/efi/EFI"), "ABCD-0123");
}

#[test]
fn every_target_that_grub_mkconfig_asks_for_is_answered() {
    assert_eq!(ask("fs", "/"), ["ext2"]);
    assert_eq!(ask("fs", "/boot/efi"), ["fat"]);
    assert_eq!(ask("fs_uuid", "/"), ["1111-root"]);
    assert_eq!(ask("device", "/"), ["/dev/disk/by-uuid/1111-root"]);
    assert_eq!(ask("partmap", "/"), ["gpt"]);
    assert_eq!(ask("drive", "/boot"), ["(hd0,gpt2)"]);
    assert_eq!(ask("compatibility_hint", "/"), ["hd0,gpt3"]);
    assert_eq!(ask("hints_string", "/"), ["--hint-bios=hd0,gpt3 --hint-efi=hd0,gpt3 --hint-baremetal=ahci0,gpt3"]);
    assert_eq!(ask("partuuid", "/"), ["aaaa"]);
    assert_eq!(ask("partuuid", "/boot"), Vec::<String>::new());
    assert_eq!(ask("abstraction", "/"), Vec::<String>::new());
}

#[test]
fn a_device_that_was_answered_can_be_asked_about() {
    let layout = layout();
    let request = |line: &str| {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let request = Request::parse(&args).unwrap().unwrap();
        request.answer(&layout, &request.subjects[0])
    };
    assert_eq!(request("--device /dev/disk/by-uuid/2222-boot --target=fs").unwrap(), ["xfs"]);
    assert_eq!(request("-t fs_uuid -d LABEL=rootfs").unwrap(), ["1111-root"]);
    assert_eq!(request("--device /dev/disk/by-id/image-create -tpartmap").unwrap(), ["gpt"]);
    assert!(request("--device /dev/sda --target=fs").unwrap_err().to_string().contains("/dev/sda"));
}

#[test]
fn a_filesystem_that_fills_the_disk_has_no_partition_map() {
    let mut layout = layout();
    layout.table = None;
    layout.filesystems[0].partition = None;
    let answer = |target| filesystem_answer(&layout, &layout.filesystems[0], target).unwrap();
    assert_eq!(answer("partmap"), Vec::<String>::new());
    assert_eq!(answer("compatibility_hint"), ["hd0"]);
}

#[test]
fn a_logical_volume_is_named_by_its_identifiers() {
    let mut layout = layout();
    let root = &mut layout.filesystems[0];
    root.partition = None;
    root.volume = Some(GrubVolume { name: "vg-lv_root".into(), id: "GGGG-GG/VVVV-VV".into() });
    let answer = |target| filesystem_answer(&layout, &layout.filesystems[0], target).unwrap();
    assert_eq!(answer("abstraction"), ["lvm"]);
    assert_eq!(answer("partmap"), ["gpt"]);
    assert_eq!(answer("drive"), ["(lvm/vg-lv_root)"]);
    assert_eq!(answer("compatibility_hint"), ["lvmid/GGGG-GG/VVVV-VV"]);
    assert_eq!(answer("hints_string"), ["--hint='lvmid/GGGG-GG/VVVV-VV'"]);
    assert_eq!(
        (answer("device"), answer("fs_uuid")),
        (vec!["/dev/mapper/vg-lv_root".into()], vec!["1111-root".into()])
    );
    assert_eq!(layout.of_device("/dev/mapper/vg-lv_root").unwrap().uuid, "1111-root");
    assert!(layout.of_device("/dev/mapper/vg-lv_var").is_none());
    assert!(layout.device_paths().contains(&"/dev/mapper/vg-lv_root".into()));
}
