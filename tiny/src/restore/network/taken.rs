//! Keyfiles that the old system's NetworkManager had: taken over as they are, except that interfaces are found by their
//! card's address in place of their name.

use std::collections::BTreeMap;

use anyhow::Result;

use super::super::Teller;
use super::super::backup::Backup;
use super::super::tree::{Owner, Tree};
use super::keyfile::{self, file_name};

/// A keyfile of the old system.
pub(super) struct Taken {
    name: String,
    text: String,
    interface: Option<String>,
    mac: Option<String>,
}

/// All of them.
pub(super) fn read_all(backup: &Backup, links: &BTreeMap<String, String>) -> Result<Vec<Taken>> {
    let mut all = Vec::new();
    for name in backup.names(keyfile::DIRECTORY)? {
        let text = backup.text(&format!("{}/{name}", keyfile::DIRECTORY))?.unwrap_or_default();
        if text.lines().any(|line| line.trim() == "[connection]") && !name.ends_with('~') {
            all.push(Taken::new(name, &text, links));
        }
    }
    Ok(all)
}

/// The value of a key in one of several sections.
fn value(text: &str, sections: &[&str], key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = sections.contains(&section.trim_end_matches(']'));
        } else if let Some((k, v)) = line.split_once('=').filter(|_| inside)
            && k.trim() == key
        {
            return Some(v.trim().to_owned()).filter(|v| !v.is_empty());
        }
    }
    None
}

const ETHERNET: [&str; 2] = ["ethernet", "802-3-ethernet"];

impl Taken {
    fn new(name: String, text: &str, links: &BTreeMap<String, String>) -> Self {
        let interface = value(text, &["connection"], "interface-name");
        let mac = value(text, &ETHERNET, "mac-address").map(|mac| mac.to_lowercase());
        let physical = value(text, &["connection"], "type").is_some_and(|kind| ETHERNET.contains(&kind.as_str()));
        let known = interface.as_ref().filter(|_| physical).and_then(|interface| links.get(interface));
        let text = match known {
            Some(known) => by_mac(text, mac.as_ref().unwrap_or(known), mac.is_some()),
            None => text.to_owned(),
        };
        Self { name, text, interface, mac: mac.or_else(|| known.cloned()) }
    }

    /// Its name for people.
    pub(super) fn id(&self) -> String {
        value(&self.text, &["connection"], "id").unwrap_or_else(|| self.name.clone())
    }

    /// Whether it is for an interface.
    pub(super) fn is_for(&self, name: &str, mac: Option<&str>) -> bool {
        match (&self.interface, &self.mac) {
            (None, None) => true,
            (interface, own) => interface.as_deref() == Some(name) || (own.is_some() && own.as_deref() == mac),
        }
    }

    /// Writes it. It can hold secrets.
    pub(super) fn write(&self, tree: &Tree, teller: &mut Teller) -> Result<()> {
        let name = file_name(self.name.trim_end_matches(".nmconnection"));
        tree.write(&format!("{}/{name}.nmconnection", keyfile::DIRECTORY), self.text.as_bytes(), Owner::root(0o600))?;
        let card = self.mac.as_ref().map(|mac| format!(" ({mac})")).unwrap_or_default();
        teller.say(&format!("network: connection {}{card}", self.id()));
        Ok(())
    }
}

/// The text without the interface's name and with the card's address, in the section that is there for it.
fn by_mac(text: &str, mac: &str, has: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut section = String::new();
    let mut placed = has;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if section == "connection" && key == "interface-name" {
            continue;
        }
        lines.push(line.to_owned());
        if line.trim().starts_with('[') && ETHERNET.contains(&section.as_str()) && !placed {
            lines.push(format!("mac-address={mac}"));
            placed = true;
        }
    }
    if !placed {
        lines.extend([String::new(), "[ethernet]".to_owned(), format!("mac-address={mac}")]);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_takes_the_place_of_the_name() {
        let links = BTreeMap::from([("eth0".to_owned(), "52:54:00:00:00:01".to_owned())]);
        let text = "[connection]\nid=Office\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\nmtu=1400\n\n[ipv4]\nmethod=auto\n";
        let taken = Taken::new("Office".into(), text, &links);
        assert_eq!(
            taken.text,
            "[connection]\nid=Office\ntype=ethernet\n\n[ethernet]\nmac-address=52:54:00:00:00:01\nmtu=1400\n\n[ipv4]\nmethod=auto\n"
        );
        assert!(
            taken.is_for("eth0", None)
                && taken.is_for("ens3", Some("52:54:00:00:00:01"))
                && !taken.is_for("eth1", None)
        );
        let bare = Taken::new("x".into(), "[connection]\ntype=802-3-ethernet\ninterface-name=eth0\n", &links);
        assert!(bare.text.ends_with("\n[ethernet]\nmac-address=52:54:00:00:00:01\n"), "{}", bare.text);
        let bond = "[connection]\ntype=bond\ninterface-name=eth0\n";
        assert_eq!(Taken::new("x".into(), bond, &links).text, bond);
    }
}
