//! The table of steps.

use std::path::{Path, PathBuf};

use anyhow::Result;
use image_init::hooks::executables;

use super::command::Cmd;
use super::context::{Context, MANIFEST, NEW, OLD, RAM};
use super::run::{Phase, Step};
use super::{before, boot, finish, install, wipe};

/// Where vendor elements put scripts into the tiny system.
const VENDOR: &str = "usr/lib/upgrade-tiny";

/// What one of the table's functions looks like.
type Part = fn(&mut Context) -> Result<()>;

fn step(phase: Phase, name: &str, texts: [&str; 3], parts: [Part; 3]) -> Step<Context> {
    let [needs, does, proves] = texts.map(str::to_owned);
    let [ready, act, check] = parts;
    let (ready, act, check) = (Box::new(ready), Box::new(act), Box::new(check));
    Step { name: name.to_owned(), phase, needs, does, proves, ready, act, check }
}

fn nothing(_: &mut Context) -> Result<()> {
    Ok(())
}

fn mount(c: &mut Context) -> Result<()> {
    c.mount_new(false)
}

/// All steps, with the scripts of vendor elements that lie below `root`.
#[must_use]
pub fn steps(root: &Path) -> Vec<Step<Context>> {
    let mut steps = before_the_wipe();
    let vendor = |folder: &str, phase| {
        let found = executables(&root.join(VENDOR).join(folder));
        found.into_iter().map(move |script| vendor_step(phase, script)).collect::<Vec<_>>()
    };
    steps.extend(vendor("pre-wipe.d", Phase::Before));
    steps.push(step(
        Phase::Before,
        "release",
        [
            "the disk is mounted or its volumes are active",
            "unmounts the old system and deactivates its volumes",
            "nothing uses the disk",
        ],
        [nothing, wipe::release, wipe::is_free],
    ));
    steps.extend(disk_steps());
    steps.extend(system_steps());
    // Before the labels, so that what the scripts make gets labels too.
    steps.extend(vendor("post-install.d", Phase::After));
    steps.extend(last_steps());
    steps
}

fn before_the_wipe() -> Vec<Step<Context>> {
    use Phase::Before;
    vec![
        step(
            Before,
            "tools",
            [
                "the manifest of the tiny system",
                "looks for each program that a later step calls",
                "all are there, and tar is GNU tar",
            ],
            [nothing, before::check_tools, nothing],
        ),
        step(
            Before,
            "find",
            [
                "upgrade_tiny.root= on the kernel's command line",
                "finds the old system and the one disk that it lies on, and mounts it read-only",
                "its folder holds this bundle",
            ],
            [nothing, before::find, before::is_found],
        ),
        step(
            Before,
            "load",
            [
                "free memory for the payload and for the programs beside it",
                "copies payload, partition table and kept configuration into memory",
                "the copies are complete",
            ],
            [before::has_memory, before::load, nothing],
        ),
        step(
            Before,
            "verify",
            [
                "the copies in memory",
                "compares them with the SHA-256 digests of the tiny system's own manifest",
                "they are the same",
            ],
            [nothing, before::verify, nothing],
        ),
        step(
            Before,
            "test-archive",
            [
                "the payload in memory",
                "unpacks the whole payload to nowhere",
                "it holds a kernel, fstab and boot loader",
            ],
            [nothing, before::test_archive, nothing],
        ),
        step(
            Before,
            "check-disk",
            [
                "the partition table in memory",
                "compares the layout with the disk and the firmware",
                "all partitions and volumes fit",
            ],
            [nothing, before::check_disk, nothing],
        ),
    ]
}

fn disk_steps() -> Vec<Step<Context>> {
    use Phase::After;
    vec![
        step(
            After,
            "wipe",
            [
                "nothing uses the disk",
                "overwrites the partition table and the signatures of the old partitions",
                "the kernel sees no partition",
            ],
            [wipe::is_free, wipe::wipe, wipe::is_wiped],
        ),
        step(
            After,
            "partition",
            [
                "nothing uses the disk",
                "writes the new table; the last partition grows to the end of the disk",
                "the kernel sees its partitions",
            ],
            [nothing, wipe::partition, wipe::is_partitioned],
        ),
        step(
            After,
            "volumes",
            ["the new partitions", "makes the volume group and its volumes", "their nodes are there"],
            [wipe::is_partitioned, wipe::make_volumes, wipe::has_volumes],
        ),
        step(
            After,
            "filesystems",
            [
                "the new partitions and volumes",
                "makes the file systems",
                "they have the identities that the manifest gives them",
            ],
            [wipe::has_volumes, wipe::make_filesystems, wipe::has_filesystems],
        ),
    ]
}

fn system_steps() -> Vec<Step<Context>> {
    use Phase::After;
    vec![
        step(
            After,
            "extract",
            [
                "the new file systems",
                "unpacks the new system with owners, attributes and access lists",
                "its kernel and its init are there",
            ],
            [mount, install::extract, install::is_extracted],
        ),
        step(
            After,
            "fstab",
            [
                "the unpacked system",
                "makes its fstab agree with the file systems",
                "no line names a device that is not there",
            ],
            [mount, install::write_fstab, install::has_fstab],
        ),
        step(
            After,
            "restore",
            [
                "the unpacked system and the kept configuration",
                "carries the configuration over, then runs the system's restore.d scripts",
                "each script succeeded",
            ],
            [mount, install::carry_over, nothing],
        ),
        step(
            After,
            "initramfs",
            [
                "the unpacked system",
                "lets the new system make its initramfs on this machine",
                "/boot has one for the kernel",
            ],
            [mount, install::make_initramfs, install::has_initramfs],
        ),
        step(
            After,
            "bootloader",
            [
                "the unpacked system",
                "installs GRUB, or the programs on the EFI system partition",
                "the firmware finds something to start",
            ],
            [mount, boot::install, boot::is_installed],
        ),
    ]
}

fn last_steps() -> Vec<Step<Context>> {
    use Phase::After;
    vec![
        step(
            After,
            "label",
            [
                "the complete system",
                "labels all files if the new system has an SELinux policy that is switched on",
                "setfiles succeeded",
            ],
            [mount, boot::label, nothing],
        ),
        step(
            After,
            "check",
            [
                "the complete system",
                "looks for faults in the file systems, and for the files that the default boot entry names",
                "there are no faults, and all are there",
            ],
            [nothing, finish::check, nothing],
        ),
        step(
            After,
            "log",
            [
                "the complete system",
                "writes the log to /var/log/upgrade-tiny.log of the new system",
                "it is on the disk",
            ],
            [nothing, finish::keep_log, nothing],
        ),
        step(
            After,
            "reboot",
            ["the complete system", "starts the new system", "the machine restarts"],
            [nothing, finish::restart, nothing],
        ),
    ]
}

/// A vendor's script as a step. Before the wipe it runs in the tiny system, and its failure boots the old system.
fn vendor_step(phase: Phase, script: PathBuf) -> Step<Context> {
    let base = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = script.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let (needs, root) = match phase {
        Phase::Before => ("the old system, mounted read-only at $OLD_ROOT", None),
        Phase::After => ("the new system, mounted at $NEW_ROOT", Some(NEW)),
    };
    let act = move |c: &mut Context| {
        let cmd = Cmd::at(&script)
            .env("DISK", c.disk()?.path())
            .env("MANIFEST", MANIFEST)
            .env("BACKUP", format!("{RAM}/backup"));
        let cmd = match root {
            None => cmd.env("OLD_ROOT", OLD),
            Some(new) => cmd.env("NEW_ROOT", new),
        };
        cmd.run(&mut c.report).map(drop)
    };
    Step {
        name: format!("{folder}/{base}"),
        phase,
        needs: needs.to_owned(),
        does: "runs a script of a vendor element".to_owned(),
        proves: "it succeeded".to_owned(),
        ready: Box::new(move |c| if root.is_some() { c.mount_new(false) } else { Ok(()) }),
        act: Box::new(act),
        check: Box::new(nothing),
    }
}

/// The table for people.
#[must_use]
pub fn text(steps: &[Step<Context>]) -> String {
    let mut text = String::new();
    let mut phase = None;
    for step in steps {
        if phase != Some(step.phase) {
            text += match step.phase {
                Phase::Before => "before the point of no return (a failure boots the old system, unchanged):\n",
                Phase::After => "after the point of no return (a failure is tried again, then a shell is given):\n",
            };
            phase = Some(step.phase);
        }
        let Step { name, needs, does, proves, .. } = step;
        text += &format!("  {name}\n      needs   {needs}\n      does    {does}\n      checks  {proves}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_table_has_all_steps_in_order_and_the_vendors_scripts() {
        let root = tempfile::tempdir().unwrap();
        for name in ["pre-wipe.d/10-flush", "post-install.d/20-licence"] {
            let file = root.path().join(VENDOR).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let steps = steps(root.path());
        let names: Vec<&str> = steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names.join(" "),
            "tools find load verify test-archive check-disk pre-wipe.d/10-flush release wipe partition volumes \
             filesystems extract fstab restore initramfs bootloader post-install.d/20-licence label check log reboot"
        );
        // Once past the point of no return there is no way back.
        let first = steps.iter().position(|s| s.phase == Phase::After).unwrap();
        assert!(names[first] == "wipe" && steps[first..].iter().all(|s| s.phase == Phase::After));
        let text = text(&steps);
        let line = text.lines().position(|l| l.starts_with("after the point of no return")).unwrap();
        assert_eq!(text.lines().nth(line + 1), Some("  wipe"));
        assert!(text.contains("  pre-wipe.d/10-flush\n      needs   the old system, mounted read-only at $OLD_ROOT\n"));
    }
}
