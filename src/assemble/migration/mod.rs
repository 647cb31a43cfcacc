//! Migration bundles: the finished tree as a payload, and the tiny system that puts it onto a running appliance's disk.
//!
//! The element `upgrade-tiny` asks for one by a file ([`BundleSpec`]), as boot loader elements ask for boot code. What the
//! bundle's files are for is told in docs/migration.md; its description is `upgrade_tiny::manifest`.

mod archive;
mod drivers;
mod layout;
mod payload;
mod sign;
mod spec;
mod table;
mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use upgrade_tiny::manifest::{FORMAT, FileEntry, Firmware, Manifest, Role};

use super::disk::Assembly;
use super::publish::Partial;
use crate::error::on;
use crate::report::Reporter;

pub use spec::BundleSpec;

/// The file in the tree's /tmp by which it is asked for.
pub const SPEC: &str = "image-bundle.json";
/// The folder of elements that holds the scripts of bundles, as it is merged into the hook tree.
pub const FOLDER: &str = "upgrade-tiny";
/// The program of the tiny system and of the slots, built with this one.
pub const PROGRAM: &[u8] = include_bytes!(env!("UPGRADE_TINY"));

const KERNEL: &str = "vmlinuz-convert";
const INITRAMFS: &str = "initramfs-convert.img";

/// Memory that stage two needs beside payload and initramfs: the kernel's own, programs, and what they write to (measured:
/// docs/performance.md).
const WORKING_MEMORY: u64 = 320 << 20;
const MIB: u64 = 1 << 20;

/// What a bundle is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The finished tree, with nothing mounted in it.
    pub tree: &'a Path,
    /// The merged hooks, with the folder [`FOLDER`] of all elements.
    pub hooks: &'a Path,
    /// What elements want in an initramfs.
    pub descriptions: &'a [PathBuf],
    /// The disk as it is to be, with identifiers.
    pub assembly: &'a Assembly<'a>,
    /// The machine's kind, as `uname -m` says it.
    pub machine: &'a str,
    /// An existing directory for temporary files.
    pub work: &'a Path,
}

/// Makes the bundle `target`.
///
/// # Errors
/// When the layout is none that a machine can be moved to, when the tree lacks a kernel or a program, or a file cannot be
/// written; `target` is as it was then.
pub fn make(spec: &BundleSpec, sources: &Sources, target: &Path, reporter: &Reporter) -> Result<()> {
    reporter.step("writing the migration bundle", || {
        let stage = tempfile::tempdir_in(sources.work).context("making a directory for the migration bundle")?;
        let files = stage_files(spec, sources, stage.path(), reporter)?;
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).with_context(|| on("making", dir))?;
        }
        let partial = Partial::beside(target)?;
        archive::write(stage.path(), &files, partial.path(), sources.assembly.epoch)?;
        partial.place(target)?;
        reporter.info(format!("Wrote {}", target.display()));
        Ok(())
    })
}

/// Makes all files of the bundle in `stage`. Gives their names in the order in which the archive has them.
fn stage_files(spec: &BundleSpec, sources: &Sources, stage: &Path, reporter: &Reporter) -> Result<Vec<String>> {
    let layout = layout::of(sources.assembly)?;
    let kernel = tiny::newest_kernel(sources.tree)?;
    let firmware = if layout.partitions.iter().any(|p| p.role == Role::Esp) { Firmware::Uefi } else { Firmware::Bios };
    let table_name = format!("{}.sgdisk", spec.name);
    table::write(sources.assembly, &stage.join(&table_name))?;
    let payload = format!("{}.{}", spec.name, payload::suffix(spec.compress)?);
    let unpacked_bytes = payload::write(sources.tree, &stage.join(&payload), spec.compress, sources.assembly.epoch)?;
    let mut manifest = Manifest {
        format: FORMAT,
        name: spec.name.clone(),
        version: spec.version.clone(),
        system: system_name(sources.tree),
        arch: sources.machine.to_owned(),
        kernel: kernel.version.clone(),
        firmware,
        payload: payload.clone(),
        initramfs: spec.initramfs,
        unpacked_bytes,
        ram_bytes: 0,
        disk_bytes: sources.assembly.disks.first().map_or(0, |disk| disk.size),
        boot_free_bytes: 0,
        files: BTreeMap::new(),
        layout,
    };
    for name in [&payload, &table_name] {
        manifest.files.insert(name.clone(), entry(&stage.join(name))?);
    }
    // The tiny system believes nothing but what is in itself: digests of the rest.
    let made = tiny::make(&tiny::Request { sources, manifest: &manifest, kernel: &kernel, stage })?;
    made.warnings.iter().for_each(|warning| reporter.warn(warning));
    let budget = made.budget;
    fs::copy(&kernel.image, stage.join(KERNEL)).with_context(|| on("copying", &kernel.image))?;
    let drivers = format!("{}.drivers", spec.name);
    fs::write(stage.join(&drivers), made.drivers).with_context(|| on("writing", &stage.join(&drivers)))?;
    let mut files = vec![table_name, drivers, KERNEL.to_owned(), INITRAMFS.to_owned()];
    files.extend(copy_files(&sources.hooks.join(FOLDER), "", stage)?);
    files.extend(copy_files(&sources.hooks.join(FOLDER), "backup.d/", stage)?);
    files.push(payload.clone());
    for name in &files {
        manifest.files.insert(name.clone(), entry(&stage.join(name))?);
    }
    manifest.boot_free_bytes = (manifest.files[KERNEL].bytes + manifest.files[INITRAMFS].bytes).next_multiple_of(MIB);
    let running = manifest.files[&payload].bytes + budget.unpacked + WORKING_MEMORY;
    manifest.ram_bytes = running.max(budget.peak + WORKING_MEMORY / 2).next_multiple_of(MIB);
    let text = stage.join("manifest.json");
    fs::write(&text, manifest.to_text()?).with_context(|| on("writing", &text))?;
    let mut all = vec!["manifest.json".to_owned()];
    if let Some(key) = &spec.key {
        sign::sign(&text, key)?;
        all.push("manifest.json.sig".to_owned());
    }
    all.extend(files);
    Ok(all)
}

/// Copies the files of `FOLDER/PLACE`, not those of folders in it. Gives their names in the bundle.
fn copy_files(folder: &Path, place: &str, stage: &Path) -> Result<Vec<String>> {
    let from = folder.join(place);
    let Ok(entries) = fs::read_dir(&from) else { return Ok(vec![]) };
    fs::create_dir_all(stage.join(place)).with_context(|| on("making", &stage.join(place)))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| on("reading", &from))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|_| path.is_file()) else { continue };
        let name = format!("{place}{name}");
        fs::copy(&path, stage.join(&name)).with_context(|| on("copying", &path))?;
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn entry(path: &Path) -> Result<FileEntry> {
    FileEntry::of(path, &mut |_| ())
}

/// What the system calls itself.
fn system_name(tree: &Path) -> String {
    let texts =
        ["etc/os-release", "usr/lib/os-release"].into_iter().filter_map(|p| fs::read_to_string(tree.join(p)).ok());
    let line = |text: String| {
        let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim_matches('"').to_owned();
        Some(value)
    };
    texts.filter_map(line).next().unwrap_or_else(|| "Linux".to_owned())
}
