//! The host's name, the names in /etc/hosts, and the machine's id.

use std::net::IpAddr;

use anyhow::Result;

use super::Teller;
use super::backup::Backup;
use super::tree::{Owner, Tree};

pub(super) fn restore(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let name = backup.fact("hostname").filter(|name| is_host_name(name));
    match name {
        Some(name) => {
            tree.write("etc/hostname", format!("{name}\n").as_bytes(), Owner::root(0o644))?;
            teller.say(&format!("host name: {name}"));
        }
        None => teller.tell("the old system's host name is not known: the new one keeps its own"),
    }
    let new = tree.text("etc/hosts")?.unwrap_or_else(|| LOOPBACK.to_owned());
    let mut text = new.clone();
    if let Some(old) = backup.text("etc/hosts")? {
        text = hosts(&old, &text, name.unwrap_or_default());
    }
    // sudo and others want the machine's own name to mean something.
    let known_otherwise = tree.text("etc/nsswitch.conf")?.is_some_and(|text| knows_own_name(&text));
    if let Some(name) = name.filter(|_| !known_otherwise) {
        text = with_own_name(&text, name);
    }
    if text != new {
        tree.edit("etc/hosts", &text)?;
    }
    match backup.fact("machine_id").filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())) {
        Some(id) => {
            tree.write("etc/machine-id", format!("{id}\n").as_bytes(), Owner::root(0o444))?;
            teller.say("machine id: as before");
        }
        None => teller.tell("the old system has no machine id: the new one makes its own"),
    }
    Ok(())
}

const LOOPBACK: &str =
    "127.0.0.1 localhost localhost.localdomain localhost4\n::1 localhost localhost.localdomain localhost6\n";

/// A name that can be written into files without harm; see hostname(7).
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// The new system's lines, and those of the old one that are not about the machine itself. A loopback line with the
/// host's own name is carried with the names that are no form of localhost.
fn hosts(old: &str, new: &str, name: &str) -> String {
    let mut text = new.trim_end().to_owned() + "\n";
    let known: Vec<Vec<&str>> = new.lines().map(fields).collect();
    for line in old.lines() {
        let fields = fields(line);
        let [address, names @ ..] = fields.as_slice() else { continue };
        let loopback = match address.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => continue,
        };
        let own = |n: &&str| !n.starts_with("localhost") && !n.starts_with("ip6-");
        if known.contains(&fields) || matches!(*address, "fe00::0" | "ff00::0" | "ff02::1" | "ff02::2") {
            continue;
        }
        if !loopback {
            text += &format!("{}\n", line.trim_end());
        } else if names.contains(&name) && !name.starts_with("localhost") {
            let names: Vec<&str> = names.iter().copied().filter(own).collect();
            let line = format!("{address} {}\n", names.join(" "));
            if !text.contains(&line) {
                text += &line;
            }
        }
    }
    text
}

/// Whether the C library finds the machine's own name without /etc/hosts (nss-myhostname).
fn knows_own_name(nsswitch: &str) -> bool {
    nsswitch.lines().map(fields).any(|line| line.first() == Some(&"hosts:") && line.contains(&"myhostname"))
}

/// With a line for the machine's own name, if no line has it.
fn with_own_name(text: &str, name: &str) -> String {
    if name.starts_with("localhost") || text.lines().any(|line| fields(line).iter().skip(1).any(|n| *n == name)) {
        return text.to_owned();
    }
    let short = name.split_once('.').map(|(short, _)| format!(" {short}")).unwrap_or_default();
    format!("{}\n127.0.1.1 {name}{short}\n", text.trim_end())
}

fn fields(line: &str) -> Vec<&str> {
    line.split('#').next().unwrap_or_default().split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_others_are_carried_once() {
        let old = "127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4 va.example.com\n\
                   ::1         localhost localhost.localdomain localhost6\n\
                   # the back end\n\n192.0.2.7 db.example.com db # primary\nbroken\n";
        let new = "127.0.0.1 localhost\n::1 localhost\n";
        let first = hosts(old, new, "va.example.com");
        assert_eq!(first, format!("{new}127.0.0.1 va.example.com\n192.0.2.7 db.example.com db # primary\n"));
        assert_eq!(hosts(old, &first, "va.example.com"), first);
        assert_eq!(
            hosts("127.0.0.1 localhost\n::1 ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\n", new, "localhost"),
            new
        );
    }

    #[test]
    fn the_machine_knows_its_own_name() {
        let text = "127.0.0.1 localhost\n";
        let with = "127.0.0.1 localhost\n127.0.1.1 va.example.com va\n";
        assert_eq!(with_own_name(text, "va.example.com"), with);
        assert_eq!(with_own_name(with, "va.example.com"), with);
        assert_eq!(with_own_name(text, "localhost.localdomain"), text);
        assert!(
            knows_own_name("passwd: files\nhosts: files dns myhostname # x\n") && !knows_own_name("hosts: files dns\n")
        );
    }

    #[test]
    fn names_that_are_none() {
        assert!(
            is_host_name("va-1.example.com") && !is_host_name("a b") && !is_host_name("-x") && !is_host_name("x\ny")
        );
    }
}
