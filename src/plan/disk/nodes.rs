//! The nodes of a description, checked one by one: what each kind takes, and its defaults.

use uuid::Uuid;

use super::graph::{Entry, Plugin};
use super::order::Vertex;
use super::size::parse_bytes;
use super::{Fstab, ROOT_NODE, RootFs};
use crate::error::{Fault, Faults, Place};

mod fields;
mod lvm;
mod lvm_names;
mod lvm_options;
mod partitioning;

use fields::Fields;
pub(super) use lvm::LvmNode;
pub(super) use partitioning::TableNode;

/// A `local_loop`.
#[derive(Debug)]
pub(super) struct DiskNode {
    pub name: String,
    pub size: Option<u64>,
    pub sector_size: u32,
}

/// A `mkfs`.
#[derive(Debug)]
pub(super) struct MkfsNode {
    pub name: String,
    pub place: Place,
    pub base: String,
    pub kind: String,
    pub label: String,
    pub uuid: Option<Uuid>,
    pub options: Vec<String>,
}

/// A `mount`.
#[derive(Debug)]
pub(super) struct MountNode {
    pub name: String,
    pub place: Place,
    pub base: String,
    pub point: String,
}

/// A `fstab`.
#[derive(Debug)]
pub(super) struct FstabNode {
    pub name: String,
    pub place: Place,
    pub base: String,
    pub line: Fstab,
}

/// All nodes of a description, in its order.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub disks: Vec<DiskNode>,
    pub tables: Vec<TableNode>,
    pub lvms: Vec<LvmNode>,
    pub filesystems: Vec<MkfsNode>,
    pub mounts: Vec<MountNode>,
    pub fstabs: Vec<FstabNode>,
    order: Vec<Vertex>,
}

/// Reads every entry. Keys that no plugin knows go to `warnings`.
///
/// # Errors
/// What is missing or malformed in the entries, all of it.
pub(super) fn read(entries: &[Entry], root: &RootFs, warnings: &mut Vec<Fault>) -> Result<Nodes, Faults> {
    let mut nodes = Nodes::default();
    let mut faults = Vec::new();
    for entry in entries {
        let mut fields = Fields::of(&entry.body);
        nodes.add(entry.plugin, &mut fields, root, warnings);
        fields.finish(&format!("{} '{}'", entry.plugin.key(), fields.name()), warnings);
        faults.append(&mut fields.faults);
    }
    Faults::or(faults, nodes)
}

impl Nodes {
    /// Reads one entry. Values that are missing stand as empty ones, next to their fault.
    fn add(&mut self, plugin: Plugin, fields: &mut Fields, root: &RootFs, warnings: &mut Vec<Fault>) {
        match plugin {
            Plugin::LocalLoop => self.disks.push(disk(fields, root)),
            Plugin::Partitioning => {
                let table = partitioning::read(fields, warnings);
                self.order.extend(table.vertices());
                return self.tables.push(table);
            }
            Plugin::Mkfs => self.filesystems.push(mkfs(fields, root)),
            Plugin::Mount => self.mounts.push(mount(fields)),
            Plugin::Fstab => self.fstabs.push(fstab(fields)),
            Plugin::Lvm => {
                let lvm = lvm::read(fields, warnings);
                self.order.extend(lvm.vertices());
                return self.lvms.push(lvm);
            }
        }
        let parents = fields.optional("base").filter(|_| plugin != Plugin::LocalLoop);
        let parents = parents.map(|base| vec![base.to_string()]).unwrap_or_default();
        self.order.push(Vertex { name: fields.name(), place: fields.place(), parents });
    }

    /// The graph: an edge from each base, from each partition to the next, and along the mounts in
    /// string order of their mount points, which puts `/` before `/boot` and swap's `none` last.
    pub(super) fn vertices(&self) -> Vec<Vertex> {
        let mut vertices = self.order.clone();
        let mut mounts: Vec<&MountNode> = self.mounts.iter().collect();
        mounts.sort_by(|a, b| a.point.cmp(&b.point));
        for pair in mounts.windows(2) {
            // Mount nodes of the same name are reported as duplicates; the edge changes nothing then.
            if let Some(vertex) = vertices.iter_mut().find(|vertex| vertex.name == pair[1].name) {
                vertex.parents.push(pair[0].name.clone());
            }
        }
        vertices
    }
}

fn disk(fields: &mut Fields, root: &RootFs) -> DiskNode {
    let written =
        fields.optional_as("block_size", |text| text.parse::<u32>().map_err(|_| format!("'{text}' is no sector size")));
    let sector_size = root.block_size.or(written).unwrap_or(512);
    if ![512, 4096].contains(&sector_size) {
        let place = fields.place_of("block_size");
        fields.fault(Fault::at(place, format!("a sector size of {sector_size} is not supported: 512 or 4096")));
    }
    fields.unused("base");
    fields.unused("directory");
    DiskNode { name: fields.own_name("local_loop"), size: fields.optional_as("size", parse_bytes), sector_size }
}

fn mkfs(fields: &mut Fields, root: &RootFs) -> MkfsNode {
    let name = fields.own_name("Mkfs");
    let is_root = name == ROOT_NODE;
    let written = fields.optional("type").map(str::to_string);
    let kind = match written.or_else(|| is_root.then(|| root.fs_type.clone())) {
        Some(kind) => kind,
        None => fields.required("Mkfs", "type"),
    };
    let label = fields.optional("label").map(str::to_string);
    let label = label.unwrap_or_else(|| if is_root { root_label(root, &kind) } else { name.clone() });
    let options = fields.optional("opts").map(|opts| opts.split_whitespace().map(str::to_string).collect());
    let fat = is_fat(&kind);
    if fat {
        // It has a serial number of 32 bits instead.
        fields.unused("uuid");
    }
    let uuid = |text: &str| Uuid::try_parse(text).map_err(|_| format!("'{text}' is no UUID"));
    MkfsNode {
        place: fields.place(),
        base: fields.required("Mkfs", "base"),
        // FAT knows no lower case.
        label: if fat { label.to_uppercase() } else { label },
        uuid: if fat { None } else { fields.optional_as("uuid", uuid) },
        options: options.unwrap_or_else(|| if is_root { root.options_of(&kind) } else { Vec::new() }),
        name,
        kind,
    }
}

fn root_label(root: &RootFs, kind: &str) -> String {
    // "cloudimg-rootfs" is longer than xfs allows.
    let usual = if kind == "xfs" { "img-rootfs" } else { "cloudimg-rootfs" };
    root.label.clone().filter(|label| !label.is_empty()).unwrap_or_else(|| usual.to_string())
}

/// Whether a filesystem type is one of FAT's names.
pub(super) fn is_fat(kind: &str) -> bool {
    matches!(kind, "vfat" | "fat")
}

fn mount(fields: &mut Fields) -> MountNode {
    let point = fields.required("MountPoint", "mount_point");
    let trimmed = point.trim_end_matches('/');
    MountNode {
        name: fields.own_name("MountPoint"),
        place: fields.place(),
        base: fields.required("MountPoint", "base"),
        point: if trimmed.is_empty() { point } else { trimmed.to_string() },
    }
}

fn fstab(fields: &mut Fields) -> FstabNode {
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("'{text}' is no number"));
    FstabNode {
        name: fields.own_name("Fstab"),
        place: fields.place(),
        base: fields.required("Fstab", "base"),
        line: Fstab {
            options: fields.optional("options").unwrap_or("defaults").to_string(),
            dump: fields.optional_as("dump-freq", number).unwrap_or(0),
            pass: fields.optional_as("fsck-passno", number).unwrap_or(2),
        },
    }
}
