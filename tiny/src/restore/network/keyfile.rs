//! Connections as NetworkManager's keyfiles; see nm-settings-keyfile(5).

use anyhow::Result;

use super::super::tree::{Owner, Tree};
use super::model::{Connection, Ip, Kind, Method, Route};

/// Where NetworkManager looks for them.
pub(super) const DIRECTORY: &str = "etc/NetworkManager/system-connections";

/// Writes one. `all` are those that it can refer to.
pub(super) fn write(connection: &Connection, all: &[Connection], tree: &Tree) -> Result<()> {
    let path = format!("{DIRECTORY}/{}.nmconnection", file_name(&connection.name));
    tree.write(&path, text(connection, all).as_bytes(), Owner::root(0o600))
}

/// A name that is one file's.
pub(super) fn file_name(name: &str) -> String {
    name.replace(|c: char| c == '/' || c.is_control(), "_").trim_start_matches('.').to_owned()
}

/// A keyfile that is being written.
struct Keyfile(String);

impl Keyfile {
    fn section(&mut self, name: &str) {
        self.0 += &format!("\n[{name}]\n");
    }

    fn set(&mut self, key: &str, value: impl ToString) {
        // A value is a line: what came from the old system's files cannot begin another.
        self.0 += &format!("{key}={}\n", value.to_string().replace(['\n', '\r'], " "));
    }

    fn list(&mut self, key: &str, values: impl IntoIterator<Item = impl ToString>) {
        let values: String = values.into_iter().map(|value| value.to_string() + ";").collect();
        if !values.is_empty() {
            self.set(key, values);
        }
    }
}

fn text(connection: &Connection, all: &[Connection]) -> String {
    let mut file = Keyfile("# From the system before.\n".into());
    base(connection, all, &mut file);
    let parent = match &connection.kind {
        Kind::Vlan { parent, .. } => all.iter().find(|c| c.name == *parent),
        _ => None,
    };
    ethernet(connection, &mut file);
    match &connection.kind {
        Kind::Ethernet => {}
        Kind::Bond(options) => {
            file.section("bond");
            options.iter().for_each(|(key, value)| file.set(key, value));
        }
        Kind::Bridge { stp, delay } => {
            file.section("bridge");
            file.set("stp", stp);
            delay.iter().for_each(|delay| file.set("forward-delay", delay.clamp(&2, &30)));
        }
        Kind::Vlan { id, .. } => {
            file.section("vlan");
            file.set("id", id);
            parent.iter().for_each(|parent| file.set("parent", &parent.uuid));
        }
    }
    if connection.controller.is_none() {
        file.section("ipv4");
        ip(&connection.v4, &connection.search, true, &mut file);
        file.section("ipv6");
        ip(&connection.v6, &connection.search, false, &mut file);
    }
    file.0
}

fn base(connection: &Connection, all: &[Connection], file: &mut Keyfile) {
    file.section("connection");
    file.set("id", &connection.name);
    file.set("uuid", &connection.uuid);
    let (kind, named) = match connection.kind {
        Kind::Ethernet => ("ethernet", connection.mac.is_none()),
        Kind::Bond(_) => ("bond", true),
        Kind::Bridge { .. } => ("bridge", true),
        Kind::Vlan { .. } => ("vlan", true),
    };
    file.set("type", kind);
    if named {
        file.set("interface-name", &connection.name);
    }
    file.set("autoconnect", connection.autoconnect);
    // Before those that the image came with.
    file.set("autoconnect-priority", 10);
    if let Some(controller) = all.iter().find(|c| Some(&c.name) == connection.controller.as_ref()) {
        file.set("master", &controller.uuid);
        file.set("slave-type", if matches!(controller.kind, Kind::Bridge { .. }) { "bridge" } else { "bond" });
    } else if matches!(connection.kind, Kind::Bond(_) | Kind::Bridge { .. }) {
        file.set("autoconnect-slaves", 1);
    }
}

fn ethernet(connection: &Connection, file: &mut Keyfile) {
    file.section("ethernet");
    connection.mac.iter().for_each(|mac| file.set("mac-address", mac));
    connection.cloned_mac.iter().for_each(|mac| file.set("cloned-mac-address", mac));
    connection.mtu.iter().for_each(|mtu| file.set("mtu", mtu));
}

fn ip(ip: &Ip, search: &[String], v4: bool, file: &mut Keyfile) {
    if ip.method == Method::Disabled {
        file.set("method", "disabled");
        return;
    }
    file.set("method", if ip.method == Method::Auto { "auto" } else { "manual" });
    for (index, address) in ip.addresses.iter().enumerate() {
        file.set(&format!("address{}", index + 1), address);
    }
    ip.gateway.filter(|_| !ip.never_default).iter().for_each(|gateway| file.set("gateway", gateway));
    file.list("dns", &ip.dns);
    if v4 || !ip.dns.is_empty() {
        file.list("dns-search", search);
    }
    for (set, key) in [(ip.own_dns, "ignore-auto-dns"), (ip.never_default, "never-default")] {
        if set {
            file.set(key, true);
        }
    }
    ip.metric.iter().for_each(|metric| file.set("route-metric", metric));
    for (index, route) in ip.routes.iter().enumerate() {
        self::route(index + 1, route, v4, file);
    }
}

fn route(number: usize, route: &Route, v4: bool, file: &mut Keyfile) {
    let nowhere = if v4 { "0.0.0.0" } else { "::" };
    let mut value = route.to.to_string();
    if route.via.is_some() || route.metric.is_some() {
        value += &format!(",{}", route.via.map_or_else(|| nowhere.to_owned(), |via| via.to_string()));
    }
    value += &route.metric.map(|metric| format!(",{metric}")).unwrap_or_default();
    file.set(&format!("route{number}"), value);
    let options: Vec<String> = [
        route.source.map(|source| format!("src={source}")),
        route.table.map(|table| format!("table={table}")),
        route.onlink.then(|| "onlink=true".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !options.is_empty() {
        file.set(&format!("route{number}_options"), options.join(","));
    }
}
