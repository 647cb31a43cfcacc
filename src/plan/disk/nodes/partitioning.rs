//! Partition tables: labels, flags, types and numbers.

use super::super::order::Vertex;
use super::super::size::parse_bytes;
use super::super::{PartitionType, Size, TableKind, gpt_types};
use super::Fields;
use crate::error::{Fault, Place};
use crate::yaml::Node;

/// A GPT partition's name has this many UTF-16 units (UEFI specification, 5.3.3).
const GPT_NAME_UNITS: usize = 36;
/// The usual size of a GPT.
const GPT_PARTITIONS: usize = 128;
const MIB: u64 = 1 << 20;

/// A `partitioning`.
#[derive(Debug)]
pub(in crate::plan::disk) struct TableNode {
    pub place: Place,
    pub base: String,
    pub kind: TableKind,
    pub align: u64,
    pub partitions: Vec<PartitionNode>,
}

/// One of its partitions.
#[derive(Debug)]
pub(in crate::plan::disk) struct PartitionNode {
    pub name: String,
    pub place: Place,
    pub number: u32,
    pub size: Size,
    pub kind: PartitionType,
    pub boot: bool,
    pub logical: bool,
}

impl TableNode {
    /// The partitions as nodes of the graph: each lies on the disk and comes after the one before.
    pub fn vertices(&self) -> Vec<Vertex> {
        let mut previous: Option<&PartitionNode> = None;
        let mut vertices = Vec::new();
        for partition in &self.partitions {
            let parents = std::iter::once(self.base.clone()).chain(previous.map(|p| p.name.clone())).collect();
            vertices.push(Vertex { name: partition.name.clone(), place: partition.place.clone(), parents });
            previous = Some(partition);
        }
        vertices
    }
}

pub(in crate::plan::disk) fn read(fields: &mut Fields, warnings: &mut Vec<Fault>) -> TableNode {
    let kind = match fields.required("Partitioning", "label").as_str() {
        "mbr" => Some(TableKind::Mbr),
        "gpt" => Some(TableKind::Gpt),
        "" => None,
        _ => {
            fields.fault(Fault::at(fields.place_of("label"), "Label must be 'mbr' or 'gpt'"));
            None
        }
    };
    let base = fields.required("Partitioning", "base");
    let align = if kind == Some(TableKind::Gpt) {
        fields.unused("align");
        None
    } else {
        fields.optional_as("align", alignment)
    };
    let list = fields.node("partitions");
    if list.is_none() {
        fields.fault(Fault::at(fields.place(), "Partitioning config needs [partitions]"));
    }
    // Without a label nothing can be said about flags and types.
    let items = list.and_then(Node::as_list).filter(|_| kind.is_some()).unwrap_or_default();
    let kind = kind.unwrap_or(TableKind::Gpt);
    let mut partitions = Vec::new();
    for item in items {
        let mut of_item = Fields::of(item);
        partitions.push(partition(&mut of_item, kind));
        of_item.finish(&format!("partition '{}'", of_item.name()), warnings);
        fields.faults.append(&mut of_item.faults);
    }
    number(kind, &mut partitions, &mut fields.faults);
    TableNode { place: fields.place(), base, kind, align: align.unwrap_or(MIB), partitions }
}

fn alignment(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        0 => Err("an alignment of 0 is none".to_string()),
        bytes => Ok(bytes),
    }
}

fn partition(fields: &mut Fields, kind: TableKind) -> PartitionNode {
    let name = fields.own_name("Partition");
    let size = match fields.required("Partition", "size").as_str() {
        "" => Size::Bytes(0),
        text => Size::parse(text).unwrap_or_else(|message| {
            fields.fault(Fault::at(fields.place_of("size"), message));
            Size::Bytes(0)
        }),
    };
    let default = match kind {
        TableKind::Mbr => PartitionType::Mbr(0x83),
        TableKind::Gpt => PartitionType::Gpt(gpt_types::LINUX),
    };
    let partition_type = fields.optional_as("type", |text| parse_type(kind, text)).unwrap_or(default);
    let flags = flags(fields, kind);
    if kind == TableKind::Gpt && name.encode_utf16().count() > GPT_NAME_UNITS {
        let message = format!("the name '{name}' is too long for a GPT partition: {GPT_NAME_UNITS} characters");
        fields.fault(Fault::at(fields.place_of("name"), message));
    }
    let mbr = kind == TableKind::Mbr;
    // Set by the conversion to graph form; every partition lies where its table lies.
    fields.node("base");
    PartitionNode {
        place: fields.place(),
        number: 0,
        size,
        kind: partition_type,
        boot: mbr && flags.contains(&"boot"),
        logical: mbr && !flags.contains(&"primary"),
        name,
    }
}

fn flags<'a>(fields: &mut Fields<'a>, kind: TableKind) -> Vec<&'a str> {
    let Some(list) = fields.node("flags") else { return Vec::new() };
    let Some(items) = list.as_list() else {
        fields.fault(list.fault(format!("flags takes a list, not {}", list.kind())));
        return Vec::new();
    };
    for item in items {
        match item.text() {
            Some("primary") if kind == TableKind::Gpt => {
                fields.fault(item.fault("the flag 'primary' means nothing in a GPT: all its partitions are alike"));
            }
            Some("boot" | "primary") => {}
            _ => fields.fault(item.fault(format!("Unknown flag: {}", item.text().unwrap_or(item.kind())))),
        }
    }
    items.iter().filter_map(Node::text).collect()
}

fn parse_type(kind: TableKind, text: &str) -> Result<PartitionType, String> {
    match kind {
        TableKind::Mbr => {
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
            match u8::from_str_radix(digits, 16) {
                Ok(byte) if byte > 0 && !digits.starts_with('+') => Ok(PartitionType::Mbr(byte)),
                _ => Err(format!("'{text}' is no MBR partition type: one byte in hex, as in 0x83")),
            }
        }
        TableKind::Gpt => gpt_types::guid(text).map(PartitionType::Gpt).ok_or_else(|| {
            format!("'{text}' is no GPT partition type that is known here: a code, as in EF00, or a GUID")
        }),
    }
}

/// Numbers the partitions as Linux does: logical ones start at 5.
fn number(kind: TableKind, partitions: &mut [PartitionNode], faults: &mut Vec<Fault>) {
    let (mut next, mut next_logical) = (1, 5);
    let mut primary_late = None;
    for partition in partitions.iter_mut() {
        if !partition.logical && next_logical > 5 {
            primary_late.get_or_insert(partition.place.clone());
        }
        let counter = if partition.logical { &mut next_logical } else { &mut next };
        partition.number = *counter;
        *counter += 1;
    }
    if let Some(place) = primary_late {
        faults.push(
            Fault::at(place, "All primary partitions must be given first")
                .hint("a partition without the flag 'primary' is a logical one"),
        );
    }
    // The extended partition, which holds the logical ones, takes an entry too.
    let limit = match kind {
        TableKind::Gpt => GPT_PARTITIONS,
        TableKind::Mbr if next_logical > 5 => 3,
        TableKind::Mbr => 4,
    };
    let mut slots = partitions.iter().filter(|partition| !partition.logical).skip(limit);
    if let Some(partition) = slots.next() {
        let message = format!("partition '{}' has no slot in the table: {limit} is the limit here", partition.name);
        faults.push(Fault::at(partition.place.clone(), message));
    }
}
