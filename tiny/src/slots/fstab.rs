//! The other slot's fstab: what the new system brings, on the devices of this machine.

use super::config::Config;

/// The mount point and the line of each file system; comments have no mount point.
fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    text.lines().map(|line| {
        let fields = if line.trim_start().starts_with('#') { Vec::new() } else { line.split_whitespace().collect() };
        (line, if fields.len() < 3 { Vec::new() } else { fields })
    })
}

fn is_swap(fields: &[&str]) -> bool {
    fields.get(2) == Some(&"swap")
}

/// Makes the fstab of the system in `slot`. `new` is the new system's, `running` the running one's: of what both mount,
/// the device is the running one's, as identities that the bundle was made with may be another machine's. What only the
/// running one mounts is kept. `kind` is the type of the new root.
#[must_use]
pub fn for_slot(new: &str, running: &str, config: &Config, slot: &str, kind: &str) -> String {
    let device = config.device(slot);
    let volume = [device.clone(), format!("/dev/{}/{slot}", config.group)];
    let mut text = String::new();
    let mut push = |line: &str| text.push_str(&format!("{line}\n"));
    let mut points = Vec::new();
    for (line, fields) in lines(new) {
        let known = |point: &str| lines(running).map(|(_, f)| f).find(|f| f.get(1) == Some(&point));
        match fields.get(1).copied() {
            None => push(line),
            Some(_) if is_swap(&fields) => push(&format!("# of the bundle: {line}")),
            Some("/") => push(&joined(&device, "/", kind, &fields)),
            Some(point) => {
                let same = known(point);
                let (source, kind) = same.map_or((fields[0], fields[2]), |f| (f[0], f[2]));
                push(&joined(source, point, kind, &fields));
            }
        }
        points.extend(fields.get(1).copied());
    }
    if !points.contains(&"/") {
        push(&joined(&device, "/", kind, &[]));
    }
    for (line, fields) in lines(running).filter(|(_, f)| !f.is_empty()) {
        // The volume that becomes the root may be mounted for other purposes in the running system.
        let own = volume.iter().any(|v| fields[0] == v);
        if !own && fields[1] != "/" && (is_swap(&fields) || !points.contains(&fields[1])) {
            push(line);
        }
    }
    text
}

fn joined(source: &str, point: &str, kind: &str, fields: &[&str]) -> String {
    let rest = fields.get(3..).filter(|rest| !rest.is_empty());
    let rest = rest.map_or_else(|| "defaults 0 0".to_owned(), |rest| rest.join(" "));
    format!("{source} {point} {kind} {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::config::tests::example;

    #[test]
    fn devices_are_this_machines_and_the_rest_is_the_new_systems() {
        let new = "# made by the build\nUUID=aa / xfs defaults,noatime 0 1\nUUID=bb /boot ext4 ro 0 2\n\
                   LABEL=data /data ext4 defaults 0 2\nUUID=sw none swap sw 0 0\ntmpfs /scratch tmpfs size=1m 0 0\n";
        let running = "/dev/mapper/VA-root / ext4 defaults 0 1\nUUID=11 /boot ext4 defaults 0 2\nUUID=22 /data xfs defaults 0 2\n\
                       /dev/mapper/VA-back /back ext4 defaults 0 2\nUUID=33 swap swap defaults 0 0\nfiler:/x /mnt/x nfs ro 0 0\n#old\n";
        assert_eq!(
            for_slot(new, running, &example(), "back", "ext4"),
            "# made by the build\n/dev/mapper/VA-back / ext4 defaults,noatime 0 1\nUUID=11 /boot ext4 ro 0 2\n\
             UUID=22 /data xfs defaults 0 2\n# of the bundle: UUID=sw none swap sw 0 0\ntmpfs /scratch tmpfs size=1m 0 0\n\
             UUID=33 swap swap defaults 0 0\nfiler:/x /mnt/x nfs ro 0 0\n"
        );
    }

    #[test]
    fn a_root_is_added_where_there_is_none() {
        assert_eq!(for_slot("", "", &example(), "root", "ext4"), "/dev/mapper/VA-root / ext4 defaults 0 0\n");
    }
}
