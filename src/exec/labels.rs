//! SELinux labels, put on the finished tree by the target's own policy, so that no boot has to do so.
//!
//! The rules are libselinux's: `/etc/selinux/config` names the mode and the policy (selinux(8),
//! selinux_config(5)), and `/etc/selinux/TYPE/contexts/files/file_contexts` says which file gets which label.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::assemble::host;
use crate::assemble::split::{inside, open_inside};
use crate::error::on;
use crate::plan::output::Tool;
use crate::report::Reporter;

use super::api_mounts;
use super::command::Cmd;
use super::mount::{Mount, Mounts, mounted_below};

/// What one tree says about SELinux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `targeted`, `default`, …
    pub name: String,
    /// `enforcing` or `permissive`.
    pub mode: String,
}

impl Policy {
    /// The policy of `tree`; none if it has none, or if SELinux is disabled there.
    ///
    /// # Errors
    /// When the settings are there but cannot be read.
    pub fn of(tree: &Path) -> Result<Option<Self>> {
        let Ok(mut file) = open_inside(tree, "/etc/selinux/config") else { return Ok(None) };
        let mut text = String::new();
        file.read_to_string(&mut text).context("reading /etc/selinux/config in the tree")?;
        let policy = Self::parse(&text);
        Ok(policy.filter(|p| inside(tree, &p.contexts()).is_file()))
    }

    /// Reads the settings as libselinux does: the last line counts, blanks around values do not.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut values = text.lines().rev().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            values.next().map(|value| value.trim().to_owned())
        };
        let mode = value("SELINUX")?.to_lowercase();
        let name = value("SELINUXTYPE")?;
        let plain = !name.is_empty() && !name.contains('/') && name != "..";
        (plain && ["enforcing", "permissive"].contains(&mode.as_str())).then_some(Self { name, mode })
    }

    fn contexts(&self) -> String {
        format!("/etc/selinux/{}/contexts/files/file_contexts", self.name)
    }

    /// The compiled policy with the highest version number, as a path in the tree: labels that it does not know
    /// would be refused by the kernel.
    fn compiled(&self, tree: &Path) -> Option<String> {
        let dir = format!("/etc/selinux/{}/policy", self.name);
        let entries = fs::read_dir(inside(tree, &dir)).ok()?;
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        let newest = names.filter_map(|n| n.strip_prefix("policy.")?.parse::<u32>().ok()).max()?;
        Some(format!("{dir}/policy.{newest}"))
    }

    /// Labels every file of `tree`, on the filesystems that are mounted in it as well, but for those at
    /// `unlabelled`: paths in the tree.
    ///
    /// # Errors
    /// When setfiles fails.
    pub fn apply(&self, tree: &Path, unlabelled: &[&str], reporter: &Reporter) -> Result<()> {
        reporter.info(format!("Labelling the files by the SELinux policy '{}' ({})", self.name, self.mode));
        let in_target = ["usr/sbin/setfiles", "sbin/setfiles", "usr/bin/setfiles"];
        let own = in_target.iter().find(|p| tree.join(p).is_file());
        let (cmd, base) = if let Some(program) = own {
            (Cmd::new("chroot").arg(tree).arg(format!("/{program}")), Path::new("/"))
        } else if let Ok(cmd) = host::command(Tool::SETFILES) {
            (cmd, tree)
        } else {
            return self.leave_to_first_boot(tree, reporter);
        };
        let mounts = show(tree, unlabelled)?;
        let compiled = self.compiled(tree).map(|p| inside(base, &p));
        let options = compiled.iter().flat_map(|p| ["-c".as_ref(), p.as_os_str()]);
        // -m: what /proc/mounts says is about the host. -r: file contexts are for paths in the tree.
        let view = inside(base, VIEW);
        let cmd = cmd.args(["-F", "-m", "-r"]).arg(&view).args(options);
        cmd.arg(inside(base, &self.contexts())).arg(&view).run(reporter)?;
        mounts.close()
    }

    fn leave_to_first_boot(&self, tree: &Path, reporter: &Reporter) -> Result<()> {
        reporter.warn(format!(
            "the image has the SELinux policy '{}', but neither it nor this machine has setfiles: its first boot will \
             label the files and start anew (install policycoreutils into the image to avoid that)",
            self.name
        ));
        let mark = tree.join(".autorelabel");
        fs::write(&mark, "").with_context(|| on("writing", &mark))
    }
}

/// Where the tree shows itself once more, without the kernel's filesystems: setfiles needs a /proc, and the
/// directory that this covers wants a label as well.
const VIEW: &str = "/dev/tree";

/// Mounts the kernel's filesystems and the view.
fn show(tree: &Path, unlabelled: &[&str]) -> Result<Mounts> {
    let shown = mounted_below(&tree.canonicalize().with_context(|| on("finding", tree))?)?;
    let mut mounts = api_mounts::mount(tree)?;
    let view = inside(tree, VIEW);
    fs::create_dir(&view).with_context(|| on("making", &view))?;
    mounts.push(Mount::bind(tree, &view)?);
    let skipped: Vec<PathBuf> = unlabelled.iter().map(|point| inside(tree, point)).collect();
    for point in shown.iter().filter(|p| *p != tree && !skipped.contains(p)) {
        let relative = point.strip_prefix(tree).with_context(|| on("finding", point))?;
        mounts.push(Mount::bind(point, &view.join(relative))?);
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_read_as_libselinux_reads_them() {
        let text = "# comment\nSELINUX=disabled\nSELINUX = no\nSELINUX=Enforcing \nSELINUXTYPE=targeted\n";
        let policy = Policy { name: "targeted".into(), mode: "enforcing".into() };
        assert_eq!(Policy::parse(text), Some(policy));
        assert_eq!(Policy::parse("SELINUX=disabled\nSELINUXTYPE=targeted\n"), None);
        assert_eq!(Policy::parse("SELINUX=enforcing\n"), None);
        assert_eq!(Policy::parse("SELINUX=enforcing\nSELINUXTYPE=../../tmp\n"), None);
    }

    #[test]
    fn a_tree_without_file_contexts_has_no_policy() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(Policy::of(tree.path()).unwrap(), None);
        let dir = tree.path().join("etc/selinux");
        fs::create_dir_all(dir.join("targeted/contexts/files")).unwrap();
        fs::create_dir_all(dir.join("targeted/policy")).unwrap();
        fs::write(dir.join("config"), "SELINUX=permissive\nSELINUXTYPE=targeted\n").unwrap();
        assert_eq!(Policy::of(tree.path()).unwrap(), None);
        fs::write(dir.join("targeted/contexts/files/file_contexts"), "").unwrap();
        let policy = Policy::of(tree.path()).unwrap().unwrap();
        assert_eq!(policy.mode, "permissive");
        for version in [9, 33, 32] {
            fs::write(dir.join(format!("targeted/policy/policy.{version}")), "").unwrap();
        }
        assert_eq!(policy.compiled(tree.path()).unwrap(), "/etc/selinux/targeted/policy/policy.33");
    }
}
