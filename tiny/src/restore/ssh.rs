//! SSH: the host's keys, by which clients know the machine, and the keys that let people in.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Teller;
use super::accounts::Account;
use super::backup::Backup;
use super::tree::{Owner, Tree};

/// Restores both, and gives the names of the accounts that have keys.
pub(super) fn restore(
    backup: &Backup,
    tree: &Tree,
    accounts: &[Account],
    teller: &mut Teller,
) -> Result<BTreeSet<String>> {
    host_keys(backup, tree, teller)?;
    settings(backup, teller)?;
    let mut with_keys = BTreeSet::new();
    for account in accounts {
        let path = format!("{}/.ssh/authorized_keys", account.old_home);
        let Some(old) = backup.bytes(&path)? else { continue };
        if keys(account, &old, tree, teller).with_context(|| format!("restoring the keys of {}", account.name))? {
            with_keys.insert(account.name.clone());
        }
    }
    Ok(with_keys)
}

fn host_keys(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let mut kinds = Vec::new();
    for name in backup.names("etc/ssh")? {
        let Some(rest) = name.strip_prefix("ssh_host_") else { continue };
        let kind = rest.trim_end_matches(".pub").trim_end_matches("-cert");
        let Some(kind) =
            kind.strip_suffix("_key").filter(|kind| *kind != "dsa" && kind.bytes().all(|b| b.is_ascii_alphanumeric()))
        else {
            if !name.ends_with(".pub") {
                teller.tell(&format!(
                    "the host key {name} is of a kind that today's SSH does not use: it is not carried over"
                ));
            }
            continue;
        };
        let path = format!("etc/ssh/{name}");
        let mode = if name.ends_with(".pub") { 0o644 } else { 0o600 };
        tree.write(&path, &backup.bytes(&path)?.unwrap_or_default(), Owner::root(mode))?;
        if !name.ends_with(".pub") {
            kinds.push(kind.to_owned());
        }
    }
    match kinds.is_empty() {
        true => teller.tell("the old system has no SSH host keys: clients will see a new machine"),
        false => teller.say(&format!("SSH host keys: {}", kinds.join(", "))),
    }
    Ok(())
}

/// Tells settings of the old daemon by which people may have come in: its file is not carried over.
fn settings(backup: &Backup, teller: &mut Teller) -> Result<()> {
    let text = backup.text("etc/ssh/sshd_config")?.unwrap_or_default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(key), Some(value)) = (words.next(), words.next()) else { continue };
        let told = match key.to_lowercase().as_str() {
            // What follows holds under conditions.
            "match" => {
                teller.tell("sshd_config had conditions (Match), which are not carried over");
                break;
            }
            "port" => value != "22",
            "permitrootlogin" | "allowusers" | "allowgroups" | "denyusers" | "denygroups" | "listenaddress" => true,
            "passwordauthentication" | "pubkeyauthentication" => true,
            _ => false,
        };
        if told && !(key.eq_ignore_ascii_case("passwordauthentication") && value == "yes") {
            let rest = line[key.len()..].trim();
            teller.tell(&format!("sshd_config is the new system's; the old one had: {key} {rest}"));
        }
    }
    Ok(())
}

/// Writes one account's keys, before those that the new system has for it; false if there are none.
fn keys(account: &Account, old: &[u8], tree: &Tree, teller: &mut Teller) -> Result<bool> {
    let (directory, path) = (format!("{}/.ssh", account.home), format!("{}/.ssh/authorized_keys", account.home));
    let mut lines: Vec<&[u8]> = Vec::new();
    let new = tree.bytes(&path)?.unwrap_or_default();
    for line in old.split(|&b| b == b'\n').chain(new.split(|&b| b == b'\n')).map(<[u8]>::trim_ascii) {
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let keys: Vec<&[u8]> = lines.iter().copied().filter(|line| !line.starts_with(b"#")).collect();
    if keys.is_empty() {
        return Ok(false);
    }
    if keys.iter().any(|key| key.windows(8).any(|w| w == b"ssh-dss ")) {
        teller.tell(&format!("{} has a DSA key, which today's SSH does not take", account.name));
    }
    let owner = |mode| Owner { uid: account.uid, gid: account.gid, mode };
    tree.directory(&directory, owner(0o700))?;
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    tree.write(&path, &text, owner(0o600))?;
    teller.say(&format!("SSH: {} key(s) of {}", keys.len(), account.name));
    Ok(keys.iter().any(|key| !key.starts_with(b"ssh-dss ")))
}
