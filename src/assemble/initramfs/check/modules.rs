//! Kernel modules of a tree: does each have what it needs, and does modprobe know it?

use std::collections::BTreeSet;
use std::path::Path;

use super::walk::Walk;
use super::{Kernel, Report};
use crate::assemble::initramfs::modules::{Index, Selection, kernels, names};
use crate::assemble::initramfs::view::{View, exists, resolve};

/// A kernel's index, and the names of the modules that are there.
pub struct There {
    /// What the tree knows about modules.
    pub index: Index,
    /// Modules whose files are there.
    pub present: BTreeSet<String>,
}

/// Looks into all modules of all kernels.
pub fn check(view: &dyn View, walk: &Walk, report: &mut Report) -> Vec<There> {
    let mut all = Vec::new();
    for kernel in kernels(view) {
        match Index::load(view, &kernel) {
            Ok(index) => all.push(one(view, walk, index, report)),
            Err(error) => report.errors.push(error.to_string()),
        }
    }
    all
}

fn one(view: &dyn View, walk: &Walk, index: Index, report: &mut Report) -> There {
    let is_there = |path: &Path| resolve(view, path).is_ok_and(|end| end.is_file());
    let present: BTreeSet<String> =
        index.modules.iter().filter(|m| is_there(&index.path_of(m))).map(|m| m.name.clone()).collect();
    report.kernels.push(Kernel { version: index.kernel.clone(), modules: present.len() });
    if !present.is_empty() {
        tables(view, &index, report);
        unknown(view, walk, &index, &present, report);
    }
    let mut selection = Selection::new(view, &index);
    // What is only listed can be in a package that is loaded later.
    present.iter().for_each(|name| {
        selection.add(name);
    });
    let (picked, missing) = selection.search();
    report.errors.extend(missing.iter().map(|miss| format!("missing {miss}")));
    report.missing_firmware.extend(picked.warnings.iter().map(ToString::to_string));
    There { index, present }
}

fn tables(view: &dyn View, index: &Index, report: &mut Report) {
    let dir = index.dir.display();
    if index.scanned {
        // Installers make it when they boot.
        let has_depmod = ["/sbin/depmod", "/usr/sbin/depmod"].iter().any(|path| exists(view, Path::new(path)));
        let told = format!("{dir}/modules.dep is not there: modprobe finds no module before depmod has run");
        if has_depmod {
            report.warnings.push(told)
        } else {
            report.errors.push(told)
        }
        return;
    }
    // busybox reads the text; kmod, which most links are to, does not.
    let modprobe = ["/sbin/modprobe", "/usr/sbin/modprobe", "/bin/kmod"].map(|path| resolve(view, Path::new(path)));
    let is_kmod = modprobe.iter().flatten().any(|end| end.path.file_name() == Some("kmod".as_ref()));
    for table in ["modules.dep.bin", "modules.alias.bin"] {
        if exists(view, &index.dir.join(table)) {
            continue;
        }
        let told = format!("{dir}/{table} is not there: kmod's modprobe reads nothing else");
        if is_kmod { report.errors.push(told) } else { report.warnings.push(told) }
    }
}

/// Warns of module files that the index does not know.
fn unknown(view: &dyn View, walk: &Walk, index: &Index, present: &BTreeSet<String>, report: &mut Report) {
    let Ok(dir) = resolve(view, &index.dir) else { return };
    for (path, _) in walk.files.iter().filter(|(path, _)| path.starts_with(&dir.path)) {
        if names::of_file(path).is_some_and(|name| !present.contains(&name)) {
            report.warnings.push(format!("{} is not in modules.dep: modprobe does not find it", path.display()));
        }
    }
}
