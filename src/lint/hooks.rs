//! Scripts that nobody runs: hooks without an execute bit or with a dot in their names, folders that are
//! nearly called like a phase, data among hooks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::element::catalog::Element;
use crate::element::hooks::{self as merged, ENVIRONMENT_DIR, Hook};
use crate::element::phase::Phase;
use crate::element::run_order;
use crate::near::near;

use super::Finding;
use super::check::Check;
use super::file::File;

/// Folders that end like a phase and that elements, tools or the engine read (contract 3.6).
const READ_BY_OTHERS: [&str; 11] = [
    ENVIRONMENT_DIR,
    "binary-deps.d",
    "init.d",
    "udev.d",
    "ramdisk-install.d",
    "dracut-drivers.d",
    "dracut.conf.d",
    "dracut.d",
    "modprobe.d",
    "yum.repos.d",
    "sysctl.d",
];

/// What is odd about the folders of an element.
pub fn element(element: &Element, files: &[File]) -> Vec<Finding> {
    let mut found = Vec::new();
    let folders: BTreeSet<&str> = files.iter().filter_map(File::folder).collect();
    for folder in folders {
        match Phase::from_dir(folder) {
            Some(phase) => phase_folder(element, phase, files, &mut found),
            None => other_folder(element, folder, files, &mut found),
        }
    }
    found
}

fn phase_folder(element: &Element, phase: Phase, files: &[File], found: &mut Vec<Finding>) {
    let dir = element.dir.join(phase.dir());
    let Ok(pattern) = run_order::pattern(None) else { return };
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A link may lead to what another element brings.
        let Ok(meta) = fs::metadata(&path) else { continue };
        let left_out = meta.is_file() && !path.is_symlink() && !files.iter().any(|f| f.path == path);
        if name.starts_with('.') || left_out {
            continue;
        }
        if meta.is_dir() {
            let for_install_types = phase == Phase::Install && name.ends_with("-install");
            // The parts of a ramdisk's init, which ramdisk-base copies from there (contract 8.1).
            let for_ramdisks = phase == Phase::ExtraData && name == "scripts";
            if !for_install_types && !for_ramdisks {
                found.push(data(&path, &format!("the folder '{}/{name}'", phase.dir())));
            }
            continue;
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
        let Err(skip) = run_order::runs(&name, mode, &pattern) else { continue };
        let hook = Hook { name, element: element.name.clone(), path, mode, skip: Some(skip) };
        if merged::looks_like_script(&hook) {
            found.push(Finding { check: Check::NeverRuns, fault: merged::skipped(&hook, phase.dir(), skip) });
        } else if !hook.name.starts_with("package-installs-") {
            found.push(data(&hook.path, &format!("'{}/{}'", phase.dir(), hook.name)));
        }
    }
}

fn data(path: &Path, what: &str) -> Finding {
    let finding = Finding::of(Check::PhaseData, path, format!("{what} is no hook: data in a phase folder"));
    finding
        .hint("put it into a folder of its own beside the phase folders: hooks reach that as $(dirname $0)/../FOLDER")
}

/// A folder that is no phase, with scripts in it that look as if they were meant to run in one.
fn other_folder(element: &Element, folder: &str, files: &[File], found: &mut Vec<Finding>) {
    if READ_BY_OTHERS.contains(&folder) {
        return;
    }
    let inside = |f: &&File| f.relative.parent() == Some(Path::new(folder)) && f.is_script();
    if !files.iter().any(|f| inside(&f)) {
        return;
    }
    let slip = folder.replace('_', "-");
    let slip = if slip.ends_with(".d") { slip } else { format!("{slip}.d") };
    let known = Phase::ALL.map(Phase::dir);
    let meant = near(&slip, known).first().copied();
    let mentioned = files.iter().any(|f| f.folder() != Some(folder) && f.text.contains(folder));
    let hint = match meant {
        Some(meant) => format!("did you mean '{meant}'?"),
        None if folder.ends_with(".d") && !mentioned => format!("phases: {}", known.join(", ")),
        None => return,
    };
    let message = format!("no phase is called '{folder}': nothing in it runs");
    found.push(Finding::of(Check::Phase, &element.dir.join(folder), message).hint(hint));
}
