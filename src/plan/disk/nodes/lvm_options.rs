//! The options that a description gives to pvcreate, vgcreate and lvcreate. Nothing is run: those that change the
//! result are honoured, those that would not are accepted, all others are refused by name.

use super::Fields;
use crate::yaml::Node;

/// Where the extents of a physical volume begin, unless its options say otherwise, in bytes.
pub(super) const ALIGNMENT: u64 = 1 << 20;

/// What options say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub align: Option<u64>,
    pub extent_size: Option<u64>,
    pub max_logical: u32,
    pub max_physical: u32,
    pub tags: Vec<String>,
    pub chunk: Option<u64>,
    pub metadata: Option<u64>,
    pub spare: bool,
    /// One of the last three was there.
    pub for_pool: bool,
}

/// What is done with an option.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// Stands alone, and changes nothing.
    Flag,
    /// Has a value, and changes nothing.
    Value,
    Align,
    ExtentSize,
    MaxLogical,
    MaxPhysical,
    Tag,
    Chunk,
    Metadata,
    Spare,
}

/// Short letter (or a blank), long name, effect.
type Known = (char, &'static str, Effect);

/// For all three programs: answers, verbosity, what is cleared on a disk that is empty anyway.
const COMMON: &[Known] = &[
    ('f', "force", Effect::Flag),
    ('y', "yes", Effect::Flag),
    ('q', "quiet", Effect::Flag),
    ('v', "verbose", Effect::Flag),
    (' ', "nohints", Effect::Flag),
    ('A', "autobackup", Effect::Value),
    ('Z', "zero", Effect::Value),
];
const PHYSICAL: &[Known] = &[(' ', "dataalignment", Effect::Align)];
const GROUP: &[Known] = &[
    ('s', "physicalextentsize", Effect::ExtentSize),
    ('l', "maxlogicalvolumes", Effect::MaxLogical),
    ('p', "maxphysicalvolumes", Effect::MaxPhysical),
    (' ', "addtag", Effect::Tag),
];
const LOGICAL: &[Known] = &[
    ('W', "wipesignatures", Effect::Value),
    ('a', "activate", Effect::Value),
    (' ', "addtag", Effect::Tag),
    ('c', "chunksize", Effect::Chunk),
    (' ', "poolmetadatasize", Effect::Metadata),
    (' ', "poolmetadataspare", Effect::Spare),
];

pub(super) fn physical(fields: &mut Fields) -> Options {
    read(fields, "pvcreate", PHYSICAL)
}

pub(super) fn group(fields: &mut Fields) -> Options {
    read(fields, "vgcreate", GROUP)
}

pub(super) fn logical(fields: &mut Fields) -> Options {
    read(fields, "lvcreate", LOGICAL)
}

fn read(fields: &mut Fields, program: &str, own: &[Known]) -> Options {
    let mut options = Options { spare: true, ..Options::default() };
    let Some(list) = fields.node("options") else { return options };
    let Some(items) = list.as_list() else {
        fields.fault(list.fault(format!("options takes a list, not {}", list.kind())));
        return options;
    };
    let mut rest = items.iter();
    while let Some(item) = rest.next() {
        let Some(text) = item.text() else {
            fields.fault(item.fault(format!("an option is a single value, not {}", item.kind())));
            continue;
        };
        let Some((effect, joined)) = find(text, own) else {
            let supported: Vec<String> = own.iter().chain(COMMON).map(shown).collect();
            let message = format!("the option '{text}' of {program} is not supported");
            fields.fault(item.fault(message).hint(format!("supported: {}", supported.join(", "))));
            // Its value, if it has one, would be taken for an option.
            break;
        };
        if matches!(effect, Effect::Flag) {
            continue;
        }
        let Some(value) = joined.or_else(|| rest.next().and_then(Node::text).map(str::to_string)) else {
            fields.fault(item.fault(format!("the option '{text}' of {program} needs a value")));
            continue;
        };
        if let Err(message) = options.take(effect, &value) {
            fields.fault(item.fault(format!("{program}: {message}")));
        }
    }
    options
}

fn shown(known: &Known) -> String {
    match known {
        (' ', long, _) => format!("--{long}"),
        (short, long, _) => format!("-{short}/--{long}"),
    }
}

/// The effect of an option, and the value that is joined to it (`--name=value`, `-nvalue`).
fn find(text: &str, own: &[Known]) -> Option<(Effect, Option<String>)> {
    let all = || own.iter().chain(COMMON);
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_string())));
        return all().find(|(_, known, _)| *known == name).map(|(_, _, effect)| (*effect, value));
    }
    let mut letters = text.strip_prefix('-')?.chars();
    let letter = letters.next().filter(|letter| *letter != ' ')?;
    let effect = all().find(|(known, _, _)| *known == letter).map(|(_, _, effect)| *effect)?;
    let value = letters.as_str();
    match effect {
        // Several flags in one word, as in -ff.
        Effect::Flag if value.is_empty() => Some((effect, None)),
        Effect::Flag => find(&format!("-{value}"), own).filter(|(next, _)| matches!(next, Effect::Flag)),
        _ => Some((effect, Some(value.to_string()).filter(|value| !value.is_empty()))),
    }
}

impl Options {
    fn take(&mut self, effect: Effect, value: &str) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|_| format!("'{value}' is no number"));
        match effect {
            Effect::Flag | Effect::Value => {}
            Effect::Align => self.align = Some(sectors(value, 'k')?),
            Effect::ExtentSize => self.extent_size = Some(extent_size(value)?),
            Effect::MaxLogical => self.max_logical = number()?,
            Effect::MaxPhysical => self.max_physical = number()?,
            Effect::Tag => self.tags.push(tag(value)?),
            Effect::Chunk => self.chunk = Some(chunk(value)?),
            Effect::Metadata => self.metadata = Some(sectors(value, 'm')?),
            Effect::Spare => self.spare = value.starts_with('y'),
        }
        self.for_pool |= matches!(effect, Effect::Chunk | Effect::Metadata | Effect::Spare);
        Ok(())
    }
}

/// A size as LVM's programs take it: powers of 1024 in any case, with a unit of its own where none is given; whole
/// sectors.
fn sectors(text: &str, unit: char) -> Result<u64, String> {
    let bad = || format!("'{text}' is no size: write a number and one of b, s, k, m, g, t");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| bad())?;
    let factor = match text[split..].to_ascii_lowercase().as_str() {
        "" => return sectors(&format!("{number}{unit}"), unit),
        "b" => 1,
        "s" => 512,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    match number.checked_mul(factor) {
        Some(bytes) if bytes > 0 && bytes.is_multiple_of(512) => Ok(bytes),
        _ => Err(bad()),
    }
}

fn extent_size(text: &str) -> Result<u64, String> {
    let bytes = sectors(text, 'm')?;
    let allowed = bytes.is_power_of_two() && bytes >= 1024 || bytes.is_multiple_of(128 << 10);
    if allowed && bytes / 512 <= u64::from(u32::MAX) {
        return Ok(bytes);
    }
    Err(format!("an extent of {text} is not possible: a power of 2 from 1k on, or a multiple of 128k"))
}

fn chunk(text: &str) -> Result<u64, String> {
    let bytes = sectors(text, 'k')?;
    // The kernel's Documentation/admin-guide/device-mapper/thin-provisioning.rst.
    if bytes.is_multiple_of(64 << 10) && bytes <= 1 << 30 {
        return Ok(bytes);
    }
    Err(format!("a chunk of {text} is not possible: a multiple of 64k, 1g at most"))
}

fn tag(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('@').unwrap_or(text);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+.-/=!:&#".contains(c);
    if name.is_empty() || name.starts_with('-') || !name.chars().all(allowed) {
        return Err(format!("'{text}' is no tag"));
    }
    Ok(name.to_string())
}
