//! Reads the text files that depmod and the kernel's build leave in a kernel's directory.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::assemble::initramfs::view::{View, read};

use super::aliases::Aliases;
use super::index::{Index, IndexError, Module, Softdep};
use super::{modinfo, names, scan, settings};

/// Lines of small files, each with the module that it is about.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    pub softdep: Vec<(String, String)>,
    pub weakdep: Vec<(String, String)>,
    pub devname: Vec<(String, String)>,
}

pub fn load(view: &dyn View, kernel: &str, dir: PathBuf) -> Result<Index, IndexError> {
    let mut index = Index { kernel: kernel.to_owned(), dir, ..Index::default() };
    let bytes = |name: &str| file(view, &index.dir.join(name));
    let builtin = bytes("modules.builtin")?.unwrap_or_default();
    let builtin_modinfo = bytes("modules.builtin.modinfo")?.unwrap_or_default();
    let order = text(bytes("modules.order")?);
    let dep = bytes("modules.dep")?;
    let (alias, symbols) = (text(bytes("modules.alias")?), text(bytes("modules.symbols")?));
    let (softdep, weakdep) = (text(bytes("modules.softdep")?), text(bytes("modules.weakdep")?));
    let devname = text(bytes("modules.devname")?);

    index.order = order.lines().map(str::to_owned).collect();
    index.builtin = String::from_utf8_lossy(&builtin).lines().filter_map(|l| names::of_file(Path::new(l))).collect();
    // Kernels without modules.builtin.modinfo have no aliases of what is built in.
    index.builtin_aliases = with_plain_names(modinfo::builtin_aliases(&builtin_modinfo));
    index.builtin_list = builtin;
    index.builtin_modinfo = builtin_modinfo;
    match dep {
        None => scan::scan(view, &mut index)?,
        Some(bytes) => {
            dependencies(&mut index, &text(Some(bytes)))?;
            index.aliases = Aliases::new(aliases(&alias));
            index.symbols = aliases(&symbols);
            index.lines.devname = devname.lines().filter_map(devname_line).collect();
            keep(&mut index.lines.softdep, &softdep, "softdep");
            keep(&mut index.lines.weakdep, &weakdep, "weakdep");
        }
    }
    let settings = settings::lines(view);
    index.settings = settings::Settings::new(&settings);
    digest(&mut index, &settings);
    Ok(index)
}

/// `fuse fuse c10:229`: a module and a node that brings it.
fn devname_line(line: &str) -> Option<(String, String)> {
    let module = line.split_whitespace().next().filter(|word| !word.starts_with('#'))?;
    Some((names::plain(module), line.to_owned()))
}

fn with_plain_names(pairs: Vec<(String, String)>) -> Aliases {
    Aliases::new(pairs.into_iter().map(|(alias, module)| (alias, names::plain(&module))).collect())
}

/// A file below the kernel's directory; `None` if there is none.
fn file(view: &dyn View, path: &Path) -> Result<Option<Vec<u8>>, IndexError> {
    match read(view, path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(IndexError::Io { path: path.to_owned(), error }),
    }
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// `kernel/a.ko: kernel/b.ko kernel/c.ko`; very old ones have absolute paths.
fn dependencies(index: &mut Index, text: &str) -> Result<(), IndexError> {
    let dir = format!("{}/", index.dir.display());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let damaged = |why| IndexError::Damaged { path: index.dir.join("modules.dep"), line: number + 1, why };
        let (file, needs) = line.split_once(':').ok_or_else(|| damaged("there is no ':' behind a file"))?;
        let file = PathBuf::from(file.strip_prefix(&dir).unwrap_or(file).trim_start_matches('/'));
        if file.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(damaged("a path leads out of the kernel's directory"));
        }
        let name = names::of_file(&file).ok_or_else(|| damaged("a file is not called .ko"))?;
        let needs = needs.split_whitespace().filter_map(|need| names::of_file(Path::new(need))).collect();
        index.add(Module { name, file, needs });
    }
    Ok(())
}

/// `alias PATTERN MODULE`
fn aliases(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| {
        // Patterns can have blanks in them (platform:Fixed MDIO bus); modules cannot.
        let (pattern, module) = line.strip_prefix("alias ")?.trim().rsplit_once(' ')?;
        Some((pattern.trim().to_owned(), names::plain(module)))
    });
    pairs.collect()
}

fn keep(lines: &mut Vec<(String, String)>, text: &str, keyword: &str) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some(keyword)
            && let Some(module) = words.next()
        {
            lines.push((names::plain(module), line.to_owned()));
        }
    }
}

/// Takes the lines apart, and adds those of the tree's settings.
fn digest(index: &mut Index, settings: &[Vec<String>]) {
    let lines = index.lines.softdep.iter().chain(&index.lines.weakdep);
    let lines = lines.map(|(_, line)| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut soft: HashMap<String, Softdep> = HashMap::new();
    let mut weak: HashMap<String, Vec<String>> = HashMap::new();
    for words in lines.chain(settings.iter().cloned()) {
        match words.as_slice() {
            [keyword, module, rest @ ..] if keyword == "softdep" => {
                add_softdep(soft.entry(names::plain(module)).or_default(), rest);
            }
            [keyword, module, rest @ ..] if keyword == "weakdep" => {
                weak.entry(names::plain(module)).or_default().extend(rest.iter().map(|name| names::plain(name)));
            }
            _ => {}
        }
    }
    index.softdeps = soft;
    index.weakdeps = weak;
}

/// `pre: a b post: c`
fn add_softdep(softdep: &mut Softdep, words: &[String]) {
    let Softdep { pre, post, other } = softdep;
    let mut list = other;
    for word in words {
        match word.as_str() {
            "pre:" => list = &mut *pre,
            "post:" => list = &mut *post,
            name => list.push(names::plain(name)),
        }
    }
}
