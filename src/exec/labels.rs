//! SELinux labels, put on the finished tree by the target's own policy, so that no boot has to do so.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use upgrade_tiny::selinux::{CONFIG, Policy};
use upgrade_tiny::steps::command::find;

use crate::assemble::host;
use crate::assemble::split::{inside, open_inside};
use crate::error::on;
use crate::plan::output::Tool;
use crate::report::Reporter;

use super::api_mounts;
use super::command::Cmd;
use super::mount::{Mount, Mounts, mounted_below};

/// The policy of `tree`; none if it has none, or if SELinux is disabled there.
///
/// # Errors
/// When the settings are there but cannot be read.
pub fn policy_of(tree: &Path) -> Result<Option<Policy>> {
    let Ok(mut file) = open_inside(tree, CONFIG) else { return Ok(None) };
    let mut text = String::new();
    file.read_to_string(&mut text).context("reading /etc/selinux/config in the tree")?;
    let policy = Policy::parse(&text);
    Ok(policy.filter(|p| inside(tree, &p.contexts()).is_file()))
}

/// Labels every file of `tree`, on the filesystems that are mounted in it as well, but for those at
/// `unlabelled`: paths in the tree.
///
/// # Errors
/// When setfiles fails.
pub fn apply(policy: &Policy, tree: &Path, unlabelled: &[&str], reporter: &Reporter) -> Result<()> {
    reporter.info(format!("Labelling the files by the SELinux policy '{}' ({})", policy.name, policy.mode));
    let (cmd, base) = if let Some(program) = find(tree, &["setfiles"]) {
        (Cmd::new("chroot").arg(tree).arg(program), Path::new("/"))
    } else if let Ok(cmd) = host::command(Tool::SETFILES) {
        (cmd, tree)
    } else {
        return leave_to_first_boot(policy, tree, reporter);
    };
    let (mounts, points) = show(tree, unlabelled)?;
    cmd.args(policy.words(base, policy.compiled(tree).as_deref(), VIEW, &points)).run(reporter)?;
    mounts.close()
}

fn leave_to_first_boot(policy: &Policy, tree: &Path, reporter: &Reporter) -> Result<()> {
    reporter.warn(format!(
        "the image has the SELinux policy '{}', but neither it nor this machine has setfiles: its first boot will \
         label the files and start anew (install policycoreutils into the image to avoid that)",
        policy.name
    ));
    let mark = tree.join(".autorelabel");
    fs::write(&mark, "").with_context(|| on("writing", &mark))
}

/// Where the tree shows itself once more, without the kernel's filesystems: setfiles needs a /proc, and the
/// directory that this covers wants a label as well.
const VIEW: &str = "/dev/tree";

/// Mounts the kernel's filesystems and the view. Says which other filesystems are shown in that, and where.
fn show(tree: &Path, unlabelled: &[&str]) -> Result<(Mounts, Vec<String>)> {
    let shown = mounted_below(&tree.canonicalize().with_context(|| on("finding", tree))?)?;
    let mut mounts = api_mounts::mount(tree)?;
    let view = inside(tree, VIEW);
    fs::create_dir(&view).with_context(|| on("making", &view))?;
    mounts.push(Mount::bind(tree, &view)?);
    let mut points = Vec::new();
    let skipped: Vec<PathBuf> = unlabelled.iter().map(|point| inside(tree, point)).collect();
    for point in shown.iter().filter(|p| *p != tree && !skipped.contains(p)) {
        let relative = point.strip_prefix(tree).with_context(|| on("finding", point))?;
        mounts.push(Mount::bind(point, &view.join(relative))?);
        points.push(relative.display().to_string());
    }
    Ok((mounts, points))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_file_contexts_has_no_policy() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(policy_of(tree.path()).unwrap(), None);
        let dir = tree.path().join("etc/selinux");
        fs::create_dir_all(dir.join("targeted/contexts/files")).unwrap();
        fs::create_dir_all(dir.join("targeted/policy")).unwrap();
        fs::write(dir.join("config"), "SELINUX=permissive\nSELINUXTYPE=targeted\n").unwrap();
        assert_eq!(policy_of(tree.path()).unwrap(), None);
        fs::write(dir.join("targeted/contexts/files/file_contexts"), "").unwrap();
        let policy = policy_of(tree.path()).unwrap().unwrap();
        assert_eq!(policy.mode, "permissive");
        for version in [9, 33, 32] {
            fs::write(dir.join(format!("targeted/policy/policy.{version}")), "").unwrap();
        }
        assert_eq!(policy.compiled(tree.path()).unwrap(), "/etc/selinux/targeted/policy/policy.33");
    }
}
