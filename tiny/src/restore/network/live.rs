//! What `ip -o addr show` said on the old system.

use std::collections::BTreeMap;

use super::model::Net;

/// Addresses by interface, without loopback and what an interface gives itself.
pub(super) fn addresses(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, name, "inet" | "inet6", address, rest @ ..] = words.as_slice() else { continue };
        let name = name.trim_end_matches(':').split('@').next().unwrap_or_default();
        let Some(net) = Net::parse(address) else { continue };
        let own = rest.windows(2).any(|pair| pair == ["scope", "link"] || pair == ["scope", "host"]);
        // Addresses that DHCP or a router gave are marked so, and come again.
        if !own && !net.address.is_loopback() && !rest.contains(&"dynamic") {
            found.entry(name.to_owned()).or_default().push(net.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_set() {
        let text = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
                    2: eth0    inet 192.0.2.5/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever\n\
                    2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever\n\
                    3: eth1    inet 198.51.100.9/24 brd 198.51.100.255 scope global dynamic eth1\\       valid_lft 80000sec\n";
        let found = addresses(text);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("eth0".to_owned(), vec!["192.0.2.5/24".to_owned()])]);
    }
}
