//! Makes an initramfs from nothing: `image-init`, the kernel's modules, programs of a tree, and what descriptions ask for.

mod budget;
mod hooks;
mod kernel;
mod modules;
mod rescue;
mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::assemble::initramfs::check::check;
use crate::assemble::initramfs::closure::Closure;
use crate::assemble::initramfs::compression::Packing;
use crate::assemble::initramfs::entry::CHARACTER;
use crate::assemble::initramfs::modules::Profile;
use crate::assemble::initramfs::tree::Tree;
use crate::assemble::initramfs::view::RootDir;
use crate::assemble::initramfs::write::ImageWriter;
use crate::error::{Fault, Faults};
use crate::plan::initramfs::{Source, Spec};

pub use budget::Budget;
pub use kernel::{best_packing, check_packing};
pub use rescue::has as tree_has;
use stage::Stage;

/// The first program, built with this one.
const INIT: &[u8] = include_bytes!(env!("IMAGE_INIT"));

/// What every initramfs holds if nothing else is said: what disks and their file systems need.
const DEFAULT: &str = include_str!("../default.json");

/// What to make.
#[derive(Debug)]
pub struct Request {
    /// The tree that programs, libraries and modules are taken from.
    pub root: PathBuf,
    /// The kernel's version, as its folder of modules is called.
    pub kernel: String,
    /// What it shall hold.
    pub spec: Spec,
    /// The machine that it is for; any if none is given.
    pub machine: Option<Profile>,
    /// With a shell for when the root does not show up.
    pub rescue: bool,
    /// The time of all entries, seconds since 1970.
    pub time: u32,
}

/// What was made, before it is packed.
#[derive(Debug)]
pub struct Made {
    /// What the initramfs unpacks to.
    pub tree: Tree,
    /// What the user should look at.
    pub warnings: Vec<String>,
    /// How many kernel modules are in it.
    pub modules: usize,
}

impl Made {
    /// Writes the image beside its target and renames it, unless `check` refuses what it costs.
    ///
    /// # Errors
    /// When something cannot be read or written, or what `check` says; the target is as it was then.
    pub fn write(&self, target: &Path, packing: Packing, check: impl FnOnce(&Budget) -> Result<()>) -> Result<Budget> {
        let entries = self.tree.entries();
        let mut image = ImageWriter::create(target, None)?;
        image.segment(packing, &mut |segment| entries.iter().try_for_each(|entry| segment.write(entry)))?;
        let budget = Budget::of(&entries, image.offset())?;
        check(&budget)?;
        image.publish()?;
        Ok(budget)
    }
}

/// The description that holds if nothing else is said.
#[must_use]
pub fn default_spec() -> Spec {
    Spec::parse(DEFAULT, Path::new("image-create's initramfs.json")).expect("the built-in description is tested")
}

/// Makes an initramfs.
///
/// # Errors
/// Everything that is missing, at once; files that cannot be read.
pub fn build(request: &Request) -> Result<Made> {
    let root = RootDir::new(&request.root).with_context(|| format!("reading {}", request.root.display()))?;
    let mut stage = Stage::new(root, request.time)?;
    let mut missing = Vec::new();
    let mut warnings = Vec::new();

    let modules = modules::add(&mut stage, request, &mut missing, &mut warnings)?;
    let programs = {
        let mut closure = Closure::new(stage.root());
        for wish in &request.spec.programs {
            if !wish.optional || rescue::has(stage.root(), &wish.name) {
                closure.asked_by(&wish.place).add_program(&wish.name);
            }
        }
        for (interpreter, hook) in hooks::interpreters(&request.spec)? {
            // Where the tree has no shell but busybox, busybox is the shell.
            let program = rescue::provider(stage.root(), &interpreter);
            closure.asked_by(&hook).add_program(program.unwrap_or(&interpreter));
        }
        if request.rescue {
            rescue::add_programs(&mut closure, stage.root());
        }
        let (found, misses) = closure.search();
        missing.extend(misses);
        found
    };
    warnings.extend(programs.warnings.iter().map(ToString::to_string));
    stage.put_items(&programs.items)?;
    if let Some(cache) = &programs.cache {
        stage.put_bytes("etc/ld.so.cache", 0o644, &cache.write())?;
    }
    Faults::or(missing.into_iter().map(Fault::from).collect(), ())?;
    rescue::add_links(&mut stage)?;
    add_own(&mut stage, request)?;
    add_asked(&mut stage, &request.spec)?;
    let tree = stage.into_tree();
    prove(&tree)?;
    Ok(Made { tree, warnings, modules })
}

/// Looks into the finished tree as `initramfs check` does: what came in by other ways than a closure (files and hooks of
/// descriptions) has to work too.
fn prove(tree: &Tree) -> Result<()> {
    let report = check(tree, None, None).context("checking the initramfs")?;
    match report.errors.as_slice() {
        [] => Ok(()),
        errors => bail!("the initramfs would not work:\n  {}", errors.join("\n  ")),
    }
}

/// What is the same in every initramfs.
fn add_own(stage: &mut Stage, request: &Request) -> Result<()> {
    for dir in ["dev", "proc", "sys", "run", "tmp", "sysroot", "etc/initramfs"] {
        stage.put_dir(dir)?;
    }
    // The kernel opens it for the first program before anything can be mounted.
    stage.put_node("dev/console", CHARACTER | 0o600, (5, 1))?;
    stage.put_bytes("init", 0o755, INIT)?;
    // The kernel calls it when it wants a module by a name of its own, like that of a checksum.
    stage.put_link("sbin/modprobe", "/init")?;
    let load: String = request.spec.load.iter().map(|wish| format!("{}\n", wish.name)).collect();
    if !load.is_empty() {
        stage.put_bytes("etc/initramfs/load", 0o644, load.as_bytes())?;
    }
    hooks::add(stage, &request.spec)
}

/// The files that were asked for.
fn add_asked(stage: &mut Stage, spec: &Spec) -> Result<()> {
    for (place, file) in &spec.files {
        match &file.source {
            Source::Beside(path) => stage.put_host_file(path, place, file.mode),
            Source::Tree(path) => stage.put_from_tree(path, place, file.mode),
        }
        .with_context(|| format!("adding {place}, which {} asks for", file.place))?;
    }
    if let Some(unit) = spec.units.first() {
        bail!(
            "{} is a unit of systemd, and this initramfs has no systemd\n  units can be added to an initramfs that has it: image-create initramfs edit --unit",
            unit.display()
        );
    }
    Ok(())
}

/// The packing that is taken for a kernel if none was asked for.
#[must_use]
pub fn packing(request: &Request, asked: Option<Packing>) -> Packing {
    asked.unwrap_or_else(|| best_packing(&request.root, &request.kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_description_is_in_order() {
        let spec = default_spec();
        assert!(spec.programs.iter().all(|p| p.optional), "trees without LVM must do");
        assert!(spec.modules.len() > 20);
        assert!(spec.files.is_empty() && spec.hooks.is_empty());
    }
}
