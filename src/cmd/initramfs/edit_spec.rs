//! What descriptions (`initramfs.json`) add to an edit.

use std::path::Path;

use anyhow::Result;

use crate::assemble::initramfs::build::tree_has;
use crate::assemble::initramfs::closure::Closure;
use crate::assemble::initramfs::edit::{Addition, Base, ModuleWish};
use crate::assemble::initramfs::entry::{Content, Entry, REGULAR};
use crate::assemble::initramfs::modules::{Index, Selection, kernels};
use crate::assemble::initramfs::view::{RootDir, resolve};
use crate::cli::initramfs::EditArgs;
use crate::error::{Fault, Faults};
use crate::plan::initramfs::{Source, Spec};

/// The folder in which image-create's own init looks for what descriptions want at boot.
const OWN: &str = "etc/initramfs";

/// Reads and joins the descriptions.
///
/// # Errors
/// All mistakes in them.
pub fn read(args: &EditArgs) -> Result<Spec> {
    let specs = args.spec.iter().map(|file| super::build::read_spec(file)).collect::<Result<Vec<_>>>()?;
    Ok(Spec::merge(specs)?)
}

/// Units and files. Those of the tree are looked up in `root`.
///
/// # Errors
/// A file is not in the tree.
pub fn additions(spec: &Spec, root: &Path) -> Result<Vec<Addition>> {
    let mut add: Vec<Addition> = spec.units.iter().cloned().map(Addition::Unit).collect();
    for (dest, file) in &spec.files {
        let source = match &file.source {
            Source::Beside(path) => path.clone(),
            Source::Tree(path) => {
                let found = super::edit::tree(root).and_then(|tree| Ok(resolve(&tree, path)?));
                let found = found.map_err(|e| Faults::from(Fault::at(file.place.clone(), format!("{e:#}"))))?;
                root.join(found.path.strip_prefix("/").unwrap_or(&found.path))
            }
        };
        let dest = dest.as_bytes().to_vec();
        add.push(match file.mode {
            Some(mode) => Addition::Entry(Entry::new(dest, REGULAR | mode).with(Content::File(source))),
            None => Addition::Copy { source, dest },
        });
    }
    Ok(add)
}

/// Hooks and modules to load: only our own init knows them.
///
/// # Errors
/// The base has another init.
pub fn at_boot(spec: &Spec, base: &Base<'_>) -> Result<Vec<Addition>> {
    if spec.hooks.is_empty() && spec.load.is_empty() {
        return Ok(vec![]);
    }
    if base.tree.get(OWN).is_none() {
        let fault =
            Fault::new("the descriptions have hooks or modules to load, which the init of this image does not know");
        return Err(Faults::from(fault.hint("they are for images that `image-create initramfs build` has made")).into());
    }
    let mut add = Vec::new();
    for (number, (stage, file)) in spec.hooks.iter().enumerate() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Behind those that the image has.
        let entry = Entry::new(format!("{OWN}/hooks.d/{stage}/5{number:02}-{name}"), REGULAR | 0o755);
        add.push(Addition::Entry(entry.with(Content::File(file.clone()))));
    }
    if !spec.load.is_empty() {
        let before = base.tree.content(format!("{OWN}/load")).unwrap_or_default();
        let more: String = spec.load.iter().map(|wish| format!("{}\n", wish.name)).collect();
        let bytes: Vec<u8> = before.iter().copied().chain(more.into_bytes()).collect();
        let entry = Entry::new(format!("{OWN}/load"), REGULAR | 0o644);
        add.push(Addition::Entry(entry.with(Content::Bytes(bytes.into()))));
    }
    Ok(add)
}

/// Asks for the programs that the descriptions want.
pub fn programs(spec: &Spec, closure: &mut Closure<'_>, root: &RootDir) {
    for wish in &spec.programs {
        if !wish.optional || tree_has(root, &wish.name) {
            closure.asked_by(&wish.place).add_program(&wish.name);
        }
    }
}

/// The modules that the descriptions want, of the kernel that `--modules` names, or the only one of the tree.
///
/// # Errors
/// It is not clear which kernel is meant, or it has no modules.
pub fn modules(spec: &Spec, args: &EditArgs, root: &RootDir) -> Result<Option<ModuleWish>> {
    if spec.modules.is_empty() && spec.load.is_empty() {
        return Ok(None);
    }
    let known = kernels(root);
    let kernel = match (args.modules.first(), known.as_slice()) {
        (Some(wish), _) => wish.kernel.clone(),
        (None, [only]) => only.clone(),
        (None, _) => {
            let fault = Fault::new("the descriptions want modules, and it is not clear of which kernel");
            let hint = format!("name it with --modules KVER; the tree has: {}", known.join(", "));
            return Err(Faults::from(fault.hint(hint)).into());
        }
    };
    let index = Index::load(root, &kernel).map_err(|e| Faults::from(Fault::new(e.to_string())))?;
    let mut there = Selection::new(root, &index);
    let wanted = spec.modules.iter().chain(&spec.load).filter(|w| !w.optional || there.add_if_there(&w.name));
    let also = wanted.map(|wish| (wish.name.clone(), wish.place.clone())).collect();
    Ok(Some(ModuleWish { kernel, names: Some(vec![]), also }))
}
