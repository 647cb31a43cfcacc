//! Files of network-scripts, `ifcfg-eth0` and so on; see sysconfig.txt of initscripts and nm-settings-ifcfg-rh(5).

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;

use super::super::Teller;
use super::super::backup::Backup;
use super::model::{Connection, Ip, Kind, Method, Net, mask};
use super::routes;
use super::shell::{assignments, is_no, is_yes};

const DIRECTORY: &str = "etc/sysconfig/network-scripts";

/// Ends of names of files that the scripts pass over.
const LEFT_OVER: [&str; 7] = ["~", ".bak", ".old", ".orig", ".rpmnew", ".rpmorig", ".rpmsave"];

type Values = BTreeMap<String, String>;

/// All connections that the old system has such files for.
pub(super) fn read_all(backup: &Backup, links: &Values, teller: &mut Teller) -> Result<Vec<Connection>> {
    let mut connections: Vec<Connection> = Vec::new();
    let mut more = Vec::new();
    let names = backup.names(DIRECTORY)?;
    for file in names.iter().filter(|name| !LEFT_OVER.iter().any(|end| name.ends_with(end))) {
        if file.starts_with("rule") {
            teller.tell(&format!("{file}: rules of routing are not carried over"));
        }
        let Some(name) = file.strip_prefix("ifcfg-").filter(|name| *name != "lo") else { continue };
        let values = assignments(&backup.text(&format!("{DIRECTORY}/{file}"))?.unwrap_or_default());
        let device = values.get("DEVICE").map_or(name, String::as_str);
        if device == "lo" || name.contains("-range") {
            if device != "lo" {
                teller.tell(&format!("{file}: ranges of addresses are not carried over"));
            }
        } else if let Some((device, _)) = device.split_once(':') {
            more.push((device.to_owned(), addresses(&values, teller)));
        } else if let Some(mut connection) = connection(name, device, &values, links, teller) {
            for (prefix, ip) in [("route", &mut connection.v4), ("route6", &mut connection.v6)] {
                for owner in [name, device].into_iter().take(if name == device { 1 } else { 2 }) {
                    let file = format!("{prefix}-{owner}");
                    let text = backup.text(&format!("{DIRECTORY}/{file}"))?.unwrap_or_default();
                    ip.routes.extend(routes::parse(&text, &file, teller));
                }
            }
            connections.push(connection);
        }
    }
    for (device, addresses) in more {
        match connections.iter_mut().find(|c| c.name == device) {
            Some(connection) => connection.v4.addresses.extend(addresses),
            None => teller.tell(&format!("addresses of {device} are not carried over: it has no file of its own")),
        }
    }
    Ok(connections)
}

/// One file as a connection; `None` for kinds that are not carried over, which is told.
fn connection(name: &str, device: &str, values: &Values, links: &Values, teller: &mut Teller) -> Option<Connection> {
    let kind = kind(device, values, teller)?;
    let mut connection = Connection::new(device, kind);
    if let Some(uuid) = values.get("UUID").filter(|uuid| is_uuid(uuid)) {
        connection.uuid = uuid.to_lowercase();
    }
    let mac = values.get("HWADDR").filter(|mac| is_mac(mac)).map(|mac| mac.to_lowercase());
    if connection.kind == Kind::Ethernet {
        connection.mac = mac.or_else(|| links.get(device).cloned());
        if connection.mac.is_none() {
            teller.tell(&format!(
                "{name}: no address of a network card is known for {device}: it is looked for by its name"
            ));
        }
    }
    connection.cloned_mac = values.get("MACADDR").filter(|mac| is_mac(mac)).map(|mac| mac.to_lowercase());
    connection.mtu = values.get("MTU").and_then(|mtu| mtu.parse().ok());
    connection.autoconnect = !is_no(values.get("ONBOOT"));
    let controllers = ["MASTER", "MASTER_UUID", "BRIDGE", "BRIDGE_UUID"];
    connection.controller = controllers.iter().find_map(|key| values.get(*key)).cloned();
    if connection.controller.is_none() {
        connection.v4 = v4(values, name, teller);
        connection.v6 = v6(values, name, teller);
        connection.search =
            values.get("DOMAIN").map(|d| d.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
        dns(&mut connection, values);
    }
    Some(connection)
}

fn kind(device: &str, values: &Values, teller: &mut Teller) -> Option<Kind> {
    let of = values.get("TYPE").map(|t| t.to_lowercase()).unwrap_or_default();
    if of == "bond" || is_yes(values.get("BONDING_MASTER")) || values.contains_key("BONDING_OPTS") {
        return Some(bond(device, values.get("BONDING_OPTS").map(String::as_str).unwrap_or_default(), teller));
    }
    if of == "bridge" {
        let delay = values.get("DELAY").and_then(|d| d.parse().ok());
        return Some(Kind::Bridge { stp: is_yes(values.get("STP")), delay });
    }
    if of == "vlan" || is_yes(values.get("VLAN")) {
        let (parent, id) = device.rsplit_once('.').unwrap_or((device, ""));
        let parent = values.get("PHYSDEV").map_or(parent, String::as_str);
        let id = values
            .get("VLAN_ID")
            .map_or(if id.is_empty() { device.trim_start_matches("vlan") } else { id }, String::as_str);
        match id.parse() {
            Ok(id) if parent != device && id < 4095 => return Some(Kind::Vlan { parent: parent.to_owned(), id }),
            _ => teller.tell(&format!("{device}: it is a VLAN without a number or a parent: it is not carried over")),
        }
        return None;
    }
    let team = values.keys().any(|key| key.starts_with("TEAM"))
        || values.get("DEVICETYPE").is_some_and(|d| d.starts_with("Team"));
    if team || !matches!(of.as_str(), "" | "ethernet") {
        let what = if team { "team".to_owned() } else { of };
        teller.tell(&format!("{device}: an interface of the kind {what} is not carried over"));
        return None;
    }
    Some(Kind::Ethernet)
}

/// Options of the kernel's bonding driver that both kinds of network services take.
const BOND_OPTIONS: [&str; 14] = [
    "mode",
    "miimon",
    "updelay",
    "downdelay",
    "arp_interval",
    "arp_ip_target",
    "arp_validate",
    "primary_reselect",
    "fail_over_mac",
    "ad_select",
    "xmit_hash_policy",
    "lacp_rate",
    "min_links",
    "all_slaves_active",
];

/// Modes by their numbers; see the kernel's document of bonding.
const BOND_MODES: [&str; 7] =
    ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];

fn bond(device: &str, options: &str, teller: &mut Teller) -> Kind {
    let mut kept = BTreeMap::new();
    for word in options.split_whitespace() {
        match word.split_once('=') {
            Some(("mode", number)) if number.len() == 1 => {
                let mode = number.parse().ok().and_then(|n: usize| BOND_MODES.get(n)).unwrap_or(&number);
                kept.insert("mode".to_owned(), (*mode).to_owned());
            }
            Some((key, value)) if BOND_OPTIONS.contains(&key) => drop(kept.insert(key.to_owned(), value.to_owned())),
            _ => teller.tell(&format!("{device}: the option {word} of the bond is not carried over")),
        }
    }
    Kind::Bond(kept)
}

fn v4(values: &Values, name: &str, teller: &mut Teller) -> Ip {
    let mut ip = Ip { addresses: addresses(values, teller), ..common(values, "IPV4_ROUTE_METRIC") };
    ip.gateway = ["GATEWAY", "GATEWAY0", "GATEWAY1"].iter().find_map(|key| values.get(*key)?.parse().ok());
    ip.never_default = is_no(values.get("DEFROUTE"));
    ip.method = match values.get("BOOTPROTO").map(|p| p.to_lowercase()).as_deref() {
        Some("dhcp" | "bootp") => Method::Auto,
        Some("none" | "static") | None if ip.addresses.is_empty() => Method::Disabled,
        Some("none" | "static") | None => Method::Manual,
        Some(other) => {
            teller.tell(&format!("{name}: BOOTPROTO={other} is not known: its addresses are used as given, or DHCP"));
            if ip.addresses.is_empty() { Method::Auto } else { Method::Manual }
        }
    };
    ip
}

fn v6(values: &Values, name: &str, teller: &mut Teller) -> Ip {
    let mut ip = common(values, "IPV6_ROUTE_METRIC");
    if is_no(values.get("IPV6INIT")) {
        return Ip::default();
    }
    let secondary = values.get("IPV6ADDR_SECONDARIES").map(String::as_str).unwrap_or_default();
    for word in values.get("IPV6ADDR").into_iter().map(String::as_str).chain(secondary.split_whitespace()) {
        let word = if word.contains('/') { word.to_owned() } else { format!("{word}/64") };
        match Net::parse(&word).filter(|net| net.address.is_ipv6()) {
            Some(net) => ip.addresses.push(net),
            None => teller.tell(&format!("{name}: {word} is no address of IPv6: it is not carried over")),
        }
    }
    ip.gateway = values.get("IPV6_DEFAULTGW").and_then(|g| g.split('%').next()?.parse().ok());
    ip.never_default = is_no(values.get("IPV6_DEFROUTE"));
    let alone =
        is_no(values.get("IPV6_AUTOCONF")) || (!ip.addresses.is_empty() && !is_yes(values.get("IPV6_AUTOCONF")));
    ip.method = match (alone && !is_yes(values.get("DHCPV6C")), ip.addresses.is_empty()) {
        (true, true) => Method::Disabled,
        (true, false) => Method::Manual,
        (false, _) => Method::Auto,
    };
    ip
}

fn common(values: &Values, metric: &str) -> Ip {
    Ip {
        metric: values.get(metric).or_else(|| values.get("METRIC")).and_then(|m| m.parse().ok()),
        own_dns: is_no(values.get("PEERDNS")),
        ..Ip::default()
    }
}

/// `IPADDR`, `IPADDR0`, `IPADDR1` and so on, each with the prefix or mask of the same number.
fn addresses(values: &Values, teller: &mut Teller) -> Vec<Net> {
    let mut found: Vec<(usize, Net)> = Vec::new();
    for (key, text) in values {
        let Some(number) = key.strip_prefix("IPADDR").filter(|n| n.bytes().all(|b| b.is_ascii_digit())) else {
            continue;
        };
        let Some(address) = text.parse::<IpAddr>().ok().filter(IpAddr::is_ipv4) else {
            teller.tell(&format!("{key}={text} is no address: it is not carried over"));
            continue;
        };
        let value = |key: &str| {
            let plain = number.is_empty() || number == "0";
            values
                .get(&format!("{key}{number}"))
                .or_else(|| values.get(&format!("{key}0")).or(values.get(key)).filter(|_| plain))
        };
        let prefix = value("PREFIX").and_then(|p| p.parse().ok()).or_else(|| mask(value("NETMASK")?));
        let prefix = prefix.filter(|prefix| *prefix <= 32).unwrap_or_else(|| by_class(address));
        found.push((number.parse().map_or(0, |n: usize| n + 1), Net { address, prefix }));
    }
    found.sort_by_key(|(number, _)| *number);
    let mut nets: Vec<Net> = found.into_iter().map(|(_, net)| net).collect();
    nets.dedup();
    nets
}

/// The prefix that the scripts take without one: by the classes of old.
fn by_class(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(a) if a.octets()[0] < 128 => 8,
        IpAddr::V4(a) if a.octets()[0] < 192 => 16,
        _ => 24,
    }
}

fn dns(connection: &mut Connection, values: &Values) {
    let mut servers: Vec<(usize, IpAddr)> = Vec::new();
    for (key, value) in values {
        let number = key.strip_prefix("DNS").and_then(|number| number.parse().ok());
        servers.extend(number.zip(value.parse().ok()));
    }
    servers.sort();
    for (_, server) in servers {
        connection.add_dns(server);
    }
}

fn is_mac(text: &str) -> bool {
    text.split(':').count() == 6 && text.split(':').all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
