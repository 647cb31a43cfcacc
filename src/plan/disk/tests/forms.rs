//! B1, B4: the tree form, the graph form, and the order of nodes.

use super::*;

/// The graph form, sorted: descriptions are compared as multisets.
fn graph_of(text: &str) -> Vec<String> {
    let description = yaml::parse(text, Path::new("d.yaml")).unwrap();
    let mut nodes: Vec<String> = graph::flatten(&description)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .iter()
        .map(|entry| {
            let mut json = entry.to_json();
            json.sort_all_objects();
            json.to_string()
        })
        .collect();
    nodes.sort();
    nodes
}

fn assert_tree_is(tree: &str, graph: &str) {
    assert_eq!(graph_of(tree), graph_of(graph));
}

#[test]
fn b1_simple_tree() {
    assert_tree_is(
        "- local_loop: {name: image0, size: 2GiB, mkfs: {name: mkfs_root, type: ext4}}",
        "- local_loop: {name: image0, size: 2GiB}\n- mkfs: {name: mkfs_root, base: image0, type: ext4}",
    );
}

const DEEP_TREE: &str = "
- local_loop:
    name: image0
    partitioning:
      label: mbr
      partitions:
        - name: root
          flags: [boot, primary]
          size: 100%
          mkfs:
            type: ext4
            mount:
              mount_point: /
              fstab:
                options: noatime
";

const DEEP_GRAPH: &str = "
- mkfs: {name: mkfs_root, base: root, type: ext4}
- local_loop: {name: image0}
- fstab: {name: fstab_mount_mkfs_root, base: mount_mkfs_root, options: noatime}
- partitioning:
    name: partitioning_image0
    base: image0
    label: mbr
    partitions:
      - {name: root, base: image0, flags: [boot, primary], size: 100%}
- mount: {name: mount_mkfs_root, base: mkfs_root, mount_point: /}
";

#[test]
fn b1_deep_tree() {
    assert_tree_is(DEEP_TREE, DEEP_GRAPH);
}

#[test]
fn b1_multi_partition_tree() {
    assert_tree_is(
        "
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: a, size: 1GiB, mkfs: {type: xfs, mount: {mount_point: /}}}
      - name: b
        base: nonsense
        size: 40%
        mkfs: {name: named, type: vfat, mount: {name: m, mount_point: /b, fstab: }}
",
        "
- local_loop: {name: image0}
- partitioning:
    name: partitioning_image0
    base: image0
    label: gpt
    partitions: [{name: a, base: image0, size: 1GiB}, {name: b, base: image0, size: 40%}]
- mkfs: {name: mkfs_a, base: a, type: xfs}
- mount: {name: mount_mkfs_a, base: mkfs_a, mount_point: /}
- mkfs: {name: named, base: b, type: vfat}
- mount: {name: m, base: named, mount_point: /b}
- fstab: {name: fstab_m, base: m}
",
    );
}

#[test]
fn b1_lvm_tree_keeps_its_lists() {
    let lists = "pvs: [{name: pv, base: root}], vgs: [{name: vg, base: [pv]}], lvs: [{name: lv, base: vg, size: 1G}]";
    assert_tree_is(
        &format!(
            "- local_loop: {{name: image0}}\n- partitioning:\n    base: image0\n    label: mbr\n    \
             partitions: [{{name: root, size: 100%, lvm: {{{lists}}}}}]\n- mkfs: {{base: lv, type: xfs}}"
        ),
        &format!(
            "- local_loop: {{name: image0}}\n- lvm: {{name: lvm_root, base: root, {lists}}}\n\
             - mkfs: {{name: mkfs_lv, base: lv, type: xfs}}\n- partitioning:\n    base: image0\n    \
             name: partitioning_image0\n    label: mbr\n    partitions: [{{name: root, base: image0, size: 100%}}]"
        ),
    );
}

#[test]
fn b1_graph_form_is_left_alone() {
    let description = yaml::parse(DEEP_GRAPH, Path::new("d.yaml")).unwrap();
    let entries = graph::flatten(&description).unwrap();
    let flat: Vec<serde_json::Value> = entries.iter().map(graph::Entry::to_json).collect();
    assert_eq!(serde_json::Value::from(flat), description.to_json());
}

#[test]
fn b1_children_come_before_their_parent() {
    let description = yaml::parse(DEEP_TREE, Path::new("d.yaml")).unwrap();
    let plugins: Vec<&str> = graph::flatten(&description).unwrap().iter().map(|entry| entry.plugin.key()).collect();
    assert_eq!(plugins, ["fstab", "mount", "mkfs", "partitioning", "local_loop"]);
}

#[test]
fn b4_deep_graph_is_worked_from_the_disk_up() {
    let order = ["image0", "root", "mkfs_root", "mount_mkfs_root", "fstab_mount_mkfs_root"];
    assert_eq!(call_order(DEEP_GRAPH), order);
    assert_eq!(call_order(DEEP_TREE), order);
    assert_eq!(layout(DEEP_TREE), layout(DEEP_GRAPH));
}

#[test]
fn json_descriptions_are_read_too() {
    let json = yaml::parse(DEEP_GRAPH, Path::new("d.yaml")).unwrap().to_json();
    assert_eq!(layout(&serde_json::to_string_pretty(&json).unwrap()), layout(DEEP_GRAPH));
}
