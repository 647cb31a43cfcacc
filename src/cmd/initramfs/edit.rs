//! `image-create initramfs edit`.

use std::path::Path;

use anyhow::Result;

use crate::assemble::initramfs::closure::Closure;
use crate::assemble::initramfs::edit::{
    Addition, Base, Edited, Edits, ModuleWish, More, additions, cache_over, companions, edit, is_cache, modules,
};
use crate::assemble::initramfs::segments::Image;
use crate::assemble::initramfs::view::RootDir;
use crate::cli::initramfs::{EditArgs, Pair};
use crate::error::{Fault, Faults, Place};
use crate::plan::disk::size::human;
use crate::plan::initramfs::Spec;
use crate::report::Reporter;

use super::edit_spec;

/// Writes the image, says what was done, and prints the path.
pub fn run(args: &EditArgs, base: &Image, reporter: &Reporter) -> Result<()> {
    let copy = |pair: &Pair| Addition::Copy { source: pair.source.clone(), dest: pair.dest.clone() };
    let mut add: Vec<Addition> = args.add.iter().map(copy).collect();
    add.extend(args.unit.iter().cloned().map(Addition::Unit));
    let spec = edit_spec::read(args)?;
    add.extend(edit_spec::additions(&spec, &args.root)?);
    let edits = Edits {
        remove: args.remove.clone(),
        replace: args.replace.iter().map(|pair| (pair.source.clone(), pair.dest.clone())).collect(),
        add,
        packing: args.compress,
        latest: args.source_date_epoch,
    };
    let edited = edit(base, &args.output, &edits, &mut |base| wanted(args, &spec, base, reporter))?;
    reporter.info(summary(&edited));
    Reporter::result(&args.output.display().to_string());
    Ok(())
}

/// Programs and modules with all that they need; what is missing is told at once.
fn wanted(args: &EditArgs, spec: &Spec, base: &Base<'_>, reporter: &Reporter) -> Result<More> {
    let mut more = More { add: edit_spec::at_boot(spec, base)?, ..More::default() };
    let mut missing = Vec::new();
    let mut warnings = Vec::new();
    if !args.program.is_empty() || !spec.programs.is_empty() {
        let root = tree(&args.root)?;
        let mut closure = Closure::new(&root);
        for program in &args.program {
            closure.asked_by("--program").add_program(program);
        }
        edit_spec::programs(spec, &mut closure, &root);
        let (found, misses) = closure.search();
        missing.extend(misses);
        warnings.extend(found.warnings.iter().map(ToString::to_string));
        let brings_cache = args.add.iter().chain(&args.replace).any(|pair| is_cache(&pair.dest));
        if let Some(cache) = found.cache.filter(|_| !brings_cache) {
            more.add.push(cache_over(cache, base.tree));
        }
        let mut items = found.items;
        closure.asked_by("the libc that --program brings");
        for library in companions(&root, &items, base.tree) {
            closure.add_file(&library);
        }
        let (also, misses) = closure.search();
        missing.extend(misses);
        items.extend(also.items);
        more.add.extend(additions(root.root(), &items, base.tree));
    }
    let wishes = with_modules_of(spec, args)?;
    for wish in &wishes {
        let root = tree(args.modules_dir.as_ref().unwrap_or(&args.root))?;
        let found = modules(&root, wish, base, &mut missing, &mut warnings)?;
        more.add.extend(found.add);
        more.remove.extend(found.remove);
    }
    warnings.iter().for_each(|warning| reporter.warn(warning));
    Ok(Faults::or(missing.into_iter().map(Fault::from).collect(), more)?)
}

/// The modules that are asked for by options, and those that descriptions want: for one kernel in one wish, so that its
/// indexes know all of them.
fn with_modules_of(spec: &Spec, args: &EditArgs) -> Result<Vec<ModuleWish>> {
    let mut wishes = args.modules.clone();
    let root = tree(args.modules_dir.as_ref().unwrap_or(&args.root));
    if spec.modules.is_empty() && spec.load.is_empty() {
        return Ok(wishes);
    }
    let Some(more) = edit_spec::modules(spec, args, &root?)? else { return Ok(wishes) };
    match wishes.iter_mut().find(|wish| wish.kernel == more.kernel) {
        Some(wish) => wish.also.extend(more.also),
        None => wishes.push(more),
    }
    Ok(wishes)
}

pub(super) fn tree(dir: &Path) -> Result<RootDir> {
    RootDir::new(dir).map_err(|err| Faults::from(Fault::at(Place::file(dir), format!("cannot be read: {err}"))).into())
}

fn summary(edited: &Edited) -> String {
    let copied = match edited.copied {
        0 => String::new(),
        n => format!("; {n} segments were copied as they are"),
    };
    format!(
        "{} entries removed, {} replaced, {} added; {} in the file, {} unpacked from the last segment{copied}",
        edited.removed,
        edited.replaced,
        edited.added,
        human(edited.len),
        human(edited.unpacked)
    )
}
