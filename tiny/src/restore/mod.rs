//! Puts the configuration that was kept from the old system into a new one.
//!
//! Works on two directories and starts no process: what stage one collected (`backup/` of a migration), and the root of
//! the new system. What cannot be carried over is told in a line. It fails only when a file cannot be read or written,
//! and when the result would lock people out. To repeat it does no harm.

mod accounts;
mod backup;
mod clock;
mod first_boot;
mod identity;
mod network;
mod region;
mod ssh;
mod sudo;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use backup::Backup;
use tree::Tree;

/// What was carried over.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// What could not be carried over, or became different, a line each.
    pub told: Vec<String>,
    /// Accounts that can log in, with a password or a key.
    pub logins: Vec<String>,
    /// Connections written for the new system's network service.
    pub connections: usize,
}

/// Where lines go: all to the log, and those that an operator has to know to the report as well.
struct Teller<'a> {
    log: &'a mut dyn FnMut(&str),
    told: Vec<String>,
}

impl Teller<'_> {
    /// Something that was done.
    fn say(&mut self, line: &str) {
        (self.log)(line);
    }

    /// Something that was not done, or is different now.
    fn tell(&mut self, line: &str) {
        (self.log)(&format!("note: {line}"));
        self.told.push(line.to_owned());
    }
}

/// Restores the backup in `backup` into the system below `root`. `log` gets lines for people; none has a secret.
///
/// # Errors
/// When a file cannot be read or written (the message names it), when nobody could log in, or when a configured network
/// would be lost because the new system has no service that is known here.
pub fn restore(backup: &Path, root: &Path, log: &mut dyn FnMut(&str)) -> Result<Report> {
    let backup = Backup::open(backup)?;
    let tree = Tree::open(root)?;
    let mut teller = Teller { log, told: Vec::new() };
    identity::restore(&backup, &tree, &mut teller).context("restoring the host's name")?;
    region::restore(&backup, &tree, &mut teller).context("restoring time zone, locale and keymap")?;
    clock::restore(&backup, &tree, &mut teller).context("restoring the time servers")?;
    let accounts = accounts::restore(&backup, &tree, &mut teller).context("restoring the accounts")?;
    sudo::restore(&backup, &tree, &mut teller).context("restoring the rules of sudo")?;
    let keys = ssh::restore(&backup, &tree, &accounts, &mut teller).context("restoring the keys of SSH")?;
    let connections = network::restore(&backup, &tree, &mut teller).context("restoring the network")?;
    first_boot::restore(&tree, &mut teller).context("keeping cloud-init from undoing it")?;
    let logins: Vec<String> = accounts
        .iter()
        .filter(|account| account.shell && (account.password || keys.contains(&account.name)))
        .map(|account| account.name.clone())
        .collect();
    ensure!(
        !logins.is_empty(),
        "nobody could log in to the new system: no account of the old one has a password or a key; log in to the rescue \
         shell and set a password with: chroot {} passwd",
        root.display()
    );
    Ok(Report { told: teller.told, logins, connections })
}
