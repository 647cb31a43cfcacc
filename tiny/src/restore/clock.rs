//! Time servers: from the old system's chrony, ntpd or timesyncd to the new one's chrony or timesyncd.

use anyhow::Result;

use super::Teller;
use super::backup::Backup;
use super::tree::{Owner, Tree};

/// Pools that distributions set: if the old system has no others, the new one keeps its distribution's.
const STOCK: [&str; 6] = [
    "centos.pool.ntp.org",
    "rhel.pool.ntp.org",
    "rocky.pool.ntp.org",
    "fedora.pool.ntp.org",
    "debian.pool.ntp.org",
    "ubuntu.pool.ntp.org",
];

/// A source of time.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    /// `server`, `pool` or `peer`.
    kind: String,
    host: String,
    /// Those that chrony knows by the same names.
    options: Vec<String>,
}

pub(super) fn restore(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let mut sources = Vec::new();
    for path in ["etc/chrony.conf", "etc/chrony/chrony.conf", "etc/ntp.conf", "etc/systemd/timesyncd.conf"] {
        if sources.is_empty() {
            sources = read(&backup.text(path)?.unwrap_or_default(), teller);
        }
    }
    if sources.iter().all(|s| STOCK.iter().any(|stock| s.host == *stock || s.host.ends_with(&format!(".{stock}")))) {
        return Ok(());
    }
    let hosts: Vec<&str> = sources.iter().map(|s| s.host.as_str()).collect();
    let hosts = hosts.join(" ");
    if let Some(path) = ["etc/chrony.conf", "etc/chrony/chrony.conf"].into_iter().find(|path| tree.has(path)) {
        let old = tree.text(path)?.unwrap_or_default();
        tree.edit(path, &chrony(&old, &sources))?;
    } else if tree.has("usr/lib/systemd/systemd-timesyncd") {
        let text = format!("# From the system before.\n[Time]\nNTP={hosts}\n");
        tree.write("etc/systemd/timesyncd.conf.d/50-from-old-system.conf", text.as_bytes(), Owner::root(0o644))?;
    } else {
        teller.tell(&format!("the new system has neither chrony nor timesyncd: the time servers {hosts} are not set"));
        return Ok(());
    }
    teller.say(&format!("time servers: {hosts}"));
    Ok(())
}

fn read(text: &str, teller: &mut Teller) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(hosts) = line.strip_prefix("NTP=") {
            sources.extend(hosts.split_whitespace().map(|host| source("server", host, &[])));
        }
        let words: Vec<&str> = line.split(['#', '!', ';']).next().unwrap_or_default().split_whitespace().collect();
        let [kind @ ("server" | "pool" | "peer"), host, options @ ..] = words.as_slice() else { continue };
        match *host {
            "-4" | "-6" => {
                let [host, options @ ..] = options else { continue };
                sources.push(source(kind, host, options));
            }
            // The old daemon's way to name clocks that are no hosts.
            host if host.starts_with("127.127.") => {
                if !host.starts_with("127.127.1.") {
                    teller.tell(&format!("the reference clock {host} of ntp.conf is not carried over"));
                }
            }
            host => sources.push(source(kind, host, options)),
        }
        if words.contains(&"key") {
            teller.tell(&format!("the time server {host} was asked with a key, which is not carried over"));
        }
    }
    sources
}

fn source(kind: &str, host: &str, options: &[&str]) -> Source {
    let mut kept = vec!["iburst".to_owned()];
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "prefer" => kept.push("prefer".to_owned()),
            "minpoll" | "maxpoll" => {
                if let Some(number) = words.next().filter(|n| n.parse::<i8>().is_ok()) {
                    kept.push(format!("{word} {number}"));
                }
            }
            _ => {}
        }
    }
    Source { kind: kind.to_owned(), host: host.to_owned(), options: kept }
}

/// chrony.conf with these sources in place of its own; see chrony.conf(5).
fn chrony(old: &str, sources: &[Source]) -> String {
    const MARK: &str = "# From the system before:";
    let own = sources.iter().map(|s| format!("{} {} {}\n", s.kind, s.host, s.options.join(" ")));
    let kept = old.lines().filter(|line| {
        let first = line.split_whitespace().next().unwrap_or_default();
        // Debian's drop-ins give servers that DHCP names; they stay.
        !matches!(first, "server" | "pool" | "peer") && *line != MARK
    });
    format!("{MARK}\n{}{}", own.collect::<String>(), kept.map(|line| format!("{line}\n")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_ntpd_become_chronys() {
        let mut log = |_: &str| {};
        let mut teller = Teller { log: &mut log, told: Vec::new() };
        let text = "driftfile /var/lib/ntp/drift\nserver ntp1.example.com iburst prefer key 7 minpoll 4\nserver 127.127.1.0\n\
                    #server 0.centos.pool.ntp.org\nserver -4 192.0.2.1\n";
        let sources = read(text, &mut teller);
        let new = chrony("pool 2.rocky.pool.ntp.org iburst\nmakestep 1.0 3\n", &sources);
        assert_eq!(
            new,
            "# From the system before:\nserver ntp1.example.com iburst prefer minpoll 4\nserver 192.0.2.1 iburst\nmakestep 1.0 3\n"
        );
        assert_eq!(chrony(&new, &sources), new);
        assert_eq!(teller.told.len(), 1, "{:?}", teller.told);
    }
}
