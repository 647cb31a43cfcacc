//! Groups: those of people are made, and people stay members of those that both systems have.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::super::Teller;
use super::super::backup::Backup;
use super::super::tree::Tree;
use super::least;
use super::table::{Table, members, number};

/// Names that distributions give to the group that may become root.
const ADMINISTRATORS: [&str; 3] = ["wheel", "sudo", "admin"];

/// The groups of both systems.
pub(super) struct Groups {
    old: Table,
    /// /etc/group of the new system.
    pub(super) new: Table,
    /// /etc/gshadow of the new system.
    pub(super) shadow: Table,
    least: u32,
    /// Names of groups in the new system by their old numbers.
    carried: BTreeMap<u32, String>,
}

impl Groups {
    /// Reads both.
    pub(super) fn read(backup: &Backup, tree: &Tree) -> Result<Self> {
        Ok(Self {
            old: Table::parse(&backup.text("etc/group")?.unwrap_or_default()),
            new: Table::of(tree, "etc/group")?.context("the new system has no /etc/group: its archive is not whole")?,
            shadow: Table::of(tree, "etc/gshadow")?.unwrap_or_default(),
            least: least(tree, "GID_MIN")?,
            carried: BTreeMap::new(),
        })
    }

    /// Makes an old group known to the new system, for a user whose group it is, and gives its number there.
    pub(super) fn carry(&mut self, old_gid: u32, user: &str, teller: &mut Teller) -> u32 {
        let name = self.old.by_id(old_gid).map_or_else(|| user.to_owned(), |row| row[0].clone());
        if let Some(gid) = self.new.find(&name).and_then(|row| number(row, 2)) {
            self.carried.insert(old_gid, name);
            return gid;
        }
        let gid = match self.new.by_id(old_gid) {
            None => old_gid,
            Some(other) => {
                let (other, gid) = (other[0].clone(), self.new.free_id(self.least, &[&self.old]));
                teller
                    .tell(&format!("group {name} has the number {gid} now: {old_gid} is {other}'s in the new system"));
                gid
            }
        };
        self.new.put(vec![name.clone(), "x".into(), gid.to_string(), String::new()]);
        self.shadow.put(vec![name.clone(), "!".into(), String::new(), String::new()]);
        self.carried.insert(old_gid, name);
        gid
    }

    /// Makes the carried accounts members of their old groups.
    pub(super) fn memberships(&mut self, accounts: &[&str], teller: &mut Teller) {
        for row in self.old.clone().rows() {
            let [name, _, _, list] = row else { continue };
            let kept: Vec<&str> = members(list).filter(|member| accounts.contains(member)).collect();
            let (false, Some(gid)) = (kept.is_empty(), number(row, 2)) else { continue };
            let group = match self.named(name) {
                Some(group) => group,
                None if (self.least..super::END).contains(&gid) => {
                    self.carry(gid, name, teller);
                    name.clone()
                }
                None => {
                    teller.tell(&format!(
                        "group {name} is not in the new system: {} is no member any more",
                        kept.join(", ")
                    ));
                    continue;
                }
            };
            if group != *name {
                teller.tell(&format!("members of {name} are members of {group}: {}", kept.join(", ")));
            }
            for member in kept {
                self.new.add_member(&group, 3, member);
                self.shadow.add_member(&group, 3, member);
            }
        }
    }

    /// The new system's name of an old group: the same, or that of the administrators.
    fn named(&self, name: &str) -> Option<String> {
        let known = |name: &str| self.new.find(name).map(|row| row[0].clone());
        known(name).or_else(|| {
            if !ADMINISTRATORS.contains(&name) {
                return None;
            }
            ADMINISTRATORS.iter().find_map(|other| known(other))
        })
    }
}
