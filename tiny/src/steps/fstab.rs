//! The new system's fstab: its lines and the file systems that were made have to mean the same.

use super::volumes::Place;

/// An fstab that agrees, and what was changed for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The file's new text.
    pub text: String,
    /// A line for each change, for people.
    pub changes: Vec<String>,
}

/// Whether a first field means a file system that was made.
#[must_use]
pub fn means(spec: &str, place: &Place<'_>) -> bool {
    let value = |tag: &str| spec.strip_prefix(tag).map(|v| v.trim_matches('"'));
    let same_uuid = |v: &str| v.eq_ignore_ascii_case(&place.filesystem.uuid);
    value("UUID=").or_else(|| value("/dev/disk/by-uuid/")).is_some_and(same_uuid)
        || value("LABEL=").is_some_and(|v| !v.is_empty() && v == place.filesystem.label)
        || place.names.iter().any(|name| name == spec)
}

/// Whether a first field names a device at all; `tmpfs`, `proc` and network paths do not.
fn is_device(spec: &str) -> bool {
    ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/"].iter().any(|tag| spec.starts_with(tag))
}

/// Makes an fstab agree with the file systems: lines of their mount points name them, missing lines are added, and lines
/// of devices that the machine will not have are turned into comments, as the boot would wait for them.
#[must_use]
pub fn agree(text: &str, places: &[Place<'_>]) -> Agreement {
    let mut changes = Vec::new();
    let mut lines = Vec::new();
    let mut seen = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [spec, point, ..] = fields[..] else {
            lines.push(line.to_owned());
            continue;
        };
        if line.trim_start().starts_with('#') {
            lines.push(line.to_owned());
            continue;
        }
        let place = places.iter().find(|p| p.filesystem.mount.as_deref() == Some(point));
        if let Some(place) = place {
            seen.push(point.to_owned());
            lines.push(mended(line, &fields, place, &mut changes));
        } else if is_device(spec) && !places.iter().any(|p| means(spec, p)) {
            changes.push(format!("the line of {point} names {spec}, which the machine will not have: commented out"));
            lines.push(format!("# upgrade-tiny: no such device: {line}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    for place in places {
        let Some(point) = place.filesystem.mount.as_deref().filter(|p| !seen.iter().any(|s| s == p)) else { continue };
        changes.push(format!("a line for {point} was added"));
        let (options, pass) = match (point, place.filesystem.kind.as_str()) {
            ("/", _) => ("defaults", 1),
            (_, "vfat") => ("umask=0077,shortname=winnt", 2),
            _ => ("defaults", 2),
        };
        let pass = if place.filesystem.kind == "xfs" { 0 } else { pass };
        lines.push(format!("UUID={} {point} {} {options} 0 {pass}", place.filesystem.uuid, place.filesystem.kind));
    }
    Agreement { text: lines.join("\n") + "\n", changes }
}

/// A line with the right device and type; as it was if both are right.
fn mended(line: &str, fields: &[&str], place: &Place<'_>, changes: &mut Vec<String>) -> String {
    let kind = place.filesystem.kind.as_str();
    let right_kind = fields.get(2).is_none_or(|k| *k == kind || *k == "auto");
    if means(fields[0], place) && right_kind {
        return line.to_owned();
    }
    let spec = if means(fields[0], place) { fields[0].to_owned() } else { format!("UUID={}", place.filesystem.uuid) };
    changes.push(format!("the line of {} names {spec} ({kind}) instead of {}", fields[1], fields[0]));
    let mut words = vec![spec.as_str(), fields[1], kind];
    words.extend(fields.iter().skip(3));
    words.join(" ")
}

/// First fields of lines that name a device which was not made.
#[must_use]
pub fn strangers(text: &str, places: &[Place<'_>]) -> Vec<String> {
    let specs = text.lines().filter(|l| !l.trim_start().starts_with('#')).filter_map(|l| l.split_whitespace().next());
    specs.filter(|s| is_device(s) && !places.iter().any(|p| means(s, p))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::example;
    use crate::steps::volumes::places;

    #[test]
    fn an_fstab_that_agrees_stays_as_it_is() {
        let manifest = example();
        let text = "# made by the build\nUUID=6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a02 / ext4 defaults 0 1\n\
                    LABEL=boot\t/boot auto defaults 0 2\n/dev/mapper/VA-data /data ext4 noatime 0 2\ntmpfs /tmp tmpfs defaults 0 0\n";
        let agreed = agree(text, &places(&manifest, "vda"));
        assert_eq!(agreed, Agreement { text: text.into(), changes: Vec::new() });
    }

    #[test]
    fn wrong_lines_are_mended_and_missing_ones_added() {
        let manifest = example();
        let places = places(&manifest, "sda");
        let text = "UUID=1111 / xfs rw,noatime 0 1\n/dev/sdb1 /srv ext4 defaults 0 2\nUUID=2222 none swap sw 0 0\n";
        let agreed = agree(text, &places);
        assert_eq!(
            agreed.text,
            "UUID=6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a02 / ext4 rw,noatime 0 1\n\
             # upgrade-tiny: no such device: /dev/sdb1 /srv ext4 defaults 0 2\n\
             # upgrade-tiny: no such device: UUID=2222 none swap sw 0 0\n\
             UUID=6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a01 /boot ext4 defaults 0 2\n\
             UUID=6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a04 /data ext4 defaults 0 2\n"
        );
        assert_eq!(agreed.changes.len(), 5);
        assert_eq!(agree(&agreed.text, &places).changes, Vec::<String>::new());
        assert_eq!(strangers(text, &places), ["UUID=1111", "/dev/sdb1", "UUID=2222"]);
        assert!(strangers(&agreed.text, &places).is_empty());
    }
}
