//! The network: the old system's files become connections of NetworkManager or files of systemd-networkd, which find
//! physical interfaces by their address, as names may differ.

mod ifcfg;
mod keyfile;
mod live;
mod model;
mod networkd;
mod routes;
mod shell;
mod taken;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use self::model::{Connection, Kind};
use super::Teller;
use super::backup::Backup;
use super::tree::Tree;

/// Restores it, and gives the number of connections that were written.
pub(super) fn restore(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<usize> {
    let links = backup.links()?;
    let mut connections = ifcfg::read_all(backup, &links, teller)?;
    connected(&mut connections, &links, teller);
    model::complete(&mut connections, backup)?;
    let manager = ["usr/sbin/NetworkManager", "usr/bin/NetworkManager"].iter().any(|path| tree.has(path));
    let keyfiles = taken::read_all(backup, &links)?;
    tell_of_the_rest(backup, &links, &connections, &keyfiles, teller)?;
    let count = connections.len() + keyfiles.len();
    if manager {
        for connection in &connections {
            keyfile::write(connection, &connections, tree)?;
        }
        for keyfile in &keyfiles {
            keyfile.write(tree, teller)?;
        }
    } else if tree.has("usr/lib/systemd/systemd-networkd") || tree.has("lib/systemd/systemd-networkd") {
        for connection in &connections {
            networkd::write(connection, &connections, tree)?;
        }
        networkd::enable(tree, teller)?;
        for keyfile in &keyfiles {
            teller.tell(&format!(
                "connection {} of NetworkManager is not carried over: the new system has none",
                keyfile.id()
            ));
        }
    } else {
        ensure!(
            count == 0,
            "the new system has neither NetworkManager nor systemd-networkd: its network cannot be set as the old one's; \
             add NetworkManager to the image"
        );
    }
    for connection in &connections {
        teller.say(&format!("network: {}", connection.summary()));
    }
    Ok(count)
}

/// Makes connections agree: ports have what they belong to, and VLANs what they are a part of.
fn connected(connections: &mut Vec<Connection>, links: &BTreeMap<String, String>, teller: &mut Teller) {
    let names: BTreeMap<String, String> =
        connections.iter().flat_map(|c| [(c.name.clone(), c.name.clone()), (c.uuid.clone(), c.name.clone())]).collect();
    let mut parents: Vec<Connection> = Vec::new();
    for connection in connections.iter_mut() {
        // A port names what it belongs to by the interface or by the connection.
        if let Some(controller) = connection.controller.take() {
            connection.controller = names.get(&controller).cloned();
            if connection.controller.is_none() {
                teller.tell(&format!(
                    "{} belongs to {controller}, which has no file: it has no addresses",
                    connection.name
                ));
            }
        }
        let Kind::Vlan { parent, .. } = &connection.kind else { continue };
        if !names.contains_key(parent) && !parents.iter().any(|p| p.name == *parent) {
            // A card that carries VLANs only needs no file in the old system, and one in the new.
            let mut card = Connection::new(parent, Kind::Ethernet);
            card.mac = links.get(parent).cloned();
            if card.mac.is_none() {
                teller.tell(&format!(
                    "nothing is known of {parent}, which {} is a part of: it is looked for by its name",
                    connection.name
                ));
            }
            parents.push(card);
        }
    }
    connections.extend(parents);
}

/// Interfaces that had addresses without a file, and physical ones without anything.
fn tell_of_the_rest(
    backup: &Backup,
    links: &BTreeMap<String, String>,
    connections: &[Connection],
    keyfiles: &[taken::Taken],
    teller: &mut Teller,
) -> Result<()> {
    for (name, addresses) in live::addresses(&backup.live_addresses()?) {
        let mac = links.get(&name);
        let known = connections.iter().any(|c| c.name == name || (c.mac.is_some() && c.mac.as_ref() == mac))
            || keyfiles.iter().any(|k| k.is_for(&name, mac.map(String::as_str)));
        if !known {
            teller.tell(&format!(
                "{name} had {} without a file that says so: it is not carried over, the new system asks DHCP",
                addresses.join(", ")
            ));
        }
    }
    Ok(())
}
