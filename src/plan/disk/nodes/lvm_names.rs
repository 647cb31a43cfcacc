//! The names that LVM allows (lvm(8), "VALID NAMES").

use super::Fields;
use crate::error::Fault;

/// No name is longer: the kernel's device names have 127 characters.
const LONGEST: usize = 63;
/// Volumes that LVM makes by itself are called so.
const RESERVED_STARTS: &[&str] = &["pvmove", "snapshot"];
/// And have these in their names.
const RESERVED_PARTS: &[&str] = &[
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta", "_tdata",
    "_tmeta", "_vdata", "_imeta", "_iorig", "_pmspare", "_vorigin",
];

/// A fault for a volume group's name that LVM would refuse.
pub(super) fn check_group_name(name: &str, fields: &mut Fields) {
    check(name, "volume group", fields);
}

/// A fault for a logical volume's name that LVM would refuse.
pub(super) fn check_volume_name(name: &str, fields: &mut Fields) {
    check(name, "logical volume", fields);
    let start = RESERVED_STARTS.iter().find(|start| name.starts_with(*start));
    if let Some(part) = start.or_else(|| RESERVED_PARTS.iter().find(|part| name.contains(*part))) {
        let message = format!("'{name}' is no name for a logical volume: LVM keeps names with '{part}' for itself");
        fields.fault(Fault::at(fields.place_of("name"), message));
    }
}

fn check(name: &str, what: &str, fields: &mut Fields) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+.-".contains(c);
    let good = name.chars().all(allowed) && !name.starts_with('-') && ![".", ".."].contains(&name);
    if !good || name.len() > LONGEST {
        let message = format!("'{name}' is no name for a {what}");
        fields.fault(
            Fault::at(fields.place_of("name"), message)
                .hint(format!("letters, digits, and any of _ + . - not at the start; {LONGEST} at most")),
        );
    }
}
