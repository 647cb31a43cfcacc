//! A connection as both kinds of files can say it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::super::backup::Backup;

/// An address or a network with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Net {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Net {
    /// Reads `ADDRESS/PREFIX`; without a prefix it is one address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(prefix) => prefix.parse().ok().or_else(|| mask(prefix))?,
        };
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Whether an address is in this network.
    pub(super) fn holds(&self, other: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
            IpAddr::V6(a) => a.to_bits(),
        };
        let shift = 128 - u32::from(self.prefix);
        self.address.is_ipv4() == other.is_ipv4()
            && (bits(self.address).checked_shr(shift) == bits(other).checked_shr(shift))
    }
}

/// The length of the prefix that a mask such as 255.255.255.0 says.
pub(super) fn mask(text: &str) -> Option<u8> {
    let bits = text.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() + bits.trailing_zeros().min(32) == 32 || bits == u32::MAX).then_some(bits.leading_ones() as u8)
}

/// How addresses come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Method {
    /// There are none.
    #[default]
    Disabled,
    /// From DHCP, and for IPv6 from the router.
    Auto,
    /// As given.
    Manual,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Net,
    pub(super) via: Option<IpAddr>,
    pub(super) metric: Option<u32>,
    pub(super) table: Option<u32>,
    pub(super) source: Option<IpAddr>,
    pub(super) onlink: bool,
}

/// IPv4 or IPv6 of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ip {
    pub(super) method: Method,
    pub(super) addresses: Vec<Net>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) dns: Vec<IpAddr>,
    pub(super) routes: Vec<Route>,
    pub(super) metric: Option<u32>,
    /// No default route over this connection.
    pub(super) never_default: bool,
    /// What DHCP says about DNS is not used.
    pub(super) own_dns: bool,
}

/// What a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A physical interface.
    Ethernet,
    /// Several interfaces as one, with the kernel's options.
    Bond(BTreeMap<String, String>),
    /// A bridge; whether it speaks the spanning tree protocol.
    Bridge { stp: bool, delay: Option<u32> },
    /// A part of another interface's traffic.
    Vlan { parent: String, id: u16 },
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connection {
    /// The interface's name in the old system; that of bonds, bridges and VLANs in the new one as well.
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) kind: Kind,
    /// The hardware's address, by which a physical interface is found.
    pub(super) mac: Option<String>,
    /// An address to use in place of the hardware's.
    pub(super) cloned_mac: Option<String>,
    pub(super) mtu: Option<u32>,
    /// Whether it is up from the start.
    pub(super) autoconnect: bool,
    /// The bond or bridge that it is a port of.
    pub(super) controller: Option<String>,
    pub(super) v4: Ip,
    pub(super) v6: Ip,
    /// Domains in which names are looked up.
    pub(super) search: Vec<String>,
}

impl Connection {
    /// One of a kind, without anything set.
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            uuid: uuid(name),
            kind,
            mac: None,
            cloned_mac: None,
            mtu: None,
            autoconnect: true,
            controller: None,
            v4: Ip::default(),
            v6: Ip::default(),
            search: Vec::new(),
        }
    }

    /// A line about it for people.
    pub(super) fn summary(&self) -> String {
        let mut words = vec![self.name.clone()];
        words.extend(self.mac.iter().map(|mac| format!("({mac})")));
        words.extend(self.controller.iter().map(|c| format!("in {c}")));
        if self.v4.method == Method::Auto {
            words.push("DHCP".into());
        }
        words.extend(self.v4.addresses.iter().chain(&self.v6.addresses).map(ToString::to_string));
        words.extend(self.v4.gateway.iter().chain(&self.v6.gateway).map(|gateway| format!("via {gateway}")));
        words.join(" ")
    }

    fn ip(&mut self, v4: bool) -> &mut Ip {
        if v4 { &mut self.v4 } else { &mut self.v6 }
    }

    /// Adds a name server to the half that it belongs to.
    pub(super) fn add_dns(&mut self, server: IpAddr) {
        let dns = &mut self.ip(server.is_ipv4()).dns;
        if !dns.contains(&server) {
            dns.push(server);
        }
    }
}

/// An identity that is the same each time: of version 8, from a digest of the name.
pub(super) fn uuid(name: &str) -> String {
    let mut b = [0; 16];
    b.copy_from_slice(&Sha256::digest(format!("upgrade-tiny connection {name}"))[..16]);
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Adds what the old system had for all connections: a gateway in /etc/sysconfig/network, name servers in resolv.conf.
pub(super) fn complete(connections: &mut [Connection], backup: &Backup) -> Result<()> {
    let network = super::shell::assignments(&backup.text("etc/sysconfig/network")?.unwrap_or_default());
    if let Some(gateway) = network.get("GATEWAY").and_then(|g| g.parse::<IpAddr>().ok())
        && connections.iter().all(|c| c.v4.gateway.is_none())
    {
        let device = network.get("GATEWAYDEV");
        let found = connections
            .iter_mut()
            .find(|c| device.map_or_else(|| c.v4.addresses.iter().any(|net| net.holds(gateway)), |d| c.name == *d));
        if let Some(connection) = found {
            connection.v4.gateway = Some(gateway);
        }
    }
    let set = connections.iter().any(|c| !c.v4.dns.is_empty() || !c.v6.dns.is_empty());
    let asks = connections.iter().any(|c| c.v4.method == Method::Auto && c.autoconnect && !c.v4.own_dns);
    let resolv = backup.text("etc/resolv.conf")?.unwrap_or_default();
    let position = connections.iter().position(|c| c.v4.gateway.is_some() || c.v6.gateway.is_some());
    let position = position.or_else(|| connections.iter().position(|c| c.v4.method == Method::Manual));
    if let (false, false, Some(connection)) = (set, asks, position.map(|at| &mut connections[at])) {
        for words in resolv.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            match words.as_slice() {
                ["nameserver", server, ..] => {
                    // A server on the machine itself was a part of the old system.
                    if let Some(server) = server.parse::<IpAddr>().ok().filter(|server| !server.is_loopback()) {
                        connection.add_dns(server);
                    }
                }
                ["search" | "domain", domains @ ..] if connection.search.is_empty() => {
                    connection.search = domains.iter().map(|d| (*d).to_owned()).filter(|d| d != ".").collect();
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_masks_and_networks() {
        assert_eq!(Net::parse("10.0.0.0/255.0.0.0").unwrap().prefix, 8);
        assert_eq!(Net::parse("10.0.0.1").unwrap().prefix, 32);
        assert!(Net::parse("10.0.0.1/33").is_none() && Net::parse("10.0.0.1/255.0.255.0").is_none());
        assert_eq!((mask("0.0.0.0"), mask("255.255.255.255")), (Some(0), Some(32)));
        let net = Net::parse("192.0.2.5/24").unwrap();
        assert!(net.holds("192.0.2.254".parse().unwrap()) && !net.holds("192.0.3.1".parse().unwrap()));
        assert!(Net::parse("0.0.0.0/0").unwrap().holds("1.2.3.4".parse().unwrap()));
        assert_eq!(uuid("eth0"), uuid("eth0"));
        assert_eq!(uuid("eth0").len(), 36);
    }
}
