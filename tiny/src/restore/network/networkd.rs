//! Connections as files of systemd-networkd; see systemd.network(5) and systemd.netdev(5).

use anyhow::Result;

use super::super::Teller;
use super::super::tree::{Owner, Tree};
use super::keyfile::file_name;
use super::model::{Connection, Ip, Kind, Method, Route};

const DIRECTORY: &str = "etc/systemd/network";

/// Writes one: a `.network` file, and a `.netdev` file for what is not physical.
pub(super) fn write(connection: &Connection, all: &[Connection], tree: &Tree) -> Result<()> {
    let name = file_name(&connection.name);
    // Before those that an image comes with.
    tree.write(&format!("{DIRECTORY}/05-{name}.network"), network(connection, all).as_bytes(), Owner::root(0o644))?;
    if let Some(text) = netdev(connection) {
        tree.write(&format!("{DIRECTORY}/05-{name}.netdev"), text.as_bytes(), Owner::root(0o644))?;
    }
    Ok(())
}

/// Makes the service start if the image has it without.
pub(super) fn enable(tree: &Tree, teller: &mut Teller) -> Result<()> {
    let link = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
    if !tree.has(link) {
        tree.link(link, "/usr/lib/systemd/system/systemd-networkd.service")?;
        teller.say("network: systemd-networkd is started from now on");
    }
    Ok(())
}

/// A file that is being written.
struct Unit(String);

impl Unit {
    fn section(&mut self, name: &str) {
        self.0 += &format!("\n[{name}]\n");
    }

    fn set(&mut self, key: &str, value: impl ToString) {
        self.0 += &format!("{key}={}\n", value.to_string().replace(['\n', '\r'], " "));
    }
}

fn network(connection: &Connection, all: &[Connection]) -> String {
    let mut unit = Unit("# From the system before.\n".into());
    unit.section("Match");
    match &connection.mac {
        // Not MACAddress: ports of a bond have the bond's. Nor a VLAN, which has its parent's.
        Some(mac) if connection.kind == Kind::Ethernet => unit.set("PermanentMACAddress", mac),
        _ => unit.set("Name", &connection.name),
    }
    unit.section("Link");
    connection.cloned_mac.iter().for_each(|mac| unit.set("MACAddress", mac));
    connection.mtu.iter().for_each(|mtu| unit.set("MTUBytes", mtu));
    if !connection.autoconnect {
        unit.set("ActivationPolicy", "manual");
        unit.set("RequiredForOnline", "no");
    }
    unit.section("Network");
    if let Some(controller) = all.iter().find(|c| Some(&c.name) == connection.controller.as_ref()) {
        let key = if matches!(controller.kind, Kind::Bridge { .. }) { "Bridge" } else { "Bond" };
        unit.set(key, &controller.name);
        return unit.0;
    }
    let (v4, v6) = (&connection.v4, &connection.v6);
    let dhcp = match (v4.method == Method::Auto, v6.method == Method::Auto) {
        (true, true) => "yes",
        (true, false) => "ipv4",
        // The router's advertisement says whether DHCP is to be asked.
        _ => "no",
    };
    unit.set("DHCP", dhcp);
    unit.set("IPv6AcceptRA", if v6.method == Method::Auto { "yes" } else { "no" });
    if v6.method == Method::Disabled {
        unit.set("LinkLocalAddressing", "no");
    }
    for ip in [v4, v6] {
        ip.addresses.iter().for_each(|address| unit.set("Address", address));
        ip.dns.iter().for_each(|server| unit.set("DNS", server));
    }
    if !connection.search.is_empty() {
        unit.set("Domains", connection.search.join(" "));
    }
    for vlan in all.iter().filter(|c| matches!(&c.kind, Kind::Vlan { parent, .. } if *parent == connection.name)) {
        unit.set("VLAN", &vlan.name);
    }
    for (ip, section) in [(v4, "DHCPv4"), (v6, "IPv6AcceptRA")] {
        taken(ip, section, &mut unit);
    }
    [v4, v6].into_iter().for_each(|ip| routes(ip, &mut unit));
    unit.0
}

/// What is not taken from DHCP or the router.
fn taken(ip: &Ip, section: &str, unit: &mut Unit) {
    if ip.method != Method::Auto || !(ip.own_dns || ip.never_default) {
        return;
    }
    unit.section(section);
    if ip.own_dns {
        unit.set("UseDNS", "no");
    }
    if ip.never_default {
        unit.set("UseGateway", "no");
    }
}

fn routes(ip: &Ip, unit: &mut Unit) {
    if ip.method == Method::Disabled {
        return;
    }
    if let Some(gateway) = ip.gateway.filter(|_| !ip.never_default) {
        unit.section("Route");
        unit.set("Gateway", gateway);
        ip.metric.iter().for_each(|metric| unit.set("Metric", metric));
    }
    for Route { to, via, metric, table, source, onlink } in &ip.routes {
        unit.section("Route");
        unit.set("Destination", to);
        via.iter().for_each(|via| unit.set("Gateway", via));
        metric.iter().for_each(|metric| unit.set("Metric", metric));
        table.iter().for_each(|table| unit.set("Table", table));
        source.iter().for_each(|source| unit.set("PreferredSource", source));
        if *onlink {
            unit.set("GatewayOnLink", "yes");
        }
    }
}

fn netdev(connection: &Connection) -> Option<String> {
    let mut unit = Unit("# From the system before.\n".into());
    unit.section("NetDev");
    unit.set("Name", &connection.name);
    match &connection.kind {
        Kind::Ethernet => return None,
        Kind::Vlan { id, .. } => {
            unit.set("Kind", "vlan");
            unit.section("VLAN");
            unit.set("Id", id);
        }
        Kind::Bridge { stp, delay } => {
            unit.set("Kind", "bridge");
            unit.section("Bridge");
            unit.set("STP", if *stp { "yes" } else { "no" });
            delay.iter().for_each(|delay| unit.set("ForwardDelaySec", delay));
        }
        Kind::Bond(options) => {
            unit.set("Kind", "bond");
            unit.section("Bond");
            for (key, value) in options {
                match key.as_str() {
                    "mode" => unit.set("Mode", value),
                    "miimon" => unit.set("MIIMonitorSec", format!("{value}ms")),
                    "updelay" => unit.set("UpDelaySec", format!("{value}ms")),
                    "downdelay" => unit.set("DownDelaySec", format!("{value}ms")),
                    "xmit_hash_policy" => unit.set("TransmitHashPolicy", value),
                    "lacp_rate" => unit.set("LACPTransmitRate", value),
                    "min_links" => unit.set("MinLinks", value),
                    "ad_select" => unit.set("AdSelect", value),
                    _ => {}
                }
            }
        }
    }
    Some(unit.0)
}
