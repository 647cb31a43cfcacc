//! Layouts from descriptions: forms, order, messages, places, symbols. The ids are those of the
//! compatibility test plan.

use std::path::Path;

use super::*;

mod forms;
mod layouts;
mod lvm;
mod messages;
mod places;

fn ext4() -> RootFs {
    RootFs { fs_type: "ext4".into(), ..RootFs::default() }
}

fn layout(text: &str) -> DiskLayout {
    let mut warnings = Vec::new();
    let layout = parse(text, Path::new("d.yaml"), &ext4(), &mut warnings).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(warnings, []);
    layout
}

fn faults(text: &str) -> Vec<String> {
    let faults = parse(text, Path::new("d.yaml"), &ext4(), &mut Vec::new()).unwrap_err();
    faults.0.iter().map(Fault::to_string).collect()
}

/// The names of a description's nodes in the order that they are worked through in.
fn call_order(text: &str) -> Vec<String> {
    let description = yaml::parse(text, Path::new("d.yaml")).unwrap();
    let nodes = nodes::read(&graph::flatten(&description).unwrap(), &ext4(), &mut Vec::new()).unwrap();
    order::sort(&nodes.vertices()).unwrap()
}

/// One disk with a table of partitions, each written `{name: …}`, and a root filesystem on `root`.
fn table(label: &str, partitions: &[&str]) -> Table {
    let list: String = partitions.iter().map(|p| format!("      - {{{p}}}\n")).collect();
    let text = format!(
        "- local_loop: {{name: image0}}\n- local_loop: {{name: other, mkfs: {{mount: {{mount_point: /}}, type: ext4}}}}\n\
         - partitioning:\n    base: image0\n    label: {label}\n    partitions:\n{}",
        if list.is_empty() { "      []\n".to_string() } else { list }
    );
    layout(&text).disks[0].table.clone().unwrap()
}

const EFI: &str = "
- local_loop:
    name: image0
- partitioning:
    base: image0
    label: gpt
    partitions:
      - name: ESP
        type: 'EF00'
        size: 550MiB
        mkfs:
          type: vfat
          mount:
            mount_point: /boot/efi
            fstab:
              options: defaults
              fsck-passno: 2
      - name: BSP
        type: EF02
        size: 8MiB
      - name: root
        type: 8300
        size: 100%
        mkfs:
          type: ext4
          mount:
            mount_point: /
            fstab:
              options: defaults
              fsck-passno: 1
";

const MBR: &str = "
- local_loop:
    name: image0
- partitioning:
    base: image0
    label: mbr
    partitions:
      - name: root
        flags: [ boot, primary ]
        size: 100%
        mkfs:
          mount:
            mount_point: /
            fstab:
              options: defaults
              fsck-passno: 1
";
