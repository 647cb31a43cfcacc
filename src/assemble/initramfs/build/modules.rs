//! Puts kernel modules and their firmware into a stage, with the indexes that say what there is.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::assemble::initramfs::closure::Miss;
use crate::assemble::initramfs::modules::{Index, Picked, Selection, Tables, firmware, names, settings, unpacked};
use crate::assemble::initramfs::view::{Node, RootDir, View, resolve};

use crate::error::{Fault, Faults};

use super::Request;
use super::stage::Stage;

/// Folders of modules that are not for devices: everything outside `drivers`, and these.
const SOFTWARE: [&str; 2] = ["kernel/drivers/md/", "kernel/drivers/block/loop"];

/// Adds the modules that a request asks for. Gives how many.
///
/// # Errors
/// The kernel is not there, or something cannot be read.
pub fn add(stage: &mut Stage, request: &Request, missing: &mut Vec<Miss>, warnings: &mut Vec<String>) -> Result<usize> {
    let index = Index::load(stage.root(), &request.kernel).map_err(|e| Faults::from(Fault::new(e.to_string())))?;
    let picked = pick(stage.root(), &index, request, missing);
    if !picked.warnings.is_empty() {
        let shown = picked.warnings.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        warnings.push(format!(
            "{} files of firmware that drivers can use are not in the tree: {shown} ...",
            picked.warnings.len()
        ));
    }
    put(stage, &index, &picked)?;
    add_settings(stage)?;
    Ok(picked.modules.len())
}

fn pick(root: &RootDir, index: &Index, request: &Request, missing: &mut Vec<Miss>) -> Picked {
    let mut all = Selection::new(root, index);
    wish(&mut all, request);
    let Some(machine) = &request.machine else {
        let (picked, misses) = all.search();
        missing.extend(misses);
        return picked;
    };
    // Of the general set, what this machine has devices for, and what is for no device at all.
    let (general, misses) = all.firmware(firmware::Policy::Leave).search();
    missing.extend(misses);
    let mut hardware = Selection::new(root, index);
    let (drivers, _) = hardware.firmware(firmware::Policy::Leave).add_hardware(machine).search();
    let drivers = drivers.names();
    let asked: BTreeSet<&str> = request.spec.modules.iter().filter(|w| !w.optional).map(|w| w.name.as_str()).collect();
    let mut narrow = Selection::new(root, index);
    for (name, chain) in &general.modules {
        let file = index.get(name).map(|m| m.file.to_string_lossy().into_owned()).unwrap_or_default();
        let is_software = !file.starts_with("kernel/drivers/") || SOFTWARE.iter().any(|dir| file.starts_with(dir));
        if drivers.contains(name) || is_software || asked.contains(name.as_str()) {
            let who = chain.names().last().cloned().unwrap_or_default();
            narrow.asked_by(&who).add(name);
        }
    }
    let (picked, misses) = narrow.search();
    missing.extend(misses);
    picked
}

fn wish(selection: &mut Selection<'_>, request: &Request) {
    for wish in &request.spec.modules {
        selection.asked_by(&wish.place);
        if wish.optional {
            selection.add_if_there(&wish.name);
        } else {
            selection.add(&wish.name);
        }
    }
    for wish in &request.spec.load {
        selection.asked_by(&wish.place).add(&wish.name);
    }
}

/// Puts the files there. Modules are unpacked: the image is packed as a whole, which is smaller, and not every kernel
/// can load packed ones.
fn put(stage: &mut Stage, index: &Index, picked: &Picked) -> Result<()> {
    let dir = resolve(stage.root(), &index.dir)?.path;
    let (modules, others): (Vec<_>, Vec<_>) =
        picked.items.iter().cloned().partition(|item| is_packed_module(&item.path, &dir));
    stage.put_items(&others)?;
    for item in modules {
        let Node::File { mode, .. } = item.node else { continue };
        let reading = || format!("reading {}", item.path.display());
        let bytes = stage.root().read(&item.path).and_then(unpacked).with_context(reading)?;
        stage.put_bytes(unpacked_name(&item.path), mode, &bytes)?;
    }
    let mut plain = index.clone();
    plain.modules.iter_mut().for_each(|module| module.file = unpacked_name(&module.file));
    // A kernel without any module gets a directory all the same: it says what kernel the image is for.
    stage.put_dir(&dir)?;
    if !stage.has("/lib") {
        stage.put_link("/lib", "usr/lib")?;
    }
    for (name, bytes) in Tables::of(&plain, &picked.names()).files() {
        stage.put_bytes(dir.join(name), 0o644, &bytes)?;
    }
    Ok(())
}

fn is_packed_module(path: &Path, dir: &Path) -> bool {
    path.starts_with(dir) && names::of_file(path).is_some() && path.extension() != Some("ko".as_ref())
}

/// The name of a module without the ending of a compression.
fn unpacked_name(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let is_module = names::of_file(path).is_some() && !bytes.ends_with(b".ko");
    if is_module { path.with_extension("") } else { path.to_path_buf() }
}

/// Settings of modprobe: options, aliases and modules that are not to be loaded.
fn add_settings(stage: &mut Stage) -> Result<()> {
    for path in settings::files(stage.root()) {
        if resolve(stage.root(), &path).is_ok_and(|end| end.is_file()) {
            stage.put_from_tree(&path, &path.to_string_lossy(), None)?;
        }
    }
    Ok(())
}
