//! Files of routes, `route-eth0` and `route6-eth0`, in both their syntaxes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::Teller;
use super::model::{Net, Route, mask};
use super::shell::assignments;

/// Reads a file: `ADDRESS0=`, `NETMASK0=`, `GATEWAY0=`, or lines of arguments for `ip route add`.
pub(super) fn parse(text: &str, name: &str, teller: &mut Teller) -> Vec<Route> {
    let numbered = text.lines().any(|line| line.trim_start().starts_with("ADDRESS"));
    if numbered {
        return from_numbers(&assignments(text), name, teller);
    }
    let mut routes = Vec::new();
    for line in
        text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
    {
        match from_words(line, name.starts_with("route6")) {
            Some(route) => routes.push(route),
            None => teller.tell(&format!("a route of {name} is not carried over: {line}")),
        }
    }
    routes
}

fn from_numbers(values: &BTreeMap<String, String>, name: &str, teller: &mut Teller) -> Vec<Route> {
    let mut routes = Vec::new();
    for (key, address) in values {
        let Some(number) = key.strip_prefix("ADDRESS") else { continue };
        let value = |key: &str| values.get(&format!("{key}{number}"));
        let prefix = value("PREFIX").and_then(|p| p.parse().ok()).or_else(|| mask(value("NETMASK")?));
        let to = Net::parse(&format!("{address}/{}", prefix.unwrap_or(32)));
        let via = value("GATEWAY").and_then(|g| g.parse().ok());
        match (to, via) {
            (Some(to), via) if via.is_some() || value("GATEWAY").is_none() => {
                let metric = value("METRIC").and_then(|m| m.parse().ok());
                routes.push(Route { to, via, metric, table: None, source: None, onlink: false });
            }
            _ => teller.tell(&format!("the route {key} of {name} is not carried over: its values are no addresses")),
        }
    }
    routes
}

/// The arguments of `ip route add`; `None` for what is not known here.
fn from_words(line: &str, v6: bool) -> Option<Route> {
    let mut words = line.split_whitespace().peekable();
    if matches!(words.peek(), Some(&"to" | &"unicast")) {
        words.next();
    }
    let everywhere = if v6 { "::/0" } else { "0.0.0.0/0" };
    let first = words.next()?;
    let to = Net::parse(if first == "default" { everywhere } else { first })?;
    let mut route = Route { to, via: None, metric: None, table: None, source: None, onlink: false };
    while let Some(word) = words.next() {
        match word {
            "via" => {
                let mut via = words.next()?;
                if matches!(via, "inet" | "inet6") {
                    via = words.next()?;
                }
                route.via = Some(via.parse::<IpAddr>().ok()?);
            }
            // The file's name says which.
            "dev" => drop(words.next()?),
            "proto" | "scope" => drop(words.next()?),
            "metric" | "preference" => route.metric = Some(words.next()?.parse().ok()?),
            "src" => route.source = Some(words.next()?.parse().ok()?),
            "table" => route.table = Some(words.next().map(|t| if t == "main" { "254" } else { t })?.parse().ok()?),
            "onlink" => route.onlink = true,
            _ => return None,
        }
    }
    Some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str) -> (Vec<String>, Vec<String>) {
        let mut log = |_: &str| {};
        let mut teller = Teller { log: &mut log, told: Vec::new() };
        let routes = parse(text, name, &mut teller);
        let text = |r: &Route| format!("{} {:?} {:?} {:?}", r.to, r.via.map(|v| v.to_string()), r.metric, r.table);
        (routes.iter().map(text).collect(), teller.told)
    }

    #[test]
    fn both_syntaxes() {
        let (routes, told) = read(
            "ADDRESS0=10.10.0.0\nNETMASK0=255.255.0.0\nGATEWAY0=192.0.2.1\nADDRESS1=10.9.9.9\nGATEWAY1=x\n",
            "route-eth0",
        );
        assert_eq!(routes, ["10.10.0.0/16 Some(\"192.0.2.1\") None None"]);
        assert_eq!(told.len(), 1);
        let text = "# comment\n10.20.0.0/16 via 192.0.2.2 dev eth0 metric 100\ndefault via 192.0.2.1 table 7\n192.0.2.128/25 dev eth0\n\
                    blackhole 10.0.0.0/8\n";
        let (routes, told) = read(text, "route-eth0");
        assert_eq!(
            routes,
            [
                "10.20.0.0/16 Some(\"192.0.2.2\") Some(100) None",
                "0.0.0.0/0 Some(\"192.0.2.1\") None Some(7)",
                "192.0.2.128/25 None None None"
            ]
        );
        assert_eq!(told, ["a route of route-eth0 is not carried over: blackhole 10.0.0.0/8"]);
        assert_eq!(read("default via fe80::1 dev eth0\n", "route6-eth0").0, ["::/0 Some(\"fe80::1\") None None"]);
    }
}
