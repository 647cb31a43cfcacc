//! Rules of sudo: the old system's own lines become a file of their own beside the new system's; see sudoers(5).

use anyhow::Result;

use super::Teller;
use super::backup::Backup;
use super::tree::{Owner, Tree};

const TARGET: &str = "etc/sudoers.d/50-from-old-system";

/// What distributions have in their file: rules that the new one's file has in its own way.
const STOCK: [&str; 10] = [
    "Defaults !visiblepw",
    "Defaults always_set_home",
    "Defaults match_group_by_gid",
    "Defaults always_query_group_plugin",
    "Defaults env_reset",
    "Defaults mail_badpass",
    "Defaults use_pty",
    "Defaults requiretty",
    "root ALL=(ALL) ALL",
    "root ALL=(ALL:ALL) ALL",
];

pub(super) fn restore(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let Some(old) = backup.text("etc/sudoers")? else { return Ok(()) };
    let names: Vec<String> =
        backup.names("etc/sudoers.d")?.into_iter().filter(|name| !name.contains('.') && !name.ends_with('~')).collect();
    let new = tree.text("etc/sudoers")?;
    let Some(new) = new else {
        teller.tell("the new system has no sudo: its rules are not carried over");
        return Ok(());
    };
    let groups = Groups::of(tree)?;
    let known: Vec<String> = rules(&new).iter().map(|rule| plain(rule)).collect();
    let own: Vec<String> = rules(&old).into_iter().filter(|rule| is_own(&plain(rule), &known)).collect();
    if own.is_empty() {
        teller.say("sudo: the old system has no rules of its own in /etc/sudoers");
    } else {
        write(tree, TARGET, &own, &groups)?;
        teller.say(&format!("sudo: {} line(s) of the old /etc/sudoers are in /{TARGET}", own.len()));
    }
    for name in names {
        let rules = rules(&backup.text(&format!("etc/sudoers.d/{name}"))?.unwrap_or_default());
        if rules.is_empty() {
            continue;
        }
        let path = format!("etc/sudoers.d/{name}");
        let theirs = tree.text(&path)?.filter(|text| !text.starts_with(HEAD));
        let path = if theirs.is_some() { format!("etc/sudoers.d/50-from-old-{name}") } else { path };
        write(tree, &path, &rules, &groups)?;
        teller.say(&format!("sudo: rules of {name}"));
    }
    Ok(())
}

const HEAD: &str = "# From the system before.\n";

fn write(tree: &Tree, path: &str, rules: &[String], groups: &Groups) -> Result<()> {
    let lines: String = rules.iter().map(|rule| groups.renamed(rule) + "\n").collect();
    tree.write(path, (HEAD.to_owned() + &lines).as_bytes(), Owner::root(0o440))
}

/// The rules of a file: lines with those that continue them, without comments and inclusions.
fn rules(text: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut rule = line.to_owned();
        while rule.ends_with('\\') {
            let Some(next) = lines.next() else { break };
            rule = format!("{rule}\n{next}");
        }
        let first = rule.trim_start();
        // `#1000 ALL=...` is a rule for a user's number.
        let comment = first.starts_with('#') && !first[1..].starts_with(|c: char| c.is_ascii_digit());
        if !first.is_empty() && !comment && !first.starts_with("@include") {
            rules.push(rule);
        }
    }
    rules
}

/// A rule with single blanks, for comparing.
fn plain(rule: &str) -> String {
    rule.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_own(rule: &str, known: &[String]) -> bool {
    let stock = STOCK.contains(&rule)
        || rule.starts_with("Defaults env_keep")
        || rule.starts_with("Defaults secure_path")
        || rule == "%wheel ALL=(ALL) ALL"
        || rule == "%sudo ALL=(ALL:ALL) ALL"
        || rule == "%admin ALL=(ALL) ALL";
    !stock && !known.iter().any(|k| k == rule)
}

/// Which names of administrators' groups the new system has not, and what it has instead.
struct Groups {
    renamed: Option<(&'static str, &'static str)>,
}

impl Groups {
    fn of(tree: &Tree) -> Result<Self> {
        let text = tree.text("etc/group")?.unwrap_or_default();
        let has = |name: &str| text.lines().any(|line| line.split(':').next() == Some(name));
        let renamed = match (has("wheel"), has("sudo")) {
            (true, false) => Some(("%sudo", "%wheel")),
            (false, true) => Some(("%wheel", "%sudo")),
            _ => None,
        };
        Ok(Self { renamed })
    }

    fn renamed(&self, rule: &str) -> String {
        match self.renamed.and_then(|(old, new)| Some((rule.strip_prefix(old)?, new))) {
            Some((rest, new)) if rest.starts_with([' ', '\t', ',']) => format!("{new}{rest}"),
            _ => rule.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_lines_are_told_from_stock_and_inclusions() {
        let old = "Defaults    env_reset\nDefaults    env_keep =  \"COLORS DISPLAY\"\nroot\tALL=(ALL) \tALL\n# a comment\n\
                   %wheel\tALL=(ALL)\tALL\n#1004 ALL=(ALL) NOPASSWD: ALL\njoe ALL=(ALL) NOPASSWD: \\\n  /sbin/reboot\n\
                   Defaults:joe !requiretty\n#includedir /etc/sudoers.d\n@includedir /etc/x\n";
        let own: Vec<String> = rules(old).into_iter().filter(|r| is_own(&plain(r), &[])).collect();
        assert_eq!(
            own,
            ["#1004 ALL=(ALL) NOPASSWD: ALL", "joe ALL=(ALL) NOPASSWD: \\\n  /sbin/reboot", "Defaults:joe !requiretty"]
        );
    }

    #[test]
    fn administrators_keep_their_rules_under_the_new_name() {
        let groups = Groups { renamed: Some(("%wheel", "%sudo")) };
        assert_eq!(groups.renamed("%wheel ALL=(ALL) NOPASSWD: ALL"), "%sudo ALL=(ALL) NOPASSWD: ALL");
        assert_eq!(groups.renamed("%wheelers ALL=(ALL) ALL"), "%wheelers ALL=(ALL) ALL");
    }
}
