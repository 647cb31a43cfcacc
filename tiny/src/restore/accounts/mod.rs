//! Accounts: root's password, and every account of a person with its groups and a home directory.

mod groups;
mod home;
mod table;

use anyhow::{Context, Result};

use self::groups::Groups;
use self::table::{Table, number};
use super::Teller;
use super::backup::Backup;
use super::tree::Tree;

/// Numbers from here on are not of people: `nobody`, and what systemd gives away.
const END: u32 = 60_000;

/// An account that the new system has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// Its name.
    pub(super) name: String,
    /// Its number in the new system.
    pub(super) uid: u32,
    /// Its group's number in the new system.
    pub(super) gid: u32,
    /// Where it lived in the old system, which is where its keys are in the backup.
    pub(super) old_home: String,
    /// Where it lives now.
    pub(super) home: String,
    /// Whether it has a password that can be typed.
    pub(super) password: bool,
    /// Whether it has a shell to log in to.
    pub(super) shell: bool,
}

/// What is worked with: the old tables, and the new ones that are changed.
struct Work<'a, 'b> {
    tree: &'a Tree,
    teller: &'a mut Teller<'b>,
    old: Table,
    old_shadow: Table,
    new: Table,
    shadow: Table,
    least: u32,
}

pub(super) fn restore(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<Vec<Account>> {
    let old = |path: &str| Ok::<_, anyhow::Error>(Table::parse(&backup.text(path)?.unwrap_or_default()));
    let new = Table::of(tree, "etc/passwd")?.context("the new system has no /etc/passwd: its archive is not whole")?;
    let mut groups = Groups::read(backup, tree)?;
    let mut work = Work {
        tree,
        teller,
        old: old("etc/passwd")?,
        old_shadow: old("etc/shadow")?,
        new,
        shadow: Table::of(tree, "etc/shadow")?.unwrap_or_default(),
        least: least(tree, "UID_MIN")?,
    };
    let mut accounts: Vec<Account> = work.root().into_iter().collect();
    for row in work.old.clone().rows() {
        accounts.extend(work.person(row, &mut groups));
    }
    let names: Vec<&str> = accounts.iter().map(|a| a.name.as_str()).filter(|name| *name != "root").collect();
    groups.memberships(&names, work.teller);
    tree.edit("etc/group", &groups.new.text())?;
    tree.edit("etc/gshadow", &groups.shadow.text())?;
    tree.edit("etc/passwd", &work.new.text())?;
    tree.edit("etc/shadow", &work.shadow.text())?;
    for account in accounts.iter().filter(|account| account.name != "root") {
        home::make(account, tree, work.teller)?;
    }
    Ok(accounts)
}

/// A smallest number of people's accounts or groups: of the new system, as useradd reads it.
fn least(tree: &Tree, key: &str) -> Result<u32> {
    let text = tree.text("etc/login.defs")?.unwrap_or_default();
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = words.filter(|w| w.first() == Some(&key)).find_map(|w| w.get(1)?.parse().ok());
    Ok(found.unwrap_or(1000))
}

impl Work<'_, '_> {
    /// Gives the new system's root the old one's password, or the lack of one.
    fn root(&mut self) -> Option<Account> {
        let Some(shadow) = self.shadow_of("root") else {
            self.teller.tell("the old system's /etc/shadow has no root: the new one keeps its own password");
            return None;
        };
        let password = self.judge("root", &shadow[1]);
        self.shadow.put(shadow);
        let row = self.new.find("root")?;
        let home = row.get(5).cloned().unwrap_or_else(|| "/root".into());
        let old_home = self.old.find("root").and_then(|row| row.get(5).cloned()).unwrap_or_else(|| "/root".into());
        self.teller.say("root: password as before");
        Some(Account { name: "root".into(), uid: 0, gid: 0, old_home, home, password, shell: true })
    }

    /// Carries one account over if it is a person's.
    fn person(&mut self, row: &[String], groups: &mut Groups) -> Option<Account> {
        let [name, _, _, _, about, home, shell] = row else { return None };
        let (old_uid, old_gid) = (number(row, 2)?, number(row, 3)?);
        if !(self.least..END).contains(&old_uid) {
            self.tell_of_others(name, old_uid, shell);
            return None;
        }
        if !is_name(name) || !home.starts_with('/') || home.split('/').any(|part| part == "..") {
            self.teller
                .tell(&format!("account {old_uid} has a name or a home that is not usable: it is not carried over"));
            return None;
        }
        let uid = self.number_for(name, old_uid)?;
        let gid = groups.carry(old_gid, name, self.teller);
        let (shell, logs_in) = self.shell(name, shell);
        let fields = [name, "x", &uid.to_string(), &gid.to_string(), about, home, &shell];
        self.new.put(fields.iter().map(ToString::to_string).collect());
        let shadow = self.shadow_of(name).unwrap_or_else(|| locked(name));
        let password = self.judge(name, &shadow[1]);
        self.shadow.put(shadow);
        self.teller.say(&format!("account {name}: {uid}:{gid}, {home}"));
        let (home, old_home) = (home.clone(), home.clone());
        Some(Account { name: name.clone(), uid, gid, old_home, home, password, shell: logs_in })
    }

    /// The number an account gets: its own, unless another account of the new system has it. `None` if the name is
    /// that of a service in the new system.
    fn number_for(&mut self, name: &str, old: u32) -> Option<u32> {
        let theirs = self.new.find(name).and_then(|row| number(row, 2));
        if let Some(uid) = theirs.filter(|uid| *uid < self.least) {
            self.teller.tell(&format!(
                "account {name} ({old}) is the name of a service in the new system ({uid}): it is not carried over"
            ));
            return None;
        }
        let Some(other) = self.new.by_id(old).filter(|row| row[0] != name) else { return Some(old) };
        let other = other[0].clone();
        // An account of that name in the image keeps the number that it has there.
        let uid = theirs.unwrap_or_else(|| self.new.free_id(self.least, &[&self.old]));
        self.teller.tell(&format!("account {name} has the number {uid} now: {old} is {other}'s in the new system"));
        Some(uid)
    }

    /// The old line of /etc/shadow with nine fields; its hash from /etc/passwd where that had it.
    fn shadow_of(&self, name: &str) -> Option<Vec<String>> {
        let mut row = match self.old_shadow.find(name) {
            Some(row) => row.to_vec(),
            None => {
                let hash = self.old.find(name)?.get(1).filter(|hash| !matches!(hash.as_str(), "x" | ""))?.clone();
                let mut row = locked(name);
                row[1] = hash;
                row
            }
        };
        row.resize(9, String::new());
        Some(row)
    }

    /// Whether a hash is one of a password, and tells what is wrong with it. Never shows it.
    fn judge(&mut self, name: &str, hash: &str) -> bool {
        let kind = match hash {
            "" => {
                self.teller.tell(&format!("account {name} has an empty password, as before: set one"));
                return true;
            }
            _ if hash.starts_with(['!', '*']) || hash.len() < 13 => return false,
            _ if hash.starts_with("$1$") => "MD5",
            _ if !hash.starts_with('$') => "DES",
            _ => return true,
        };
        self.teller.tell(&format!(
            "the password of {name} is kept as a hash of {kind}, which the new system may refuse: set it anew"
        ));
        true
    }

    /// The shell that an account gets, and whether one can log in to it.
    fn shell(&mut self, name: &str, shell: &str) -> (String, bool) {
        let base = shell.rsplit('/').next().unwrap_or_default();
        let closed = matches!(base, "nologin" | "false" | "true" | "sync" | "shutdown" | "halt");
        if !shell.is_empty() && self.tree.has(shell) {
            return (shell.to_owned(), !closed);
        }
        if closed {
            let known = ["/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/false", "/bin/false"];
            let found = known.into_iter().find(|path| self.tree.has(path)).unwrap_or("/bin/false");
            return (found.to_owned(), false);
        }
        let new = if self.tree.has("bin/bash") { "/bin/bash" } else { "/bin/sh" };
        if !shell.is_empty() {
            self.teller.tell(&format!("account {name} has {new} now: {shell} is not in the new system"));
        }
        (new.to_owned(), true)
    }

    /// Accounts that are no person's but could log in are worth a line.
    fn tell_of_others(&mut self, name: &str, uid: u32, shell: &str) {
        let closed = ["nologin", "false", "sync", "shutdown", "halt"].iter().any(|s| shell.ends_with(s));
        let Some(row) = self.old_shadow.find(name).filter(|_| name != "root" && !closed) else { return };
        if row.get(1).is_some_and(|hash| hash.len() >= 13 && !hash.starts_with(['!', '*'])) {
            let least = self.least;
            self.teller.tell(&format!(
                "account {name} has the number {uid}, not one from {least} to {}: it is not carried over",
                END - 1
            ));
        }
    }
}

fn locked(name: &str) -> Vec<String> {
    [name, "!", "", "0", "99999", "7", "", "", ""].map(str::to_owned).to_vec()
}

/// What useradd takes for a name, and dots and capitals, which administrators give by force.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-$@".contains(&b))
}
