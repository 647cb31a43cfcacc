//! From checked nodes to the layout: who lies on whom, labels, mount points.

use std::collections::HashMap;

use super::lvm::VolumeKind;
use super::nodes::{DiskNode, MkfsNode, MountNode, Nodes, TableNode, is_fat};
use super::{Disk, DiskLayout, Filesystem, Fstab, MAIN_DISK, Partition, Table};
use crate::error::{Fault, Faults, Place};

/// What a node is, for what may lie on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Disk,
    Partition,
    Lvm,
    PhysicalVolume,
    VolumeGroup,
    LogicalVolume,
    Pool,
    Filesystem,
    Mount,
    Fstab,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Disk => "a disk",
            Kind::Partition => "a partition",
            Kind::Lvm => "an lvm node",
            Kind::PhysicalVolume => "a physical volume",
            Kind::VolumeGroup => "a volume group",
            Kind::LogicalVolume => "a logical volume",
            Kind::Pool => "a thin pool",
            Kind::Filesystem => "a filesystem",
            Kind::Mount => "a mount",
            Kind::Fstab => "an fstab line",
        }
    }
}

/// The layout of nodes whose names and bases are known to be sound; `whole` is where the
/// description begins.
pub(super) fn build(nodes: Nodes, whole: &Place, warnings: &mut Vec<Fault>) -> Result<DiskLayout, Faults> {
    let mut faults = Vec::new();
    bases(&nodes, &mut faults);
    labels(&nodes.filesystems, &mut faults, warnings);
    mount_points(&nodes, &mut faults);
    whole_image(&nodes, whole, &mut faults);
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let mount_points = nodes.mounts.iter().map(|mount| recorded(&nodes, mount).to_string()).collect();
    let Nodes { disks, tables, lvms, filesystems, mounts, fstabs, .. } = nodes;
    let mut lines: HashMap<String, Fstab> = fstabs.into_iter().map(|fstab| (fstab.base, fstab.line)).collect();
    let mut by_base: HashMap<String, MountNode> = mounts.into_iter().map(|mount| (mount.base.clone(), mount)).collect();
    let mut filesystems: Vec<Filesystem> = filesystems
        .into_iter()
        .map(|node| {
            let mount = by_base.remove(&node.name);
            let line = mount.as_ref().and_then(|mount| lines.remove(&mount.name));
            filesystem(node, mount, line)
        })
        .collect();
    // Stable: what is not mounted stays in the description's order, swap with a line before the rest.
    filesystems.sort_by_key(|fs| (fs.mount_point.is_none(), fs.mount_point.clone(), fs.fstab.is_none()));
    let mut tables: HashMap<String, TableNode> = tables.into_iter().map(|table| (table.base.clone(), table)).collect();
    let disks = disks.into_iter().map(|node| disk(&mut tables, node)).collect();
    let volume_groups = lvms.into_iter().flat_map(|lvm| lvm.into_groups(warnings)).collect();
    let layout = DiskLayout { disks, volume_groups, filesystems, mount_points };
    thin_boot(&layout, whole, warnings);
    Ok(layout)
}

fn disk(tables: &mut HashMap<String, TableNode>, node: DiskNode) -> Disk {
    let table = tables.remove(&node.name).map(|table| Table {
        kind: table.kind,
        align: table.align,
        partitions: table
            .partitions
            .into_iter()
            .map(|p| Partition {
                name: p.name,
                number: p.number,
                size: p.size,
                kind: p.kind,
                boot: p.boot,
                logical: p.logical,
            })
            .collect(),
    });
    Disk { name: node.name, size: node.size, sector_size: node.sector_size, table }
}

fn filesystem(node: MkfsNode, mount: Option<MountNode>, line: Option<Fstab>) -> Filesystem {
    let swap = node.kind == "swap";
    let swap_line = Fstab { options: "sw".to_string(), dump: 0, pass: 0 };
    Filesystem {
        mount_point: mount.map(|mount| mount.point).filter(|_| !swap),
        fstab: line.map(|line| if swap { swap_line } else { line }),
        name: node.name,
        base: node.base,
        kind: node.kind,
        label: node.label,
        uuid: node.uuid,
        options: node.options,
    }
}

/// Checks that each node lies on something that can hold it, and alone.
fn bases(nodes: &Nodes, faults: &mut Vec<Fault>) {
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    kinds.extend(nodes.disks.iter().map(|n| (n.name.as_str(), Kind::Disk)));
    kinds.extend(nodes.tables.iter().flat_map(|t| &t.partitions).map(|n| (n.name.as_str(), Kind::Partition)));
    for lvm in &nodes.lvms {
        kinds.insert(&lvm.name, Kind::Lvm);
        kinds.extend(lvm.physical.iter().map(|n| (n.value.name.as_str(), Kind::PhysicalVolume)));
        kinds.extend(lvm.groups.iter().map(|n| (n.value.name.as_str(), Kind::VolumeGroup)));
        kinds.extend(lvm.logical.iter().map(|n| match n.value.kind {
            VolumeKind::Pool { .. } => (n.value.name.as_str(), Kind::Pool),
            _ => (n.value.name.as_str(), Kind::LogicalVolume),
        }));
    }
    kinds.extend(nodes.filesystems.iter().map(|n| (n.name.as_str(), Kind::Filesystem)));
    kinds.extend(nodes.mounts.iter().map(|n| (n.name.as_str(), Kind::Mount)));
    kinds.extend(nodes.fstabs.iter().map(|n| (n.name.as_str(), Kind::Fstab)));

    let block: &[Kind] = &[Kind::Disk, Kind::Partition, Kind::LogicalVolume];
    let tables = nodes.tables.iter().map(|n| ("a partition table", &n.base, &n.place, &block[..1]));
    let physical = nodes.lvms.iter().flat_map(|lvm| &lvm.physical);
    let physical = physical.map(|n| ("a physical volume", &n.value.base, &n.place, &block[..2]));
    let filesystems = nodes.filesystems.iter().map(|n| ("a filesystem", &n.base, &n.place, block));
    let mounts = nodes.mounts.iter().map(|n| ("a mount", &n.base, &n.place, &[Kind::Filesystem][..]));
    let fstabs = nodes.fstabs.iter().map(|n| ("an fstab line", &n.base, &n.place, &[Kind::Mount][..]));
    let mut taken: HashMap<&str, &str> = HashMap::new();
    for (what, base, place, allowed) in tables.chain(physical).chain(filesystems).chain(mounts).chain(fstabs) {
        // A table without partitions is no node of the graph, so its base may be missing still.
        let Some(kind) = kinds.get(base.as_str()) else {
            faults.push(Fault::at(place.clone(), format!("Edge not defined: {base}->{what}")));
            continue;
        };
        if !allowed.contains(kind) {
            let nouns: Vec<&str> = allowed.iter().map(|kind| kind.noun()).collect();
            let allowed = match nouns.as_slice() {
                [first, second, third] => format!("{first}, {second} or {third}"),
                nouns => nouns.join(" or "),
            };
            let message = format!("{what} lies on {allowed}, not on '{base}', which is {}", kind.noun());
            faults.push(Fault::at(place.clone(), message));
        } else if let Some(first) = taken.insert(base, what) {
            faults
                .push(Fault::at(place.clone(), format!("'{base}' holds {first} already, and cannot hold {what} too")));
        }
    }
}

/// The longest label of a filesystem type, in bytes; `None` if it is not known here.
fn longest_label(kind: &str) -> Option<usize> {
    match kind {
        "ext2" | "ext3" | "ext4" | "swap" => Some(16),
        "xfs" => Some(12),
        kind if is_fat(kind) => Some(11),
        _ => None,
    }
}

fn labels(filesystems: &[MkfsNode], faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let mut seen: HashMap<&str, &MkfsNode> = HashMap::new();
    for node in filesystems {
        let (label, kind) = (&node.label, &node.kind);
        if let Some(first) = seen.insert(label, node) {
            faults.push(
                Fault::at(node.place.clone(), format!("File system label [{label}] used more than once"))
                    .hint(format!("the other one is that of '{}' at {}", first.name, first.place)),
            );
        }
        match longest_label(kind) {
            Some(max) if label.len() > max => {
                let message = format!("Label [{label}] too long for filesystem [{kind}]: {} > {max}", label.len());
                faults.push(Fault::at(node.place.clone(), message).hint("give the mkfs node a 'label'"));
            }
            Some(_) => {}
            None => {
                let message = format!("the label [{label}] is not checked: how long one of [{kind}] may be is unknown");
                warnings.push(Fault::at(node.place.clone(), message));
            }
        }
    }
}

fn is_swap(nodes: &Nodes, mount: &MountNode) -> bool {
    nodes.filesystems.iter().any(|fs| fs.name == mount.base && fs.kind == "swap")
}

/// The mount point that counts: swap has none, whatever its node says.
fn recorded<'a>(nodes: &Nodes, mount: &'a MountNode) -> &'a str {
    if is_swap(nodes, mount) { "none" } else { &mount.point }
}

fn mount_points(nodes: &Nodes, faults: &mut Vec<Fault>) {
    let mut seen: HashMap<&str, &MountNode> = HashMap::new();
    for mount in &nodes.mounts {
        let point = recorded(nodes, mount);
        let absolute = point.starts_with('/') && !point.split('/').any(|part| part == "..");
        if !absolute && !is_swap(nodes, mount) {
            let message = format!("the mount point '{point}' is no absolute path");
            faults.push(Fault::at(mount.place.clone(), message).hint("only swap has the mount point 'none'"));
        }
        if let Some(first) = seen.insert(point, mount) {
            faults.push(
                Fault::at(mount.place.clone(), format!("Mount point [{point}] specified more than once"))
                    .hint(format!("the other one stands at {}", first.place)),
            );
        }
    }
}

/// Checks that there is a main disk and a root filesystem.
fn whole_image(nodes: &Nodes, whole: &Place, faults: &mut Vec<Fault>) {
    if !nodes.disks.iter().any(|disk| disk.name == MAIN_DISK) {
        let message = format!("no local_loop is called '{MAIN_DISK}'; the image is made from the one of that name");
        faults.push(Fault::at(whole.clone(), message));
    }
    if !nodes.mounts.iter().any(|mount| mount.point == "/") {
        faults.push(Fault::at(whole.clone(), "no filesystem is mounted at '/'"));
    }
}

/// GRUB reads logical volumes, but not thin ones.
fn thin_boot(layout: &DiskLayout, whole: &Place, warnings: &mut Vec<Fault>) {
    let Some((group, volume)) = layout.boot().and_then(|boot| layout.volume_of(boot)) else { return };
    if matches!(volume.kind, VolumeKind::Thin { .. }) {
        let message = format!("/boot lies on the thin volume '{}/{}', which GRUB cannot read", group.name, volume.name);
        warnings.push(Fault::at(whole.clone(), message).hint("give /boot a partition of its own"));
    }
}
