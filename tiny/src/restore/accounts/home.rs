//! Home directories: made from /etc/skel.

use anyhow::{Context, Result};

use super::super::Teller;
use super::super::tree::{Owner, Tree};
use super::Account;

/// Makes an account's home if the new system has none.
pub(super) fn make(account: &Account, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let Account { name, uid, gid, home, .. } = account;
    let shared = ["/", "/bin", "/sbin", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var"];
    if shared.contains(&home.trim_end_matches('/')) || home.trim_matches('/').is_empty() {
        teller.tell(&format!("account {name} has {home} as its home: it is left as it is"));
        return Ok(());
    }
    let new = !tree.has(home);
    if !new {
        teller.tell(&format!("{home} is in the new system already: it becomes {name}'s, with what is in it"));
    }
    let owner = Owner { uid: *uid, gid: *gid, mode: 0o700 };
    tree.directory(home, owner).with_context(|| format!("making the home of {name}"))?;
    if new {
        tree.copy("etc/skel", home, *uid, *gid).with_context(|| format!("filling the home of {name}"))?;
    }
    Ok(())
}
