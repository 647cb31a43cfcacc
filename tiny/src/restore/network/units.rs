//! Files that the old system's systemd-networkd had: taken over as they are.

use anyhow::Result;

use super::super::Teller;
use super::super::backup::Backup;
use super::super::tree::{Owner, Tree};
use super::networkd::DIRECTORY;

/// Names of the files in the backup that networkd reads.
pub(super) fn names(backup: &Backup) -> Result<Vec<String>> {
    let ends = [".network", ".netdev", ".link"];
    Ok(backup.names(DIRECTORY)?.into_iter().filter(|name| ends.iter().any(|end| name.ends_with(end))).collect())
}

/// Whether one of the files is for an interface, or may be for any.
pub(super) fn are_for(backup: &Backup, name: &str, mac: Option<&str>) -> Result<bool> {
    for file in names(backup)?.iter().filter(|file| file.ends_with(".network")) {
        let text = backup.text(&format!("{DIRECTORY}/{file}"))?.unwrap_or_default().to_lowercase();
        let named = text.split_whitespace().any(|word| word == format!("name={}", name.to_lowercase()));
        if named || text.contains("name=*") || mac.is_some_and(|mac| text.contains(mac)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes them; those with keys are for networkd's group only.
pub(super) fn write(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let groups = tree.text("etc/group")?.unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("systemd-network:")?.split(':').nth(1)?.parse().ok());
    for name in names(backup)? {
        let path = format!("{DIRECTORY}/{name}");
        let bytes = backup.bytes(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let secret = ["PrivateKey", "PresharedKey", "Password", "[MACsec"].iter().any(|word| text.contains(word));
        let owner = match group {
            Some(gid) if secret => Owner { uid: 0, gid, mode: 0o640 },
            None if secret => Owner::root(0o600),
            _ => Owner::root(0o644),
        };
        tree.write(&path, &bytes, owner)?;
        teller.say(&format!("network: {name}"));
    }
    Ok(())
}
