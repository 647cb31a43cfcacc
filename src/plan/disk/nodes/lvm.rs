//! The `lvm` node: physical volumes, volume groups and logical volumes, with their options.

use super::super::lvm::{EXTENT_SIZE, LogicalVolume, PhysicalVolume, VolumeGroup, VolumeKind, VolumeSize};
use super::super::order::Vertex;
use super::super::size::parse_bytes;
use super::Fields;
use super::lvm_names::{check_group_name, check_volume_name};
use super::lvm_options::{self, Options};
use crate::error::{Fault, Place};
use crate::yaml::Node;

/// An `lvm`.
#[derive(Debug)]
pub(in crate::plan::disk) struct LvmNode {
    pub name: String,
    pub place: Place,
    pub physical: Vec<Item<PhysicalVolume>>,
    pub groups: Vec<Item<VolumeGroup>>,
    pub logical: Vec<Item<LogicalVolume>>,
}

/// One entry of its lists.
#[derive(Debug)]
pub(in crate::plan::disk) struct Item<T> {
    pub place: Place,
    /// What it lies on: node names.
    pub bases: Vec<String>,
    pub value: T,
}

impl LvmNode {
    /// Its nodes of the graph: what the physical volumes lie on, the lvm node, physical volumes, groups, logical volumes.
    pub fn vertices(&self) -> Vec<Vertex> {
        let vertex = |name: &str, place: &Place, parents: Vec<String>| Vertex {
            name: name.to_string(),
            place: place.clone(),
            parents,
        };
        let below = self.physical.iter().flat_map(|pv| pv.bases.clone()).collect();
        let mut all = vec![vertex(&self.name, &self.place, below)];
        all.extend(self.physical.iter().map(|pv| vertex(&pv.value.name, &pv.place, vec![self.name.clone()])));
        all.extend(self.groups.iter().map(|vg| vertex(&vg.value.name, &vg.place, vg.bases.clone())));
        all.extend(self.logical.iter().map(|lv| {
            let pool = match &lv.value.kind {
                VolumeKind::Thin { pool } => Some(pool.clone()),
                _ => None,
            };
            vertex(&lv.value.name, &lv.place, lv.bases.iter().cloned().chain(pool).collect())
        }));
        all
    }

    /// The groups with everything in them. Physical volumes that are in no group are left out, with a warning.
    pub fn into_groups(self, warnings: &mut Vec<Fault>) -> Vec<VolumeGroup> {
        let Self { physical, groups, logical, .. } = self;
        for unused in physical.iter().filter(|pv| !groups.iter().any(|vg| vg.bases.contains(&pv.value.name))) {
            let message = format!("the physical volume '{}' is in no volume group: it is not made", unused.value.name);
            warnings.push(Fault::at(unused.place.clone(), message));
        }
        groups
            .into_iter()
            .map(|item| {
                let find = |name: &String| physical.iter().find(|pv| pv.value.name == *name).map(|pv| pv.value.clone());
                let name = item.value.name.clone();
                let own = logical.iter().filter(|lv| lv.bases.contains(&name)).map(|lv| lv.value.clone());
                VolumeGroup {
                    physical: item.bases.iter().filter_map(find).collect(),
                    logical: own.collect(),
                    ..item.value
                }
            })
            .collect()
    }
}

pub(in crate::plan::disk) fn read(fields: &mut Fields, warnings: &mut Vec<Fault>) -> LvmNode {
    // Names the node in the tree form; what counts are the bases of the physical volumes.
    fields.node("base");
    let mut list = |key: &'static str, verb: &str| -> Vec<Node> {
        let Some(node) = fields.node(key) else {
            fields.fault(Fault::at(fields.place(), format!("Lvm config {verb} '{key}'")));
            return Vec::new();
        };
        match node.as_list() {
            Some(items) => items.to_vec(),
            None => {
                fields.fault(node.fault(format!("{key} takes a list, not {}", node.kind())));
                Vec::new()
            }
        }
    };
    let (pvs, vgs, lvs) = (list("pvs", "requires a"), list("vgs", "needs"), list("lvs", "needs"));
    let (name, place) = (fields.own_name("Lvm"), fields.place());
    let mut node = LvmNode { name, place, physical: Vec::new(), groups: Vec::new(), logical: Vec::new() };
    let mut faults = Vec::new();
    let mut each = |items: &[Node], what: &str, read: &mut dyn FnMut(&mut Fields)| {
        for item in items {
            let mut of_item = Fields::of(item);
            read(&mut of_item);
            of_item.finish(&format!("{what} '{}'", of_item.name()), warnings);
            faults.append(&mut of_item.faults);
        }
    };
    each(&pvs, "pv", &mut |fields| node.physical.push(physical(fields)));
    each(&vgs, "vg", &mut |fields| node.groups.push(group(fields)));
    each(&lvs, "lv", &mut |fields| node.logical.push(logical(fields)));
    let complete = faults.is_empty();
    fields.faults.append(&mut faults);
    // What is missing in the lists would only be reported a second time.
    if complete && fields.faults.is_empty() {
        check_bases(&node, &mut fields.faults);
    }
    node
}

/// A key of one of the lists' entries that must be there.
fn required(fields: &mut Fields, key: &'static str, list: &str) -> String {
    let text = fields.optional(key).unwrap_or_default().to_string();
    if text.is_empty() {
        fields.fault(Fault::at(fields.place(), format!("Missing '{key}' in {list} config")));
    }
    text
}

fn physical(fields: &mut Fields) -> Item<PhysicalVolume> {
    let name = required(fields, "name", "pvs");
    let base = required(fields, "base", "pvs");
    let options = lvm_options::physical(fields);
    let align = options.align.unwrap_or(lvm_options::ALIGNMENT);
    Item { place: fields.place(), bases: vec![base.clone()], value: PhysicalVolume { name, base, align } }
}

fn group(fields: &mut Fields) -> Item<VolumeGroup> {
    let name = required(fields, "name", "vgs");
    check_group_name(&name, fields);
    let bases = match fields.node("base") {
        Some(list) => match list.as_list() {
            Some(items) => items.iter().filter_map(Node::text).map(str::to_string).collect(),
            // One name alone is a list of one.
            None => list.text().map(str::to_string).into_iter().collect(),
        },
        None => Vec::new(),
    };
    if bases.is_empty() {
        fields.fault(Fault::at(fields.place(), "Missing 'base' in vgs config"));
    }
    let Options { extent_size, max_logical, max_physical, tags, .. } = lvm_options::group(fields);
    let value = VolumeGroup {
        name,
        extent_size: extent_size.unwrap_or(EXTENT_SIZE),
        max_logical,
        max_physical,
        tags,
        physical: Vec::new(),
        logical: Vec::new(),
    };
    Item { place: fields.place(), bases, value }
}

fn logical(fields: &mut Fields) -> Item<LogicalVolume> {
    let name = required(fields, "name", "lvs");
    check_volume_name(&name, fields);
    let base = required(fields, "base", "lvs");
    let size = fields.optional_as("size", parse_bytes).map(VolumeSize::Bytes);
    let extents = fields.optional_as("extents", parse_extents);
    if size.or(extents).is_none() && fields.faults.is_empty() {
        fields.fault(Fault::at(fields.place(), "Missing 'size' or 'extents' in lvs config"));
    }
    let options = lvm_options::logical(fields);
    let pool = fields.optional("thin-pool").map(str::to_string);
    let kind = match (fields.optional("type"), pool) {
        (None, None) => VolumeKind::Linear,
        (None | Some("thin"), Some(pool)) => VolumeKind::Thin { pool },
        (Some("thin-pool"), None) => {
            VolumeKind::Pool { chunk: options.chunk, metadata: options.metadata, spare: options.spare }
        }
        (Some("thin"), None) => {
            fields.fault(Fault::at(fields.place(), format!("the thin volume '{name}' needs a 'thin-pool'")));
            VolumeKind::Linear
        }
        (Some("thin-pool"), Some(_)) => {
            fields.fault(Fault::at(fields.place_of("thin-pool"), "a thin pool does not lie in a thin pool"));
            VolumeKind::Linear
        }
        (Some(other), _) => {
            let message = format!("Unsupported type:{other}, supported types: thin, thin-pool");
            fields.fault(Fault::at(fields.place_of("type"), message));
            VolumeKind::Linear
        }
    };
    if options.for_pool && !matches!(kind, VolumeKind::Pool { .. }) {
        fields.fault(Fault::at(fields.place_of("options"), "these options of lvcreate are for thin pools only"));
    }
    let value =
        LogicalVolume { name, size: size.or(extents).unwrap_or(VolumeSize::Bytes(0)), kind, tags: options.tags };
    Item { place: fields.place(), bases: vec![base], value }
}

/// `lvcreate -l`: a number of extents, or a percentage of something.
fn parse_extents(text: &str) -> Result<VolumeSize, String> {
    let split = text.find('%').unwrap_or(text.len());
    let number = || text[..split].parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let number = number().ok_or_else(|| format!("'{text}' is no number of extents: write 100, 23%VG or 100%FREE"))?;
    match text[split..].to_ascii_uppercase().as_str() {
        "" => Ok(VolumeSize::Extents(number)),
        _ if number > 100 => Err(format!("'{text}' is more than there is")),
        "%VG" => Ok(VolumeSize::Group(number)),
        "%FREE" => Ok(VolumeSize::Free(number)),
        "%PVS" => Ok(VolumeSize::Physical(number)),
        _ => Err(format!("'{text}' is not understood: a share is %VG, %FREE or %PVS")),
    }
}

/// Groups lie on physical volumes of the same node, logical volumes in its groups and pools.
fn check_bases(node: &LvmNode, faults: &mut Vec<Fault>) {
    let mut taken: Vec<(&String, &String)> = Vec::new();
    for group in &node.groups {
        for base in &group.bases {
            let message = if !node.physical.iter().any(|pv| pv.value.name == *base) {
                format!("base:{base} in vgs does not match a valid pvs")
            } else if let Some((_, other)) = taken.iter().find(|(pv, _)| *pv == base) {
                format!("the physical volume '{base}' is in the volume group '{other}' already")
            } else {
                taken.push((base, &group.value.name));
                continue;
            };
            faults.push(Fault::at(group.place.clone(), message));
        }
    }
    for volume in &node.logical {
        let base = &volume.bases[0];
        if !node.groups.iter().any(|vg| vg.value.name == *base) {
            let message = format!("base:{base} in lvs does not match a valid vg");
            faults.push(Fault::at(volume.place.clone(), message));
        }
        let VolumeKind::Thin { pool } = &volume.value.kind else { continue };
        let is_pool = |lv: &&Item<LogicalVolume>| lv.value.name == *pool && lv.bases[0] == *base;
        let found = node.logical.iter().find(is_pool);
        if !found.is_some_and(|lv| matches!(lv.value.kind, VolumeKind::Pool { .. })) {
            let message = format!("thin-pool:{pool} in lvs does not match a thin pool in '{base}'");
            faults.push(Fault::at(volume.place.clone(), message));
        }
    }
}
