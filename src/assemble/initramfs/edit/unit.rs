//! systemd units: where they go, and how they are enabled (systemd.unit(5)).

use std::path::Path;

use super::add::{Adding, host_file};
use super::unreadable;
use crate::assemble::initramfs::entry::{Entry, REGULAR, plain_name};
use crate::assemble::initramfs::tree::new_link;
use crate::error::{Fault, Place};

/// Where systemd looks for units, the first first.
const DIRS: &[&str] = &["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// One of them is the init of an image with systemd.
const PROGRAMS: &[&str] = &["usr/lib/systemd/systemd", "lib/systemd/systemd"];
/// Endings of units.
const KINDS: &[&str] =
    &["service", "socket", "target", "mount", "automount", "path", "timer", "swap", "slice", "device"];

/// Puts a unit into the base: in place of the one with its name, else to where administrators put units, enabled.
pub(super) fn add(adding: &mut Adding<'_>, file: &Path) -> Result<(), Fault> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind)) {
        let what = format!("'{name}' is no name of a unit");
        return Err(Fault::at(Place::file(file), what).hint("units are called NAME.service, NAME.mount, ..."));
    }
    if !PROGRAMS.iter().any(|program| adding.tree.follow(program).is_some()) {
        return Err(adding.fault(format!("it has no systemd that would start {name}")));
    }
    let text = std::fs::read_to_string(file).map_err(|err| unreadable(file, &err))?;
    let (content, mtime) = host_file(file)?;
    let old = DIRS.iter().map(|dir| format!("{dir}/{name}")).find(|path| adding.tree.get(path).is_some());
    let replaces = old.is_some();
    let path = old.unwrap_or_else(|| format!("{}/{name}", DIRS[0]));
    let mut entry = Entry::new(&path, REGULAR | 0o644).with(content);
    entry.mtime = mtime;
    adding.entry(entry)?;
    // One that was there is enabled as its image wants it.
    if replaces {
        return Ok(());
    }
    let links = links(&text, name).map_err(|what| Fault::at(Place::file(file), what))?;
    for link in links {
        adding.entry(new_link(plain_name(link.as_bytes()), format!("/{path}").as_bytes(), mtime))?;
    }
    Ok(())
}

/// The links that `systemctl enable` would make, from the section `[Install]`.
fn links(text: &str, name: &str) -> Result<Vec<String>, String> {
    let mut links = Vec::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let Some((key, values)) = line.split_once('=').filter(|_| section == "[Install]") else { continue };
        for value in values.split_whitespace() {
            if value.contains('/') {
                return Err(format!("'{value}' in [Install] is no name of a unit"));
            }
            match key.trim() {
                "WantedBy" => links.push(format!("{}/{value}.wants/{name}", DIRS[0])),
                "RequiredBy" => links.push(format!("{}/{value}.requires/{name}", DIRS[0])),
                "Alias" => links.push(format!("{}/{value}", DIRS[0])),
                _ => {}
            }
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_enabled_as_its_install_section_says() {
        let unit = "[Unit]\nWantedBy=no\n[Install]\nWantedBy=a.target b.target\nAlias = c.service\n";
        let dir = "etc/systemd/system";
        assert_eq!(
            links(unit, "x.service").unwrap(),
            [
                format!("{dir}/a.target.wants/x.service"),
                format!("{dir}/b.target.wants/x.service"),
                format!("{dir}/c.service")
            ]
        );
        assert!(links("[Install]\nWantedBy=../x", "x.service").is_err());
    }
}
