//! Puts kernel modules into a base, with what they need, their firmware, and indexes that cover those of the base too.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Addition, Base, More};
use crate::assemble::initramfs::closure::{Item, Miss};
use crate::assemble::initramfs::entry::{Content, Entry, REGULAR};
use crate::assemble::initramfs::modules::{Index, IndexError, Selection, Tables, kernels, names, unpacked};
use crate::assemble::initramfs::tree::{Tree, new_link};
use crate::assemble::initramfs::view::{Node, RootDir, View, resolve};
use crate::error::{Fault, Faults, Place};

/// Where an image has modules and firmware; a link of the base leads on to where they are.
const MODULES: &str = "/lib/modules";
const FIRMWARE: [&str; 2] = ["/usr/lib/firmware", "/lib/firmware"];

/// Names of missing modules that a warning has.
const NAMED: usize = 5;

/// Modules of one kernel that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleWish {
    /// The kernel's version.
    pub kernel: String,
    /// Names, aliases, patterns, paths or `:all`; `None` for those that the base has, of whatever kernel.
    pub names: Option<Vec<String>>,
    /// More names, asked for by descriptions: each with who asks.
    pub also: Vec<(String, String)>,
}

impl std::str::FromStr for ModuleWish {
    type Err = &'static str;

    /// `KVER`, `KVER:NAME,NAME` or `KVER:all`
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kernel, names) = text.split_once(':').map_or((text, None), |(kernel, names)| (kernel, Some(names)));
        if kernel.is_empty() || kernel.contains('/') {
            return Err("it begins with the version of a kernel");
        }
        let names = match names {
            None => None,
            Some("all") => Some(vec![":all".to_owned()]),
            Some(list) if list.split(',').all(|name| !name.is_empty()) => {
                Some(list.split(',').map(str::to_owned).collect())
            }
            Some(_) => return Err("a name after the ':' is empty"),
        };
        Ok(Self { kernel: kernel.to_owned(), names, also: vec![] })
    }
}

/// Whether a file of an image is an index of modules, whose content is wanted.
pub(super) fn is_index(name: &[u8]) -> bool {
    let rest = name.strip_prefix(b"usr/").unwrap_or(name).strip_prefix(b"lib/modules/");
    rest.and_then(|rest| rest.split(|b| *b == b'/').nth(1)).is_some_and(|file| file.starts_with(b"modules."))
}

/// What has to change in the base for `wish`. What is missing goes to `missing`, what is to be looked at to `warnings`.
///
/// # Errors
/// The kernel is not in `root`, or something cannot be read.
pub fn modules(
    root: &RootDir,
    wish: &ModuleWish,
    base: &Base<'_>,
    missing: &mut Vec<Miss>,
    warnings: &mut Vec<String>,
) -> Result<More> {
    let index = Index::load(root, &wish.kernel).map_err(|err| Faults::from(no_index(root, &err)))?;
    let mut selection = Selection::new(root, &index);
    for (name, who) in &wish.also {
        selection.asked_by(who).add(name);
    }
    match &wish.names {
        Some(names) => {
            for name in names {
                selection.asked_by(&format!("--modules {}:{name}", wish.kernel)).add(name);
            }
        }
        None => {
            selection.asked_by(&format!("--modules {}", wish.kernel));
            let names = module_names(base.before);
            let gone: Vec<&str> =
                names.iter().map(String::as_str).filter(|name| !selection.add_if_there(name)).collect();
            if !gone.is_empty() {
                let few = gone.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
                let more = if gone.len() > NAMED { " ..." } else { "" };
                let (kernel, count) = (&wish.kernel, gone.len());
                warnings.push(format!("kernel {kernel} lacks {count} of the base's modules: {few}{more}"));
            }
        }
    }
    let (picked, misses) = selection.search();
    missing.extend(misses);
    if !picked.warnings.is_empty() {
        let few: Vec<String> = picked.warnings.iter().take(3).map(ToString::to_string).collect();
        warnings.push(format!("{} files of firmware are not there: {} ...", picked.warnings.len(), few.join("; ")));
    }
    let dir = resolve(root, &index.dir)?.path;
    let image_dir = Path::new(MODULES).join(&wish.kernel);
    let mut more = More::default();
    for item in &picked.items {
        more.add.extend(addition(root, item, &dir, &image_dir)?);
    }
    let mut plain = index.clone();
    plain.modules.iter_mut().for_each(|module| module.file = plain_name(&module.file));
    let mut tables = Tables::of(&plain, &picked.names());
    if let Ok(old) = Index::load(base.tree, &wish.kernel) {
        let replaced = tables.over(&old).into_iter().map(|file| image_dir.join(file));
        more.remove.extend(replaced.filter_map(|path| base.tree.land(path.as_os_str().as_bytes()).ok()));
    }
    for (name, bytes) in tables.files() {
        let entry = Entry::new(bytes_of(&image_dir.join(name)), REGULAR | 0o644);
        more.add.push(Addition::Entry(entry.with(content(bytes.to_vec()))));
    }
    Ok(more)
}

fn no_index(root: &RootDir, err: &IndexError) -> Fault {
    let fault = Fault::at(Place::file(root.root()), err.to_string());
    match err {
        IndexError::NoKernel { .. } => fault.hint("--modules-dir names a tree with lib/modules/KVER"),
        _ => fault,
    }
}

/// Names of all modules in an image.
fn module_names(tree: &Tree) -> BTreeSet<String> {
    let dirs: Vec<Vec<u8>> = kernels(tree)
        .iter()
        .filter_map(|kernel| tree.follow(bytes_of(&Path::new(MODULES).join(kernel))).map(|(path, _)| path))
        .collect();
    let below = |name: &[u8]| dirs.iter().any(|dir| name.starts_with(dir) && name.get(dir.len()) == Some(&b'/'));
    let entries = tree.entries();
    let files = entries.iter().filter(|entry| below(&entry.name));
    files.filter_map(|entry| names::of_file(Path::new(std::ffi::OsStr::from_bytes(&entry.name)))).collect()
}

/// One file or link, at the place that it has in an image. Modules are unpacked: the image is packed as a whole.
fn addition(root: &RootDir, item: &Item, dir: &Path, image_dir: &Path) -> Result<Option<Addition>> {
    let place = match item.path.strip_prefix(dir) {
        Ok(below) => image_dir.join(below),
        Err(_) => FIRMWARE
            .iter()
            .find_map(|dir| item.path.strip_prefix(dir).ok())
            .map_or_else(|| item.path.clone(), |below| Path::new(FIRMWARE[1]).join(below)),
    };
    let source = root.root().join(item.path.strip_prefix("/").unwrap_or(&item.path));
    Ok(match &item.node {
        Node::File { mode, .. } if plain_name(&place) != place => {
            let reading = || format!("reading {}", source.display());
            let bytes = root.read(&item.path).and_then(unpacked).with_context(reading)?;
            let entry = Entry::new(bytes_of(&plain_name(&place)), REGULAR | mode);
            Some(Addition::Entry(entry.with(content(bytes))))
        }
        Node::File { .. } => Some(Addition::Copy { source, dest: bytes_of(&place).to_vec() }),
        // Links of directories on the way say how the root tree is laid out, not the base.
        Node::Link(target) if item.path.starts_with(FIRMWARE[0]) || item.path.starts_with(FIRMWARE[1]) => {
            Some(Addition::Entry(new_link(bytes_of(&place), bytes_of(target), 0)))
        }
        _ => None,
    })
}

/// The name of a module's file without the ending of a compression.
fn plain_name(path: &Path) -> PathBuf {
    let packed = names::of_file(path).is_some() && path.extension() != Some("ko".as_ref());
    if packed { path.with_extension("") } else { path.to_path_buf() }
}

fn content(bytes: Vec<u8>) -> Content {
    if bytes.is_empty() { Content::Empty } else { Content::Bytes(bytes.into()) }
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_have_a_kernel_and_names() {
        let wish = |text: &str| text.parse::<ModuleWish>();
        assert_eq!(wish("6.1"), Ok(ModuleWish { kernel: "6.1".into(), names: None, also: vec![] }));
        assert_eq!(wish("6.1:a,b").unwrap().names.unwrap(), ["a", "b"]);
        assert_eq!(wish("6.1:all").unwrap().names.unwrap(), [":all"]);
        assert!(wish(":a").is_err() && wish("6.1:").is_err() && wish("/lib/modules/6.1").is_err());
    }

    #[test]
    fn indexes_are_known_by_their_place() {
        assert!(is_index(b"lib/modules/6.1/modules.dep") && is_index(b"usr/lib/modules/6.1/modules.alias"));
        assert!(!is_index(b"lib/modules/6.1/kernel/modules.ko") && !is_index(b"etc/modules.dep"));
    }
}
